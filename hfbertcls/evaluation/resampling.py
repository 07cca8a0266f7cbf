"""Bootstrap over rows of the figures that follow from a table of counts: a resample of the rows is a draw of the table."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from hfbertcls.evaluation.scores import Floats, Ids, scores_of_counts


NUM_RESAMPLES = 2_000
_CELLS_PER_CHUNK = 2_000_000  # counts held at a time: keeps memory flat
Counts = npt.NDArray[np.int64]
Bounds = dict[str, tuple[float, float]]


class CountedRows:
    """Rows of a split counted by gold and predicted label; only pairs that occur are held.

    Args:
        gold: ids of shape `(n,)`.
        predicted: ids of the same shape.
        num_labels: how many labels there are.
    """

    def __init__(self, gold: Ids, predicted: Ids, num_labels: int) -> None:
        pairs, counts = np.unique(gold * num_labels + predicted, return_counts=True)
        self.counts: Counts = counts
        """Rows of each pair, of shape `(pairs,)`."""
        self._gold, self._predicted = np.divmod(pairs, num_labels)
        self._num_labels = num_labels

    def scores(self, counts: Counts) -> dict[str, Floats]:
        """Accuracy, F1 averages and correlation of tables of shape `(tables, pairs)`."""
        right = self._gold == self._predicted
        return scores_of_counts(
            self._by_label(counts[:, right], self._gold[right]),
            self._by_label(counts, self._gold),
            self._by_label(counts, self._predicted),
        )

    def _by_label(self, counts: Counts, labels: Ids) -> Counts:
        """Sums of the pairs of each label, of shape `(tables, num_labels)`."""
        sums = np.zeros((len(counts), self._num_labels), dtype=np.int64)
        if len(labels):
            order = np.argsort(labels, kind="stable")
            present, starts = np.unique(labels[order], return_index=True)
            sums[:, present] = np.add.reduceat(counts[:, order], starts, axis=1)
        return sums

    def draws(self, seed: int) -> dict[str, Floats]:
        """Figures of resamples of the rows, of shape `(NUM_RESAMPLES,)`."""
        generator = np.random.default_rng(seed)
        num_rows = self.counts.sum()
        shares = self.counts / num_rows
        sizes = self._chunks(NUM_RESAMPLES)
        return _joined(
            self.scores(generator.multinomial(num_rows, shares, size=stop - start)) for start, stop in sizes
        )

    def without_one_row(self) -> dict[str, Floats]:
        """Figures without one row of each pair in turn, of shape `(pairs,)`."""

        def without(start: int, stop: int) -> Counts:
            tables: Counts = np.tile(self.counts, (stop - start, 1))
            tables[np.arange(stop - start), np.arange(start, stop)] -= 1
            return tables

        return _joined(self.scores(without(*chunk)) for chunk in self._chunks(len(self.counts)))

    def _chunks(self, tables: int) -> Iterator[tuple[int, int]]:
        chunk = max(1, _CELLS_PER_CHUNK // max(len(self.counts), self._num_labels))
        return ((start, min(start + chunk, tables)) for start in range(0, tables, chunk))


def _joined(parts: Iterator[dict[str, Floats]]) -> dict[str, Floats]:
    found = list(parts)
    return {name: np.concatenate([part[name] for part in found]) for name in found[0]}


def count_intervals(gold: Ids, predicted: Ids, num_labels: int, level: float, seed: int) -> Bounds:
    """Ends of the BCa interval of each figure that follows from counts (Efron, J. Am. Stat. Assoc. 82, 1987).

    Args:
        gold: ids of shape `(n,)`.
        predicted: ids of the same shape.
        num_labels: how many labels there are.
        level: of confidence, such as 0.95.
        seed: of the resampling.
    """
    rows = CountedRows(gold, predicted, num_labels)
    values = {name: float(value[0]) for name, value in rows.scores(rows.counts[None]).items()}
    if len(gold) == 1:
        return {name: (value, value) for name, value in values.items()}
    left_out = rows.without_one_row()
    return {
        name: bca(values[name], draws, left_out[name], rows.counts, level) for name, draws in rows.draws(seed).items()
    }


def bca(value: float, draws: Floats, left_out: Floats, weights: Counts, level: float) -> tuple[float, float]:
    """Quantiles of resampled values at levels that correct for their bias and for a spread that grows with the value.

    Args:
        value: of the rows as they are.
        draws: values of resamples, of shape `(resamples,)`.
        left_out: values without one row, of shape `(kinds,)`.
        weights: how many rows are of each kind.
        level: of confidence.
    """
    from scipy.special import ndtr, ndtri  # noqa: PLC0415  (takes a while; comes with scikit-learn)

    below = float(((draws < value) + 0.5 * (draws == value)).mean())
    bias = float(ndtri(np.clip(below, 1 / len(draws), 1 - 1 / len(draws))))
    influence = np.average(left_out, weights=weights) - left_out
    spread = float((weights * influence**2).sum()) ** 1.5
    acceleration = float((weights * influence**3).sum()) / (6 * spread) if spread > 0 else 0.0
    ends = bias + ndtri([(1 - level) / 2, (1 + level) / 2])
    low, high = np.quantile(draws, ndtr(bias + ends / (1 - acceleration * ends)))
    return min(value, float(low)), max(value, float(high))
