"""The figures of an evaluation, and from which rows the thresholds come where a text can have several labels."""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, cast

import numpy as np
from transformers import EvalPrediction, Trainer
from transformers.trainer_utils import PredictionOutput

from hfbertcls.evaluation.scores import classification_scores
from hfbertcls.evaluation.thresholds import fit_thresholds
from hfbertcls.modeling.heads import MULTI_LABEL
from hfbertcls.modeling.predictions import Thresholds, require_finite


Metrics = Callable[[EvalPrediction], dict[str, float]]


def classification_metrics(
    prediction: EvalPrediction, thresholds: Thresholds | None = None, more: Metrics | None = None
) -> dict[str, float]:
    """The figures of an evaluation: those of the report, without intervals.

    Args:
        prediction (`EvalPrediction`): logits of shape `(n, num_labels)`, and label ids of shape `(n,)` or the labels of each
            row, of shape `(n, num_labels)`.
        thresholds: where a row can have several labels, the scores from which each is given; None fits them to these rows, as
            the report does with the validation split.
        more (`Callable[[EvalPrediction], dict[str, float]]`, *optional*): further metrics; of the same name, they win.
    """
    raw = prediction.predictions
    logits = np.asarray(raw[0] if isinstance(raw, tuple) else raw, dtype=np.float32)
    require_finite(logits, "the evaluation")
    gold = np.asarray(prediction.label_ids, dtype=np.int64)
    if gold.ndim == 2 and thresholds is None:
        thresholds = fit_thresholds(gold, logits)
    scores = classification_scores(gold, logits, thresholds)
    ours = {name: value for name, value in scores.items() if value is not None}
    return ours if more is None else {**ours, **more(prediction)}


def is_ours(metrics: Any) -> bool:
    """Whether metrics are those of this package, with or without further ones."""
    return (metrics.func if isinstance(metrics, partial) else metrics) is classification_metrics


class MeasuringTrainer(Trainer):
    """`Trainer` whose figures of several labels a text have thresholds of the validation rows, and stand at the step of the weights."""

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """As the parent; figures of other rows than those of `eval_dataset` have its thresholds (see `predict`).

        After training they are logged at the step of the weights, which is the best where the best are loaded at the end.
        """
        is_own = eval_dataset is None or eval_dataset is self.eval_dataset or isinstance(eval_dataset, str | dict)
        thresholds = contextlib.nullcontext() if is_own else self._thresholds_of_validation()
        with self._at_step_of_weights(), thresholds:
            return super().evaluate(eval_dataset, ignore_keys, metric_key_prefix)

    def predict(
        self, test_dataset: Any, ignore_keys: list[str] | None = None, metric_key_prefix: str = "test"
    ) -> PredictionOutput:
        """As the parent; thresholds, where a text can have several labels, are those that `eval_dataset` chooses.

        It is scored for that; without it a label is given from 0.5 on. The rows that are measured choose nothing.
        """
        with self._thresholds_of_validation():
            return super().predict(test_dataset, ignore_keys, metric_key_prefix)

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
        config = cast(Any, self.model).config
        metrics: Any = self.compute_metrics
        if not is_ours(metrics) or config.problem_type != MULTI_LABEL:
            yield
            return
        thresholds = np.full(config.num_labels, 0.5)
        if self.eval_dataset is not None and not isinstance(self.eval_dataset, dict):
            found: Any = super().predict(cast(Any, self.eval_dataset))
            thresholds = fit_thresholds(found.label_ids, found.predictions)
        self.compute_metrics = partial(metrics, thresholds=thresholds)
        try:
            yield
        finally:
            self.compute_metrics = metrics
