"""The metrics of an evaluation, and the rows on which the decision of a task is fitted."""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, cast

import numpy as np
from transformers import EvalPrediction, Trainer
from transformers.trainer_utils import PredictionOutput

from hfbertcls import processes
from hfbertcls.modeling.predictions import require_finite
from hfbertcls.tasks.known import task_of_config
from hfbertcls.tasks.single_label import SingleLabel
from hfbertcls.tasks.task import Task
from hfbertcls.training.losses import LabelLoss


Metrics = Callable[[EvalPrediction], dict[str, float]]


def task_metrics(
    prediction: EvalPrediction, task: Task | None = None, more: Metrics | None = None, *, is_fitted: bool = False
) -> dict[str, float]:
    """The metrics of an evaluation: those of the report, without intervals.

    Args:
        prediction (`EvalPrediction`): logits of shape `(n, num_outputs)`, and `label_ids` as the loss takes them.
        task (`Task`, *optional*): of the model; None expects single-label ids in `label_ids`.
        more (`Callable[[EvalPrediction], dict[str, float]]`, *optional*): further metrics; with the same name, they
            win.
        is_fitted: whether to use the decision of the task as it is; else it is fitted to these rows, as the report
            fits it to the validation split.
    """
    raw = prediction.predictions
    logits = np.asarray(raw[0] if isinstance(raw, tuple) else raw, dtype=np.float32)
    require_finite(logits, "the evaluation")
    task = task or SingleLabel(tuple(map(str, range(logits.shape[1]))))
    gold = task.from_loss_labels(prediction.label_ids)
    if not is_fitted:
        task = task.fit_decision(gold, logits)
    ours = {name: value for name, value in task.compute_metrics(gold, logits).items() if value is not None}
    return ours if more is None else {**ours, **more(prediction)}


def is_ours(metrics: Any) -> bool:
    """Whether metrics include those of this package."""
    return (metrics.func if isinstance(metrics, partial) else metrics) is task_metrics


_LOSS = "eval_loss"


class MeasuringTrainer(Trainer):
    """`Trainer` with the decision thresholds of the validation rows, and metrics logged at the step of the weights."""

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """As the parent; metrics of other rows than those of `eval_dataset` have its thresholds (see `predict`).

        After training they are logged at the step of the weights, which is the best where the best are loaded at the
        end.
        """
        is_own = eval_dataset is None or eval_dataset is self.eval_dataset or isinstance(eval_dataset, str | dict)
        thresholds = contextlib.nullcontext() if is_own else self._thresholds_of_validation()
        with self._at_step_of_weights(), thresholds:
            return super().evaluate(eval_dataset, ignore_keys, metric_key_prefix)

    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        """As the parent, but of all rows: `dataloader_drop_last` is for training."""
        with self._all_rows():
            return super().get_eval_dataloader(eval_dataset)

    def get_test_dataloader(self, test_dataset: Any) -> Any:
        """As `get_eval_dataloader`."""
        with self._all_rows():
            return super().get_test_dataloader(test_dataset)

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        """As in transformers; of equal values, that with the lower validation loss is better."""
        if super()._determine_best_metric(metrics, trial):
            return True
        state, name = self.state, self.args.metric_for_best_model
        if name is None or metrics.get(f"eval_{name.removeprefix('eval_')}") != state.best_metric:
            return False
        best = [entry for entry in state.log_history if entry.get("step") == state.best_global_step and _LOSS in entry]
        if not best or _LOSS not in metrics or metrics[_LOSS] >= best[-1][_LOSS]:
            return False
        state.best_global_step = state.global_step
        return True

    @contextlib.contextmanager
    def _all_rows(self) -> Iterator[None]:
        drops, self.args.dataloader_drop_last = self.args.dataloader_drop_last, False
        try:
            yield
        finally:
            self.args.dataloader_drop_last = drops

    def predict(
        self, test_dataset: Any, ignore_keys: list[str] | None = None, metric_key_prefix: str = "test"
    ) -> PredictionOutput:
        """As the parent; the thresholds of a multi-label task are those that `eval_dataset` chooses.

        It is scored for that; without it they are 0.5. The measured rows are never used for model selection.
        """
        with self._thresholds_of_validation():
            return super().predict(test_dataset, ignore_keys, metric_key_prefix)

    def evaluation_loop(
        self,
        dataloader: Any,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> Any:
        """As the parent; of several processes, the loss is that of each row once.

        The parent counts rows twice with which the last batches are filled (seen in 5.23), as it does here with a loss
        of one's own.
        """
        output: Any = super().evaluation_loop(
            dataloader, description, prediction_loss_only, ignore_keys, metric_key_prefix
        )
        task = task_of_config(cast(Any, self.model).config)
        name = f"{metric_key_prefix}_loss"
        is_plain = self.compute_loss_func is None or isinstance(self.compute_loss_func, LabelLoss)
        if processes.count() > 1 and task is not None and is_plain and name in output.metrics:
            logits = output.predictions[0] if isinstance(output.predictions, tuple) else output.predictions
            if logits is not None and output.label_ids is not None:
                gold = task.from_loss_labels(output.label_ids)
                output.metrics[name] = float(task.row_losses(gold, logits.astype(np.float32)).mean())
        return output

    @contextlib.contextmanager
    def _at_step_of_weights(self) -> Iterator[None]:
        state: Any = self.state
        if self.is_in_train or not self.args.load_best_model_at_end or not state.best_global_step:
            yield
            return
        last = state.global_step, state.epoch
        state.global_step = state.best_global_step
        state.epoch = next(
            (one["epoch"] for one in state.log_history if one["step"] == state.global_step), state.epoch
        )
        try:
            yield
        finally:
            state.global_step, state.epoch = last

    @contextlib.contextmanager
    def _thresholds_of_validation(self) -> Iterator[None]:
        task = task_of_config(cast(Any, self.model).config)
        metrics: Any = self.compute_metrics
        if not is_ours(metrics) or task is None or not task.fits_decision:
            yield
            return
        task = task.with_threshold(0.5)
        if self.eval_dataset is not None and not isinstance(self.eval_dataset, dict):
            output: Any = super().predict(cast(Any, self.eval_dataset))
            task = task.fit_decision(task.from_loss_labels(output.label_ids), output.predictions)
        self.compute_metrics = partial(metrics, task=task, is_fitted=True)
        try:
            yield
        finally:
            self.compute_metrics = metrics
