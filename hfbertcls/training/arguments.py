"""Training arguments: those of transformers, with defaults that fit text classification and guards against traps."""

import json
import os
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from transformers import TrainingArguments

from hfbertcls.commands import log_in
from hfbertcls.environment import public_word
from hfbertcls.errors import ConfigurationError, did_you_mean
from hfbertcls.tasks.known import is_lower_better
from hfbertcls.tasks.task import Task
from hfbertcls.training.declaring import options_of
from hfbertcls.training.old_names import translate_old_names
from hfbertcls.training.options import TrainingOptions
from hfbertcls.training.precision import Precision, choose_precision


AUTO = 0.0


def _of_option(name: str, text: str | None = None) -> Any:
    """A field with the default of the option that sets it, and its help unless there is a text."""
    one = next(one for one in options_of(TrainingOptions) if one.name == name)
    return field(default=one.default, metadata={"help": text or one.help})


@dataclass
class TextClassificationTrainingArguments(TrainingArguments):
    """`TrainingArguments` for classifiers; every field of the parent works as there.

    ```python
    >>> args = TextClassificationTrainingArguments(output_dir="results", eval_every="epoch")
    >>> args.eval_strategy.value, args.save_strategy.value, args.load_best_model_at_end
    ('epoch', 'epoch', True)
    ```

    Raises:
        ConfigurationError: for `hub_token`, for values that contradict each other, and for an unknown precision.
    """

    per_device_train_batch_size: int = _of_option("batch_size", "Rows in a batch, on each device.")
    per_device_eval_batch_size: int = field(default=64, metadata={"help": "Rows in an evaluation batch."})
    eval_accumulation_steps: int | None = field(
        default=16, metadata={"help": "Evaluation batches after which logits move to the CPU."}
    )
    try_longest_batch_first: bool = field(
        default=False,
        metadata={"help": "Find out before the first update how many of the longest rows fit into memory at a time."},
    )
    learning_rate: float = field(
        default=AUTO, metadata={"help": "Peak learning rate. 0 chooses by the size of the model (see Recipe)."}
    )
    num_train_epochs: float = field(
        default=AUTO, metadata={"help": "Epochs. 0 chooses by the number of rows and labels (see Recipe)."}
    )
    warmup_steps: float = field(
        default=0.06, metadata={"help": "Steps over which the learning rate rises; below 1: a fraction of all steps."}
    )
    weight_decay: float = field(
        default=0.01, metadata={"help": "Weight decay of matrices; biases and norms are never decayed."}
    )
    train_sampling_strategy: str = field(
        default="auto",
        metadata={
            "help": "random: as the parent. group_by_length: batches of texts of similar length. auto: random without padding, "
            "else group_by_length."
        },
    )
    padding_free: bool = _of_option(
        "padding_free", "Leave out padding where the model allows it; the results are the same."
    )
    length_column_name: str = field(default="length", metadata={"help": "Column with the number of tokens."})
    precision: str = _of_option("precision")
    eval_every: str = _of_option("eval_every")
    metric_for_best_model: str | None = field(
        default=Task.headline, metadata={"help": "Metric on the validation split that chooses the checkpoint."}
    )
    load_best_model_at_end: bool = field(
        default=True, metadata={"help": "End with the best checkpoint, not the last."}
    )
    save_total_limit: int | None = field(default=2, metadata={"help": "Checkpoints kept: the best and the last."})
    restore_callback_states_from_checkpoint: bool = field(
        default=True, metadata={"help": "Restore early stopping and other callbacks after a resume."}
    )
    logging_nan_inf_filter: bool = field(
        default=False, metadata={"help": "Hide a loss that is no number from the log; ours ends the run instead."}
    )
    eval_strategy: str = field(default="auto", metadata={"help": "Follows eval_every unless it is set."})
    save_strategy: str = field(default="auto", metadata={"help": "Follows eval_every unless it is set."})
    # Old names (`old_names.py`), translated with a warning.
    evaluation_strategy: str | None = field(default=None, metadata={"help": "Old name of eval_strategy."})
    warmup_ratio: float | None = field(default=None, metadata={"help": "Old name of warmup_steps below 1."})
    no_cuda: bool | None = field(default=None, metadata={"help": "Old name of use_cpu."})
    group_by_length: bool | None = field(default=None, metadata={"help": "Old form of train_sampling_strategy."})
    per_gpu_train_batch_size: int | None = field(default=None, metadata={"help": "Old name of per_device_..."})
    per_gpu_eval_batch_size: int | None = field(default=None, metadata={"help": "Old name of per_device_..."})
    adafactor: bool | None = field(default=None, metadata={"help": "Old form of optim='adafactor'."})
    include_inputs_for_metrics: bool | None = field(
        default=None, metadata={"help": "Old form of include_for_metrics."}
    )
    logging_dir: str | None = field(default=None, metadata={"help": "Old form of TENSORBOARD_LOGGING_DIR."})
    overwrite_output_dir: bool | None = field(default=None, metadata={"help": "Without effect today."})
    save_safetensors: bool | None = field(default=None, metadata={"help": "Without effect today."})
    use_mps_device: bool | None = field(default=None, metadata={"help": "Without effect today."})

    def __post_init__(self) -> None:
        if self.hub_token is not None:
            raise ConfigurationError(
                "hub_token does not belong in the arguments: transformers writes them, token included, into files that "
                f"are uploaded. Log in with `{log_in()}`, or set HF_TOKEN"
            )
        translate_old_names(self)
        _check_ranges(self)
        if self.auto_find_batch_size:
            # The parent restarts the run with fewer rows in an update, which is another run.
            self.auto_find_batch_size, self.try_longest_batch_first = False, True
        if self.greater_is_better is None and self.metric_for_best_model is not None:
            self.choose_by(self.metric_for_best_model)
        self._set_strategies()
        self.precision_ = self._set_precision()
        super().__post_init__()  # type: ignore[no-untyped-call]  # transformers leaves it untyped

    @property
    def n_gpu(self) -> int:
        """At most one: further GPUs are used by further processes, never by `DataParallel`."""
        return min(int(super().n_gpu), 1)

    def choose_by(self, metric: str) -> None:
        """Let a metric on the validation split choose the checkpoint."""
        name = metric.removeprefix("eval_")
        self.metric_for_best_model = metric
        self.greater_is_better = not is_lower_better(name) and not name.endswith("loss")

    def _set_strategies(self) -> None:
        """Set evaluation and saving together, so that every evaluation has its checkpoint."""
        if _value(self.eval_strategy) == "auto":
            strategy, steps = _parse_eval_every(self.eval_every)
            self.eval_strategy = strategy
            if steps is not None:
                self.eval_steps = steps
        else:  # (a script said it in transformers' way)
            strategy = _value(self.eval_strategy)
            self.eval_every = f"{self.eval_steps or self.logging_steps:g}" if strategy == "steps" else strategy
        if _value(self.save_strategy) == "auto":
            self.save_strategy = _value(self.eval_strategy)
            if _value(self.eval_strategy) == "steps" and self.eval_steps is not None:
                self.save_steps = self.eval_steps
        if _value(self.eval_strategy) == "no":
            self.load_best_model_at_end = False

    def _set_precision(self) -> Precision:
        """Turn `precision` into the parent's fields; fields of the parent that the user set win."""
        if self.fp16 or self.bf16:
            if self.precision != "auto":
                raise ConfigurationError(
                    f"precision={self.precision!r} and fp16/bf16 are both set. Set precision alone"
                )
            self.precision = "fp16" if self.fp16 else "bf16"
        chosen = choose_precision(self.precision, self.use_cpu)
        self.bf16 = chosen.name == "bf16"
        self.fp16 = chosen.name == "fp16"
        self.use_cpu = chosen.use_cpu
        return chosen

    def sanitised(self) -> dict[str, Any]:
        """All arguments as plain values, without secrets, and with the base names of local paths."""
        fields: dict[str, Any] = self.to_dict()  # type: ignore[no-untyped-call]  # transformers leaves it untyped
        values = {name: _plain(value) for name, value in fields.items() if "token" not in name}
        return {name: value for name, value in values.items() if not isinstance(value, _Unprintable)}

    def to_sanitised_json(self) -> str:
        """The text of `training_args.json`."""
        return json.dumps(self.sanitised(), indent=2, sort_keys=True, allow_nan=False) + "\n"


