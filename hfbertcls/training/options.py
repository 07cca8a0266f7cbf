"""All options of a training run. Each is declared here, and nowhere else.

Flags, keys of `--config`, keyword arguments, what `--resume` compares, what the report states and which rows the card
shows are derived from these declarations. To add an option, add a field, and read it where it has its effect.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from hfbertcls.environment import public_command
from hfbertcls.errors import ConfigurationError
from hfbertcls.registry import DEFAULT_TRAINER
from hfbertcls.seeding import DEFAULT_SEED
from hfbertcls.tasks.label_numbers import LabelNumbers, check_sum, read_label_numbers
from hfbertcls.training.declaring import option, options_of


if TYPE_CHECKING:
    from hfbertcls.training.callbacks.backup import Backup


_NO_TUNING = ("use_cpu", "full_determinism")
"""Training arguments that are not about the steps of fine-tuning."""


def _shown(value: Any) -> Any:
    return ", ".join(f"{name}: {number:g}" for name, number in value.items()) if isinstance(value, Mapping) else value


def _number_or_word(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isdecimal() else value


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """The options of a training run, beside model, data and directory; the names are those of the flags.

    Further fields of transformers' training arguments go into `arguments`; `of` sorts a mix of both.

    ```python
    >>> TrainingOptions(epochs=3, early_stopping=2, seed=1).early_stopping
    2
    >>> TrainingOptions.of(num_train_epochs=3, weight_decay=0.05).epochs
    3
    ```

    Args:
        arguments: further fields of `TextClassificationTrainingArguments`, such as `{"weight_decay": 0.05}`.
        card: facts for the card that only the author knows (`license`, `language`, `intended_use`, ...).
        command: what to print under "reproduce"; by default the command line of this process.
        backup: receives each checkpoint, such as a `CheckpointBranch`.

    Raises:
        ConfigurationError: for an invalid value, and for an argument that is an option of its own.
    """

    max_length: int | None = option(
        None,
        "maximum tokens of a text (default: the model's limit, at most 512)",
        metavar="N",
        determines=True,
    )
    long_text: str | None = option(
        None,
        "how texts of more than --max-length tokens are read: truncate, head-tail, or windows (default: truncate)",
        metavar="MODE",
        choices=("truncate", "head-tail", "windows"),
        determines=True,
        row="long_text",
    )
    max_windows: int | None = option(
        None,
        "with --long-text windows: at most so many windows of --max-length tokens for a text (default: 8)",
        metavar="N",
        least=1,
        determines=True,
        row="max_windows",
    )
    window_overlap: int | None = option(
        None,
        "with --long-text windows: tokens that two neighbouring windows share (default: a quarter of --max-length)",
        metavar="N",
        least=0,
        determines=True,
        row="window_overlap",
    )
    allow_leakage: bool = option(False, "train although many validation or test texts are duplicates of train")
    overwrite: bool = option(False, "replace what an earlier run left in the directory", rivals="directory")
    resume: bool = option(
        False, "resume the run that was stopped there, or start one if there is none", rivals="directory"
    )
    seed: int = option(
        DEFAULT_SEED,
        "random seed of splits, head, data order and dropout (default: {default})",
        sets="seed",
        determines=True,
        row="seed",
    )
    epochs: float | None = option(
        None,
        "number of epochs (default: by the number of rows and labels)",
        metavar="N",
        above=0,
        sets="num_train_epochs",
        determines=True,
        tunes=True,
        row="num_train_epochs",
    )
    max_steps: int | None = option(
        None,
        "number of updates, and the most of each phase before fine-tuning; overrides --epochs",
        metavar="N",
        above=0,
        sets="max_steps",
        determines=True,
        tunes=True,
        row="max_steps",
    )
    recipe: str = option(
        "auto",
        "auto: start from a linear probe; with few rows, and with pairs where it helps, a phase before that trains the encoder; "
        "plain: start from a random head (default: {default})",
        metavar="R",
        choices=("auto", "plain"),
        determines=True,
        tunes=True,
        row="recipe",
    )
    cross_validation: str = option(
        "auto",
        "auto: cross-validate fewer than 300 training rows, or fewer than 5 of a label on average, instead of holding out "
        "validation rows; off: always hold them out; on: as auto, but an error where that is not possible (default: {default})",
        metavar="C",
        choices=("auto", "on", "off"),
        determines=True,
        row="cross_validation",
    )
    pooling: str = option(
        "auto",
        "pooling of the classification head: first (token), mean, or auto, the better one (default: {default})",
        metavar="P",
        choices=("auto", "first", "mean"),
        determines=True,
        row="pooling",
    )
    batch_size: int | str = option(
        32,
        "rows in a batch, on each device (default: {default}); auto: {default}, in micro-batches that fit",
        metavar="N",
        parse=_number_or_word,
        least=1,
        words={"auto": {"try_longest_batch_first": True}},
        sets="per_device_train_batch_size",
        determines=True,
        tunes=True,
        row="per_device_train_batch_size",
    )
    learning_rate: float | None = option(
        None,
        "learning rate (default: by the size of the model)",
        metavar="R",
        above=0,
        sets="learning_rate",
        determines=True,
        tunes=True,
        row="learning_rate",
    )
    precision: str = option(
        "auto",
        "precision of training: auto, bf16, fp16 or fp32 (default: {default})",
        metavar="P",
        sets="precision",
        determines=True,
        row="precision",
    )
    padding_free: bool = option(
        True,
        "compute padding too (default: left out where the model allows it; the results are the same)",
        sets="padding_free",
        determines=True,
    )
    metric: str | None = option(
        None,
        "metric on validation that selects the checkpoint (default: f1_macro; rmse for numbers, quadratic_kappa for ordered "
        "labels)",
        metavar="NAME",
        sets="metric_for_best_model",
        determines=True,
        tunes=True,
    )
    eval_every: str | float = option(
        "0.2",
        "when to evaluate: epoch, a number of steps, or a fraction of the run (default: {default})",
        metavar="E",
        parse=str,
        sets="eval_every",
        determines=True,
        tunes=True,
        row="eval_every",
    )
    early_stopping: int | None = option(
        None,
        "stop after this many evaluations without improvement",
        metavar="PATIENCE",
        least=1,
        determines=True,
        tunes=True,
        row="early_stopping",
    )
    early_stopping_threshold: float = option(
        0.0,
        "with --early-stopping: what counts as a gain of the metric (default: any)",
        metavar="GAIN",
        least=0,
        determines=True,
        tunes=True,
        row="early_stopping_threshold",
    )
    early_stopping_min_steps: int = option(
        0,
        "with --early-stopping: never stop before this step (default: {default})",
        metavar="N",
        least=0,
        determines=True,
        tunes=True,
        row="early_stopping_min_steps",
    )
    class_weights: str | Mapping[str, float] = option(
        "none",
        "none, balanced (rare labels count more, so that all weigh the same), or a JSON or CSV file with a weight for "
        "each label (default: {default})",
        metavar="W",
        determines=True,
        row="class_weights",
    )
    loss: str = option(
        "cross_entropy",
        "cross_entropy, or focal: rows that are answered right already count less (default: {default})",
        metavar="L",
        choices=("cross_entropy", "focal"),
        determines=True,
        tunes=True,
        row="loss",
    )
    prior: str | Mapping[str, float] | None = option(
        None,
        "adjust the logits to other class priors, after training: uniform, or a JSON or CSV file with the prior of each "
        "label (default: not adjusted)",
        metavar="P",
        determines=True,
        row="prior",
    )
    calibration: bool = option(
        True,
        "skip temperature scaling (default: fitted on validation, folded into the weights)",
        determines=True,
        row="calibration",
    )
    trainer: str = option(
        DEFAULT_TRAINER,
        "a registered subclass of TextClassificationTrainer (default: that class)",
        metavar="NAME",
        determines=True,
        tunes=True,
        row="trainer",
    )
    callbacks: Sequence[str] = option(
        (), "further registered callbacks", metavar="NAME", determines=True, tunes=True, row="callbacks"
    )
    report_to: Sequence[str] = option((), "trackio, tensorboard, wandb, mlflow, ...", metavar="TRACKER", tunes=True)
    publish_examples: int = option(
        0, "show this many rows of your data on the card (default: {default})", group="sharing", metavar="N", least=0
    )
    arguments: Mapping[str, Any] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)
    command: str = field(default_factory=public_command)
    backup: "Backup | None" = None

    def __post_init__(self) -> None:
        for one in options_of(type(self)):
            one.check(getattr(self, one.name))
            if one.sets in self.arguments:
                raise ConfigurationError(f"the argument {one.sets!r} is an option of its own. Pass {one.flag} instead")
        self._read_label_numbers()
        if self.early_stopping is None and (self.early_stopping_threshold or self.early_stopping_min_steps):
            raise ConfigurationError(
                "--early-stopping-threshold and --early-stopping-min-steps go with --early-stopping. Add it, or leave "
                "them out"
            )

    def _read_label_numbers(self) -> None:
        """Put the numbers of a file in place of its name, so that what the result depends on is compared and stated."""
        weights = read_label_numbers(self.class_weights, "--class-weights", ("none", "balanced"))
        object.__setattr__(self, "class_weights", weights)
        if self.prior is not None:
            prior: LabelNumbers = read_label_numbers(self.prior, "--prior", ("uniform",))
            object.__setattr__(self, "prior", prior)
            if not isinstance(prior, str):
                check_sum(prior, "--prior")

    @classmethod
    def of(cls, **values: Any) -> Self:
        """Make options from names of options and of fields of transformers' training arguments.

        `TrainingOptions.of(epochs=3, weight_decay=0.05)` is
        `TrainingOptions(epochs=3, arguments={"weight_decay": 0.05})`. An option overrides the field that it sets.

        Raises:
            ConfigurationError: as the constructor; `training_arguments` checks the other names.
        """
        own = set(cls.__dataclass_fields__)
        options = {one.sets: one.name for one in options_of(cls) if one.sets is not None}
        option_values = {options[name]: value for name, value in values.items() if name in options}
        option_values |= {name: value for name, value in values.items() if name in own}
        rest = {name: value for name, value in values.items() if name not in own and name not in options}
        return cls(**{**option_values, "arguments": {**option_values.get("arguments", {}), **rest}})

    @property
    def tuning(self) -> tuple[str, ...]:
        """The flags of the options that are about fine-tuning, and are not at their defaults."""
        own = [one.flag for one in options_of(type(self)) if one.tunes and getattr(self, one.name) != one.default]
        further = [f"--{name.replace('_', '-')}" for name in self.arguments if name not in _NO_TUNING]
        return (*own, *further, *(["--push-every-save"] if self.backup is not None else []))

    def training_fields(self) -> dict[str, Any]:
        """The fields of transformers' training arguments that are set."""
        values: dict[str, Any] = {}
        for one in options_of(type(self)):
            value = getattr(self, one.name)
            if isinstance(value, str) and value in one.words:
                values |= one.words[value]
            elif one.sets is not None and value is not None:
                values[one.sets] = value if one.parse is None else one.parse(value)
        return {**values, **self.arguments}

    def determining(self, run: Mapping[str, Any]) -> dict[str, Any]:
        """The options that the result depends on, by name.

        Args:
            run: the values of the run, by the names of options or of the fields that they set. They override the
                options, so automatic choices are included.
        """
        return {one.name: self._in(run, one) for one in options_of(type(self)) if one.determines}

    def beside_arguments(self, run: Mapping[str, Any]) -> dict[str, Any]:
        """The options of `determining(run)` that set no field of the training arguments."""
        names = {one.name for one in options_of(type(self)) if one.sets is not None}
        return {name: value for name, value in self.determining(run).items() if name not in names}

    def rows(self, run: Mapping[str, Any]) -> dict[str, Any]:
        """The rows of the card's table of hyperparameters: the values of `run`, and the options that are not defaults.

        Args:
            run: as in `determining`.
        """
        return {
            one.row: _shown(self._in(run, one))
            for one in options_of(type(self))
            if one.row is not None
            and (one.sets in run or (one.sets is None and getattr(self, one.name) != one.default))
        }

    def _in(self, run: Mapping[str, Any], one: Any) -> Any:
        value = run.get(one.sets or one.name, getattr(self, one.name))
        return list(value) if isinstance(value, tuple) else dict(value) if isinstance(value, Mapping) else value
