"""From a table as it stands to a split: texts and labels checked, unusable rows counted, nothing re-typed silently."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hfbertcls.data.columns import Columns
from hfbertcls.data.dataset import TextSplit
from hfbertcls.data.labels import read_labels
from hfbertcls.data.on_disk import TableWriter, in_parts
from hfbertcls.data.readers.raw import RawTable
from hfbertcls.data.texts import TEXT_FIELDS
from hfbertcls.errors import DatasetError, listing, shorten
from hfbertcls.tasks.cells import holds_lists
from hfbertcls.tasks.task import Task


def read_split(raw: RawTable, name: str, columns: Columns, extra_columns: Sequence[str] = ()) -> TextSplit:
    """Take the chosen columns of a table and leave out, with a count, what cannot be used.

    Left out are rows whose text, or either text of a pair, is missing or blank (`empty_text`) and, of the rest, those whose label is missing or
    blank (`missing_label`). Labels become strings as in the source; decimal numbers stay numbers.

    Raises:
        DatasetError: if a column has another type than text or label, or is not in the table.
    """
    required = [columns.text, *([columns.text_pair] if columns.text_pair else []), columns.label, *extra_columns]
    missing = [column for column in required if column not in raw.table.column_names]
    if missing:
        raise DatasetError(
            f"the {name} split ({raw.name}) has no column {listing(missing)}, which another split has. "
            f"Its columns are {listing(raw.table.column_names)}"
        )
    arrays = {"text": _text(raw, columns.text)}
    if columns.text_pair:
        arrays["text_pair"] = _text(raw, columns.text_pair)
    arrays["label"] = read_labels(raw, columns)
    taken = {"text": columns.text, "text_pair": columns.text_pair, "label": columns.label}
    for column in extra_columns:
        if (column in arrays or column in ("row", *TEXT_FIELDS)) and taken.get(column) != column:
            raise DatasetError(
                f"the column {column!r} of {raw.name} has a name that hfbertcls uses for another one, "
                "so it cannot be read beside it. Rename it in the data"
            )
        arrays[column] = arrays.get(column, raw.table.column(column))
        if pa.types.is_nested(arrays[column].type) and column not in taken.values():
            raise DatasetError(
                f"the column {column!r} of {raw.name} holds {shorten(str(arrays[column].type), 40)}, but one value a row is "
                "needed for --split-by and --slice-by. Name another column"
            )
    kept, dropped, first = _usable_rows(pa.table(arrays))
    places = {reason: raw.place(row) for reason, row in first.items()}
    return TextSplit(name, kept, raw.table.num_rows, dropped, raw.sha256, places, place_of=raw.without_rows().place)


def _usable_rows(table: pa.Table) -> tuple[pa.Table, dict[str, int], dict[str, int]]:
    """The rows with text and label, with their numbers; how many others there are by reason, and the first of each."""
    text_columns = [name for name in TEXT_FIELDS if name in table.column_names]
    types = {field.name: pa.large_string() if field.name in text_columns else field.type for field in table.schema}
    written = TableWriter(pa.schema({"row": pa.int64(), **types}))
    dropped = {"empty_text": 0, "missing_label": 0}
    first: dict[str, int] = {}
    begin = 0
    for part in in_parts(table):
        has_text = not_blank(part.column("text"))
        for name in text_columns[1:]:
            has_text = pc.and_(has_text, not_blank(part.column(name)))
        has_label = _has_label(part.column("label"))
        reasons = {"empty_text": pc.invert(has_text), "missing_label": pc.and_(has_text, pc.invert(has_label))}
        for reason, is_so in reasons.items():
            if count := int(pc.sum(is_so).as_py() or 0):
                first.setdefault(reason, begin + pc.index(is_so, True).as_py())
                dropped[reason] += count
        numbers = pa.array(np.arange(begin, begin + len(part), dtype=np.int64))
        columns = {"row": numbers, **{name: part.column(name).cast(kind) for name, kind in types.items()}}
        written.write(pa.record_batch(columns).filter(pc.and_(has_text, has_label)))
        begin += len(part)
    return written.table(), {reason: count for reason, count in dropped.items() if count}, first


def _text(raw: RawTable, column: str) -> pa.ChunkedArray:
    values = raw.table.column(column)
    if pa.types.is_null(values.type):
        return values.cast(pa.string())
    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        raise DatasetError(
            f"the column {column!r} of {raw.name} holds {shorten(str(values.type), 60)}, but texts were expected. "
            "Name the column of the texts with --text-column"
        )
    return values


# Besides white space: what prints as nothing (zero-width marks, soft hyphens, direction marks, control characters).
_INVISIBLE = "".join(map(chr, [*range(33), *range(0x7F, 0xA1), 0xAD, 0x34F, 0x61C, 0x115F, 0x1160, 0x180E, *range(0x2000, 0x2010),
    *range(0x2028, 0x2030), *range(0x205F, 0x2070), 0x3000, 0x3164, 0xFEFF, 0xFFA0]))  # fmt: skip


def not_blank(values: pa.Array) -> pa.Array:
    """Whether each text has a visible character; false where there is no text."""
    return pc.fill_null(pc.greater(pc.utf8_length(pc.utf8_trim(values, _INVISIBLE)), 0), False)


def _has_label(values: pa.Array) -> pa.Array:
    if holds_lists(values):
        return pc.is_valid(values)  # an empty list means "none of the labels", which is an answer
    if pa.types.is_floating(values.type):
        return pc.invert(pc.is_nan(pc.fill_null(values, float("nan"))))
    return not_blank(values)


def with_cells(split: TextSplit, kind: type[Task] | None) -> TextSplit:
    """Give the label column the type that the task calls for; None: numbers."""
    labels = split.label_cells
    cells = labels.cast(pa.float64()) if kind is None else kind.as_cells(labels)
    index = split.table.schema.get_field_index("label")
    return split if cells.type == labels.type else replace(split, table=split.table.set_column(index, "label", cells))
