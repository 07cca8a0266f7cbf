"""Rows counted by their labels: a resample of the rows is a draw of the counts."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from hfbertcls.tasks.probabilities import Answers, Floats


Counts = npt.NDArray[np.int64]
Sums = npt.NDArray[np.int64] | Floats


class Counted(Protocol):
    """Rows of a split, counted by kind, so that a resample of the rows is a draw of the counts."""

    @property
    def counts(self) -> Counts:
        """Rows of each kind, of shape `(kinds,)`."""

    def metrics_of(self, tables: Counts) -> dict[str, Floats]:
        """The metrics of tables of counts of shape `(tables, kinds)`, each of shape `(tables,)`.

        They are those of `Task.answer_metrics` whose interval is a bootstrap.
        """

    def f1_by_label(self, tables: Counts) -> Floats:
        """F1 of each label, of shape `(tables, num_labels)`; NaN where a label does not occur."""


@dataclass(frozen=True)
class CountedRows:
    """Rows of a single-label task, counted by gold and predicted label, and by further predictions.

    Args:
        counts: rows of each kind, of shape `(kinds,)`.
        gold: the gold label of each kind, of the same shape.
        predicted: its predicted label, of the same shape.
        num_labels: how many labels there are.
    """

    counts: Counts
    gold: Answers
    predicted: Answers
    num_labels: int

    def metrics_of(self, tables: Counts) -> dict[str, Floats]:
        """Accuracy, F1 averages and correlation of tables of shape `(tables, kinds)`.

        They equal those of scikit-learn. Matthews correlation of more than two classes: Gorodkin, Comput. Biol. Chem.
        28 (2004) 367-374.
        """
        hits, gold, predicted = (sums.astype(np.float64) for sums in self._sums(tables))
        total = gold.sum(axis=1)
        occurs = gold + predicted
        f1 = np.divide(2 * hits, occurs, out=np.zeros_like(hits), where=occurs > 0)
        correct = hits.sum(axis=1)
        covariance = correct * total - (gold * predicted).sum(axis=1)
        spread = np.sqrt((total**2 - (gold**2).sum(axis=1)) * (total**2 - (predicted**2).sum(axis=1)))
        return {
            "accuracy": correct / total,
            "f1_macro": f1.sum(axis=1) / (occurs > 0).sum(axis=1),
            "f1_weighted": (f1 * gold).sum(axis=1) / total,
            "mcc": np.divide(covariance, spread, out=np.zeros_like(covariance), where=spread > 0),
        }

    def f1_by_label(self, tables: Counts) -> Floats:
        """F1 of each label, of shape `(tables, num_labels)`; NaN where a label does not occur."""
        return _f1_by_label(*self._sums(tables))

    def _sums(self, tables: Counts) -> tuple[Counts, Counts, Counts]:
        """Right rows, gold rows and predictions of each label, each of shape `(tables, num_labels)`."""
        right = self.gold == self.predicted
        hits = self._by_label(tables[:, right], self.gold[right])
        return hits, self._by_label(tables, self.gold), self._by_label(tables, self.predicted)

    def _by_label(self, tables: Counts, labels: Answers) -> Counts:
        """Sums of the kinds of each label, of shape `(tables, num_labels)`."""
        sums = np.zeros((len(tables), self.num_labels), dtype=np.int64)
        if len(labels):
            order = np.argsort(labels, kind="stable")
            present, starts = np.unique(labels[order], return_index=True)
            sums[:, present] = np.add.reduceat(tables[:, order], starts, axis=1)
        return sums


def count_rows(num_labels: int, gold: Answers, *predicted: Answers) -> list[CountedRows]:
    """Count rows by gold and all predicted labels, ids of shape `(n,)`."""
    code = gold.astype(np.int64)
    for answers in predicted:
        code = code * num_labels + answers
    kinds, counts = np.unique(code, return_counts=True)
    columns: list[Answers] = []
    for _ in predicted:
        columns.insert(0, kinds % num_labels)
        kinds = kinds // num_labels
    return [CountedRows(counts.astype(np.int64), kinds, column, num_labels) for column in columns]


@dataclass(frozen=True)
class CountedLabelSets:
    """Rows of a multi-label task, counted by gold and predicted labels.

    Args:
        counts: rows of each kind, of shape `(kinds,)`.
        gold: 1 for each label that a kind has, of shape `(kinds, num_labels)`.
        predicted: 1 for each label that is predicted, of the same shape.
    """

    counts: Counts
    gold: Answers
    predicted: Answers

    def metrics_of(self, tables: Counts) -> dict[str, Floats]:
        """Subset accuracy, F1 averages and Hamming loss of tables of shape `(tables, kinds)`."""
        drawn = tables.astype(np.float64)
        exact = drawn[:, np.equal(self.gold, self.predicted).all(axis=1)].sum(axis=1)
        rows = drawn.sum(axis=1)
        hits, gold, predicted = self._sums(drawn)
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

    def f1_by_label(self, tables: Counts) -> Floats:
        """F1 of each label, of shape `(tables, num_labels)`; NaN where a label does not occur."""
        return _f1_by_label(*self._sums(tables.astype(np.float64)))

    def _sums(self, drawn: Floats) -> tuple[Floats, Floats, Floats]:
        hits, gold, predicted = (
            drawn @ one.astype(np.float64) for one in (self.gold * self.predicted, self.gold, self.predicted)
        )
        return hits, gold, predicted


def count_label_sets(gold: Answers, *predicted: Answers) -> list[CountedLabelSets]:
    """Count rows by gold and all predicted labels, each 1 for each label of a row, of shape `(n, num_labels)`."""
    beside = np.concatenate([gold, *predicted], axis=1).astype(np.int8)
    _, first, counts = np.unique(np.packbits(beside, axis=1), axis=0, return_index=True, return_counts=True)
    kinds, rows = gold[first].astype(np.int64), counts.astype(np.int64)
    return [CountedLabelSets(rows, kinds, answers[first].astype(np.int64)) for answers in predicted]


def _f1_by_label(hits: Sums, gold: Sums, predicted: Sums) -> Floats:
    occurs = gold + predicted
    f1: Floats = np.divide(2.0 * hits, occurs, out=np.full(hits.shape, np.nan), where=occurs > 0)
    return f1