def asks_for_fsdp(args: TrainingArguments) -> bool:
    """Whether training arguments or `accelerate launch` ask for FSDP."""
    return bool(args.fsdp) or os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"


_LIMITS: dict[str, tuple[float, float]] = {
    "num_train_epochs": (0, 1e6), "learning_rate": (0, 1e3), "weight_decay": (0, 1e3), "max_grad_norm": (0, 1e9),
    "warmup_steps": (0, 1e12), "label_smoothing_factor": (0, 0.999), "adam_beta1": (0, 0.9999999),
    "adam_beta2": (0, 0.9999999), "adam_epsilon": (0, 1), "per_device_train_batch_size": (1, 1e6),
    "per_device_eval_batch_size": (1, 1e6), "gradient_accumulation_steps": (1, 1e6), "eval_accumulation_steps": (1, 1e6),
    "dataloader_num_workers": (0, 1e4), "seed": (0, 2**32 - 1), "data_seed": (0, 2**32 - 1),
    "neftune_noise_alpha": (0, 1e3), "save_total_limit": (1, 1e6),
}  # fmt: skip


def _check_ranges(args: TextClassificationTrainingArguments) -> None:
    for name, (low, high) in _LIMITS.items():
        value = getattr(args, name)
        if value is not None and not (isinstance(value, int | float) and low <= value <= high):
            raise ConfigurationError(
                f"--{name.replace('_', '-')} {value} is an invalid value. Expected a number from {low:g} to {high:g}"
            )
    if args.max_steps != -1 and args.max_steps < 1:
        raise ConfigurationError(f"--max-steps {args.max_steps} is an invalid value. Expected a number above 0")
    orders = ("auto", "random", "sequential", "group_by_length", "batch_rebalance")
    if args.train_sampling_strategy not in orders:
        raise ConfigurationError(
            f"--train-sampling-strategy {args.train_sampling_strategy} is an invalid value"
            f"{did_you_mean(args.train_sampling_strategy, orders)}. Choose one of {', '.join(orders)}"
        )


class _Unprintable:
    """Stands for a value that JSON cannot hold."""


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, str):
        return public_word(value)
    return value if value is None or isinstance(value, bool | int | float) else _Unprintable()


def _value(strategy: Any) -> str:
    return str(strategy.value) if isinstance(strategy, Enum) else str(strategy)


def _parse_eval_every(text: str) -> tuple[str, float | None]:
    """`"epoch"` and `"no"` are strategies; a number is steps, below 1 a fraction of the run."""
    if text in ("epoch", "no"):
        return text, None
    try:
        steps = float(text)
    except ValueError:
        steps = -1.0
    if steps <= 0 or (steps >= 1 and not steps.is_integer()):
        raise ConfigurationError(
            f"--eval-every {text} is an invalid value. Expected 'epoch', a number of steps (500), a fraction of the run (0.1), "
            "or 'no'"
        )
    return "steps", steps
