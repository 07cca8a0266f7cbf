"""Metrics that depend on the order of the rows alone, for many resamples at once."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hfbertcls.tasks.probabilities import Answers, Floats, Logits


_CELLS_PER_CHUNK = 2_000_000  # rows x resamples held at a time: keeps memory flat


def resampled_rankings(gold: Answers, logits: Logits, resamples: int, seed: int) -> dict[str, Floats]:
    """ROC-AUC and average precision of resamples of the rows, each of shape `(resamples,)`."""
    ranking = Ranking.of(gold, logits)
    parts: dict[str, list[Floats]] = {}
    for rows in _resamples(len(gold), resamples, seed):
        for name, draws in ranking.metrics_of(rows).items():
            parts.setdefault(name, []).append(draws)
    return {name: np.concatenate(draws) for name, draws in parts.items()}


def _resamples(num_rows: int, resamples: int, seed: int) -> Iterator[npt.NDArray[np.int32]]:
    """Yield row numbers of shape `(some resamples, num_rows)`, drawn with replacement."""
    generator = np.random.default_rng(seed)
    chunk = max(1, _CELLS_PER_CHUNK // num_rows)
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        yield generator.integers(0, num_rows, size=(size, num_rows), dtype=np.int32)


def _count(values: npt.NDArray[np.int64], num_values: int) -> npt.NDArray[np.int64]:
    """Histogram of each row of `values` (resamples, n): counts of shape `(resamples, num_values)`."""
    offsets = np.arange(len(values))[:, None] * num_values
    return np.bincount((values + offsets).ravel(), minlength=len(values) * num_values).reshape(len(values), num_values)


@dataclass(frozen=True)
class Ranking:
    """Rows of a two-label split by the rank of their score, to resample ROC-AUC and average precision."""

    rank: npt.NDArray[np.int64]
    is_positive: npt.NDArray[np.bool_]
    num_ranks: int

    @classmethod
    def of(cls, gold: Answers, logits: Logits) -> "Ranking":
        """Rank the rows by the logit of the second label above that of the first."""
        margin = logits[:, 1].astype(np.float64) - logits[:, 0]
        distinct, rank = np.unique(margin, return_inverse=True)
        return cls(rank, gold == 1, len(distinct))

    def metrics_of(self, rows: npt.NDArray[np.int32]) -> dict[str, Floats]:
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
