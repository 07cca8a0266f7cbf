"""Indicator columns (0 or 1 for each label) as one column of label names."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hfbertcls.data.readers.raw import RawTable
from hfbertcls.errors import ConfigurationError, DatasetError, did_you_mean, listing, shorten


Key = TypeVar("Key")
_VALUES = {"0": 0, "0.0": 0, "false": 0, "1": 1, "1.0": 1, "true": 1, "": -1}
_BLANK = -1


def name_of(columns: Sequence[str]) -> str:
    """The name of the column that `with_joined_labels` adds."""
    return " + ".join(columns)


def with_joined_labels(
    tables: Mapping[Key, RawTable], columns: Sequence[str], *, lists: bool | None
) -> tuple[dict[Key, RawTable], str]:
    """Add a column of the labels with a 1 to each table: lists of names, or one name if every row has exactly one.

    Args:
        tables: all tables of a data set.
        columns: one for each label; each holds 0 or 1.
        lists: whether the labels are lists even if every row has exactly one; None lets the rows decide.

    Returns:
        The tables, and a note.

    Raises:
        ConfigurationError: if a column does not exist.
        DatasetError: if a cell is neither 0 nor 1; the message names the row.
    """
    values_of = {key: _values(raw, columns) for key, raw in tables.items()}
    one_each = all((values.sum(axis=1) == 1)[(values != _BLANK).all(axis=1)].all() for values in values_of.values())
    lists = not one_each if lists is None else lists
    joined = {}
    for key, raw in tables.items():
        cells: Iterable[list[str] | None] = (
            None if row[0] == _BLANK else list(itertools.compress(columns, row)) for row in values_of[key].tolist()
        )
        if lists:
            column = pa.array(list(cells), pa.list_(pa.string()))
        else:
            column = pa.array([cell and cell[0] for cell in cells], pa.string())
        joined[key] = replace(raw, table=raw.table.append_column(name_of(columns), pa.chunked_array([column])))
    note = f"{len(columns)} columns of 0 and 1 are read as {'multi-label' if lists else 'single-label'}"
    return joined, note if lists else f"{note}, because every row has exactly one 1"


def _values(raw: RawTable, columns: Sequence[str]) -> npt.NDArray[np.int8]:
    """0, 1 or -1 (a row without labels), of shape `(rows, len(columns))`."""
    names = raw.table.column_names
    values = np.empty((raw.table.num_rows, len(columns)), dtype=np.int8)
    for index, column in enumerate(columns):
        if column not in names:
            raise ConfigurationError(
                f"{raw.name} has no column {column!r}{did_you_mean(column, names)}, which --label-column names. "
                f"Its columns are {listing(names)}"
            )
        cells = raw.table.column(column)
        codes = _code_of(cells)
        for cell in pc.unique(cells).to_pylist():
            if cell not in codes:
                raise DatasetError(
                    f"{raw.place(pc.index(cells, pa.scalar(cell, cells.type)).as_py())}: {column!r} holds {shorten(str(cell), 40)}, but "
                    "more than one column was named as a label, and each of them must hold 0 or 1. Correct --label-column or the row"
                )
        values[:, index] = [codes[cell] for cell in cells.to_pylist()]
    partly = np.flatnonzero((values == _BLANK).any(axis=1) & (values != _BLANK).any(axis=1))
    if len(partly):
        column = columns[int((values[partly[0]] == _BLANK).argmax())]
        raise DatasetError(
            f"{raw.place(int(partly[0]))}: {column!r} is blank, but other labels of the row are not. Give it a 0 or 1, or leave "
            "all of them blank"
        )
    return values


def _code_of(cells: pa.ChunkedArray) -> dict[object, int]:
    """The code of each distinct cell that has one."""
    codes: dict[object, int] = {}
    for cell in pc.unique(cells).to_pylist() if not pa.types.is_nested(cells.type) else []:
        text = "" if cell is None or cell != cell else str(cell).strip().lower()
        if text in _VALUES:
            codes[cell] = _VALUES[text]
    return codes


def indicator_columns(table: pa.Table, other_than: str | None) -> list[str]:
    """The columns that hold nothing but 0 and 1, if there are at least two."""
    indicators = []
    for column in table.column_names:
        cells = table.column(column)
        if column != other_than and not pa.types.is_nested(cells.type) and not pa.types.is_null(cells.type):
            distinct = pc.unique(cells.slice(0, 1_000)).to_pylist()
            codes = _code_of(cells) if len(distinct) <= len(_VALUES) else {}
            if len(codes) == len(pc.unique(cells)) and {0, 1} >= set(codes.values()) != {0}:
                indicators.append(column)
    return indicators if len(indicators) > 1 else []
