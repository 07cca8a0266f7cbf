"""The column `label` of a split: one name a row, or a list of names."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hfbertcls.errors import DatasetError, did_you_mean, listing


_MANY_VALUES = 20
Column: TypeAlias = pa.ChunkedArray | pa.Array


def holds_lists(column: Column) -> bool:
    """Whether a row of the column holds a list."""
    kind = column.type
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def are_numbers(column: Column) -> bool:
    """Whether every cell of the column is a number, written as text or not."""
    if holds_lists(column):
        return False
    if pa.types.is_floating(column.type):
        return True
    try:
        column.cast(pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


def are_quantities(columns: Sequence[Column]) -> bool:
    """Whether columns hold many different numbers, some with decimals: a quantity, not a set of classes."""
    filled = [column for column in columns if len(column)]
    if not filled or not all(are_numbers(column) for column in filled):
        return False
    values = {value for column in filled for value in pc.unique(column.cast(pa.float64())).to_pylist()}
    return len(values) > _MANY_VALUES and any(not float(value).is_integer() for value in values)


def names_in(column: Column) -> Column:
    """All names of a column, those of lists one after the other."""
    return pc.list_flatten(column) if holds_lists(column) else column


def positions_without_names(column: Column) -> npt.NDArray[np.int64]:
    """The rows whose list of names is empty, of shape `(rows,)`."""
    if not holds_lists(column):
        return np.zeros(0, dtype=np.int64)
    return np.flatnonzero(pc.equal(pc.list_value_length(column), 0).to_numpy())


def count_names(column: Column, names: Iterable[str]) -> dict[str, int]:
    """How many rows have each of the names, names without a row included."""
    counts = {entry["values"]: entry["counts"] for entry in pc.value_counts(names_in(column)).to_pylist()}
    return {name: int(counts.get(name, 0)) for name in names}


def ids_of(names: Sequence[str], labels: Sequence[str]) -> npt.NDArray[np.int64]:
    """The positions of names among the labels, of shape `(len(names),)`.

    Raises:
        DatasetError: if a name is no label.
    """
    ids: Mapping[str, int] = {label: index for index, label in enumerate(labels)}
    try:
        return np.fromiter((ids[name] for name in names), dtype=np.int64, count=len(names))
    except KeyError as err:
        unknown = err.args[0]
        raise DatasetError(
            f"the label {unknown!r} is not one of the known labels{did_you_mean(unknown, ids)}: {listing(ids)}"
        ) from err
