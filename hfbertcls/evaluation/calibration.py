"""How far stated confidence is from the share of right answers."""

from dataclasses import dataclass
from math import pi, sqrt

import numpy as np
import numpy.typing as npt


NUM_BINS = 15
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Reliability:
    """Bins of equal mass, least confident first; arrays of shape `(bins,)`."""

    count: npt.NDArray[np.int64]
    confidence: Floats
    """Mean confidence in the predicted label."""
    accuracy: Floats
    """Share of right predictions."""

    def as_rows(self) -> list[dict[str, float | int]]:
        """One entry for each bin: rows, mean confidence, share of right answers."""
        triples = zip(self.count, self.confidence, self.accuracy, strict=True)
        return [
            {"rows": int(count), "confidence": float(confidence), "accuracy": float(accuracy)}
            for count, confidence, accuracy in triples
        ]


def bin_edges(num_rows: int) -> npt.NDArray[np.int64]:
    """Where the bins begin and end among rows sorted by confidence: equal mass, no empty bin."""
    bins = min(NUM_BINS, num_rows)
    return np.round(np.linspace(0, num_rows, bins + 1)).astype(np.int64)


def reliability(gold: npt.NDArray[np.int64], probabilities: Floats) -> Reliability:
    """Group the rows into bins of equal mass by confidence in the predicted label.

    Args:
        gold: ids of shape `(n,)`.
        probabilities: of shape `(n, num_labels)`.
    """
    confidence = probabilities.max(axis=1)
    order = np.argsort(confidence, kind="stable")
    correct = (probabilities.argmax(axis=1) == gold)[order].astype(np.float64)
    edges = bin_edges(len(gold))
    count = np.diff(edges)
    return Reliability(
        count=count,
        confidence=np.add.reduceat(confidence[order], edges[:-1]) / count,
        accuracy=np.add.reduceat(correct, edges[:-1]) / count,
    )


def debiased_gap(confidence: Floats, accuracy: Floats, count: Floats) -> Floats:
    """Expected calibration error over bins, less what chance alone would add to it.

    A bin's gap |confidence - accuracy| is too large on average, because accuracy is measured on few rows. Taking the
    bin's accuracy as normal with its binomial variance, the excess is E|N(gap, s)| - gap, which is subtracted
    (Kumar, Liang and Ma, "Verified Uncertainty Calibration", NeurIPS 2019, do so by simulation). Never below 0.

    Args:
        confidence, accuracy, count: of shape `(..., bins)`.

    Returns:
        Of shape `(...)`, a fraction from 0 to 1.
    """
    from scipy.special import erf  # noqa: PLC0415  (takes a while; comes with scikit-learn)

    gap = np.abs(confidence - accuracy)
    deviation = np.sqrt(accuracy * (1 - accuracy) / count)
    safe = np.where(deviation > 0, deviation, 1.0)
    ratio = gap / safe
    folded = safe * sqrt(2 / pi) * np.exp(-(ratio**2) / 2) + gap * erf(ratio / sqrt(2))
    expected = np.where(deviation > 0, folded, gap)
    weight = count / count.sum(axis=-1, keepdims=True)
    error: Floats = np.maximum(0.0, (weight * (2 * gap - expected)).sum(axis=-1))
    return error


def expected_calibration_error(gold: npt.NDArray[np.int64], probabilities: Floats) -> float:
    """Debiased expected calibration error of the predicted label, over 15 bins of equal mass (0 to 1)."""
    bins = reliability(gold, probabilities)
    return float(debiased_gap(bins.confidence, bins.accuracy, bins.count.astype(np.float64)))
