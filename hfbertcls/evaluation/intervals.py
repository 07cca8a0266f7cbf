"""95 % bootstrap intervals over rows, for all figures of a split at once."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hfbertcls.evaluation.calibration import bin_edges, debiased_gap
from hfbertcls.evaluation.scores import (
    Floats,
    Ids,
    Logits,
    classification_scores,
    row_log_losses,
    scores_of_counts,
    softmax,
)


NUM_RESAMPLES = 2_000
LEVEL = 0.95
_CELLS_PER_CHUNK = 2_000_000  # rows x resamples held at a time: keeps memory flat


@dataclass(frozen=True)
class Interval:
    """A figure with the ends of its 95 % interval; all None where the figure is not defined."""

    value: float | None
    low: float | None
    high: float | None


def score_with_intervals(gold: Ids, logits: Logits, seed: int = 0) -> dict[str, Interval]:
    """Every headline figure with its percentile bootstrap interval: 2,000 resamples of the rows, seeded.

    The interval of `ece` is the spread of the resampled estimates around their own mean, laid around the estimate:
    resampling adds noise, which lifts each resampled error, so that plain percentiles would miss the estimate.

    Args:
        gold: ids of shape `(n,)`.
        logits: of shape `(n, num_labels)`.
        seed: of the resampling.
    """
    values = classification_scores(gold, logits)
    resampled = _resample(gold, logits, seed, binary="roc_auc" in values)
    intervals = {}
    for name, value in values.items():
        draws = resampled[name][np.isfinite(resampled[name])]
        if value is None or len(draws) == 0:
            intervals[name] = Interval(None, None, None)
            continue
        if name == "ece":
            draws = np.clip(value + draws - draws.mean(), 0.0, 1.0)
        low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        intervals[name] = Interval(value, float(low), float(high))
    return intervals


def _resample(gold: Ids, logits: Logits, seed: int, *, binary: bool) -> dict[str, Floats]:
    """Figures of each resample, of shape `(NUM_RESAMPLES,)`."""
    num_rows, num_labels = logits.shape
    probabilities = softmax(logits)
    confidence = probabilities.max(axis=1)
    # Rows are renumbered by confidence once: a sorted resample then falls into bins of equal mass as it is.
    order = np.argsort(confidence, kind="stable")
    gold, logits, confidence = gold[order], logits[order], confidence[order]
    predicted = logits.argmax(axis=1)
    correct = (predicted == gold).astype(np.float64)
    losses = row_log_losses(gold, logits)
    hit = np.where(predicted == gold, gold, num_labels)  # (wrong rows are counted as one label more)
    ranking = _Ranking.of(gold, logits) if binary else None

    parts: dict[str, list[Floats]] = {}
    for rows in _resamples(num_rows, seed):
        figures = scores_of_counts(
            _count(hit[rows], num_labels + 1)[:, :num_labels],
            _count(gold[rows], num_labels),
            _count(predicted[rows], num_labels),
        )
        figures["log_loss"] = losses[rows].mean(axis=1)
        figures["ece"] = _calibration_errors(np.sort(rows, axis=1), confidence, correct)
        if ranking is not None:
            figures |= ranking.scores(rows)
        for name, draws in figures.items():
            parts.setdefault(name, []).append(draws)
    return {name: np.concatenate(draws) for name, draws in parts.items()}


def _resamples(num_rows: int, seed: int) -> Iterator[npt.NDArray[np.int32]]:
    """Yield row numbers of shape `(resamples, num_rows)`, drawn with replacement, NUM_RESAMPLES in all."""
    generator = np.random.default_rng(seed)
    chunk = max(1, _CELLS_PER_CHUNK // num_rows)
    for start in range(0, NUM_RESAMPLES, chunk):
        size = min(chunk, NUM_RESAMPLES - start)
        yield generator.integers(0, num_rows, size=(size, num_rows), dtype=np.int32)


def _count(values: npt.NDArray[np.int64], num_values: int) -> npt.NDArray[np.int64]:
    """Histogram of each row of `values` (resamples, n): counts of shape `(resamples, num_values)`."""
    offsets = np.arange(len(values))[:, None] * num_values
    return np.bincount((values + offsets).ravel(), minlength=len(values) * num_values).reshape(len(values), num_values)


def _calibration_errors(rows: npt.NDArray[np.int32], confidence: Floats, correct: Floats) -> Floats:
    edges = bin_edges(rows.shape[1])
    count = np.diff(edges).astype(np.float64)
    mean_confidence = np.add.reduceat(confidence[rows], edges[:-1], axis=1) / count
    accuracy = np.add.reduceat(correct[rows], edges[:-1], axis=1) / count
    return debiased_gap(mean_confidence, accuracy, np.broadcast_to(count, accuracy.shape))


@dataclass(frozen=True)
class _Ranking:
    """Rows of a two-label split by the rank of their score, to resample ROC-AUC and average precision."""

    rank: npt.NDArray[np.int64]
    is_positive: npt.NDArray[np.bool_]
    num_ranks: int

    @classmethod
    def of(cls, gold: Ids, logits: Logits) -> "_Ranking":
        margin = logits[:, 1].astype(np.float64) - logits[:, 0]
        distinct, rank = np.unique(margin, return_inverse=True)
        return cls(rank, gold == 1, len(distinct))

    def scores(self, rows: npt.NDArray[np.int32]) -> dict[str, Floats]:
        """ROC-AUC and average precision of each resample; NaN where one label is absent.

        Both follow scikit-learn: ties count half in ROC-AUC, and average precision is the sum over distinct scores,
        from the highest down, of precision times the gain in recall.
        """
        code = self.rank[rows] * 2 + self.is_positive[rows]
        counts = _count(code, 2 * self.num_ranks).reshape(len(rows), self.num_ranks, 2).astype(np.float64)
        negative, positive = counts[:, :, 0], counts[:, :, 1]
        num_positive, num_negative = positive.sum(axis=1), negative.sum(axis=1)
        below = np.cumsum(negative, axis=1) - negative / 2
        true = np.cumsum(positive[:, ::-1], axis=1)
        flagged = true + np.cumsum(negative[:, ::-1], axis=1)
        precision = np.divide(true, flagged, out=np.zeros_like(true), where=flagged > 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return {
                "roc_auc": (positive * below).sum(axis=1) / (num_positive * num_negative),
                "average_precision": (precision * positive[:, ::-1]).sum(axis=1) / num_positive
                + np.where(num_negative > 0, 0.0, np.nan),
            }
