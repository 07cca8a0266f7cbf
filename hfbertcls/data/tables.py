"""Files of labelled text, by format: each becomes a table with the columns, types and values that the file has."""

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hfbertcls.data.delimited import decode, read_delimited
from hfbertcls.errors import DatasetError, shorten


@dataclass(frozen=True)
class RawTable:
    """A table as it stands in its source."""

    table: pa.Table
    name: str
    """Base name of the file, or the name of the split of a Hub data set."""
    sha256: str
    lines: list[int] | None = None
    """For text formats: the line (1-based) on which each row begins."""
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Column -> the label names that the source itself declares, in the order of their ids (`ClassLabel`)."""
    notes: tuple[str, ...] = ()

    def place(self, row: int) -> str:
        """Where a row (0-based) stands, in words: `"reviews.csv, line 12"`."""
        return f"{self.name}, line {self.lines[row]:,}" if self.lines is not None else f"{self.name}, row {row:,}"


def read_table(path: Path) -> RawTable:
    """Read one file of labelled text: csv, tsv, json, jsonl, parquet, arrow or fastText txt, each also gzipped.

    Raises:
        DatasetError: if the file cannot be read, or its content is not what its ending promises.
    """
    suffix, reader = _reader_for(path)
    try:
        stored = path.read_bytes()
    except OSError as err:
        raise DatasetError(f"{path.name} cannot be read: {err.strerror}") from err
    data = _gunzip(stored, path.name) if path.suffix.lower() == ".gz" else stored
    _refuse_wrong_content(data, path.name, suffix)
    raw = reader(data, path.name)
    digest = hashlib.sha256(stored).hexdigest()
    return RawTable(raw.table, path.name, digest, raw.lines, raw.class_names, raw.notes)


def is_table_file(path: Path) -> bool:
    """Whether the ending of a file is one that `read_table` knows."""
    return _suffix(path) in _READERS


def _suffix(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _reader_for(path: Path) -> tuple[str, Callable[[bytes, str], RawTable]]:
    suffix = _suffix(path)
    if suffix not in _READERS:
        hint = "Save the sheet as CSV" if suffix in {".xlsx", ".xls", ".ods"} else "Unpack or convert the file"
        raise DatasetError(
            f"{path.name} has the ending {path.suffix or 'of no format'!r}, which is not one of "
            f"{', '.join(sorted(_READERS))} (each also as .gz). {hint}"
        )
    return suffix, _READERS[suffix]


def _gunzip(stored: bytes, name: str) -> bytes:
    try:
        return gzip.decompress(stored)
    except (EOFError, zlib.error, gzip.BadGzipFile) as err:
        raise DatasetError(f"{name} is not a complete gzip file ({err}). Fetch or compress it again") from err


_MAGIC: tuple[tuple[bytes, set[str], str, str | None], ...] = (
    (b"PAR1", {".parquet"}, "a Parquet file", ".parquet"),
    (b"ARROW1", {".arrow"}, "an Arrow file", ".arrow"),
    (b"PK\x03\x04", set(), "a ZIP archive or a spreadsheet", None),
    (b"\x1f\x8b", set(), "a gzip file", ".gz"),
    (b"BZh", set(), "a bzip2 file", None),
    (b"\xfd7zXZ", set(), "an XZ file", None),
    (b"%PDF", set(), "a PDF", None),
    (b"\x80\x04\x95", set(), "a Python pickle", None),
)


def _refuse_wrong_content(data: bytes, name: str, suffix: str) -> None:
    for magic, fitting, kind, ending in _MAGIC:
        if data.startswith(magic) and suffix not in fitting:
            remedy = f"Rename it to end in {ending}" if ending else "Unpack it, or save the data as CSV or Parquet"
            raise DatasetError(f"{name} is {kind}, not what its ending {suffix!r} promises. {remedy}")
    if suffix == ".parquet" and not data.startswith(b"PAR1"):
        raise DatasetError(f"{name} is not a Parquet file, though its ending says so. Rename or convert it")


def _read_csv(data: bytes, name: str) -> RawTable:
    text = read_delimited(data, name, ",")
    return RawTable(text.table, name, "", text.lines, notes=text.notes)


def _read_tsv(data: bytes, name: str) -> RawTable:
    text = read_delimited(data, name, "\t")
    return RawTable(text.table, name, "", text.lines, notes=text.notes)


def _refuse_constant(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _read_json(data: bytes, name: str) -> RawTable:
    """A list of objects, or one object a line (which many call .json too)."""
    text, notes = decode(data, name)
    if not text.lstrip().startswith("["):
        return _read_json_lines(text, name, notes)
    try:
        records = json.loads(text, parse_constant=_refuse_constant)
    except ValueError as err:
        raise DatasetError(f"{name} is not valid JSON: {err}") from err
    except RecursionError as err:
        raise DatasetError(
            f"{name} is nested too deeply. Expected objects such as {{'text': ..., 'label': ...}}"
        ) from err
    return RawTable(_table_of_records(records, name, None), name, "", notes=notes)


def _read_jsonl(data: bytes, name: str) -> RawTable:
    text, notes = decode(data, name)
    return _read_json_lines(text, name, notes)


def _read_json_lines(text: str, name: str, notes: tuple[str, ...]) -> RawTable:
    records, lines = [], []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            records.append(json.loads(line, parse_constant=_refuse_constant))
        except ValueError as err:
            raise DatasetError(
                f"{name}, line {number:,}: not a JSON object ({err}). Expected a list of objects, or one on each line"
            ) from err
        except RecursionError as err:
            raise DatasetError(
                f"{name}, line {number:,}: nested too deeply. Expected one object on each line"
            ) from err
        lines.append(number)
    return RawTable(_table_of_records(records, name, lines), name, "", lines, notes=notes)


def _table_of_records(records: list[Any], name: str, lines: list[int] | None) -> pa.Table:
    if not records:
        raise DatasetError(f"{name} holds no record. Expected objects such as {{'text': ..., 'label': ...}}")
    columns: dict[str, list[Any]] = {}
    for index, record in enumerate(records):
        if not isinstance(record, dict):
            place = f"line {lines[index]:,}" if lines else f"record {index:,}"
            raise DatasetError(
                f"{name}, {place}: {shorten(str(record))} is not an object. "
                "Expected objects such as {'text': ..., 'label': ...}"
            )
        for key in record:
            if _has_half_letters(key):
                place = f"line {lines[index]:,}" if lines else f"record {index:,}"
                raise DatasetError(f"{name}, {place}: the key {key!a} is not text. Rename it")
            columns.setdefault(key, [None] * index)
        for key, values in columns.items():
            values.append(record.get(key))
    arrays = {}
    for key, values in columns.items():
        try:
            arrays[key] = pa.array(values)
        except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError, OverflowError) as err:
            index = _first_of_another_type(values)
            place = f"line {lines[index]:,}" if lines else f"record {index:,}"
            raise DatasetError(
                f"{name}, {place}: the values of {key!r} are not of one type ({err}). "
                "Give each record a text (or number, or list of texts) there, or null"
            ) from err
    return pa.table(arrays)


def _first_of_another_type(values: list[Any]) -> int:
    """Position of the first value whose type differs from that of the first value that is not null."""
    kinds = [type(value) for value in values if value is not None]
    for index, value in enumerate(values):
        if value is not None and type(value) is not kinds[0]:
            return index
        if isinstance(value, str) and _has_half_letters(value):
            return index
    return 0


def _has_half_letters(text: str) -> bool:
    """Whether a string holds lone surrogates, which JSON can spell and UTF-8 cannot."""
    return not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text)


def _read_parquet(data: bytes, name: str) -> RawTable:
    try:
        table = pq.read_table(pa.BufferReader(data))
    except (pa.ArrowException, OSError) as err:
        raise DatasetError(f"{name} cannot be read as Parquet ({shorten(str(err), 100)}). Write it again") from err
    return RawTable(_without_dictionaries(table), name, "", class_names=_declared_classes(table))


def _read_arrow(data: bytes, name: str) -> RawTable:
    source = pa.BufferReader(data)
    try:
        reader = pa.ipc.open_file(source) if data.startswith(b"ARROW1") else pa.ipc.open_stream(source)
        table = reader.read_all()
    except (pa.ArrowException, OSError) as err:
        raise DatasetError(f"{name} cannot be read as Arrow ({shorten(str(err), 100)}). Write it again") from err
    return RawTable(_without_dictionaries(table), name, "", class_names=_declared_classes(table))


def _without_dictionaries(table: pa.Table) -> pa.Table:
    """Replace dictionary columns (pandas' categories) by their values."""
    for index, column in enumerate(table.schema):
        if pa.types.is_dictionary(column.type):
            table = table.set_column(index, column.name, table.column(index).cast(column.type.value_type))
    return table


def _declared_classes(table: pa.Table) -> dict[str, tuple[str, ...]]:
    """The `ClassLabel` names that the datasets library wrote into the schema, by column."""
    metadata = (table.schema.metadata or {}).get(b"huggingface")
    if metadata is None:
        return {}
    features = json.loads(metadata).get("info", {}).get("features", {})
    return {
        column: tuple(feature["names"])
        for column, feature in features.items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
    }


_FASTTEXT_PREFIX = "__label__"


def _read_fasttext(data: bytes, name: str) -> RawTable:
    """Lines such as `__label__spam win a prize`; several labels at the front of a line make it multi-label."""
    decoded, notes = decode(data, name)
    texts: list[str] = []
    labels: list[list[str]] = []
    lines: list[int] = []
    for number, line in enumerate(decoded.split("\n"), start=1):
        if not line.strip():
            continue
        rest, found = line.strip(), []
        while rest.startswith(_FASTTEXT_PREFIX):
            label, *text = re.split("[ \t]+", rest, maxsplit=1)
            found.append(label.removeprefix(_FASTTEXT_PREFIX))
            rest = text[0] if text else ""
        if not found:
            raise DatasetError(
                f"{name}, line {number:,}: {shorten(line)} does not begin with {_FASTTEXT_PREFIX!r}. A .txt file is "
                "read in fastText form, '__label__NAME text'; for other text use CSV with the columns text and label"
            )
        texts.append(rest)
        labels.append(found)
        lines.append(number)
    if not texts:
        raise DatasetError(f"{name} is empty. Expected lines of the form '__label__NAME text'")
    if all(len(found) == 1 for found in labels):
        column = pa.array([found[0] for found in labels], pa.string())
    else:
        column = pa.array(labels, pa.list_(pa.string()))
    return RawTable(pa.table({"text": pa.array(texts, pa.string()), "label": column}), name, "", lines, notes=notes)


_READERS: dict[str, Callable[[bytes, str], RawTable]] = {
    ".arrow": _read_arrow,
    ".csv": _read_csv,
    ".json": _read_json,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
    ".tsv": _read_tsv,
    ".txt": _read_fasttext,
}
