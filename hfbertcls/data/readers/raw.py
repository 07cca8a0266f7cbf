"""A table of labelled text, as in its source."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa


@dataclass(frozen=True)
class RawTable:
    """A table as in its source, without conversions."""

    table: pa.Table
    name: str
    """Base name of the file, or the name of the split of a Hub data set."""
    sha256: str
    lines: Sequence[int] | None = None
    """For text formats: the line (1-based) on which each row begins."""
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Column -> the label names that the source itself declares, in the order of their ids (`ClassLabel`)."""
    notes: tuple[str, ...] = ()
    has_header: bool = False
    """Whether the names of the columns were read from the first line of a text file."""
    files: Sequence[str] | None = None
    """Where each row is a file of its own: their names."""
    shards: Sequence[tuple[int, "RawTable"]] = ()
    """Where rows come from shards: the first row of each, and its table."""

    def place(self, row: int) -> str:
        """Where a row (0-based) stands, in words: `"reviews.csv, line 12"`."""
        if self.files is not None:
            return self.files[row]
        if self.shards:
            first, shard = next(part for part in reversed(self.shards) if part[0] <= row)
            return shard.place(row - first)
        return (
            f"{self.name}, line {self.lines[row]:,}"
            if self.lines is not None
            else f"{self.name}, row {row:,} (counted from 0)"
        )

    def without_rows(self) -> "RawTable":
        """What `place` needs, and no more."""
        return replace(self, table=self.table.schema.empty_table())
