"""What a training run is asked for, and whether it can be done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hfbertcls.environment import public_command
from hfbertcls.errors import ConfigurationError, did_you_mean, listing, shorten
from hfbertcls.progress import work
from hfbertcls.registry import CALLBACKS, DEFAULT_TRAINER, TRAINERS, register
from hfbertcls.repository.card import CARD_FACTS
from hfbertcls.repository.card_metadata import check_metadata
from hfbertcls.repository.output_directory import OutputDirectory
from hfbertcls.tasks.known import all_metrics
from hfbertcls.tasks.task import Task


if TYPE_CHECKING:
    from hfbertcls.trainer import TextClassificationTrainer
    from hfbertcls.training.arguments import TextClassificationTrainingArguments
    from hfbertcls.training.callbacks.backup import Backup


@dataclass(frozen=True)
class TrainingOptions:
    """What a training run is asked for, beside model, data and directory.

    Args:
        max_length: in tokens; None takes the model's limit, at most 512.
        overwrite: replace what an earlier run left in the directory.
        resume: go on with the run that was stopped there; begin if there is none.
        early_stopping: evaluations without improvement after which to stop; None never stops early.
        callbacks: registered names of further callbacks.
        trainer: registered name of the trainer, a subclass of `TextClassificationTrainer`.
        report_to: trackers, by transformers' names.
        arguments: further fields of `TextClassificationTrainingArguments`.
        card: facts for the card that only a person knows (`license`, `language`, `intended_use`, ...).
        command: what to print under "reproduce"; by default the command line of this process.
        publish_examples: how many rows of the evaluated split may stand on the card, with their texts.
        allow_leakage: train although more than 5 % of the validation or test texts are in train too.
        backup: is offered each checkpoint, such as a `CheckpointBranch`.
        calibrate: fit a temperature on the validation split and put it into the weights.
    """

    max_length: int | None = None
    overwrite: bool = False
    resume: bool = False
    early_stopping: int | None = None
    callbacks: Sequence[str] = ()
    trainer: str = DEFAULT_TRAINER
    report_to: Sequence[str] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)
    command: str = field(default_factory=public_command)
    publish_examples: int = 0
    allow_leakage: bool = False
    backup: "Backup | None" = None
    calibrate: bool = True


def seed_of(options: TrainingOptions) -> int:
    """The seed of a run: what `arguments` say, else that of transformers."""
    return int(options.arguments.get("seed", 42))


def metric_of(options: TrainingOptions) -> str:
    """The figure that chooses the checkpoint."""
    return str(options.arguments.get("metric_for_best_model", "f1_macro")).removeprefix("eval_")


def determining_options(options: TrainingOptions) -> dict[str, Any]:
    """Those of the options that decide which weights a run ends with, beside the arguments of the trainer."""
    return {
        "early_stopping": options.early_stopping,
        "callbacks": list(options.callbacks),
        "calibrate": options.calibrate,
        **({} if options.trainer == DEFAULT_TRAINER else {"trainer": options.trainer}),
    }


def check_for_task(options: TrainingOptions, task: Task) -> None:
    """Find which options do not fit the labels of the data.

    Args:
        options: of the run.
        task: of the data.

    Raises:
        ConfigurationError: for the first thing that does not fit.
    """
    metric, known = metric_of(options), (*task.metrics, "loss")
    kind = f"a {task.name.replace('_', '-')} task of {len(task.labels)} labels"
    if metric not in known:
        raise ConfigurationError(f"--metric {metric} is not defined for {kind}. Choose one of {', '.join(known)}")
    if not task.smooths_labels and float(options.arguments.get("label_smoothing_factor") or 0):
        raise ConfigurationError(f"--label-smoothing-factor is not defined for {kind}. Leave it out")


@work("Loading PyTorch and transformers")
def check_options(options: TrainingOptions) -> None:
    """Find what is wrong with the options before anything is read.

    Raises:
        ConfigurationError: for the first thing that is wrong.
    """
    unknown = [key for key in options.card if key not in CARD_FACTS]
    if unknown:
        raise ConfigurationError(
            f"the card has no fact {listing(unknown)}{did_you_mean(unknown[0], CARD_FACTS)}. "
            f"Known facts: {', '.join(CARD_FACTS)}"
        )
    for key, value in options.card.items():
        texts = value if isinstance(value, list) and key in ("language", "widget") else [value]
        if not all(isinstance(text, str) for text in texts):
            raise ConfigurationError(f"the fact {key!r} of the card must be a text, not {shorten(str(value))}")
        if key == "widget" and not (isinstance(value, list) and all(text.strip() for text in value)):
            raise ConfigurationError(
                "the fact 'widget' of the card must be a list of texts to try, none of them empty"
            )
    check_metadata({key: value for key, value in options.card.items() if key in ("license", "language")})
    metric, known = metric_of(options), (*all_metrics(), "loss")
    if metric not in known:
        raise ConfigurationError(
            f"--metric {metric} is not known{did_you_mean(metric, known)}. Choose one of {', '.join(known)}"
        )
    if options.publish_examples < 0:
        raise ConfigurationError(
            f"--publish-examples {options.publish_examples} is not possible. Expected a number from 0"
        )
    for name in options.callbacks:
        CALLBACKS.get(name)
    trainer_class(options)
    args = training_arguments(OutputDirectory(Path("unused")), options)
    if options.early_stopping is not None:
        from hfbertcls.training.callbacks.early_stopping import MetricEarlyStoppingCallback

        MetricEarlyStoppingCallback(options.early_stopping)
        if args.eval_strategy == "no":
            raise ConfigurationError(
                "--early-stopping needs evaluations, and --eval-every no makes none. Leave one out"
            )


def trainer_class(options: TrainingOptions) -> "type[TextClassificationTrainer]":
    """The class that trains.

    Raises:
        RegistryError: if no trainer has that name.
        ConfigurationError: if it is no subclass of ours, whose record of the run the report is made of.
    """
    from hfbertcls.trainer import TextClassificationTrainer

    found = TRAINERS.get(options.trainer)
    if not (isinstance(found, type) and issubclass(found, TextClassificationTrainer)):
        raise ConfigurationError(
            f"--trainer {options.trainer} is no subclass of hfbertcls.TextClassificationTrainer, which the report needs. "
            "Derive it from that class"
        )
    return found


def training_arguments(directory: OutputDirectory, options: TrainingOptions) -> "TextClassificationTrainingArguments":
    """The arguments of the trainer of a run.

    Raises:
        ConfigurationError: if they do not fit.
    """
    from hfbertcls.training.arguments import TextClassificationTrainingArguments

    if "hfbertcls" in options.report_to:
        register()
    values: dict[str, Any] = {
        "output_dir": str(directory.checkpoints),
        "logging_steps": 0.02,  # about fifty points for the learning curve, however long the run
        "report_to": [name for name in options.report_to if name != "hfbertcls"] or "none",
        "disable_tqdm": True,
        **options.arguments,
    }
    if "trackio" in options.report_to:
        # Left open, transformers publishes a Space of its own when the model is pushed (seen in 5.23).
        values |= {"trackio_static_space_id": False, "project": "hfbertcls"}
    try:
        return TextClassificationTrainingArguments(**values)
    except ConfigurationError:
        raise
    except (TypeError, ValueError, ImportError, OSError) as err:
        raise ConfigurationError(f"the training arguments do not fit: {shorten(str(err), 300)}") from err
