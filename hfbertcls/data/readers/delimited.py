"""CSV and TSV files: every row is read, or an error names the line to look at."""

import csv
import io
import itertools
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from hfbertcls.data.on_disk import ROWS_PER_PART, TableWriter
from hfbertcls.data.readers.encodings import Opened, find_encoding
from hfbertcls.data.readers.expansion import refuse_many_columns
from hfbertcls.data.readers.layout import AS_SEEN, Layout, column_names
from hfbertcls.data.readers.quoting import find_quoting
from hfbertcls.errors import DatasetError, listing, shorten


_LONGEST_HEADER = 100_000
_SEPARATORS = (",", "\t", ";", "|")


@dataclass(frozen=True)
class DelimitedText:
    """The cells of a delimited file, all of them strings, and what had to be guessed to read it."""

    table: pa.Table
    lines: Sequence[int]
    """The line (1-based) on which each row begins."""
    notes: tuple[str, ...]


def read_delimited(
    opened: Opened, name: str, separator: str, layout: Layout = AS_SEEN, *, others: bool = True
) -> DelimitedText:
    """Read a delimited text file.

    Args:
        opened: the file.
        name (`str`): its base name, for messages.
        separator (`str`): the separator that its ending promises; another one is used (and noted) if only that fits.
        layout (`Layout`): how the file is to be read.
        others (`bool`): whether another separator may be used.

    Raises:
        DatasetError: with the line, for an empty file, bad encodings, an unclosed quote, a row with too few or too
            many fields, and column names that occur twice.
    """
    encoding, notes = find_encoding(opened, name)
    form = find_form(opened, name, encoding, separator, layout, others=others)
    limit = csv.field_size_limit(2**31 - 1)  # a text may be longer than the 131,072 characters that csv allows
    try:
        with opened() as stream, io.TextIOWrapper(stream, encoding, newline="") as lines:
            return _read_rows(lines, name, form, (*notes, *form.notes), layout)
    finally:
        csv.field_size_limit(limit)


@dataclass(frozen=True)
class Form:
    """How a delimited file is divided into fields, as detected."""

    separator: str
    is_quoted: bool
    """Whether quotation marks enclose fields."""
    notes: tuple[str, ...] = ()


COMMAS = Form(",", is_quoted=True)


def find_form(opened: Opened, name: str, encoding: str, promised: str, layout: Layout, *, others: bool = True) -> Form:
    """Detect how a file is divided into fields, and the notes about it.

    Raises:
        DatasetError: if there is nothing but blanks, or quotation marks are ambiguous.
    """
    separator = separator_of(opened, name, encoding, promised, _SEPARATORS if others else (promised,))
    notes = () if separator == promised else (f"{name}: columns are separated by {_SEPARATOR_NAMES[separator]}",)
    is_quoted, more = find_quoting(opened, name, encoding, separator, layout)
    return Form(separator, is_quoted, (*notes, *more))


_SEPARATOR_NAMES = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "vertical bars"}


def separator_of(
    opened: Opened, name: str, encoding: str, promised: str, possible: Sequence[str] = _SEPARATORS
) -> str:
    """The separator of the header of a file: the promised one if it occurs there, else the most frequent other one.

    Raises:
        DatasetError: if there is nothing but blanks.
    """
    with opened() as stream, io.TextIOWrapper(stream, encoding, newline="") as lines:
        begun = (line for line in lines if line.strip("\r\n"))
        header = next(begun, "")
        if not header.strip() and not any(line.strip() for line in begun):
            raise DatasetError(f"{name} is empty. Expected a header line and one line for each text")
        while header.count('"') % 2 and len(header) < _LONGEST_HEADER and (more := next(lines, "")):
            header += more  # (a quoted name with a line break in it)
    header = re.sub(r'"[^"]*"', "", header)
    counts = {candidate: header.count(candidate) for candidate in possible}
    if counts[promised] or not any(counts.values()):
        return promised
    return max(possible, key=lambda candidate: counts[candidate])


def delimited_records(lines: Iterable[str], name: str, form: Form) -> Iterator[tuple[int, list[str]]]:
    """Yield the line on which each record begins, and its fields; blank lines yield none."""
    if form.is_quoted:
        reader = csv.reader(lines, delimiter=form.separator, strict=True)
    else:
        reader = csv.reader(lines, delimiter=form.separator, quoting=csv.QUOTE_NONE, strict=True)
    while True:
        begins = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as err:
            raise DatasetError(
                f"{name}, line {begins:,}: the row that begins here cannot be read ({err}): probably a quotation mark "
                'that is not closed, or one inside a quoted field that is not doubled (""). Correct the line, or pass '
                "--quoting none if quotation marks are letters of the texts"
            ) from err
        if fields:
            yield begins, fields


def header_and_rows(
    lines: Iterable[str], name: str, form: Form, layout: Layout
) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """The names of the columns, and the rows with the line on which each begins.

    Raises:
        DatasetError: if two columns have the same name; while reading, as `delimited_records`.
    """
    records = delimited_records(lines, name, form)
    first = next(records)
    refuse_many_columns(len(first[1]), name)
    if not layout.header:
        return column_names(len(first[1])), itertools.chain([first], records)
    refuse_double_names(first[1], name)
    return first[1], records


def _read_rows(text: Iterable[str], name: str, form: Form, notes: tuple[str, ...], layout: Layout) -> DelimitedText:
    header, records = header_and_rows(text, name, form, layout)
    schema = pa.schema([(column, pa.string()) for column in header])
    written = TableWriter(schema)
    columns: list[list[str]] = [[] for _ in header]
    lines = array("q")
    for line, fields in records:
        refuse_other_width(fields, header, f"{name}, line {line:,}", form)
        for column, value in zip(columns, fields, strict=True):
            column.append(value)
        lines.append(line)
        if len(columns[0]) == ROWS_PER_PART:
            written.write(pa.record_batch(columns, schema=schema))
            columns = [[] for _ in header]
    written.write(pa.record_batch([pa.array(column, pa.string()) for column in columns], schema=schema))
    if not lines:
        raise DatasetError(f"{name} has a header ({listing(header)}) but no row. Expected one line for each text")
    return DelimitedText(written.table(), lines, notes)


def refuse_double_names(header: list[str], name: str) -> None:
    """Refuse a header line that names a column more than once.

    Raises:
        DatasetError: naming it.
    """
    twice = sorted(column for column, count in Counter(header).items() if count > 1)
    if twice:
        raise DatasetError(f"{name}: the header names {listing(twice)} more than once. Give each column its own name")


def refuse_other_width(fields: list[str], header: list[str], place: str, form: Form) -> None:
    """Refuse a row that has more or fewer fields than the header.

    Raises:
        DatasetError: naming its place.
    """
    if len(fields) != len(header):
        what = repr(form.separator) if len(fields) > len(header) else "a line break"
        remedy = f"A field that contains {what} must stand in quotation marks"
        if not form.is_quoted:
            remedy = f"Without quoting, no field can contain {what}"
        raise DatasetError(
            f"{place}: {len(fields)} fields, but the header has {len(header)} ({listing(header)}). "
            f"The row begins with {shorten(fields[0])}. {remedy}"
        )
