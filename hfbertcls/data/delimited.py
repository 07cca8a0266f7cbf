"""CSV and TSV files as people have them: every row is read or the file is refused with the line to look at."""

import csv
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from hfbertcls.errors import DatasetError, listing, shorten


_ROWS_PER_CHUNK = 8_192
_SEPARATORS = (",", "\t", ";", "|")
_NON_ASCII_RUN = re.compile(rb"[\x80-\xff]+")


@dataclass(frozen=True)
class DelimitedText:
    """The cells of a delimited file, all of them strings, and what had to be guessed to read it."""

    table: pa.Table
    lines: Sequence[int]
    """The line (1-based) on which each row begins."""
    notes: tuple[str, ...]


def decode(data: bytes, name: str) -> tuple[str, tuple[str, ...]]:
    """Decode the bytes of a text file: UTF-8 or UTF-16 with a byte order mark, UTF-8, else Windows-1252 (and say so).

    Raises:
        DatasetError: for NUL bytes, for encodings mixed in one file, and for what is neither of those encodings.
    """
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if data.startswith(mark):
            try:
                text = data.decode(encoding)
            except UnicodeDecodeError as err:
                raise DatasetError(
                    f"{name} begins like {encoding.upper()} but is not valid at byte {err.start:,}: {err.reason}. "
                    "Save the file again as UTF-8"
                ) from err
            _refuse_nul(text.encode(), name)
            kind = "UTF-8 with a byte order mark" if encoding == "utf-8-sig" else "UTF-16"
            return text, (f"{name}: read as {kind}",)
    _refuse_nul(data, name)
    try:
        return data.decode("utf-8"), ()
    except UnicodeDecodeError as err:
        line = data.count(b"\n", 0, err.start) + 1
        reason = _why_not_windows_1252(data)
        if reason is not None:
            raise DatasetError(
                f"{name}, line {line:,}: byte 0x{data[err.start]:02x} is not UTF-8, and {reason}. Save the file again "
                "as UTF-8 (a spreadsheet offers 'CSV UTF-8'; on a command line: iconv -f ENCODING -t UTF-8)"
            ) from err
    note = f"{name}: not UTF-8 (first at line {line:,}), read as Windows-1252; save it as UTF-8 if letters look wrong"
    return data.decode("cp1252"), (note,)


def _refuse_nul(data: bytes, name: str) -> None:
    if b"\x00" in data:
        line = data.count(b"\n", 0, data.index(b"\x00")) + 1
        raise DatasetError(
            f"{name}, line {line:,}: a NUL byte, which no text has: the file is damaged, or UTF-16 without its mark. "
            "Save it again as UTF-8, or remove the byte"
        )


def _why_not_windows_1252(data: bytes) -> str | None:
    """Say why bytes that are not UTF-8 should not be taken for Windows-1252 either; None if they may be."""
    runs = _NON_ASCII_RUN.findall(data)
    if any(_is_utf8(run) for run in runs):
        return "other lines are: two encodings are mixed in one file"
    if any(byte in run for run in runs for byte in (0x81, 0x8D, 0x8F, 0x90, 0x9D)):
        return "it is no Windows-1252 either"
    high = sum(map(len, runs))
    letters = sum(data.count(byte) for byte in (*range(0x41, 0x5B), *range(0x61, 0x7B)))
    if high > letters:
        return "most of its letters would be accented in Windows-1252, so it is probably another alphabet"
    return None


def _is_utf8(run: bytes) -> bool:
    try:
        run.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def read_delimited(data: bytes, name: str, separator: str) -> DelimitedText:
    """Read a delimited text file with a header line.

    Args:
        data (`bytes`): the whole file.
        name (`str`): its base name, for messages.
        separator (`str`): the separator that its ending promises; another one is used (and noted) if only that fits.

    Raises:
        DatasetError: naming the line, for an empty file, bad encodings, an unclosed quote, a row with too few or too
            many fields, and column names that occur twice.
    """
    text, notes = decode(data, name)
    if not text.strip():
        raise DatasetError(f"{name} is empty. Expected a header line and one line for each text")
    actual = find_separator(text, separator)
    if actual != separator:
        notes = (*notes, f"{name}: columns are separated by {_SEPARATOR_NAMES[actual]}")
    limit = csv.field_size_limit(2**31 - 1)  # a text may be longer than the 131,072 characters that csv allows
    try:
        return _read_rows(text, name, actual, notes)
    finally:
        csv.field_size_limit(limit)


_SEPARATOR_NAMES = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "vertical bars"}


def find_separator(text: str, promised: str) -> str:
    """The separator of the header line: the promised one if it occurs there, else the most frequent other one."""
    header = re.sub(r'"[^"]*"', "", re.split(r"[\r\n]", text.lstrip("\r\n"), maxsplit=1)[0])
    counts = {candidate: header.count(candidate) for candidate in _SEPARATORS}
    if counts[promised] or not any(counts.values()):
        return promised
    return max(_SEPARATORS, key=lambda candidate: counts[candidate])


def delimited_records(lines: Iterable[str], name: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the line on which each record begins, and its fields; blank lines yield none."""
    reader = csv.reader(lines, delimiter=separator, strict=True)
    while True:
        begins = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as err:
            raise DatasetError(
                f"{name}, line {begins:,}: the row that begins here cannot be read ({err}): probably a quotation mark "
                'that is not closed, or one inside a quoted field that is not doubled (""). Correct the line'
            ) from err
        if fields:
            yield begins, fields


_LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")


def _read_rows(text: str, name: str, separator: str, notes: tuple[str, ...]) -> DelimitedText:
    # (not io.StringIO, which holds four bytes for each letter)
    records = delimited_records((line.group() for line in _LINE.finditer(text)), name, separator)
    _, header = next(records)
    refuse_double_names(header, name)
    schema = pa.schema([(column, pa.string()) for column in header])
    chunks: list[pa.RecordBatch] = []
    columns: list[list[str]] = [[] for _ in header]
    lines = array("q")
    for line, fields in records:
        refuse_other_width(fields, header, f"{name}, line {line:,}", separator)
        for column, value in zip(columns, fields, strict=True):
            column.append(value)
        lines.append(line)
        if len(columns[0]) == _ROWS_PER_CHUNK:
            chunks.append(pa.record_batch(columns, schema=schema))
            columns = [[] for _ in header]
    chunks.append(pa.record_batch([pa.array(column, pa.string()) for column in columns], schema=schema))
    if not lines:
        raise DatasetError(f"{name} has a header ({listing(header)}) but no row. Expected one line for each text")
    return DelimitedText(pa.Table.from_batches(chunks, schema), lines, notes)


def refuse_double_names(header: list[str], name: str) -> None:
    """Refuse a header line that names a column more than once.

    Raises:
        DatasetError: naming it.
    """
    twice = sorted({column for column in header if header.count(column) > 1})
    if twice:
        raise DatasetError(f"{name}: the header names {listing(twice)} more than once. Give each column its own name")


def refuse_other_width(fields: list[str], header: list[str], place: str, separator: str) -> None:
    """Refuse a row that has more or fewer fields than the header.

    Raises:
        DatasetError: naming its place.
    """
    if len(fields) != len(header):
        raise DatasetError(
            f"{place}: {len(fields)} fields, but the header has {len(header)} ({listing(header)}). "
            f"The row begins with {shorten(fields[0])}. A field that contains {separator!r} must stand in "
            "quotation marks"
        )
