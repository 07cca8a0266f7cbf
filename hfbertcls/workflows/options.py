"""Checks of the options of a training run, and the arguments of its trainer."""

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from hfbertcls.data.dataset import TextDataset
from hfbertcls.data.long_text import MAX_WINDOWS, TRUNCATE, LongText
from hfbertcls.errors import ConfigurationError, did_you_mean, listing, shorten
from hfbertcls.progress import work
from hfbertcls.registry import CALLBACKS, TRAINERS, register
from hfbertcls.repository.card import CARD_FACTS
from hfbertcls.repository.card_metadata import check_metadata
from hfbertcls.repository.output_directory import OutputDirectory
from hfbertcls.tasks.known import all_metrics
from hfbertcls.tasks.label_numbers import numbers_in_order
from hfbertcls.tasks.task import Task
from hfbertcls.training.declaring import options_of
from hfbertcls.training.options import TrainingOptions


if TYPE_CHECKING:
    from hfbertcls.trainer import TextClassificationTrainer
    from hfbertcls.training.arguments import TextClassificationTrainingArguments


def selection_metric(options: TrainingOptions, task: Task) -> str:
    """The metric for model selection: that of the options, else the headline metric of the task."""
    return (options.metric or task.headline).removeprefix("eval_")


def cross_validation_of(options: TrainingOptions, beside: tuple[str, ...] = ()) -> str:
    """Whether few rows are cross-validated, as `load_text_dataset` takes it.

    ```python
    >>> cross_validation_of(TrainingOptions()), cross_validation_of(TrainingOptions(epochs=3))
    ('auto', 'off')
    ```

    Args:
        options: of the run.
        beside: further flags that need a validation split.

    Raises:
        ConfigurationError: if cross-validation was asked for, and an option needs validation rows.
    """
    needing = (*options.tuning, *beside)
    if needing and options.cross_validation == "on":
        raise ConfigurationError(
            f"--cross-validation on holds no validation rows out, which {', '.join(needing)} need"
            f"{'s' if len(needing) == 1 else ''}. Leave one out"
        )
    return "off" if needing else options.cross_validation


def long_text_of(options: TrainingOptions, earlier: LongText, max_length: int, *, are_pairs: bool = False) -> LongText:
    """How long texts are read.

    Args:
        options: of the run.
        earlier: how the model that training begins with reads them.
        max_length: tokens in one pass.
        are_pairs: whether a row has two texts.

    Raises:
        ConfigurationError: for an invalid value, for options of windows without windows, and for pairs that are not
            truncated.
    """
    if are_pairs:
        if options.long_text not in (None, "truncate"):
            raise ConfigurationError(
                f"--long-text {options.long_text} is for single texts: of a pair that is too long, the longer text is truncated first. "
                "Leave it out"
            )
        earlier = TRUNCATE
    mode = options.long_text or earlier.mode
    if mode != "windows" and (options.max_windows is not None or options.window_overlap is not None):
        raise ConfigurationError(
            "--max-windows and --window-overlap go with --long-text windows. Add it, or leave them out"
        )
    return LongText.of(mode, max_length, options.max_windows or MAX_WINDOWS, options.window_overlap)


def check_for_task(options: TrainingOptions, task: Task) -> None:
    """Check that the options fit the labels of the data.

    Args:
        options: of the run.
        task: of the data.

    Raises:
        ConfigurationError: for the first option that does not fit.
    """
    metric, metrics = selection_metric(options, task), (*task.metric_keys, "loss")
    kind = f"a {task.name.replace('_', '-')} task" + (f" of {len(task.labels)} labels" if task.has_labels else "")
    if metric not in metrics:
        raise ConfigurationError(f"--metric {metric} is not defined for {kind}. Choose one of {', '.join(metrics)}")
    if not task.weighs_labels:
        for flag, is_set in (
            ("class-weights", options.class_weights != "none"),
            ("loss focal", options.loss == "focal"),
        ):
            if is_set:
                raise ConfigurationError(f"--{flag} is not defined for {kind}: it weighs labels. Leave it out")
    if isinstance(options.class_weights, Mapping):
        numbers_in_order(options.class_weights, task.labels, "--class-weights")
    if options.prior is not None and task.why_no_prior:
        raise ConfigurationError(f"--prior is not defined for {kind}: {task.why_no_prior}. Leave it out")
    if isinstance(options.prior, Mapping):
        numbers_in_order(options.prior, task.labels, "--prior")
    if not task.smooths_labels and float(options.arguments.get("label_smoothing_factor") or 0):
        raise ConfigurationError(f"--label-smoothing-factor is not defined for {kind}. Leave it out")


