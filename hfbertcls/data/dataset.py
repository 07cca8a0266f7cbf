"""Labelled text as a data set: splits, labels, origin, and the rows that were left out."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hfbertcls.data.on_disk import TableWriter, in_parts
from hfbertcls.data.readers.layout import Quoting
from hfbertcls.data.texts import TEXT_FIELDS, Text, texts_of
from hfbertcls.tasks.cells import count_names, names_in
from hfbertcls.tasks.task import Task


SPLIT_NAMES = ("train", "validation", "test")
SPLIT_STEMS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
"""The split that a file, a folder or a part of a data set belongs to, by its name."""


def _is_integer(name: str) -> bool:
    digits = name.removeprefix("-")
    return digits.isascii() and digits.isdigit()


def order_labels(names: Iterable[str]) -> tuple[str, ...]:
    """Order label names without regard to the order of rows: by number if all are integers, else as strings."""
    distinct = set(names)
    if all(_is_integer(name) for name in distinct):
        return tuple(sorted(distinct, key=lambda name: (int(name), name)))
    return tuple(sorted(distinct))


@dataclass(frozen=True)
class TextSplit:
    """One split of a data set.

    `table` has the columns `row` (int64: 0-based position in the split as it stood in the source, dropped rows
    counted), `text` (string), `text_pair` (string, only for pairs), `label` (string, list of strings or float64, by
    task), and under their own names the further columns that were asked for.
    """

    name: str
    table: pa.Table
    rows_read: int
    dropped: Mapping[str, int] = field(default_factory=dict)
    """How many rows were left out, by reason: `empty_text`, `missing_label`."""
    sha256: str | None = None
    """Of the source file's bytes, or of the canonical Parquet form of a split that came from the Hub."""
    first_dropped: Mapping[str, str] = field(default_factory=dict)
    """The place of the first row that was left out, by reason: `"reviews.csv, line 12"`."""
    rows_sha256: str | None = None
    """Of the rows, texts and labels as they were read, independent of the file format."""
    place_of: Callable[[int], str] | None = field(default=None, compare=False, repr=False)
    """Describes the place of a row in the source; None where a row has only its number."""
    codes: dict[tuple[str, ...], npt.NDArray[np.int64]] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )
    """The cache of `duplicates.row_codes`, by columns: texts are hashed once."""

    def __repr__(self) -> str:
        left_out = sum(self.dropped.values())
        return (
            f"{type(self).__name__}({self.name!r}, {len(self):,} rows{f', {left_out:,} left out' if left_out else ''})"
        )

    def place(self, row: int) -> str:
        """Where a row (its position in the source) stands, in words: `"reviews.csv, line 12"`."""
        return f"row {row:,} of {self.name} (counted from 0)" if self.place_of is None else self.place_of(row)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def rows(self) -> npt.NDArray[np.int64]:
        """Positions in the source, of shape `(len(self),)`."""
        rows: npt.NDArray[np.int64] = self.table.column("row").to_numpy().astype(np.int64)
        return rows

    @property
    def text_fields(self) -> list[str]:
        """The columns of `table` with the texts: `text`, and `text_pair` for pairs."""
        return [name for name in TEXT_FIELDS if name in self.table.column_names]

    @property
    def texts(self) -> list[Text]:
        """The texts, unchanged: strings, or a `TextPair` for each row."""
        return texts_of([self.table.column(name).to_pylist() for name in self.text_fields])

    @property
    def labels(self) -> list[Any]:
        """The label of each row, in the form that the task calls for: a name, a list of names, or a number."""
        labels: list[Any] = self.table.column("label").to_pylist()
        return labels

    @property
    def present_labels(self) -> set[str]:
        """The names of the labels that occur; not for numbers."""
        return set(pc.unique(names_in(self.label_cells)).to_pylist())

    @property
    def label_cells(self) -> pa.ChunkedArray:
        """The cells of the labels."""
        return self.table.column("label")

    def label_counts(self, labels: Iterable[str]) -> dict[str, int]:
        """How many rows have each of the labels, labels without a row included."""
        return count_names(self.label_cells, labels)

    def values(self, column: str) -> tuple[str, ...]:
        """A further column as texts; what is missing or blank reads `(none)`."""
        values = ("" if value is None else str(value).strip() for value in self.table.column(column).to_pylist())
        return tuple(value or "(none)" for value in values)

    def first_row_of(self, label: str) -> int:
        """The position in the source of the first row that has a label; the label must occur."""
        values: list[str | list[str]] = self.table.column("label").to_pylist()
        has_it = (label == value or (isinstance(value, list) and label in value) for value in values)
        return int(self.rows[next(position for position, is_so in enumerate(has_it) if is_so)])

    def take(
        self, name: str, positions: npt.NDArray[np.int64], dropped: Mapping[str, int] | None = None
    ) -> "TextSplit":
        """A split of the rows at `positions`; `dropped` counts the left-out rows that belong to it."""
        own = dropped or {}
        places = self.first_dropped if own else {}
        rows_read = len(positions) + sum(own.values())
        table = _taken(self.table, positions)
        taken = replace(self, name=name, table=table, rows_read=rows_read, dropped=own, first_dropped=places)
        taken.codes.update((columns, codes[positions]) for columns, codes in self.codes.items())
        return taken


