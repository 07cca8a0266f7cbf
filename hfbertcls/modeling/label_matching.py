"""A base that is already a classifier: which rows of its head are kept, by label name."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hfbertcls.errors import listing


@dataclass(frozen=True)
class HeadMatch:
    """Which rows of a trained head serve which labels.

    Args:
        earlier: the labels of the head, in the order of its rows.
        labels: the labels of the new task, in the order of their ids.
        rows: for each label of the new task the row of the head that it keeps; None where it is newly initialized.
    """

    earlier: tuple[str, ...]
    labels: tuple[str, ...]
    rows: tuple[int | None, ...]

    @classmethod
    def of(cls, earlier: Sequence[str], labels: Sequence[str]) -> "HeadMatch":
        """Match by name, exactly or else without case; generic names (`LABEL_0`, ...) by position.

        Names that differ only in case must match exactly; otherwise the label is newly initialized. Positions count
        only if there are as many labels as rows.
        """
        times, folded = Counter(earlier), Counter(name.casefold() for name in earlier)
        folded_labels = Counter(name.casefold() for name in labels)
        exactly = {name: row for row, name in enumerate(earlier) if times[name] == 1}
        alike = {
            name.casefold(): row
            for row, name in enumerate(earlier)
            if folded[name.casefold()] == folded_labels[name.casefold()] == 1
        }
        rows = tuple(exactly.get(label, alike.get(label.casefold())) for label in labels)
        if all(row is None for row in rows) and _is_nameless(earlier) and len(earlier) == len(labels):
            rows = tuple(range(len(labels)))
        return cls(tuple(earlier), tuple(labels), rows)

    @property
    def keeps_all(self) -> bool:
        """Whether the head serves as it is."""
        return self.rows == tuple(range(len(self.earlier)))

    @property
    def keeps_none(self) -> bool:
        """Whether every row is newly initialized."""
        return all(row is None for row in self.rows)

    def note(self, name: str) -> str:
        """What becomes of the head, for a person.

        Args:
            name: of the base.
        """
        head, labels = f"the trained head of {name}", listing(self.labels, 4)
        kept = [label for label, row in zip(self.labels, self.rows, strict=True) if row is not None]
        new = [label for label, row in zip(self.labels, self.rows, strict=True) if row is None]
        if self.earlier == self.labels:
            return f"{head} is kept: it has the same labels"
        if not kept:
            if _is_nameless(self.earlier):
                rows = len(self.earlier)
                return f"{head} has no label names, and rows for {rows} instead of {len(self.labels)} labels: it is replaced"
            return f"{head} is replaced: it knows {listing(self.earlier, 4)}, and none of {labels}{self._doubts()}"
        if _is_nameless(self.earlier) and kept[0] not in self.earlier and self.keeps_all:
            return f"{head} does not name its labels: its rows are taken in their order, as {labels}"
        gone = [label for row, label in enumerate(self.earlier) if row not in self.rows]
        parts = [f"{listing(kept, 4)} kept"]
        parts += [f"{listing(new, 4)} new"] if new else []
        parts += [f"{listing(gone, 4)} left out"] if gone else []
        return f"{head} is matched with the labels by name: {'; '.join(parts)}{self._doubts()}"

    def _doubts(self) -> str:
        """The labels that are newly initialized because names differ only in case."""
        earlier_names = {name.casefold() for name in self.earlier}
        unclear = [
            label
            for label, row in zip(self.labels, self.rows, strict=True)
            if row is None and label.casefold() in earlier_names
        ]
        return f". Some names differ only in case, so {listing(unclear, 4)} cannot be matched" if unclear else ""


def nameless(count: int) -> tuple[str, ...]:
    """The names that transformers gives to labels of which it knows none."""
    return tuple(f"LABEL_{index}" for index in range(count))


def take_names(config: Any, dataset: Any) -> tuple[str, ...]:
    """Give a configuration that has no label names those that a data set declares for its labels (`ClassLabel`).

    Args:
        config: of the model; it is changed.
        dataset: of the datasets library, with a column `labels` or `label`; any other one declares nothing.

    Returns:
        The names that were taken; empty if none were.
    """
    features = getattr(dataset, "features", None) or {}
    names = tuple(getattr(features.get("labels", features.get("label")), "names", ()))
    if len(names) != config.num_labels or not _is_nameless(list(config.id2label.values())):
        return ()
    config.id2label = dict(enumerate(names))
    config.label2id = {name: index for index, name in enumerate(names)}
    return names


def _is_nameless(names: Sequence[str]) -> bool:
    return tuple(names) == nameless(len(names))
