"""`hfbertcls train`: fine-tune, evaluate, write a complete model repository."""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from hfbertcls.cli.options import add_data_options, add_model_options, say
from hfbertcls.cli.push import add_sharing_options, request_of
from hfbertcls.errors import ConfigurationError, did_you_mean


if TYPE_CHECKING:
    from hfbertcls.sharing.checkpoint_branch import CheckpointBranch

_OURS_INSTEAD = {
    "output_dir": "--output-dir", "report_to": "--report-to", "bf16": "--precision", "fp16": "--precision",
    "bf16_full_eval": "--precision", "fp16_full_eval": "--precision", "tf32": "--precision",
    "eval_strategy": "--eval-every", "evaluation_strategy": "--eval-every", "save_strategy": "--eval-every",
    "eval_steps": "--eval-every", "save_steps": "--eval-every", "metric_for_best_model": "--metric",
    "greater_is_better": "--metric", "load_best_model_at_end": "--metric", "do_train": "hfbertcls train",
    "do_eval": "hfbertcls evaluate", "do_predict": "hfbertcls evaluate", "resume_from_checkpoint": "--resume",
    "auto_find_batch_size": "--batch-size auto",
}  # fmt: skip
_NOT_SUPPORTED = {
    "label_names", "prediction_loss_only", "eval_do_concat_batches", "batch_eval_metrics", "include_for_metrics",
    "eval_on_start", "eval_delay", "eval_use_gather_object", "remove_unused_columns", "past_index", "deepspeed", "fsdp",
}  # fmt: skip
_FIELDS = {
    "seed": "seed", "epochs": "num_train_epochs", "max_steps": "max_steps",
    "learning_rate": "learning_rate", "precision": "precision", "metric": "metric_for_best_model",
    "eval_every": "eval_every", "packing": "packing",
}  # fmt: skip


def add_parser(verbs: Any) -> argparse.ArgumentParser:
    """Declare the verb."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        "train",
        allow_abbrev=False,
        help="fine-tune an encoder on labelled text",
        description="Fine-tune an encoder on labelled text, evaluate it, and write a complete model repository.",
        epilog="Every other field of transformers' TrainingArguments is accepted under its own name, such as "
        "--weight-decay 0.05 or --gradient-accumulation-steps 4.",
    )
    parser.add_argument("--config", metavar="FILE.yaml", help="defaults for all options by their names; flags win")
    parser.add_argument("--model", required=True, metavar="M", help="Hub id or directory of an encoder")
    add_model_options(parser)
    add_data_options(parser)
    parser.add_argument("--split-by", metavar="NAME", help="column whose rows stay together when splits are cut")
    parser.add_argument("--labels", nargs="+", metavar="LABEL", help="all labels, in the order of their ids")
    parser.add_argument(
        "--max-length", type=int, metavar="N", help="tokens read of a text (default: the model's limit, at most 512)"
    )
    parser.add_argument("--output-dir", required=True, metavar="O", help="where to write")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--overwrite", action="store_true", help="replace what an earlier run left in the directory")
    place.add_argument(
        "--resume", action="store_true", help="go on with a run that was stopped there, or begin if there is none"
    )
    parser.add_argument("--seed", type=int, default=42, help="of splits, head, data order and dropout (default: 42)")
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
        "--eval-every", metavar="E", help="epoch, a number of steps, or a share of the run (default: 0.2)"
    )
    parser.add_argument(
        "--early-stopping", type=int, metavar="PATIENCE", help="stop after so many evaluations without gain"
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
    return parser


def expand_config(words: Sequence[str]) -> list[str]:
    """Put the contents of `--config FILE.yaml` before the words of the command line, so that these win."""
    name = config_file(words)
    if name is None:
        return list(words)
    values = _read_yaml(Path(name))
    values.pop("card", None)
    expanded = [words[0]]
    for key, value in values.items():
        flag = f"--{key.replace('_', '-')}"
        if key == "config":
            raise ConfigurationError(
                f"--config {Path(name).name} names another configuration. Put all options into one file"
            )
        if key.replace("-", "_") in _SWITCHES:
            if value not in ("true", "false"):
                raise ConfigurationError(f"--config {Path(name).name}: {key} is {value!r}. Expected true or false")
            expanded += [flag] if value == "true" else []
        elif isinstance(value, list):
            expanded += [flag, *map(str, value)]
        elif isinstance(value, dict):
            expanded += [flag, json.dumps(value)]
        elif value not in ("", "~"):
            expanded += [flag, str(value)]
    return expanded + list(words[1:])


def config_file(words: Sequence[str]) -> str | None:
    """The FILE of `--config FILE` or `--config=FILE`.

    Raises:
        ConfigurationError: if it is missing, or there is more than one.
    """
    found = []
    for position, word in enumerate(words):
        if word == "--config":
            if position + 1 >= len(words):
                raise ConfigurationError("--config needs a file. Pass --config FILE.yaml")
            found.append(words[position + 1])
        elif word.startswith("--config="):
            found.append(word.removeprefix("--config="))
    if len(found) > 1:
        raise ConfigurationError("--config is given more than once. Put all options into one file")
    return found[0] if found else None


_SWITCHES = {
    "trust_remote_code", "allow_pickle", "overwrite", "resume", "debug", "json", "public", "create_pr", "no_predictions",
    "push_every_save", "no_packing",
}  # fmt: skip


def _read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file with every plain value as the text that it is written as: `no` stays "no", `01` stays "01"."""
    import yaml

    class Loader(yaml.BaseLoader):
        pass

    def mapping(loader: Any, node: Any) -> dict[str, Any]:
        keys = [loader.construct_object(key) for key, _ in node.value]
        twice = [str(key) for key in keys if keys.count(key) > 1]
        if twice:
            raise ConfigurationError(f"--config {path.name} has the key {twice[0]!r} twice. Keep one of them")
        values: dict[str, Any] = loader.construct_mapping(node, deep=True)
        return values

    Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader)
    except OSError as err:
        raise ConfigurationError(f"--config {path.name} cannot be read: {err.strerror}") from err
    except (yaml.YAMLError, UnicodeDecodeError) as err:
        raise ConfigurationError(f"--config {path.name} is not valid YAML: {err}") from err
    if not isinstance(values, dict):
        raise ConfigurationError(f"--config {path.name} holds no options. Expected lines such as 'epochs: 3'")
    if not all(isinstance(key, str) for key in values):
        raise ConfigurationError(
            f"--config {path.name} has keys that are no names. Expected lines such as 'epochs: 3'"
        )
    return values


