"""The output of `predict`: joined from its parts, and written only when complete."""

import csv
import gzip
import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hfbertcls.data.readers.streaming import FORMATS
from hfbertcls.data.readers.tables import suffix_of
from hfbertcls.errors import ConfigurationError, OutputDirectoryError


def format_of(path: Path) -> str:
    """The format that the ending of an output asks for.

    Raises:
        ConfigurationError: if it is none that can be written.
    """
    suffix = suffix_of(path)
    if suffix not in FORMATS or (suffix == ".parquet" and path.suffix.lower() == ".gz"):
        raise ConfigurationError(
            f"--output {path.name} has an ending that cannot be written. Expected {', '.join(FORMATS)} (but for Parquet also as .gz)"
        )
    return suffix


def write_answers(parts: Sequence[Path], output: Path, rows: int) -> int:
    """Write the parts as one file, and move it to its place when it is complete.

    Args:
        parts: Parquet files, in order.
        output: where to write.
        rows: how many there must be, numbered from 0.

    Returns:
        how many of them have no prediction.

    Raises:
        OutputDirectoryError: if rows are missing or not in order, so that nothing is written.
    """
    suffix = format_of(output)
    partial = output.with_name(f".{output.name}.partial")
    checked = _Checked(parts, rows)
    if suffix == ".parquet":
        _write_parquet(checked, partial)
    else:
        _write_text(checked, partial, suffix, packed=output.suffix.lower() == ".gz")
    partial.replace(output)
    return checked.unanswered


class _Checked:
    """The tables of the parts, with a look at their row numbers."""

    def __init__(self, parts: Sequence[Path], rows: int) -> None:
        self.parts = parts
        self.rows = rows
        self.unanswered = 0

    def __iter__(self) -> Iterator[pa.Table]:
        expected = 0
        for path in self.parts:
            table = pq.read_table(path)
            numbers = table.column("row").to_numpy()
            if len(numbers) and (numbers[0] != expected or numbers[-1] != expected + len(numbers) - 1):
                raise OutputDirectoryError(f"{path.name} does not follow the part before it. Repeat with --overwrite")
            expected += len(numbers)
            self.unanswered += int(pc.sum(pc.is_null(table.column("prediction"))).as_py() or 0)
            yield table
        if expected != self.rows:
            raise OutputDirectoryError(
                f"there are {expected:,} answers for {self.rows:,} rows. Repeat with --overwrite"
            )


def _synced(stream: BinaryIO) -> None:
    stream.flush()
    os.fsync(stream.fileno())


def _write_parquet(tables: _Checked, partial: Path) -> None:
    with partial.open("wb") as stream:
        writer = None
        for table in tables:
            plain = _plain(table)
            writer = writer or pq.ParquetWriter(stream, plain.schema, compression="zstd")
            writer.write_table(plain)
        if writer is not None:
            writer.close()
        _synced(stream)


def _plain(table: pa.Table) -> pa.Table:
    """Columns that were kept as JSON, as texts: what was a text is one again, all else stays JSON."""
    for index, field in enumerate(table.schema):
        if _is_json(field):
            values = [_text_of(value) for value in table.column(index).to_pylist()]
            table = table.set_column(index, field.name, pa.array(values, pa.string()))
    return table


def _is_json(field: pa.Field) -> bool:
    return (field.metadata or {}).get(b"json") == b"true"


def _text_of(value: str | None) -> str | None:
    decoded = None if value is None else json.loads(value)
    return decoded if decoded is None or isinstance(decoded, str) else value


def _write_text(tables: _Checked, partial: Path, suffix: str, *, packed: bool) -> None:
    with partial.open("wb") as stream:
        # A fixed time stamp: the same answers give the same bytes.
        target = cast(BinaryIO, gzip.GzipFile("", "wb", fileobj=stream, mtime=0)) if packed else stream
        text = io.TextIOWrapper(target, "utf-8", newline="")
        write = (
            _json_writer(text) if suffix == ".jsonl" else _delimited_writer(text, "\t" if suffix == ".tsv" else ",")
        )
        for table in tables:
            write(table)
        text.flush()
        text.detach()
        if packed:
            target.close()
        _synced(stream)


def _json_writer(text: io.TextIOWrapper) -> Callable[[pa.Table], None]:
    def write(table: pa.Table) -> None:
        as_json = [field.name for field in table.schema if _is_json(field)]
        for row in table.to_pylist():
            for name in as_json:
                row[name] = None if row[name] is None else json.loads(row[name])
            text.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")

    return write


def _delimited_writer(text: io.TextIOWrapper, separator: str) -> Callable[[pa.Table], None]:
    writer = csv.writer(text, delimiter=separator, lineterminator="\n")
    begun = False

    def write(table: pa.Table) -> None:
        nonlocal begun
        if not begun:
            writer.writerow(table.column_names)
            begun = True
        columns = [column.to_pylist() for column in _plain(table).columns]
        writer.writerows([_cell(value) for value in row] for row in zip(*columns, strict=True))

    return write


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, list | dict) else value
