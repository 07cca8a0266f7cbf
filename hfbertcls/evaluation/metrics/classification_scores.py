"""Accuracy, F1 averages and Matthews correlation as an `evaluate` metric.

`evaluate.load(<path of this file>)` works without a network; nothing is fetched.
"""

from typing import Any

import datasets
import evaluate
import numpy as np

from hfbertcls.tasks.single_label import SingleLabel


class ClassificationScores(evaluate.Metric):  # type: ignore[misc]  # evaluate ships no types
    """Metrics that depend on the predicted labels alone."""

    def _info(self) -> Any:
        return evaluate.MetricInfo(
            description="Accuracy, macro and weighted F1 and Matthews correlation of predicted labels.",
            citation="",
            inputs_description="predictions, references: label ids (integers) of equal length, at least one.",
            features=datasets.Features(
                {"predictions": datasets.Value("int64"), "references": datasets.Value("int64")}
            ),
        )

    def add_batch(self, *, predictions: Any = None, references: Any = None, **kwargs: Any) -> None:
        """Reject floats, which `evaluate` would truncate silently (0.9 would become 0)."""
        _refuse_other_than_ids(predictions=predictions, references=references)
        super().add_batch(predictions=predictions, references=references, **kwargs)

    def add(self, *, prediction: Any = None, reference: Any = None, **kwargs: Any) -> None:
        """Like `add_batch`, for one row."""
        _refuse_other_than_ids(prediction=prediction, reference=reference)
        super().add(prediction=prediction, reference=reference, **kwargs)

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return SingleLabel(()).answer_metrics(np.asarray(references), np.asarray(predictions))


def _refuse_other_than_ids(**arguments: Any) -> None:
    for name, values in arguments.items():
        kind = np.asarray(values).dtype
        if kind.kind not in "iu":
            raise ValueError(f"{name} must be label ids (integers), got {kind}. Pass the ids")