def _training_fields(rest: Sequence[str], known_flags: Sequence[str]) -> dict[str, Any]:
    """Read the words that are no options of ours as fields of the training arguments."""
    from transformers import HfArgumentParser

    from hfbertcls.training.arguments import TextClassificationTrainingArguments

    class Parser(HfArgumentParser):
        def error(self, message: str) -> NoReturn:
            raise ConfigurationError(f"{message.removeprefix('argument ')}. See hfbertcls train --help")

    kind: Any = TextClassificationTrainingArguments
    parser = Parser(kind, allow_abbrev=False)
    fields = {action.dest for action in parser._actions}
    given = []
    for word in rest:
        if not word.startswith("--"):
            continue
        name = word.removeprefix("--").partition("=")[0].replace("-", "_")
        if name == "hub_token":
            raise ConfigurationError(
                f"{word} is refused: a token on the command line ends up in files and process lists. Log in with `hf auth "
                "login`, or set HF_TOKEN"
            )
        if name.startswith("hub_"):
            raise ConfigurationError(
                f"{word} is set by hfbertcls. Use --push-to-hub USER/NAME and the options beside it"
            )
        if name in _NOT_SUPPORTED:
            raise ConfigurationError(
                f"{word} is not supported by hfbertcls train: the figures of a run need it as it is"
            )
        if name in _OURS_INSTEAD:
            raise ConfigurationError(f"{word} is set by hfbertcls. Use {_OURS_INSTEAD[name]} instead")
        if name not in fields:
            flags = [*known_flags, *(f"--{field.replace('_', '-')}" for field in fields)]
            raise ConfigurationError(
                f"there is no option {word}{did_you_mean(word, flags)}. See hfbertcls train --help"
            )
        given.append(name)
    if rest and not given:
        raise ConfigurationError(f"{rest[0]!r} belongs to no option. See hfbertcls train --help")
    values, extra = parser.parse_known_args([*rest, "--output_dir", "unused"])
    if extra:
        raise ConfigurationError(f"{extra[0]!r} belongs to no option. See hfbertcls train --help")
    return {name: getattr(values, name) for name in given}


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


