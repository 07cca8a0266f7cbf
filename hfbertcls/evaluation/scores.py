"""Scores of a classifier: by scikit-learn for the figures, vectorised over resamples for their intervals.

Every function takes gold labels and logits of shape `(n, num_labels)`. Gold and predicted labels are ids of shape `(n,)`; where
a text can have several labels, they are of shape `(n, num_labels)`, 1 for each label that it has, and `thresholds` of shape
`(num_labels,)` are the scores from which a label is given.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from hfbertcls.evaluation.calibration import expected_calibration_error
from hfbertcls.modeling.predictions import Thresholds, predict_labels, sigmoid


Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64] | npt.NDArray[np.float64]
Logits = npt.NDArray[np.float32]

METRICS = ("accuracy", "f1_macro", "f1_weighted", "mcc", "log_loss", "ece")
BINARY_METRICS = ("roc_auc", "average_precision")
SEVERAL_LABELS_METRICS = ("accuracy", "f1_macro", "f1_micro", "f1_weighted", "hamming_loss", "log_loss", "ece")
"""Of classifiers that can give several labels to a text; accuracy is the share of texts with exactly the right ones."""
ALL_METRICS = tuple(dict.fromkeys((*METRICS, *BINARY_METRICS, *SEVERAL_LABELS_METRICS)))
LOWER_IS_BETTER = frozenset({"hamming_loss", "log_loss", "ece"})


def metrics_for(num_labels: int, *, several: bool) -> tuple[str, ...]:
    """The headline figures of a classifier; `several` says whether a text can have several labels."""
    if several:
        return SEVERAL_LABELS_METRICS
    return (*METRICS, *BINARY_METRICS) if num_labels == 2 else METRICS


def softmax(logits: Logits) -> Floats:
    """Probabilities of shape `(n, num_labels)`; each row sums to 1."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    probabilities: Floats = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probabilities


def probabilities(gold: Ids, logits: Logits) -> Floats:
    """Scores of shape `(n, num_labels)`: softmax where a row has one label, else sigmoid."""
    return softmax(logits) if gold.ndim == 1 else sigmoid(logits)


def row_log_losses(gold: Ids, logits: Logits) -> Floats:
    """Negative natural logarithm of the probability of what is true, of shape `(n,)`.

    Of several labels a row it is the mean over all labels, each being there or not.
    """
    if gold.ndim == 2:
        # -log(sigmoid(x)) is log(1 + exp(-x)); of a label that is not there, the sign of x changes.
        of_labels: Floats = np.logaddexp(0.0, np.where(gold == 1, -1.0, 1.0) * logits.astype(np.float64))
        return np.asarray(of_labels.mean(axis=1))
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    losses: Floats = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(gold)), gold]
    return losses


def is_right(gold: Ids, predicted: Ids) -> npt.NDArray[np.bool_]:
    """Whether each row got its label, or exactly its labels, of shape `(n,)`."""
    same: npt.NDArray[np.bool_] = np.equal(gold, predicted)
    return same if gold.ndim == 1 else np.all(same, axis=1)


def confusion_matrix(gold: Ids, predicted: Ids, num_labels: int) -> Ids:
    """Counts of shape `(num_labels, num_labels)`: rows are gold labels, columns are predictions."""
    counts = np.bincount(gold * num_labels + predicted, minlength=num_labels**2)
    return counts.reshape(num_labels, num_labels).astype(np.int64)


def label_scores(gold: Ids, predicted: Ids) -> dict[str, float]:
    """The figures that depend on the predicted labels alone.

    F1 averages are over the labels that occur in gold or predictions, as in scikit-learn for one label a row.
    """
    from sklearn import metrics  # noqa: PLC0415  (takes a second)

    if gold.ndim == 2:
        averages = ("macro", "micro", "weighted")
        anywhere = bool(gold.any() or predicted.any())
        f1 = {
            f"f1_{average}": float(metrics.f1_score(gold, predicted, average=average, zero_division=np.nan))
            if anywhere
            else 0.0
            for average in averages
        }
        if anywhere and not gold.any():  # (no rows to weigh by)
            f1["f1_weighted"] = 0.0
        return {
            "accuracy": float(metrics.accuracy_score(gold, predicted)),
            **f1,
            "hamming_loss": float(metrics.hamming_loss(gold, predicted)),
        }
    one_label = len(np.union1d(gold, predicted)) == 1  # no correlation: scikit-learn says 0 too, but warns
    return {
        "accuracy": float(metrics.accuracy_score(gold, predicted)),
        "f1_macro": float(metrics.f1_score(gold, predicted, average="macro", zero_division=0)),
        "f1_weighted": float(metrics.f1_score(gold, predicted, average="weighted", zero_division=0)),
        "mcc": 0.0 if one_label else float(metrics.matthews_corrcoef(gold, predicted)),
    }


def probability_scores(gold: Ids, logits: Logits) -> dict[str, float | None]:
    """The figures that depend on the probabilities.

    ROC-AUC and average precision, for one of two labels only, take the second label as the positive one and are None if
    one of the labels does not occur.
    """
    from sklearn import metrics  # noqa: PLC0415  (takes a second)

    scores: dict[str, float | None] = {
        "log_loss": float(row_log_losses(gold, logits).mean()),
        "ece": expected_calibration_error(gold, probabilities(gold, logits)),
    }
    if gold.ndim == 1 and logits.shape[1] == 2:
        both = 0 < int(gold.sum()) < len(gold)
        margin = logits[:, 1].astype(np.float64) - logits[:, 0]
        scores["roc_auc"] = float(metrics.roc_auc_score(gold, margin)) if both else None
        scores["average_precision"] = float(metrics.average_precision_score(gold, margin)) if both else None
    return scores


def classification_scores(gold: Ids, logits: Logits, thresholds: Thresholds | None = None) -> dict[str, float | None]:
    """All headline figures of a split.

    Raises:
        ValueError: if there is no row.
    """
    if len(gold) == 0:
        raise ValueError("no rows: scores of nothing are not defined. Pass at least one row")
    return {**label_scores(gold, predict_labels(logits, thresholds)), **probability_scores(gold, logits)}


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


def scores_of_label_sets(
    exact: Counts, hits: Counts, gold: Counts, predicted: Counts, rows: Counts
) -> dict[str, Floats]:
    """The figures that depend on the predicted labels alone, of many resamples of rows that can have several labels.

    Args:
        exact: rows with exactly the right labels, of shape `(resamples,)`.
        hits: rows that have a label and are given it, of shape `(resamples, num_labels)`.
        gold: rows that have each label, of the same shape.
        predicted: rows that are given each label, of the same shape.
        rows: in each resample, of shape `(resamples,)`.

    Returns:
        Arrays of shape `(resamples,)`, equal to `label_scores` of each resample.
    """
    occurs = gold + predicted
    f1 = np.divide(2.0 * hits, occurs, out=np.zeros(hits.shape), where=occurs > 0)
    some = np.maximum((occurs > 0).sum(axis=1), 1)
    return {
        "accuracy": exact / rows,
        "f1_macro": f1.sum(axis=1) / some,
        "f1_micro": 2.0 * hits.sum(axis=1) / np.maximum(occurs.sum(axis=1), 1),
        "f1_weighted": (f1 * gold).sum(axis=1) / np.maximum(gold.sum(axis=1), 1),
        "hamming_loss": (occurs - 2.0 * hits).sum(axis=1) / (rows * hits.shape[1]),
    }
