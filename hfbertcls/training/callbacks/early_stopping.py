"""Early stopping that counts small, steady gains."""

from math import isfinite
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from hfbertcls.errors import ConfigurationError, TrainingError


class MetricEarlyStoppingCallback(TrainerCallback, ExportableState):
    """Stop when the selection metric has not improved for `patience` evaluations.

    An evaluation improves if it is better by more than `threshold` than the last *accepted* best, so small gains add
    up. transformers compares with the running best, which rises with every gain. NaN is no improvement. The state
    survives a resume.

    ```python
    >>> callback = MetricEarlyStoppingCallback(patience=2, threshold=0.001)
    >>> trainer = TextClassificationTrainer(model, args, callbacks=[callback])  # doctest: +SKIP
    >>> MetricEarlyStoppingCallback(patience=0)
    Traceback (most recent call last):
    hfbertcls.errors.ConfigurationError: early stopping with patience 0, ...
    ```

    Args:
        patience (`int`): evaluations without improvement after which training stops.
        threshold (`float`): in units of the metric; not relative.
        min_steps (`int`): never stop before this optimization step.

    Raises:
        ConfigurationError: if `patience` is below 1 or `threshold` or `min_steps` below 0.
    """

    def __init__(self, patience: int = 3, threshold: float = 0.0, min_steps: int = 0) -> None:
        if patience < 1 or threshold < 0 or min_steps < 0:
            raise ConfigurationError(
                f"early stopping with patience {patience}, threshold {threshold} and min_steps {min_steps} has an "
                "invalid value: patience must be at least 1, the others at least 0"
            )
        self.patience = patience
        self.threshold = threshold
        self.min_steps = min_steps
        self.accepted_best_: float | None = None
        self.misses_ = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start afresh, unless training resumes from a checkpoint; stop at once if it had been stopped there."""
        if args.metric_for_best_model is None:
            raise ConfigurationError("early stopping needs metric_for_best_model. Name a metric, such as 'f1_macro'")
        if state.global_step == 0:
            self.accepted_best_, self.misses_ = None, 0
        elif self.misses_ >= self.patience and state.global_step >= self.min_steps:
            control.should_training_stop = True

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Count a miss or accept a new best."""
        name = f"eval_{str(args.metric_for_best_model).removeprefix('eval_')}"
        if metrics is None or name not in metrics:
            names = ", ".join(sorted(key.removeprefix("eval_") for key in metrics or {}))
            raise TrainingError(
                f"early stopping watches {name.removeprefix('eval_')!r}, which the evaluation does not report. "
                f"Choose one of: {names}"
            )
        value = metrics[name]
        if self._improves(value, bool(args.greater_is_better)):
            self.accepted_best_, self.misses_ = value, 0
            return
        self.misses_ += 1
        if self.misses_ >= self.patience and state.global_step >= self.min_steps:
            control.should_training_stop = True

    def _improves(self, value: float, greater_is_better: bool) -> bool:
        if not isfinite(value):
            return False
        if self.accepted_best_ is None:
            return True
        gain = value - self.accepted_best_ if greater_is_better else self.accepted_best_ - value
        return gain > self.threshold

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "args": {"patience": self.patience, "threshold": self.threshold, "min_steps": self.min_steps},
            "attributes": {"accepted_best_": self.accepted_best_, "misses_": self.misses_},
        }
