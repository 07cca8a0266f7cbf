"""`hfbertcls train`: fine-tune, evaluate, write a complete model repository."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hfbertcls.cli.configuration import card_facts
from hfbertcls.cli.options import add_data_options, add_model_options, columns_of, model_source
from hfbertcls.cli.parser import Parser
from hfbertcls.cli.process import log
from hfbertcls.cli.push import add_sharing_options, request_of, what_came_of
from hfbertcls.cli.space import add_space_options
from hfbertcls.cli.training_fields import training_fields
from hfbertcls.commands import command
from hfbertcls.environment import local_path
from hfbertcls.errors import ConfigurationError
from hfbertcls.registry import DEFAULT_TRAINER


if TYPE_CHECKING:
    from hfbertcls.hub.checkpoint_branch import CheckpointBranch
    from hfbertcls.hub.space.deployment import DeployedSpace

_FIELDS = {
    "seed": "seed", "epochs": "num_train_epochs", "max_steps": "max_steps",
    "learning_rate": "learning_rate", "precision": "precision", "metric": "metric_for_best_model",
    "eval_every": "eval_every", "packing": "packing",
}  # fmt: skip


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
    parser.add_argument("--split-by", metavar="NAME", help="column whose rows stay together when splits are cut")
    parser.add_argument("--slice-by", metavar="NAME", help="column by whose values figures are told apart")
    parser.add_argument(
        "--max-length", type=int, metavar="N", help="tokens read of a text (default: the model's limit, at most 512)"
    )
    parser.add_argument(
        "--allow-leakage", action="store_true", help="train although many validation or test texts are in train too"
    )
    parser.add_argument("--output-dir", required=True, metavar="O", help="where to write")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--overwrite", action="store_true", help="replace what an earlier run left in the directory")
    place.add_argument(
        "--resume", action="store_true", help="go on with a run that was stopped there, or begin if there is none"
    )
    parser.add_argument("--seed", type=int, default=42, help="of splits, head, data order and dropout (default: 42)")
    parser.add_argument(
        "--seeds",
        type=int,
        metavar="N",
        help="train N times from seeds on, share the best on validation, report the spread",
    )
    parser.add_argument(
        "--average",
        metavar="HOW",
        help="with --seeds: average the weights of the runs, uniform or greedy, and share that if it is no worse on "
        "validation than the best run",
    )
    parser.add_argument(
        "--learning-curve",
        action="store_true",
        help="train on 1/8, 1/4 and 1/2 of the rows too: would more data help?",
    )
    parser.add_argument("--epochs", type=float, metavar="N", help="default: by the number of rows and labels")
    parser.add_argument("--max-steps", type=int, metavar="N", help="stop after so many updates; overrides --epochs")
    parser.add_argument(
        "--batch-size", metavar="N", help="rows in a batch, on each device (default: 32); auto: 32, in parts that fit"
    )
    parser.add_argument("--learning-rate", type=float, metavar="R", help="default: by the size of the model")
    parser.add_argument("--precision", metavar="P", help="auto, bf16, fp16 or fp32, in training (default: auto)")
    parser.add_argument(
        "--no-packing",
        dest="packing",
        action="store_false",
        default=None,
        help="compute padding, too (default: left out where the model allows it; the results are the same)",
    )
    parser.add_argument("--metric", metavar="NAME", help="chooses the checkpoint on validation (default: f1_macro)")
    parser.add_argument(
        "--eval-every", metavar="E", help="epoch, a number of steps, or a fraction of the run (default: 0.2)"
    )
    parser.add_argument(
        "--early-stopping", type=int, metavar="PATIENCE", help="stop after so many evaluations without gain"
    )
    parser.add_argument(
        "--no-calibration", action="store_true", help="leave the scores as training made them (default: a temperature)"
    )
    parser.add_argument(
        "--trainer",
        default=DEFAULT_TRAINER,
        metavar="NAME",
        help="a registered subclass of TextClassificationTrainer (default: that class)",
    )
    parser.add_argument("--callbacks", nargs="+", default=[], metavar="NAME", help="further registered callbacks")
    parser.add_argument(
        "--report-to", nargs="+", default=[], metavar="TRACKER", help="trackio, tensorboard, wandb, mlflow, ..."
    )
    sharing = parser.add_argument_group("sharing")
    sharing.add_argument(
        "--push-to-hub", metavar="USER/NAME", help="share the result on the Hub (checked before training)"
    )
    sharing.add_argument(
        "--publish-examples",
        type=int,
        default=0,
        metavar="N",
        help="show so many rows of your data on the card (default: 0)",
    )
    sharing.add_argument(
        "--push-every-save",
        action="store_true",
        help="send each checkpoint to a branch of that repository; --resume on another machine goes on from there",
    )
    add_sharing_options(sharing)
    sharing.add_argument("--space", action="store_true", help="show the shared model in a Gradio Space of its name")
    add_space_options(sharing)
    return parser


def _refuse_zero(options: argparse.Namespace) -> None:
    """Zero means "choose" to the training arguments; here an option that is left out means that."""
    for name in ("epochs", "max_steps", "learning_rate"):
        value = getattr(options, name)
        if value is not None and not value > 0:
            raise ConfigurationError(
                f"--{name.replace('_', '-')} {value:g} is not possible. Expected a number above 0; leave it out to have it "
                "chosen"
            )


def _batch_size(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    if text == "auto":
        return {"try_longest_batch_first": True}
    if not text.isdecimal() or int(text) < 1:
        raise ConfigurationError(f"--batch-size {text} is not possible. Expected a number from 1, or auto")
    return {"per_device_train_batch_size": int(text)}


def _backup(options: argparse.Namespace, repo_id: str) -> "CheckpointBranch":
    """The branch for the checkpoints of this run; with `--resume`, what is there is fetched first."""
    from hfbertcls.hub.checkpoint_branch import BRANCH, CheckpointBranch, fetch_checkpoints

    directory = local_path(options.output_dir)
    has_begun = (directory / "checkpoints").exists() or (directory / "report.json").exists()
    if options.resume and not has_begun and fetch_checkpoints(repo_id, directory):
        log(f"Fetched the checkpoints of {repo_id} (branch {BRANCH})")
    return CheckpointBranch(repo_id, directory, log)


def _check_space_options(options: argparse.Namespace) -> None:
    """Find out before training whether a Space can be wished for."""
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


def _show(options: argparse.Namespace, repo_id: str) -> "DeployedSpace":
    """Make the Space of a model that was just shared."""
    from hfbertcls.cli.space import deploy, facts_in
    from hfbertcls.hub.space.destination import SpaceRequest

    directory = local_path(options.output_dir)
    request = SpaceRequest(repo_id, repo_id, hardware=options.hardware, with_token=options.with_token)
    log(f"The model is shared. Making the Space {repo_id} ...")
    return deploy(facts_in(directory, repo_id, options.hardware), request, directory)


def run(options: argparse.Namespace) -> int:
    """Train."""
    fields = training_fields(options.rest, options.parser)
    fields |= _batch_size(options.batch_size)
    _refuse_zero(options)
    fields |= {field: getattr(options, flag) for flag, field in _FIELDS.items() if getattr(options, flag) is not None}

    from hfbertcls.cli.summary import summary
    from hfbertcls.data.loading import load_text_dataset
    from hfbertcls.environment import public_command
    from hfbertcls.repository.output_directory import OutputDirectory
    from hfbertcls.workflows.learning_curve import add_learning_curve, parts_of
    from hfbertcls.workflows.options import TrainingOptions, check_options
    from hfbertcls.workflows.seeds import check_seeds, train_with_seeds
    from hfbertcls.workflows.train import train_and_evaluate

    OutputDirectory(Path(options.output_dir)).check(overwrite=options.overwrite, resume=options.resume)
    training = TrainingOptions(
        max_length=options.max_length,
        overwrite=options.overwrite,
        resume=options.resume,
        early_stopping=options.early_stopping,
        callbacks=options.callbacks,
        trainer=options.trainer,
        report_to=options.report_to,
        arguments=fields,
        card=card_facts(options.words),
        publish_examples=options.publish_examples,
        allow_leakage=options.allow_leakage,
        calibrate=not options.no_calibration,
    )
    check_options(training)
    if options.push_every_save and options.push_to_hub is None:
        raise ConfigurationError("--push-every-save needs --push-to-hub USER/NAME")
    _check_space_options(options)
    if options.seeds is not None:
        check_seeds(options.seeds, backup=options.push_every_save, average=options.average)
        if options.learning_curve:
            raise ConfigurationError("--learning-curve is of one run, --seeds makes several. Leave one out")
    elif options.average is not None:
        raise ConfigurationError(
            f"--average {options.average} averages the weights of several runs, and without --seeds there is one. Add "
            "--seeds N, or leave out --average"
        )
    request = backup = None
    if options.push_to_hub is not None:
        from hfbertcls.hub.push import check_destination

        request = request_of(options, options.push_to_hub)
        destination = check_destination(request)
        log(f"Will be shared as {destination.repo_id} ({'private' if destination.private else 'public'})")
        if options.space and destination.private and not options.with_token:
            raise ConfigurationError(
                f"{destination.repo_id} is private, so its Space could not read it. Pass --public, or --with-token, which "
                "stores your token as a secret of the Space; or leave --space out and make the Space later: "
                f"{command('space', destination.repo_id, '--with-token')}"
            )
        if options.push_every_save:
            backup = _backup(options, destination.repo_id)
            training = replace(training, backup=backup)
    data = load_text_dataset(
        options.dataset,
        **columns_of(options),
        split_by=options.split_by,
        slice_by=options.slice_by,
        seed=options.seed,
    )
    if options.learning_curve:
        parts_of(data.splits["train"], options.seed)
    source = model_source(options)
    ids = {options.model if not source.is_local else "", options.dataset if data.is_from_hub else ""}
    training = replace(training, command=public_command(options.words, ids))
    try:
        if options.seeds is None:
            report = train_and_evaluate(source, data, options.output_dir, training, log)
        else:
            report = train_with_seeds(
                source, data, options.output_dir, options.seeds, training, log, average=options.average
            )
        if options.learning_curve:
            report = add_learning_curve(source, data, options.output_dir, report, training, log)
    finally:
        if backup is not None:
            backup.finish()
    pushed = None
    if request is not None:
        from hfbertcls.hub.push import push_directory

        log(f"Sharing as {request.repo_id} ...")
        pushed = push_directory(options.output_dir, request, log)
    if options.json:
        print(report.to_json(), end="")
        if pushed is not None and options.space:
            _show(options, pushed.repo_id)
        return 0
    print(summary(report))
    print(f"Written to {options.output_dir}: the model, README.md (the card), report.json, predictions, plots")
    if pushed is not None and request is not None:
        if options.space:
            print(f"Shared: {pushed.url}")
            print(f"The Space: {_show(options, pushed.repo_id).url}")
        else:
            print(what_came_of(pushed, request))
        return 0
    print(f"Next: {command('evaluate', options.output_dir, '--dataset', 'OTHER_TEXTS.csv')}")
    print(f"      {command('push', options.output_dir, 'USER/NAME')}")
    print("OTHER_TEXTS.csv stands for labelled texts of yours, USER/NAME for a name on the Hub.")
    return 0
