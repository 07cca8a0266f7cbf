"""Records of text: JSON, JSON lines, and lines in fastText form."""

import json
import re
from typing import Any

import pyarrow as pa

from hfbertcls.data.encodings import decode
from hfbertcls.data.raw import RawTable
from hfbertcls.errors import DatasetError, listing, shorten


_INTEGERS = range(-(2**63), 2**63)


def _refuse_constant(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys stand there once; Python would keep the last value without a word."""
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} stands twice in one object")
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
        return _read_json_lines(text, name, notes)
    try:
        records = parse_json(text)
    except ValueError as err:
        raise DatasetError(f"{name} is not valid JSON: {err}") from err
    except RecursionError as err:
        raise DatasetError(
            f"{name} is nested too deeply. Expected objects such as {{'text': ..., 'label': ...}}"
        ) from err
    return RawTable(_table_of_records(records, name, None), name, "", notes=notes)


def _refuse_one_object(text: str, name: str) -> None:
    """One object over the whole file is a table by columns, or wraps the records; neither says which are the rows."""
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


def read_jsonl(data: bytes, name: str) -> RawTable:
    """One object on each line."""
    text, notes = decode(data, name)
    return _read_json_lines(text, name, notes)


def _read_json_lines(text: str, name: str, notes: tuple[str, ...]) -> RawTable:
    records, lines = [], []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            records.append(parse_json(line))
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
            if key not in columns:
                columns[key] = [None] * index
        for key, values in columns.items():
            values.append(record.get(key))
    return pa.table({key: _column(values, key, name, lines) for key, values in columns.items()})


def _column(values: list[Any], key: str, name: str, lines: list[int] | None) -> pa.Array:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        # As it is written, like in a CSV file: PyArrow would make 1.0 of every 1.
        return pa.array([None if value is None else json.dumps(value) for value in values], pa.string())
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError, OverflowError) as err:
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


def _has_half_letters(text: str) -> bool:
    """Whether a string holds lone surrogates, which JSON can spell and UTF-8 cannot."""
    return not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text)


_FASTTEXT_PREFIX = "__label__"


def read_fasttext(data: bytes, name: str) -> RawTable:
    """Lines such as `__label__spam win a prize`; several labels at the front of a line make it multi-label."""
    decoded, notes = decode(data, name)
    texts: list[str] = []
    labels: list[list[str]] = []
    lines: list[int] = []
    for number, line in enumerate(re.split("\r\n|\n|\r", decoded), start=1):
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
