"""Log loss, calibration error and, for two labels, ROC-AUC and average precision as an `evaluate` metric.

`evaluate.load(<path of this file>)` works without a network; nothing is fetched.
"""

from typing import Any

import datasets
import evaluate
import numpy as np

from hfbertcls.tasks.single_label import SingleLabel


_NAMES = ("log_loss", "ece", "roc_auc", "average_precision")


class ProbabilityScores(evaluate.Metric):  # type: ignore[misc]  # evaluate ships no types
    """Metrics that depend on the probabilities, computed from logits."""

    def _info(self) -> Any:
        return evaluate.MetricInfo(
            description="Log loss, debiased calibration error, ROC-AUC and average precision from logits.",
            citation="",
            inputs_description="predictions: one list of logits a row, in label order; references: label ids.",
            features=datasets.Features(
                {"predictions": datasets.Sequence(datasets.Value("float32")), "references": datasets.Value("int64")}
            ),
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float | None]:
        logits = np.asarray(predictions, dtype=np.float32)
        task = SingleLabel(tuple(map(str, range(logits.shape[1]))))
        scores = task.compute_metrics(np.asarray(references), logits)
        return {name: scores[name] for name in _NAMES if name in scores}
