"""The label column of a table, as names of labels, lists of names, or numbers."""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hfbertcls.data.columns import Columns
from hfbertcls.data.readers.list_cells import is_string, lists_of
from hfbertcls.data.readers.raw import RawTable
from hfbertcls.errors import ConfigurationError, DatasetError, listing, shorten
from hfbertcls.tasks.cells import holds_lists


def read_labels(raw: RawTable, columns: Columns) -> pa.ChunkedArray:
    """The label column of a table: strings, lists of strings, or decimal numbers (float64).

    Raises:
        DatasetError: if it holds something else, or lists that cannot be used; the message names the line.
    """
    column, separator = columns.label, columns.label_separator
    labels = _label(raw, column, columns)
    if columns.number_task is not None:
        return _as_numbers(raw, columns, labels)
    if separator is None:
        return labels
    if not pa.types.is_string(labels.type):
        raise DatasetError(
            f"the column {column!r} of {raw.name} holds {'lists' if holds_lists(labels) else 'numbers'}, which "
            "--label-separator cannot separate. Leave it out"
        )
    # (a blank cell means "none of the labels")
    names = [None if cell is None else cell.split(separator) for cell in labels.to_pylist()]
    return _label_sets([None if cells is None else filter(None, map(str.strip, cells)) for cells in names])


def _label(raw: RawTable, column: str, columns: Columns) -> pa.ChunkedArray:
    values = raw.table.column(column)
    kind = values.type
    names = raw.class_names.get(column)
    if holds_lists(values):
        lists = values.to_pylist() if names is None else _class_lists(raw, column, names)
        return _sets(raw, column, lists, () if names is not None else columns.names)
    if is_string(kind):
        lists = None if columns.is_one_label else lists_of(raw, column)
        return values.cast(pa.string()) if lists is None else _sets(raw, column, lists, columns.names)
    if pa.types.is_integer(kind):
        if names is None:
            return values.cast(pa.string())
        return _class_names(raw, column, names)
    if pa.types.is_boolean(kind):
        return values.cast(pa.string())
    if pa.types.is_floating(kind):
        return _numbers(raw, column)
    if pa.types.is_null(kind):
        return values.cast(pa.string())
    raise DatasetError(
        f"the column {column!r} of {raw.name} holds {shorten(str(kind), 60)}, but labels (texts, numbers or lists of them) were "
        "expected. Name the column of the labels with --label-column"
    )


def _as_numbers(raw: RawTable, columns: Columns, labels: pa.ChunkedArray) -> pa.ChunkedArray:
    """Labels as numbers; a blank cell and NaN are missing ones.

    Raises:
        DatasetError: if a cell holds something else than a finite number.
    """
    column, task = columns.label, columns.number_task
    fault = f"--task {task} does not fit: the column {column!r}"
    if columns.label_separator is not None or columns.names:
        option = "--labels" if columns.names else "--label-separator"
        raise ConfigurationError(f"{option} has no meaning for --task {task}, which predicts numbers. Leave it out")
    if holds_lists(labels):
        raise DatasetError(f"{fault} of {raw.name} holds lists. Name a column of numbers with --label-column")
    if pa.types.is_floating(labels.type):
        return labels
    texts = pc.utf8_trim_whitespace(labels)
    numbers: list[float | None] = []
    for row, text in enumerate(texts.to_pylist()):
        try:
            number = float(pa.scalar(text or None, pa.string()).cast(pa.float64()).as_py() or 0.0) if text else None
        except pa.ArrowInvalid as err:
            raise DatasetError(
                f"{fault} does not hold numbers only: {shorten(text)} ({raw.place(row)}). Write each number with digits and "
                "a decimal point, leave missing ones blank, or name another column with --label-column"
            ) from err
        if number is not None and np.isinf(number):
            raise DatasetError(f"{raw.place(row)}: the label in {column!r} is infinite. Correct or remove the row")
        numbers.append(number)
    return pa.chunked_array([pa.array(numbers, pa.float64(), from_pandas=True)])


