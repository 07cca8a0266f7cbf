"""Lists of labels that were written into the cells of a table as text, such as `["delivery", "quality"]`."""

import ast
import io
import json
import tokenize
import warnings
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hfbertcls.data.readers.raw import RawTable
from hfbertcls.errors import DatasetError, shorten
from hfbertcls.tasks.cells import holds_lists


_BRACKETS = r"^\s*(\[[\s\S]*\]|\([\s\S]*\)|\{[\s\S]*\})\s*$"
_LONGEST_CELL = 100_000
_EXPECTED = 'Write each cell as a list such as ["delivery", "quality"]'


def is_string(kind: pa.DataType) -> bool:
    """Whether a column of this type holds texts."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def holds_written_lists(values: pa.ChunkedArray) -> bool:
    """Whether every cell of a column of strings that is not blank is a list."""
    cells = _distinct(values)
    return (
        bool(cells)
        and all(_looks_like_one(cell) for cell in cells)
        and all(read_list(cell) is not None for cell in cells)
    )


def holds_vectors(values: pa.ChunkedArray) -> bool:
    """Whether a column holds lists of nothing but 0 and 1, written as text or not."""
    if holds_lists(values):
        entries = pc.unique(pc.list_flatten(values)).to_pylist()
    elif is_string(values.type):
        lists = [read_list(cell) for cell in _distinct(values)]
        if None in lists:
            return False
        entries = [value for labels in lists for value in labels or ()]
    else:
        return False
    return bool(entries) and all(isinstance(value, int | float) and value in (0, 1) for value in entries)


def lists_of(raw: RawTable, column: str) -> list[list[Any] | None] | None:
    """The lists in a column of strings, None for a blank cell; None for the whole if its cells are no lists.

    Raises:
        DatasetError: if only some cells are lists, or none of them can be read; the message names the line.
    """
    values = raw.table.column(column)
    if not pc.any(pc.match_substring_regex(values, _BRACKETS)).as_py():
        return None
    list_of = {cell: read_list(cell) for cell in _distinct(values)}
    lists = [cell for cell, labels in list_of.items() if labels is not None]
    others = [cell for cell, labels in list_of.items() if labels is None]
    if not lists:
        if all(cell.startswith("[") and cell.endswith("]") for cell in others) and any("," in cell for cell in others):
            raise DatasetError(
                f"{raw.place(_row_of(values, others[0]))}: the cell {shorten(others[0])} in {column!r} looks like a list of labels, but "
                f"cannot be read as one. {_EXPECTED}"
            )
        return None
    if others:
        raise DatasetError(
            f"{raw.place(_row_of(values, others[0]))}: the cell {shorten(others[0])} in {column!r} is not a list of labels, but "
            f"{shorten(lists[0])} is ({raw.place(_row_of(values, lists[0]))}). {_EXPECTED}; if these are names of labels, pass "
            "--task single_label"
        )
    return [None if cell is None else list_of.get(cell.strip()) for cell in values.to_pylist()]


def read_list(cell: str) -> list[Any] | None:
    """The values of a list as JSON or Python writes it, None if it is none."""
    if not _looks_like_one(cell):
        return None
    try:
        values = json.loads(cell)
    except (ValueError, RecursionError):
        return _read_python(cell)
    return values if isinstance(values, list) else None


def _read_python(cell: str) -> list[Any] | None:
    try:
        with warnings.catch_warnings(action="ignore", category=SyntaxWarning):  # (a backslash that escapes nothing)
            tree = ast.parse(cell, mode="eval").body
        if not isinstance(tree, ast.List | ast.Tuple | ast.Set):
            return None
        values = list(ast.literal_eval(tree))
        words = [
            token for token in tokenize.generate_tokens(io.StringIO(cell).readline) if token.type == tokenize.STRING
        ]
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError, tokenize.TokenError):
        return None
    is_flat = not any(isinstance(value, list | tuple | set | dict) for value in values)
    if is_flat and sum(isinstance(value, str) for value in values) != len(words):
        return None  # (NumPy leaves out the commas, and Python joins strings that stand side by side)
    return sorted(values, key=str) if isinstance(tree, ast.Set) else values


def _looks_like_one(cell: str) -> bool:
    return len(cell) <= _LONGEST_CELL and cell[:1] + cell[-1:] in ("[]", "()", "{}")


def _distinct(values: pa.ChunkedArray) -> list[str]:
    cells = pc.unique(values).to_pylist()
    return list(dict.fromkeys(cell.strip() for cell in cells if cell is not None and cell.strip()))


def _row_of(values: pa.ChunkedArray, stripped: str) -> int:
    return next(row for row, cell in enumerate(values.to_pylist()) if cell is not None and cell.strip() == stripped)
