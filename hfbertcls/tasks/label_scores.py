"""Metrics of predicted labels and of rankings, equal to scikit-learn's to the bit, without its import time."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from hfbertcls.tasks.probabilities import Answers, Floats


Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class LabelSums:
    """How often each label is right, gold and predicted.

    Args:
        hits: rows that have the label and for which it is predicted, of shape `(labels,)`.
        gold: rows that have it, of the same shape.
        predicted: rows for which it is predicted, of the same shape.
    """

    hits: Integers
    gold: Integers
    predicted: Integers

    @classmethod
    def of_ids(cls, gold: Answers, predicted: Answers, num_labels: int) -> Self:
        """Of a single-label task: ids of shape `(n,)`."""
        hits, of_gold, of_predicted = (
            np.bincount(ids, minlength=num_labels) for ids in (gold[gold == predicted], gold, predicted)
        )
        return cls(hits, of_gold, of_predicted)

    @classmethod
    def of_sets(cls, gold: Answers, predicted: Answers) -> Self:
        """Of a multi-label task: 1 for each label of a row, of shape `(n, labels)`."""
        hits, of_gold, of_predicted = (
            np.count_nonzero(answers, axis=0) for answers in (gold * predicted, gold, predicted)
        )
        return cls(hits, of_gold, of_predicted)

    @property
    def occurring(self) -> "LabelSums":
        """Only the labels that some row has, or for which it is predicted."""
        some = self.gold + self.predicted > 0
        return LabelSums(self.hits[some], self.gold[some], self.predicted[some])

    @property
    def together(self) -> "LabelSums":
        """All labels counted as one."""
        hits, gold, predicted = (one.sum(keepdims=True) for one in (self.hits, self.gold, self.predicted))
        return LabelSums(hits, gold, predicted)

    @property
    def precision(self) -> Floats:
        """0 where a label is never predicted."""
        return _ratio(self.hits, self.predicted)

    @property
    def recall(self) -> Floats:
        """0 where no row has a label."""
        return _ratio(self.hits, self.gold)

    @property
    def f1(self) -> Floats:
        """0 where a label does not occur."""
        return _ratio(2 * self.hits, self.gold + self.predicted)

    @property
    def correlation(self) -> float:
        """Matthews correlation of ids (Gorodkin, Comput. Biol. Chem. 28 (2004) 367-374); 0 where it is not defined."""
        gold, predicted = self.gold.astype(np.float64), self.predicted.astype(np.float64)
        rows = predicted.sum()
        spread = (rows**2 - np.dot(predicted, predicted)) * (rows**2 - np.dot(gold, gold))
        if spread == 0:
            return 0.0
        return float((float(self.hits.sum()) * rows - np.dot(gold, predicted)) / np.sqrt(spread))

    def by_label(self) -> list[dict[str, Any]]:
        """Precision, recall, F1 and support (rows with the label) of each label, in label order."""
        return [
            {"precision": float(p), "recall": float(r), "f1": float(f), "support": int(s)}
            for p, r, f, s in zip(self.precision, self.recall, self.f1, self.gold, strict=True)
        ]


def roc_auc(is_positive: Answers, scores: Floats) -> float:
    """Area under the ROC curve; equal scores count half.

    Args:
        is_positive: 1 or 0, both of which occur, of shape `(n,)`.
        scores: higher for positive rows, of the same shape.
    """
    true, false = _flagged(is_positive, scores)
    if len(true) > 2:  # (points on a straight line change nothing but the rounding)
        corner = np.concatenate([[True], (np.diff(true, 2) != 0) | (np.diff(false, 2) != 0), [True]])
        true, false = true[corner], false[corner]
    true, false = np.concatenate([[0.0], true]), np.concatenate([[0.0], false])
    return float(np.trapezoid(true / true[-1], false / false[-1]))


def average_precision(is_positive: Answers, scores: Floats) -> float:
    """Average precision: precision times the gain in recall, summed over distinct scores; arguments as `roc_auc`."""
    true, false = _flagged(is_positive, scores)
    recall = np.concatenate([(true / true[-1])[::-1], [0.0]])
    return float(-np.sum(np.diff(recall) * (true / (true + false))[::-1]))


def _flagged(is_positive: Answers, scores: Floats) -> tuple[Floats, Floats]:
    """Positive and negative rows whose score is at least each distinct one, from the highest down."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    true = np.cumsum(is_positive[order] == 1, dtype=np.float64)[last]
    return true, 1.0 + last - true


def _ratio(part: Integers, whole: Integers) -> Floats:
    ratio: Floats = np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
    return ratio