def _sets(raw: RawTable, column: str, lists: Sequence[list[Any] | None], declared: Sequence[str]) -> pa.ChunkedArray:
    """Lists of labels as lists of their names."""
    for row, entries in enumerate(lists):
        for value in entries or ():
            if value is None or value != value:  # (NaN)
                raise DatasetError(
                    f"{raw.place(row)}: the list of labels in {column!r} holds a null. Remove it from the list"
                )
            if isinstance(value, list | tuple | dict | set):
                raise DatasetError(
                    f"{raw.place(row)}: the column {column!r} holds lists in lists, but one list of labels for each row was "
                    "expected. Flatten it"
                )
            if not str(value).strip():
                raise DatasetError(
                    f"{raw.place(row)}: the list of labels in {column!r} holds a blank one. Name it, or remove it from the list"
                )
    names = _named(raw, column, lists, declared)
    return _label_sets([None if entries is None else map(_label_text, entries) for entries in names])


def _named(
    raw: RawTable, column: str, lists: Sequence[list[Any] | None], declared: Sequence[str]
) -> Sequence[list[Any] | None]:
    """The names of the labels with a 1, where lists are indicators of the declared labels; other lists unchanged.

    Raises:
        DatasetError: if there are such lists without names, or with another number of values than names.
    """
    values = {value for entries in lists for value in entries or ()}
    if not values or not values <= {0, 1} or not {"0", "1"}.isdisjoint(declared):
        return lists
    sizes = {len(entries) for entries in lists if entries is not None}
    if not declared:
        if len(sizes) == 1 and min(sizes) > 1 and len(values) == 2:
            raise DatasetError(
                f"the lists in {column!r} of {raw.name} look like one 0 or 1 for each of {min(sizes)} labels, but the names of a "
                "row's labels were expected. Name all labels in the order of the lists with --labels"
            )
        return lists
    for row, entries in enumerate(lists):
        if entries is not None and len(entries) != len(declared):
            raise DatasetError(
                f"{raw.place(row)}: the list in {column!r} has {len(entries)} values, but --labels names {len(declared)} labels "
                f"({listing(declared, 4)}). Give each label a 0 or 1 in each list"
            )
    return [None if entries is None else list(itertools.compress(declared, entries)) for entries in lists]


def _label_sets(lists: Sequence[Iterable[str] | None]) -> pa.ChunkedArray:
    """Lists of labels; one that a row names twice is named once."""
    return pa.chunked_array(
        [
            pa.array(
                [None if entries is None else list(dict.fromkeys(entries)) for entries in lists], pa.list_(pa.string())
            )
        ]
    )


def _label_text(value: object) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _class_names(raw: RawTable, column: str, names: Sequence[str]) -> pa.ChunkedArray:
    """Declared labels for their numbers; -1 is the datasets library's mark for "no label"."""
    values = raw.table.column(column).cast(pa.int64())
    no_label = pc.equal(values, -1)
    unknown = pc.invert(
        pc.fill_null(pc.or_(no_label, pc.and_(pc.greater_equal(values, 0), pc.less(values, len(names)))), True)
    )
    row = pc.index(unknown, True).as_py()
    if row >= 0:
        raise DatasetError(
            f"{raw.place(row)}: the label {values[row].as_py()} in {column!r} is none of the {len(names)} declared ones "
            f"({listing(names, 4)}), which are numbered from 0. Correct it"
        )
    numbers = pc.if_else(no_label, None, values)
    return pc.take(pa.array(names, pa.string()), numbers)


def _class_lists(raw: RawTable, column: str, names: Sequence[str]) -> list[list[str] | None]:
    """Declared labels for the numbers in lists."""
    lists: list[list[int] | None] = raw.table.column(column).to_pylist()
    for row, entries in enumerate(lists):
        for number in entries or ():
            if number not in range(len(names)):
                raise DatasetError(
                    f"{raw.place(row)}: the label {number} in {column!r} is none of the {len(names)} declared ones "
                    f"({listing(names, 4)}), which are numbered from 0. Correct it"
                )
    return [None if entries is None else [names[number] for number in entries] for entries in lists]


def _numbers(raw: RawTable, column: str) -> pa.ChunkedArray:
    """Decimal numbers as double precision, with the digits that a shorter format shows (0.1 stays 0.1)."""
    values = raw.table.column(column)
    infinite = np.flatnonzero(np.isinf(values.to_numpy(zero_copy_only=False).astype(np.float64)))
    if len(infinite):
        raise DatasetError(
            f"{raw.place(int(infinite[0]))}: the label in {column!r} is infinite. Correct or remove the row"
        )
    if pa.types.is_float64(values.type):
        return values
    shown = [
        None if value is None else float(str(kind(value)))
        for kind in [values.type.to_pandas_dtype()]
        for value in values.to_pylist()
    ]
    return pa.chunked_array([pa.array(shown, pa.float64())])