@work("Loading PyTorch and transformers")
def training_arguments(directory: OutputDirectory, options: TrainingOptions) -> "TextClassificationTrainingArguments":
    """Check the options before any data are read, and make the arguments of the trainer.

    Raises:
        RegistryError: if no trainer or callback has that name.
        ConfigurationError: for the first invalid option.
    """
    _check_card(options.card)
    _check_metric(options.metric)
    for name in options.callbacks:
        CALLBACKS.get(name)
    trainer_class(options)
    if options.loss == "focal" and float(options.arguments.get("label_smoothing_factor") or 0):
        raise ConfigurationError(
            "--loss focal and --label-smoothing-factor exclude each other: the focal loss is not defined for smoothed labels. "
            "Leave one out"
        )
    from hfbertcls.training.arguments import asks_for_fsdp

    arguments = _made(directory, options)
    if options.early_stopping is not None and arguments.eval_strategy == "no":
        raise ConfigurationError("--early-stopping needs evaluations, and --eval-every no makes none. Leave one out")
    if asks_for_fsdp(arguments):
        raise ConfigurationError(
            "FSDP divides weights that do not fit on one GPU, and is for scripts with TextClassificationTrainer. Leave it out: "
            "with --num-processes N, or torchrun, each GPU has the whole model (DDP)"
        )
    return arguments


def _check_card(card: Mapping[str, Any]) -> None:
    unknown = [key for key in card if key not in CARD_FACTS]
    if unknown:
        raise ConfigurationError(
            f"the card has no fact {listing(unknown)}{did_you_mean(unknown[0], CARD_FACTS)}. "
            f"Known facts: {', '.join(CARD_FACTS)}"
        )
    for key, value in card.items():
        texts = value if isinstance(value, list) and key in ("language", "widget") else [value]
        if not all(isinstance(text, str) for text in texts):
            raise ConfigurationError(f"the fact {key!r} of the card must be a text, not {shorten(str(value))}")
        if key == "widget" and not (isinstance(value, list) and all(text.strip() for text in value)):
            raise ConfigurationError(
                "the fact 'widget' of the card must be a list of texts to try, none of them empty"
            )
    check_metadata({key: value for key, value in card.items() if key in ("license", "language")})


def refuse_widget_of_pairs(data: TextDataset) -> None:
    """Check that no texts to try are named for pairs.

    Raises:
        ConfigurationError: if they are.
    """
    if data.text_pair_column is not None:
        raise ConfigurationError(
            f"the fact 'widget' of the card holds texts for the Hub's widget, which has one box, and the rows of {data.source} are "
            "pairs of texts. Leave it out"
        )


def _check_metric(metric: str | None) -> None:
    name, metrics = (metric or "loss").removeprefix("eval_"), (*all_metrics(), "loss")
    if name not in metrics:
        raise ConfigurationError(
            f"--metric {name} is an invalid value{did_you_mean(name, metrics)}. Choose one of {', '.join(metrics)}"
        )


def trainer_class(options: TrainingOptions) -> "type[TextClassificationTrainer]":
    """The class that trains.

    Raises:
        RegistryError: if no trainer has that name.
        ConfigurationError: if it is no subclass of `TextClassificationTrainer`, which the report needs.
    """
    from hfbertcls.trainer import TextClassificationTrainer

    trainer = TRAINERS.get(options.trainer)
    if not (isinstance(trainer, type) and issubclass(trainer, TextClassificationTrainer)):
        raise ConfigurationError(
            f"--trainer {options.trainer} is no subclass of hfbertcls.TextClassificationTrainer, which the report needs. "
            "Derive it from that class"
        )
    return trainer


def _made(directory: OutputDirectory, options: TrainingOptions) -> "TextClassificationTrainingArguments":
    from hfbertcls.training.arguments import TextClassificationTrainingArguments

    if "hfbertcls" in options.report_to:
        register()
    values: dict[str, Any] = {
        "output_dir": str(directory.checkpoints),
        "logging_steps": 0.02,  # about fifty points for the learning curve, however long the run
        "report_to": [name for name in options.report_to if name != "hfbertcls"] or "none",
        "disable_tqdm": True,
        **options.training_fields(),
    }
    if "trackio" in options.report_to:
        # Left open, transformers publishes a Space of its own when the model is pushed (seen in 5.23).
        values |= {"trackio_static_space_id": False, "project": "hfbertcls"}
    argument_names = [one.name for one in fields(TextClassificationTrainingArguments)]
    for name in values:
        if name not in argument_names:
            names = [*(one.name for one in options_of(type(options))), *argument_names]
            hint = did_you_mean(_flag(name), map(_flag, names))
            raise ConfigurationError(f"there is no option {_flag(name)}{hint}")
    try:
        return TextClassificationTrainingArguments(**values)
    except ConfigurationError:
        raise
    except (TypeError, ValueError, ImportError, OSError) as err:
        raise ConfigurationError(f"the training arguments do not fit: {shorten(str(err), 300)}") from err


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