def _card_facts(options: argparse.Namespace) -> Mapping[str, Any]:
    name = config_file(options.words)
    facts = (_read_yaml(Path(name)).get("card") or {}) if name is not None else {}
    if not isinstance(facts, dict):
        raise ConfigurationError("the card: block of the configuration must hold keys such as 'license: mit'")
    return facts


def _backup(options: argparse.Namespace, repo_id: str) -> "CheckpointBranch":
    """The branch for the checkpoints of this run; with `--resume`, what is there is fetched first."""
    from hfbertcls.sharing.checkpoint_branch import BRANCH, CheckpointBranch, fetch_checkpoints

    directory = Path(options.output_dir).expanduser()
    has_begun = (directory / "checkpoints").exists() or (directory / "report.json").exists()
    if options.resume and not has_begun and fetch_checkpoints(repo_id, directory):
        say(f"Fetched the checkpoints of {repo_id} (branch {BRANCH})")
    return CheckpointBranch(repo_id, directory, say)


def run(options: argparse.Namespace) -> int:
    """Train."""
    known = [f"--{name.replace('_', '-')}" for name in vars(options)]
    fields = _training_fields(options.rest, known)
    fields |= _batch_size(options.batch_size)
    _refuse_zero(options)
    fields |= {field: getattr(options, flag) for flag, field in _FIELDS.items() if getattr(options, flag) is not None}

    from hfbertcls.cli.summary import summary
    from hfbertcls.data.loading import load_text_dataset
    from hfbertcls.environment import public_command
    from hfbertcls.modeling.loading import ModelSource
    from hfbertcls.run import TrainingOptions, check_options, train_and_evaluate
    from hfbertcls.sharing.output_directory import OutputDirectory

    OutputDirectory(Path(options.output_dir)).check(overwrite=options.overwrite, resume=options.resume)
    training = TrainingOptions(
        max_length=options.max_length,
        overwrite=options.overwrite,
        resume=options.resume,
        early_stopping=options.early_stopping,
        callbacks=options.callbacks,
        report_to=options.report_to,
        arguments=fields,
        card=_card_facts(options),
        publish_examples=options.publish_examples,
        command=public_command(options.words),
    )
    check_options(training)
    if options.push_every_save and options.push_to_hub is None:
        raise ConfigurationError("--push-every-save needs --push-to-hub USER/NAME")
    request = backup = None
    if options.push_to_hub is not None:
        from hfbertcls.sharing.card_metadata import check_metadata
        from hfbertcls.sharing.push import check_destination

        request = request_of(options, options.push_to_hub)
        check_metadata({key: value for key, value in training.card.items() if key in ("license", "language")})
        destination = check_destination(request)
        say(f"Will be shared as {destination.repo_id} ({'private' if destination.private else 'public'})")
        if options.push_every_save:
            backup = _backup(options, destination.repo_id)
            training = replace(training, backup=backup)
    data = load_text_dataset(
        options.dataset,
        text_column=options.text_column,
        text_pair_column=options.text_pair_column,
        label_column=options.label_column,
        task=options.task,
        labels=options.labels,
        split_by=options.split_by,
        seed=options.seed,
    )
    source = ModelSource(options.model, options.revision, options.trust_remote_code, options.allow_pickle)
    try:
        report = train_and_evaluate(source, data, options.output_dir, training, say)
    finally:
        if backup is not None:
            backup.finish()
    pushed = None
    if request is not None:
        from hfbertcls.sharing.push import push_directory

        say(f"Sharing as {request.repo_id} ...")
        pushed = push_directory(options.output_dir, request, say)
    if options.json:
        print(report.to_json(), end="")
        return 0
    print(summary(report))
    print(f"Written to {options.output_dir}: the model, README.md (the card), report.json, predictions, plots")
    if pushed is not None:
        print(f"Shared: {pushed.pr_url or pushed.url}")
        return 0
    print(f"Next: hfbertcls evaluate {options.output_dir} --dataset OTHER_TEXTS.csv")
    print(f"      hfbertcls push {options.output_dir} USER/NAME")
    return 0
