"""Spreadsheets (.xlsx), through openpyxl."""

import datetime
import io
import zipfile
from typing import Any

import pyarrow as pa

from hfbertcls.data.on_disk import ROWS_PER_PART, TableWriter
from hfbertcls.data.readers.delimited import refuse_double_names
from hfbertcls.data.readers.encodings import Opened
from hfbertcls.data.readers.expansion import refuse_bomb
from hfbertcls.data.readers.raw import RawTable
from hfbertcls.errors import DatasetError, MissingAssetError, listing, shorten


def read_excel(opened: Opened, name: str) -> RawTable:
    """The first sheet with cells in it, whose first row names the columns; values as texts, as in a CSV file.

    Raises:
        MissingAssetError: if openpyxl is not installed.
        DatasetError: if the file cannot be read, or a column with values has no name.
    """
    try:
        import openpyxl  # noqa: PLC0415  (an extra)
    except ImportError as err:
        raise MissingAssetError(
            f"{name} is a spreadsheet, which needs openpyxl. Run pip install 'hfbertcls[excel]', or save the sheet as CSV"
        ) from err
    with opened() as stream:
        try:
            with zipfile.ZipFile(stream) as packed:
                size = sum(entry.file_size for entry in packed.infolist())
            refuse_bomb(size, stream.seek(0, io.SEEK_END), name)
            book = openpyxl.load_workbook(stream, read_only=True, data_only=True)
            try:
                filled = [sheet.title for sheet in book.worksheets if any(True for _ in _rows(sheet))]
                if not filled:
                    raise DatasetError(f"{name} is empty. Expected a row with names and one row for each text")
                table, lines = _table(book[filled[0]], name)
            finally:
                book.close()
        except (zipfile.BadZipFile, KeyError, ValueError, SyntaxError, OSError, TypeError) as err:
            if isinstance(err, DatasetError):
                raise
            raise DatasetError(
                f"{name} cannot be read as a spreadsheet ({shorten(str(err), 100)}). Save it again"
            ) from err
    notes = (f"{name}: the sheet {filled[0]!r} is read, not {listing(filled[1:])}",) if len(filled) > 1 else ()
    return RawTable(table, name, "", lines, notes=notes)


def _rows(sheet: Any) -> Any:
    """The rows that are not blank, with their numbers as the spreadsheet shows them."""
    for number, row in enumerate(sheet.iter_rows(values_only=True), start=1):
        if any(value is not None for value in row):
            yield number, row


def _table(sheet: Any, name: str) -> tuple[pa.Table, list[int]]:
    rows = _rows(sheet)
    _, first = next(rows)
    width = max(index for index, value in enumerate(first, start=1) if value is not None)
    header = [_text(value) for value in first[:width]]
    if None in header:
        raise DatasetError(f"{name}: column {header.index(None) + 1} has no name in the first row. Give it one")
    names = [title for title in header if title is not None]
    refuse_double_names(names, name)
    schema = pa.schema([(title, pa.string()) for title in names])
    written, lines = TableWriter(schema), []
    columns: list[list[str | None]] = [[] for _ in names]
    for number, row in rows:
        if any(value is not None for value in row[width:]):
            raise DatasetError(
                f"{name}, line {number:,}: the row has more cells than the first row has names. Name the column"
            )
        lines.append(number)
        for column, value in zip(columns, [*row[:width], *[None] * (width - len(row))], strict=True):
            column.append(_text(value))
        if len(columns[0]) == ROWS_PER_PART:
            written.write(pa.record_batch([pa.array(column, pa.string()) for column in columns], schema=schema))
            columns = [[] for _ in names]
    written.write(pa.record_batch([pa.array(column, pa.string()) for column in columns], schema=schema))
    if not lines:
        raise DatasetError(f"{name} has a first row ({listing(names)}) but no other. Expected one row for each text")
    return written.table(), lines


def _text(value: Any) -> str | None:
    """A cell as a CSV file would hold it."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, datetime.date | datetime.time) else str(value)
