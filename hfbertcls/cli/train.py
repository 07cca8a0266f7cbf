"""`hfbertcls train`: fine-tune, evaluate, write a complete model repository."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hfbertcls import processes
from hfbertcls.cli.configuration import card_facts
from hfbertcls.cli.launching import add_process_option
from hfbertcls.cli.options import add_data_options, add_model_options, columns_of, model_source
from hfbertcls.cli.parser import Parser
from hfbertcls.cli.process import loading_libraries, log
from hfbertcls.cli.push import add_sharing_options, request_of, what_came_of
from hfbertcls.cli.space import add_space_options
from hfbertcls.cli.training_fields import training_fields
from hfbertcls.cli.training_options import add_training_options, typed_options
from hfbertcls.commands import command
from hfbertcls.environment import local_path
from hfbertcls.errors import ConfigurationError
from hfbertcls.training.options import TrainingOptions


if TYPE_CHECKING:
    from hfbertcls.data.dataset import TextDataset
    from hfbertcls.evaluation.report import Report
    from hfbertcls.hub.checkpoint_branch import CheckpointBranch
    from hfbertcls.hub.push import Pushed, PushRequest
    from hfbertcls.hub.space.deployment import DeployedSpace


def add_parser(verbs: Any) -> Parser:
    """Declare the verb."""
    parser: Parser = verbs.add_parser(
        "train",
        allow_abbrev=False,
        help="fine-tune an encoder on labelled text",
        description="Fine-tune an encoder on labelled text, evaluate it, and write a complete model repository.",
        epilog="Every other field of transformers' TrainingArguments is accepted under its own name, such as "
        "--weight-decay 0.05 or --gradient-accumulation-steps 4.",
    )
    parser.takes_fields = True
    parser.add_argument("--config", metavar="FILE.yaml", help="defaults for all options by their names; flags win")
    parser.add_argument("--model", required=True, metavar="M", help="Hub id or directory of an encoder")
    add_model_options(parser)
    add_data_options(parser)
    parser.add_argument("--split-by", metavar="NAME", help="keep rows with the same value of this column in one split")
    parser.add_argument("--slice-by", metavar="NAME", help="report metrics for each value of this column")
    parser.add_argument("--output-dir", required=True, metavar="O", help="where to write")
    add_process_option(parser)
    add_training_options(parser, TrainingOptions)
    parser.add_argument(
        "--seeds",
        type=int,
        metavar="N",
        help="train with N seeds, keep the best run on validation, report the spread",
    )
    parser.add_argument(
        "--average",
        metavar="HOW",
        help="with --seeds: average the weights of the runs, uniform or greedy, and keep the average if it is no worse on "
        "validation than the best run",
    )
    parser.add_argument(
        "--learning-curve",
        action="store_true",
        help="train on 1/8, 1/4 and 1/2 of the rows too: would more data help?",
    )
    sharing = parser.add_argument_group("sharing")
    sharing.add_argument(
        "--push-to-hub", metavar="USER/NAME", help="push the result to the Hub (checked before training)"
    )
    add_training_options(sharing, TrainingOptions, "sharing")
    sharing.add_argument(
        "--push-every-save",
        action="store_true",
        help="send each checkpoint to a branch of that repository; --resume on another machine continues from there",
    )
    add_sharing_options(sharing)
    sharing.add_argument(
        "--space", action="store_true", help="show the pushed model in a Gradio Space of the same name"
    )
    add_space_options(sharing)
    return parser


def run(options: argparse.Namespace) -> int:
    """Train."""
    training = _asked_for(options)
    return processes.lead(lambda: _run(options, training))


def _run(options: argparse.Namespace, training: TrainingOptions) -> int:
    request, backup = _destination(options, training)
    data = _data(options, training)
    try:
        report = _trained(options, replace(training, backup=backup), data)
    finally:
        if backup is not None:
            backup.finish()
    pushed = None
    if request is not None:
        from hfbertcls.hub.push import push_directory

        log(f"Pushing to {request.repo_id} ...")
        pushed = push_directory(options.output_dir, request, log)
    _tell(options, report, pushed, request)
    return 0


def _asked_for(options: argparse.Namespace) -> TrainingOptions:
    """The options of the run, checked before anything is read or sent."""
    with loading_libraries():
        import torch  # noqa: F401  (first: it registers its operators faster while few modules are loaded)

        fields = training_fields(options.rest, options.parser)
    training = typed_options(options, fields, card_facts(options.words), TrainingOptions)

    from hfbertcls.repository.output_directory import OutputDirectory
    from hfbertcls.workflows.options import training_arguments

    directory = OutputDirectory(Path(options.output_dir))
    if processes.is_first():
        directory.check(overwrite=training.overwrite, resume=training.resume)
    with loading_libraries():
        training_arguments(directory, training)
    if options.push_every_save and options.push_to_hub is None:
        raise ConfigurationError("--push-every-save needs --push-to-hub USER/NAME")
    _check_space_options(options)
    _check_repeats(options)
    return training


def _check_space_options(options: argparse.Namespace) -> None:
    """Check the options of the Space before training."""
    if not options.space:
        if options.hardware is not None or options.with_token:
            raise ConfigurationError("--hardware and --with-token go with --space")
    elif options.push_to_hub is None:
        raise ConfigurationError("--space needs --push-to-hub USER/NAME: a Space reads its model from the Hub")
    elif options.create_pr or options.hub_revision:
        raise ConfigurationError("--space shows the main branch; it does not go with --create-pr or --hub-revision")
    else:
        from hfbertcls.hub.space.destination import require_hardware

        require_hardware(options.hardware)


def _check_repeats(options: argparse.Namespace) -> None:
    """Check the options of seeds, average and learning curve before training."""
    from hfbertcls.workflows.seeds import check_seeds

    if options.seeds is not None:
        check_seeds(options.seeds, backup=options.push_every_save, average=options.average)
        if options.learning_curve:
            raise ConfigurationError("--learning-curve is of one run, --seeds makes more than one. Leave one out")
    elif options.average is not None:
        raise ConfigurationError(
            f"--average {options.average} averages the weights of more than one run, and without --seeds there is one. Add "
            "--seeds N, or leave out --average"
        )


def _destination(
    options: argparse.Namespace, training: TrainingOptions
) -> "tuple[PushRequest | None, CheckpointBranch | None]":
    """The checked destination of the push, and the branch for checkpoints."""
    if options.push_to_hub is None:
        return None, None

    from hfbertcls.hub.push import check_destination

    request = request_of(options, options.push_to_hub)
    destination = check_destination(request)
    log(f"Will be pushed to {destination.repo_id} ({'private' if destination.private else 'public'})")
    if options.space and destination.private and not options.with_token:
        raise ConfigurationError(
            f"{destination.repo_id} is private, so its Space could not read it. Pass --public, or --with-token, which "
            "stores your token as a secret of the Space; or leave --space out and make the Space later: "
            f"{command('space', destination.repo_id, '--with-token')}"
        )
    if not options.push_every_save:
        return request, None
    return request, _backup(local_path(options.output_dir), destination.repo_id, resume=training.resume)


def _backup(directory: Path, repo_id: str, *, resume: bool) -> "CheckpointBranch":
    """The branch for the checkpoints of this run; a resumed run fetches them first."""
    from hfbertcls.hub.checkpoint_branch import BRANCH, CheckpointBranch, fetch_checkpoints

    has_begun = (directory / "checkpoints").exists() or (directory / "report.json").exists()
    if resume and not has_begun and fetch_checkpoints(repo_id, directory):
        log(f"Fetched the checkpoints of {repo_id} (branch {BRANCH})")
    return CheckpointBranch(repo_id, directory, log)


def _data(options: argparse.Namespace, training: TrainingOptions) -> "TextDataset":
    """The labelled text."""
    from hfbertcls.data.loading import load_text_dataset
    from hfbertcls.workflows.learning_curve import parts_of
    from hfbertcls.workflows.options import cross_validation_of

    given = {"--seeds": options.seeds is not None, "--learning-curve": options.learning_curve}
    data = load_text_dataset(
        options.dataset,
        **columns_of(options),
        split_by=options.split_by,
        slice_by=options.slice_by,
        cross_validation=cross_validation_of(training, tuple(flag for flag, is_given in given.items() if is_given)),
        seed=training.seed,
    )
    if options.learning_curve:
        parts_of(data.splits["train"], training.seed)
    return data


def _trained(options: argparse.Namespace, training: TrainingOptions, data: "TextDataset") -> "Report":
    """Train once or with each seed; returns the report of the written model."""
    from hfbertcls.environment import public_command
    from hfbertcls.workflows.learning_curve import add_learning_curve
    from hfbertcls.workflows.seeds import train_with_seeds
    from hfbertcls.workflows.train import train_and_evaluate

    source, place = model_source(options), options.output_dir
    ids = {options.model if not source.is_local else "", options.dataset if data.is_from_hub else ""}
    training = replace(training, command=public_command(options.words, ids))
    if options.seeds is not None:
        return train_with_seeds(source, data, place, options.seeds, training, log, average=options.average)
    report = train_and_evaluate(source, data, place, training, log)
    return add_learning_curve(source, data, place, report, training, log) if options.learning_curve else report


def _tell(
    options: argparse.Namespace, report: "Report", pushed: "Pushed | None", request: "PushRequest | None"
) -> None:
    """Print the result, create the Space if asked for, and print the next commands."""
    from hfbertcls.repository.summary import summary

    if options.json:
        print(report.to_json(), end="")
        if pushed is not None and options.space:
            _show(options, pushed.repo_id)
        return
    print(summary(report))
    print(f"Written to {options.output_dir}: the model, README.md (the card), report.json, predictions, plots")
    if pushed is not None and request is not None:
        if options.space:
            print(f"Pushed: {pushed.url}")
            print(f"The Space: {_show(options, pushed.repo_id).url}")
        else:
            print(what_came_of(pushed, request))
        return
    print(f"Next: {command('evaluate', options.output_dir, '--dataset', 'OTHER_TEXTS.csv')}")
    print(f"      {command('push', options.output_dir, 'USER/NAME')}")
    print("OTHER_TEXTS.csv stands for labelled texts of yours, USER/NAME for a name on the Hub.")


def _show(options: argparse.Namespace, repo_id: str) -> "DeployedSpace":
    """Create the Space of a model that was just pushed."""
    from hfbertcls.cli.space import deploy, facts_in
    from hfbertcls.hub.space.destination import SpaceRequest

    directory = local_path(options.output_dir)
    request = SpaceRequest(repo_id, repo_id, hardware=options.hardware, with_token=options.with_token)
    log(f"The model is pushed. Making the Space {repo_id} ...")
    return deploy(facts_in(directory, repo_id, options.hardware), request, directory)
