"""The figures of an evaluation, and from which rows the thresholds come where a text can have several labels."""

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any, cast

import numpy as np
from transformers import EvalPrediction, Trainer
from transformers.trainer_utils import PredictionOutput

from hfbertcls.evaluation.scores import classification_scores
from hfbertcls.evaluation.thresholds import fit_thresholds
from hfbertcls.modeling.heads import MULTI_LABEL
from hfbertcls.modeling.predictions import Thresholds


def classification_metrics(prediction: EvalPrediction, thresholds: Thresholds | None = None) -> dict[str, float]:
    """The figures of an evaluation: those of the report, without intervals.

    Args:
        prediction (`EvalPrediction`): logits of shape `(n, num_labels)`, and label ids of shape `(n,)` or the labels of each
            row, of shape `(n, num_labels)`.
        thresholds: where a row can have several labels, the scores from which each is given; None fits them to these rows, as
            the report does with the validation split.
    """
    raw = prediction.predictions
    logits = np.asarray(raw[0] if isinstance(raw, tuple) else raw, dtype=np.float32)
    gold = np.asarray(prediction.label_ids, dtype=np.int64)
    if gold.ndim == 2 and thresholds is None:
        thresholds = fit_thresholds(gold, logits)
    scores = classification_scores(gold, logits, thresholds)
    return {name: value for name, value in scores.items() if value is not None}


class MeasuringTrainer(Trainer):
    """`Trainer` whose figures of several labels a text have thresholds of the validation rows."""

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """As the parent; figures of other rows than those of `eval_dataset` have its thresholds (see `predict`)."""
        is_own = eval_dataset is None or eval_dataset is self.eval_dataset or isinstance(eval_dataset, str | dict)
        with contextlib.nullcontext() if is_own else self._thresholds_of_validation():
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
    def _thresholds_of_validation(self) -> Iterator[None]:
        config = cast(Any, self.model).config
        if self.compute_metrics is not classification_metrics or config.problem_type != MULTI_LABEL:
            yield
            return
        thresholds = np.full(config.num_labels, 0.5)
        if self.eval_dataset is not None and not isinstance(self.eval_dataset, dict):
            found: Any = super().predict(cast(Any, self.eval_dataset))
            thresholds = fit_thresholds(found.label_ids, found.predictions)
        self.compute_metrics = partial(cast(Any, classification_metrics), thresholds=thresholds)
        try:
            yield
        finally:
            self.compute_metrics = classification_metrics
