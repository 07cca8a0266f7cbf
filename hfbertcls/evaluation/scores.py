"""Scores of a classifier: by scikit-learn for the figures, vectorised over resamples for their intervals.

Every function takes gold ids of shape `(n,)` and logits of shape `(n, num_labels)` and has no other input.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from hfbertcls.evaluation.calibration import expected_calibration_error


Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64] | npt.NDArray[np.float64]
Logits = npt.NDArray[np.float32]

METRICS = ("accuracy", "f1_macro", "f1_weighted", "mcc", "log_loss", "ece")
BINARY_METRICS = ("roc_auc", "average_precision")
LOWER_IS_BETTER = frozenset({"log_loss", "ece"})


def softmax(logits: Logits) -> Floats:
    """Probabilities of shape `(n, num_labels)`; each row sums to 1."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    probabilities: Floats = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probabilities


def row_log_losses(gold: Ids, logits: Logits) -> Floats:
    """Negative natural logarithm of the probability of the gold label, of shape `(n,)`."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    losses: Floats = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(gold)), gold]
    return losses


def confusion_matrix(gold: Ids, predicted: Ids, num_labels: int) -> Ids:
    """Counts of shape `(num_labels, num_labels)`: rows are gold labels, columns are predictions."""
    counts = np.bincount(gold * num_labels + predicted, minlength=num_labels**2)
    return counts.reshape(num_labels, num_labels).astype(np.int64)


def label_scores(gold: Ids, predicted: Ids) -> dict[str, float]:
    """The figures that depend on the predicted labels alone.

    F1 averages are over the labels that occur in gold or predictions, as in scikit-learn.
    """
    from sklearn import metrics  # noqa: PLC0415  (takes a second)

    one_label = len(np.union1d(gold, predicted)) == 1  # no correlation: scikit-learn says 0 too, but warns
    return {
        "accuracy": float(metrics.accuracy_score(gold, predicted)),
        "f1_macro": float(metrics.f1_score(gold, predicted, average="macro", zero_division=0)),
        "f1_weighted": float(metrics.f1_score(gold, predicted, average="weighted", zero_division=0)),
        "mcc": 0.0 if one_label else float(metrics.matthews_corrcoef(gold, predicted)),
    }


def probability_scores(gold: Ids, logits: Logits) -> dict[str, float | None]:
    """The figures that depend on the probabilities.

    ROC-AUC and average precision, for two labels only, take the second label as the positive one and are None if one
    of the labels does not occur.
    """
    from sklearn import metrics  # noqa: PLC0415  (takes a second)

    scores: dict[str, float | None] = {
        "log_loss": float(row_log_losses(gold, logits).mean()),
        "ece": expected_calibration_error(gold, softmax(logits)),
    }
    if logits.shape[1] == 2:
        both = 0 < int(gold.sum()) < len(gold)
        margin = logits[:, 1].astype(np.float64) - logits[:, 0]
        scores["roc_auc"] = float(metrics.roc_auc_score(gold, margin)) if both else None
        scores["average_precision"] = float(metrics.average_precision_score(gold, margin)) if both else None
    return scores


def classification_scores(gold: Ids, logits: Logits) -> dict[str, float | None]:
    """All headline figures of a split.

    Raises:
        ValueError: if there is no row.
    """
    if len(gold) == 0:
        raise ValueError("no rows: scores of nothing are not defined. Pass at least one row")
    return {**label_scores(gold, logits.argmax(axis=1)), **probability_scores(gold, logits)}


def per_label_scores(gold: Ids, predicted: Ids, num_labels: int) -> list[dict[str, Any]]:
    """Precision, recall, F1 and support (rows with the label) of each label, in label order."""
    from sklearn import metrics  # noqa: PLC0415  (takes a second)

    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        gold, predicted, labels=np.arange(num_labels), zero_division=0
    )
    return [
        {"precision": float(p), "recall": float(r), "f1": float(f), "support": int(s)}
        for p, r, f, s in zip(precision, recall, f1, support, strict=True)
    ]


def scores_of_counts(hits: Counts, gold: Counts, predicted: Counts) -> dict[str, Floats]:
    """Accuracy, F1 averages and Matthews correlation of many resamples at once.

    Args:
        hits: rows of each label that are predicted right, of shape `(resamples, num_labels)`.
        gold: rows of each label, of the same shape.
        predicted: predictions of each label, of the same shape.

    Returns:
        Arrays of shape `(resamples,)`, equal to scikit-learn's figures for each resample.
    """
    hits, gold, predicted = hits.astype(np.float64), gold.astype(np.float64), predicted.astype(np.float64)
    total = gold.sum(axis=1)
    occurs = gold + predicted
    f1 = np.divide(2 * hits, occurs, out=np.zeros_like(hits), where=occurs > 0)
    correct = hits.sum(axis=1)
    # Matthews correlation for several classes: Gorodkin, Comput. Biol. Chem. 28 (2004) 367-374.
    covariance = correct * total - (gold * predicted).sum(axis=1)
    spread = np.sqrt((total**2 - (gold**2).sum(axis=1)) * (total**2 - (predicted**2).sum(axis=1)))
    return {
        "accuracy": correct / total,
        "f1_macro": f1.sum(axis=1) / (occurs > 0).sum(axis=1),
        "f1_weighted": (f1 * gold).sum(axis=1) / total,
        "mcc": np.divide(covariance, spread, out=np.zeros_like(covariance), where=spread > 0),
    }
