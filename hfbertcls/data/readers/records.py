"""Records of text: JSON, and JSON lines."""

import io
import itertools
import json
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from hfbertcls.data.on_disk import ROWS_PER_PART, TableWriter
from hfbertcls.data.readers.encodings import Opened, decode, find_encoding
from hfbertcls.data.readers.expansion import refuse_many_columns
from hfbertcls.data.readers.raw import RawTable
from hfbertcls.errors import DatasetError, listing, shorten


_INTEGERS = range(-(2**63), 2**63)


def _refuse_constant(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys stand there once; Python would keep the last value without a word."""
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key, count in Counter(keys).items() if count > 1)
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return values


def parse_json(text: str) -> Any:
    """Parse JSON strictly: no NaN, no key twice in an object.

    Raises:
        ValueError: if it is not JSON.
    """
    return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_object)


def read_json(data: bytes, name: str) -> RawTable:
    """A list of objects, or one object a line (which many call .json too)."""
    text, notes = decode(data, name)
    if not text.lstrip().startswith("["):
        _refuse_one_object(text, name)
        numbered = list(json_lines(text.split("\n"), name))
        numbers = [number for number, _ in numbered]
        return RawTable(
            table_of_records([record for _, record in numbered], name, numbers), name, "", numbers, notes=notes
        )
    try:
        records = parse_json(text)
    except ValueError as err:
        raise DatasetError(f"{name} is not valid JSON: {err}") from err
    except RecursionError as err:
        raise DatasetError(
            f"{name} is nested too deeply. Expected objects such as {{'text': ..., 'label': ...}}"
        ) from err
    return RawTable(table_of_records(records, name, None), name, "", notes=notes)


def _refuse_one_object(text: str, name: str) -> None:
    """One object for the whole file is a table by columns, or wraps the records; the rows are ambiguous."""
    try:
        value = parse_json(text)
    except (ValueError, RecursionError):
        return
    if not isinstance(value, dict):
        return  # (the lines are refused one by one)
    if "\n" in text.strip() or any(isinstance(entry, dict | list) for entry in value.values()):
        inside = [
            key for key, entry in value.items() if isinstance(entry, list) and entry and isinstance(entry[0], dict)
        ]
        where = f" (the key {inside[0]!r} holds one: save that list alone)" if inside else ""
        raise DatasetError(
            f"{name} is one JSON object with the keys {listing(value, 5)}. Expected a list of objects{where}, "
            "or one object on each line; with pandas: to_json(orient='records')"
        )


def read_jsonl(opened: Opened, name: str) -> RawTable:
    """One object on each line; a table of plain values is made some thousand lines at a time."""
    encoding, notes = find_encoding(opened, name)

    def records() -> Iterator[tuple[int, dict[str, Any]]]:
        with opened() as stream, io.TextIOWrapper(stream, encoding, newline="\n") as lines:
            yield from json_lines(lines, name)

    numbers = array("q")
    kinds: dict[str, set[type]] = {}
    values = 0
    for number, record in records():
        numbers.append(number)
        values += len(record)
        for key, value in record.items():
            kinds.setdefault(key, set()).add(type(value))
    _refuse_keys_of_their_own(len(kinds), values, len(numbers), name)
    schema = _schema_of_plain_values(kinds)
    table = None if schema is None else _table_in_parts((record for _, record in records()), schema)
    if table is None:  # (lists, or values of which one does not fit and must be named)
        table = table_of_records([record for _, record in records()], name, numbers)
    return RawTable(table, name, "", numbers, notes=notes)


def json_lines(lines: Iterable[str], name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the number of each line that is not blank, and its object.

    Raises:
        DatasetError: naming the first line that holds none.
    """
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = parse_json(line)
        except ValueError as err:
            raise DatasetError(
                f"{name}, line {number:,}: not a JSON object ({err}). Expected one object on each line"
            ) from err
        except RecursionError as err:
            raise DatasetError(
                f"{name}, line {number:,}: nested too deeply. Expected one object on each line"
            ) from err
        if not isinstance(record, dict):
            raise DatasetError(f"{name}, line {number:,}: {_no_object(record)}")
        yield number, record


def _no_object(record: Any) -> str:
    return f"{shorten(str(record))} is not an object. Expected objects such as {{'text': ..., 'label': ...}}"


_PLAIN = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


def _schema_of_plain_values(kinds: Mapping[str, set[type]]) -> pa.Schema | None:
    """The types that `_column` would choose; None for lists, objects, and keys with values of different kinds."""
    types = {}
    for key, types_of_key in kinds.items():
        values = types_of_key - {type(None)}
        if values == {int, float}:
            types[key] = pa.string()
        elif len(values) > 1 or not values <= _PLAIN.keys() or _has_half_letters(key):
            return None
        else:
            types[key] = _PLAIN[values.pop()] if values else pa.null()
    return pa.schema(list(types.items())) if types else None


def _table_in_parts(records: Iterable[dict[str, Any]], schema: pa.Schema) -> pa.Table | None:
    """None if a value does not fit."""
    written = TableWriter(schema)
    records = iter(records)
    while part := list(itertools.islice(records, ROWS_PER_PART)):
        columns = [_column_of_type([record.get(field.name) for record in part], field.type) for field in schema]
        if any(column is None for column in columns):
            return None
        written.write(pa.record_batch(columns, schema=schema))
    return written.table()


def _column_of_type(values: list[Any], kind: pa.DataType) -> pa.Array | None:
    if kind == pa.string():
        values = [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
    try:
        return pa.array(values, kind)
    except _MISFITS:
        return None


_MISFITS = (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError, OverflowError)


def table_of_records(records: list[Any], name: str, lines: Sequence[int] | None) -> pa.Table:
    """A table of objects: a column for each key, null where an object has none.

    Raises:
        DatasetError: naming the record that is no object, or whose value does not fit.
    """
    if not records:
        raise DatasetError(f"{name} holds no record. Expected objects such as {{'text': ..., 'label': ...}}")
    columns: dict[str, list[Any]] = {}
    for index, record in enumerate(records):
        if not isinstance(record, dict):
            raise DatasetError(f"{name}, record {index:,}: {_no_object(record)}")
    keys = {key for record in records for key in record}
    _refuse_keys_of_their_own(len(keys), sum(map(len, records)), len(records), name)
    for index, record in enumerate(records):
        for key in record:
            if _has_half_letters(key):
                place = f"line {lines[index]:,}" if lines else f"record {index:,}"
                raise DatasetError(f"{name}, {place}: the key {key!a} is not text. Rename it")
            if key not in columns:
                columns[key] = [None] * index
        for key, values in columns.items():
            values.append(record.get(key))
    return pa.table({key: _column(values, key, name, lines) for key, values in columns.items()})


def _column(values: list[Any], key: str, name: str, lines: Sequence[int] | None) -> pa.Array:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        # As it is written, like in a CSV file: PyArrow would make 1.0 of every 1.
        return pa.array([None if value is None else json.dumps(value) for value in values], pa.string())
    try:
        return pa.array(values)
    except _MISFITS as err:
        index, reason = _first_misfit(values)
        place = f"line {lines[index]:,}" if lines else f"record {index:,}"
        raise DatasetError(
            f"{name}, {place}: the value of {key!r} {reason}. "
            "Give each record a text (or number, or list of texts) there, or null"
        ) from err


def _first_misfit(values: list[Any]) -> tuple[int, str]:
    """Position of the first value that does not fit, and why."""
    kinds = [type(value) for value in values if value is not None]
    for index, value in enumerate(values):
        if value is not None and type(value) is not kinds[0]:
            return index, f"is not of the type of those before it ({shorten(json.dumps(value), 40)})"
        if _has_half_letters(json.dumps(value, ensure_ascii=False)):
            return index, "holds half of a letter (a lone surrogate), which is not text"
        if isinstance(value, int) and value not in _INTEGERS:
            return index, f"is a number too large for 64 bits ({shorten(str(value), 40)}); put it in quotes"
    return 0, "or of a later record is nested in another way than the others"


_MANY_KEYS = 1_000


def _refuse_keys_of_their_own(keys: int, values: int, records: int, name: str) -> None:
    """Refuse records that have hardly a key in common: a table of them would be large and empty."""
    refuse_many_columns(keys, name)
    if keys > _MANY_KEYS and values < 0.1 * keys * records:
        raise DatasetError(
            f"{name} has {keys:,} different keys, but a record has {values / records:,.1f} of them on average. Expected the same "
            "few keys in each, such as {'text': ..., 'label': ...}"
        )


def _has_half_letters(text: str) -> bool:
    """Whether a string holds lone surrogates, which JSON can spell and UTF-8 cannot."""
    return not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text)