def _taken(table: pa.Table, positions: npt.NDArray[np.int64]) -> pa.Table:
    """The rows at the positions. Ascending ones are taken in parts, so that a large table stays on the disk."""
    if (np.diff(positions) <= 0).any():
        return table.take(pa.array(positions))
    written = TableWriter(table.schema)
    begin = 0
    for part in in_parts(table):
        first, last = np.searchsorted(positions, [begin, begin + len(part)])
        written.write(part.take(pa.array(positions[first:last] - begin)))
        begin += len(part)
    return written.table()


@dataclass(frozen=True)
class TextDataset:
    """Labelled text, ready to be tokenized: what was read, from where, and what was left out.

    ```python
    >>> data = load_text_dataset("reviews.csv")
    >>> len(data.splits["train"]), data.task.labels
    (..., ('negative', 'positive'))
    ```
    """

    splits: Mapping[str, TextSplit]
    task: Task | None
    """What an answer is; None for numbers that no task predicts."""
    source: str
    """A Hub id, or the base name of a local file or folder (never a path)."""
    text_column: str
    label_column: str
    labels_are_declared: bool = False
    """Whether the order of the labels was declared, by the data set or by the user, and not derived from the rows."""
    text_pair_column: str | None = None
    label_separator: str | None = None
    """The separator between the labels of a cell, where a cell names more than one."""
    quoting: Quoting = "auto"
    """How quotation marks in delimited files are read."""
    header: bool = True
    """Whether the first line of delimited files names the columns."""
    label_columns: tuple[str, ...] = ()
    """The indicator columns, 0 or 1 for each label; empty where one column holds the labels."""
    config: str | None = None
    revision: str | None = None
    split_method: str = "as in the source"
    """How the splits came about, in words for the log and the card."""
    split_seed: int | None = None
    """The seed of the splits that were held out of train; None if there are none."""
    split_by: str | None = None
    """The column whose values stay in one split when rows are held out."""
    notes: tuple[str, ...] = ()
    """Facts about reading that the user should know: a guessed encoding, an unusual separator, ..."""
    is_from_hub: bool = False
    slice_column: str | None = None
    """The column whose values are the slices of the metrics."""
    whole: "TextDataset | None" = field(default=None, compare=False, repr=False)
    """The data set as it was read, if splits were held out of it."""
    cut_splits: Mapping[str, TextSplit] | None = field(default=None, compare=False, repr=False)
    """The splits made from `whole`; other `splits` are unrelated to it."""
    is_one_table: bool = False
    """Whether the source has no splits of its own."""

    @property
    def text_columns(self) -> tuple[str, ...]:
        """The columns of the source with the texts: one, or two for pairs."""
        return (self.text_column,) if self.text_pair_column is None else (self.text_column, self.text_pair_column)

    @property
    def noun(self) -> str:
        """What a row holds, for messages: a `text`, or a `pair`."""
        return "text" if self.text_pair_column is None else "pair"

    @property
    def answer_noun(self) -> str:
        """What a row is given, for messages: a `label`, or a `number`."""
        return "label" if self.task is None or self.task.has_labels else "number"

    def __repr__(self) -> str:
        kind = "numbers" if self.task is None else self.task.in_brief
        rows = ", ".join(f"{name} {len(split):,}" for name, split in self.splits.items())
        return f"{type(self).__name__}({self.source!r}, {kind}; rows: {rows})"
