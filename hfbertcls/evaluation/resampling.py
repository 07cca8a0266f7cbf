"""Bootstrap over rows of the figures that follow from a table of counts: a resample of the rows is a draw of the table."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hfbertcls.evaluation.scores import Floats, Ids, is_right, scores_of_counts, scores_of_label_sets


NUM_RESAMPLES = 2_000
_CELLS_PER_CHUNK = 2_000_000  # counts held at a time: keeps memory flat
Counts = npt.NDArray[np.int64]
Bounds = dict[str, tuple[float, float]]


@dataclass(frozen=True)
class CountedRows:
    """Rows of a split counted by gold and predicted label (and by what else they are told apart).

    Args:
        counts: rows of each kind, of shape `(kinds,)`.
        gold: the gold label of each kind, of the same shape.
        predicted: its predicted label, of the same shape.
        num_labels: how many labels there are.
    """

    counts: Counts
    gold: Ids
    predicted: Ids
    num_labels: int

    @classmethod
    def of(cls, gold: Ids, predicted: Ids, num_labels: int) -> "CountedRows":
        """Count rows with the given ids, both of shape `(n,)`."""
        pairs, counts = np.unique(gold * num_labels + predicted, return_counts=True)
        return cls(counts.astype(np.int64), pairs // num_labels, pairs % num_labels, num_labels)

    def scores(self, tables: Counts) -> dict[str, Floats]:
        """Accuracy, F1 averages and correlation of tables of shape `(tables, kinds)`."""
        return scores_of_counts(*self._sums(tables))

    def f1_by_label(self, tables: Counts) -> Floats:
        """F1 of each label, of shape `(tables, num_labels)`; NaN where a label does not occur."""
        return _f1_by_label(*self._sums(tables))

    def _sums(self, tables: Counts) -> tuple[Counts, Counts, Counts]:
        right = self.gold == self.predicted
        hits = self._by_label(tables[:, right], self.gold[right])
        return hits, self._by_label(tables, self.gold), self._by_label(tables, self.predicted)

    def _by_label(self, tables: Counts, labels: Ids) -> Counts:
        """Sums of the kinds of each label, of shape `(tables, num_labels)`."""
        sums = np.zeros((len(tables), self.num_labels), dtype=np.int64)
        if len(labels):
            order = np.argsort(labels, kind="stable")
            present, starts = np.unique(labels[order], return_index=True)
            sums[:, present] = np.add.reduceat(tables[:, order], starts, axis=1)
        return sums


@dataclass(frozen=True)
class CountedLabelSets:
    """The same of rows that can have several labels: counted by the labels that they have and that they are given.

    Args:
        counts: rows of each kind, of shape `(kinds,)`.
        gold: 1 for each label that a kind has, of shape `(kinds, num_labels)`.
        predicted: 1 for each label that it is given, of the same shape.
    """

    counts: Counts
    gold: Ids
    predicted: Ids

    @classmethod
    def of(cls, gold: Ids, predicted: Ids) -> "CountedLabelSets":
        """Count rows with the given labels, both of shape `(n, num_labels)`."""
        counts, kinds = count_kinds(gold, predicted)
        return cls(counts, *kinds)

    def scores(self, tables: Counts) -> dict[str, Floats]:
        """Accuracy, F1 averages and Hamming loss of tables of shape `(tables, kinds)`."""
        drawn = tables.astype(np.float64)
        return scores_of_label_sets(
            drawn[:, is_right(self.gold, self.predicted)].sum(axis=1), *self._sums(drawn), drawn.sum(axis=1)
        )

    def f1_by_label(self, tables: Counts) -> Floats:
        """F1 of each label, of shape `(tables, num_labels)`; NaN where a label does not occur."""
        return _f1_by_label(*self._sums(tables.astype(np.float64)))

    def _sums(self, drawn: Floats) -> tuple[Floats, Floats, Floats]:
        hits, gold, predicted = (
            drawn @ one.astype(np.float64) for one in (self.gold * self.predicted, self.gold, self.predicted)
        )
        return hits, gold, predicted


def _f1_by_label(hits: Counts | Floats, gold: Counts | Floats, predicted: Counts | Floats) -> Floats:
    occurs = gold + predicted
    f1: Floats = np.divide(2.0 * hits, occurs, out=np.full(hits.shape, np.nan), where=occurs > 0)
    return f1


def count_kinds(*answers: Ids) -> tuple[Counts, list[Ids]]:
    """Count rows that have the same labels in every one of several arrays.

    Args:
        answers: each 1 for each label of a row, of shape `(n, num_labels)`.

    Returns:
        Rows of each kind, of shape `(kinds,)`, and the labels of each kind, one array of shape `(kinds, num_labels)` for each
        that was given.
    """
    beside = np.concatenate(answers, axis=1).astype(np.int8)
    _, first, counts = np.unique(np.packbits(beside, axis=1), axis=0, return_index=True, return_counts=True)
    return counts.astype(np.int64), [one[first].astype(np.int64) for one in answers]


def count_rows(gold: Ids, predicted: Ids, num_labels: int) -> CountedRows | CountedLabelSets:
    """Count rows by what they have and are given, whichever form that has."""
    if gold.ndim == 2:
        return CountedLabelSets.of(gold, predicted)
    return CountedRows.of(gold, predicted, num_labels)


def resampled_tables(counts: Counts, width: int, seed: int) -> Iterator[Counts]:
    """Yield tables of shape `(some, kinds)` of resamples of the rows, NUM_RESAMPLES in all.

    Args:
        counts: rows of each kind, of shape `(kinds,)`.
        width: values that are computed of each table, so that few tables are held at a time where it is large.
        seed: of the drawing.
    """
    generator = np.random.default_rng(seed)
    num_rows = counts.sum()
    for start, stop in _chunks(NUM_RESAMPLES, max(width, len(counts))):
        yield generator.multinomial(num_rows, counts / num_rows, size=stop - start)


def tables_without_one_row(counts: Counts, width: int) -> Iterator[Counts]:
    """Yield tables of shape `(some, kinds)` that lack one row of each kind in turn."""
    for start, stop in _chunks(len(counts), max(width, len(counts))):
        tables: Counts = np.tile(counts, (stop - start, 1))
        tables[np.arange(stop - start), np.arange(start, stop)] -= 1
        yield tables


def _chunks(tables: int, width: int) -> Iterator[tuple[int, int]]:
    chunk = max(1, _CELLS_PER_CHUNK // width)
    return ((start, min(start + chunk, tables)) for start in range(0, tables, chunk))


def joined(parts: Iterable[dict[str, Floats]]) -> dict[str, Floats]:
    """Figures of several batches of tables, one after the other."""
    found = list(parts)
    return {name: np.concatenate([part[name] for part in found]) for name in found[0]}


def count_intervals(gold: Ids, predicted: Ids, num_labels: int, level: float, seed: int) -> Bounds:
    """Ends of the BCa interval of each figure that follows from counts (Efron, J. Am. Stat. Assoc. 82, 1987).

    Args:
        gold: ids of shape `(n,)`, or the labels of each row, of shape `(n, num_labels)`.
        predicted: the same of what was predicted.
        num_labels: how many labels there are.
        level: of confidence, such as 0.95.
        seed: of the resampling.
    """
    rows = count_rows(gold, predicted, num_labels)
    values = {name: float(value[0]) for name, value in rows.scores(rows.counts[None]).items()}
    if len(gold) == 1:
        return {name: (value, value) for name, value in values.items()}
    draws = joined(map(rows.scores, resampled_tables(rows.counts, num_labels, seed)))
    left_out = joined(map(rows.scores, tables_without_one_row(rows.counts, num_labels)))
    return {name: bca(value, draws[name], left_out[name], rows.counts, level) for name, value in values.items()}


def bca(value: float, draws: Floats, left_out: Floats, weights: Counts, level: float) -> tuple[float, float]:
    """Quantiles of resampled values at levels that correct for their bias and for a spread that grows with the value.

    Args:
        value: of the rows as they are.
        draws: values of resamples, of shape `(resamples,)`.
        left_out: values without one row, of shape `(kinds,)`.
        weights: how many rows are of each kind.
        level: of confidence.
    """
    from scipy.special import ndtr, ndtri  # noqa: PLC0415  (takes a while)

    below = float(((draws < value) + 0.5 * (draws == value)).mean())
    bias = float(ndtri(np.clip(below, 1 / len(draws), 1 - 1 / len(draws))))
    influence = np.average(left_out, weights=weights) - left_out
    spread = float((weights * influence**2).sum()) ** 1.5
    acceleration = float((weights * influence**3).sum()) / (6 * spread) if spread > 0 else 0.0
    ends = bias + ndtri([(1 - level) / 2, (1 + level) / 2])
    low, high = np.quantile(draws, ndtr(bias + ends / (1 - acceleration * ends)))
    return min(value, float(low)), max(value, float(high))
