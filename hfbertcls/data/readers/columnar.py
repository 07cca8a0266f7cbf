"""Tables of columns: Parquet and Arrow."""

import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hfbertcls.data.on_disk import ROWS_PER_PART, TableWriter
from hfbertcls.data.readers.encodings import Opened
from hfbertcls.data.readers.expansion import most_bytes, refuse_bomb, refuse_many_columns
from hfbertcls.data.readers.raw import RawTable
from hfbertcls.errors import DatasetError, listing, shorten


def read_parquet(opened: Opened, name: str) -> RawTable:
    """Read a Parquet file, some thousand rows at a time."""
    with opened() as stored:
        stream = stored if stored.seekable() else io.BytesIO(stored.read())  # (of a gzip file)
        written = TableWriter()
        schema = None
        for part in parquet_parts(stream, name, ROWS_PER_PART):
            written.write(part)
            schema = part.schema
        if schema is None:
            schema = pq.read_schema(stream)
            written.write(plain(schema.empty_table()))
    table = written.table()
    return RawTable(table, name, "", class_names=_declared_classes(table, name))


def parquet_parts(source: BinaryIO, name: str, rows: int, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """The rows of a Parquet file, `rows` at a time.

    Raises:
        DatasetError: if it is damaged, or holds far more than its size suggests.
    """
    size, held = source.seek(0, io.SEEK_END), 0
    try:
        metadata = pq.read_metadata(source)
        _refuse_declared_bomb(metadata, size, name)
        with pq.ParquetFile(
            source, metadata=metadata, read_dictionary=_doubtful_texts(source, metadata, size)
        ) as file:
            refuse_double_columns(file.schema_arrow, name)
            for batch in file.iter_batches(rows, columns=columns):
                table = pa.Table.from_batches([batch])
                held += sum(_plain_bytes(column) for column in table.columns)
                refuse_bomb(held, size, name)
                _refuse_damaged(table, name)
                yield plain(table)
    except (pa.ArrowException, OSError) as err:
        raise _unreadable(err, name) from err


def _refuse_declared_bomb(metadata: pq.FileMetaData, size: int, name: str) -> None:
    """Refuse a file whose own metadata declare too many bytes or values.

    Raises:
        DatasetError: if they do.
    """
    refuse_many_columns(metadata.num_columns, name)
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    refuse_bomb(sum(group.total_byte_size for group in groups), size, name)
    chunks = (group.column(index) for group in groups for index in range(group.num_columns))
    refuse_bomb(sum(chunk.num_values for chunk in chunks), size, name)


def harmless_metadata(source: BinaryIO, name: str) -> pq.FileMetaData:
    """The metadata of a Parquet file that does not hold far more than its size suggests.

    Its rows may share a long text that is stored once; such columns are read.

    Raises:
        DatasetError: if it does, or is damaged.
    """
    size = source.seek(0, io.SEEK_END)
    try:
        metadata = pq.read_metadata(source)
        _refuse_declared_bomb(metadata, size, name)
        columns = _doubtful_texts(source, metadata, size)
    except (pa.ArrowException, OSError) as err:
        raise _unreadable(err, name) from err
    if columns:
        for _ in parquet_parts(source, name, ROWS_PER_PART, columns):
            pass
    return metadata


def _unreadable(err: Exception, name: str) -> DatasetError:
    return DatasetError(f"{name} cannot be read as Parquet ({shorten(str(err), 100)}). Write it again")


def _doubtful_texts(source: BinaryIO, metadata: pq.FileMetaData, size: int) -> list[str]:
    """Columns of texts that might hold far more than their bytes, because a long text is stored once for many rows.

    They are read with each text kept once, until its total bytes are counted; that takes more memory.
    """
    doubtful: dict[str, None] = {}
    for index in range(metadata.num_columns):
        column = metadata.schema.column(index)
        is_text = column.physical_type == "BYTE_ARRAY" and column.logical_type.type in ("STRING", "NONE")
        if not is_text or column.max_repetition_level > 0:
            continue
        for group in range(metadata.num_row_groups):
            chunk = metadata.row_group(group).column(index)
            if chunk.num_values * chunk.total_uncompressed_size <= most_bytes(size):
                continue
            with pq.ParquetFile(source, metadata=metadata, read_dictionary=[column.path]) as file:
                first = next(file.iter_batches(1, row_groups=[group], columns=[column.path]), None)
            if first is None or not pa.types.is_dictionary(first.schema.types[0]):
                continue
            longest = pc.max(pc.binary_length(first.column(0).dictionary)).as_py() or 0
            if chunk.num_values * longest > most_bytes(size):
                doubtful[column.path] = None
    return list(doubtful)


def _plain_bytes(column: pa.ChunkedArray) -> int:
    """Bytes of a column whose values are stored once, when each row has its own."""
    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    total = 0
    for chunk in column.chunks:
        values = chunk.dictionary
        if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
            total += len(chunk) * 8
            continue
        counts = np.bincount(chunk.indices.drop_null().to_numpy(), minlength=len(values))
        lengths = pc.fill_null(pc.binary_length(values), 0).to_numpy(zero_copy_only=False).astype(np.int64)
        total += int(counts @ lengths) if len(values) else 0
    return total


def read_arrow(data: bytes, name: str) -> RawTable:
    """Read the bytes of an Arrow file or stream."""
    source = pa.BufferReader(data)
    held = 0
    try:
        if data.startswith(b"ARROW1"):
            reader = pa.ipc.open_file(source)
            batches = (reader.get_batch(index) for index in range(reader.num_record_batches))
        else:
            reader = pa.ipc.open_stream(source)
            batches = iter(reader)
        kept = []
        for batch in batches:
            table = pa.Table.from_batches([batch])
            _refuse_damaged(table, name)
            held += sum(_plain_bytes(column) for column in table.columns)
            refuse_bomb(held, len(data), name)
            kept.append(batch)
        table = pa.Table.from_batches(kept, reader.schema)
    except (pa.ArrowException, OSError) as err:
        raise DatasetError(f"{name} cannot be read as Arrow ({shorten(str(err), 100)}). Write it again") from err
    return _raw(table, name)


def _raw(table: pa.Table, name: str) -> RawTable:
    refuse_double_columns(table.schema, name)
    _refuse_damaged(table, name)
    return RawTable(plain(table), name, "", class_names=_declared_classes(table, name))


def refuse_double_columns(schema: pa.Schema, name: str) -> None:
    """Refuse a table that has two columns of the same name.

    Raises:
        DatasetError: naming it.
    """
    twice = sorted(column for column, count in Counter(schema.names).items() if count > 1)
    if twice:
        raise DatasetError(f"{name} has the column {listing(twice)} more than once. Remove or rename one of them")


def _refuse_damaged(table: pa.Table, name: str) -> None:
    try:
        table.validate(full=True)
    except pa.ArrowInvalid as err:
        raise DatasetError(f"{name} is damaged ({shorten(str(err), 100)}). Write it again") from err


def plain(table: pa.Table) -> pa.Table:
    """Replace dictionary columns (pandas' categories) by their values, and views of text by text."""
    for index, column in enumerate(table.schema):
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        kind = pa.string() if pa.types.is_string_view(kind) else kind
        if kind != column.type:
            table = table.set_column(index, column.name, table.column(index).cast(kind))
    return table


def _declared_classes(table: pa.Table, name: str) -> dict[str, tuple[str, ...]]:
    """The `ClassLabel` names that the datasets library wrote into the schema, by column."""
    metadata = (table.schema.metadata or {}).get(b"huggingface")
    if metadata is None:
        return {}
    try:
        features = json.loads(metadata)["info"]["features"]
        inner: dict[str, Any] = {
            column: feature.get("feature") if isinstance(feature.get("feature"), dict) else feature
            for column, feature in features.items()
            if isinstance(feature, dict)
        }  # (of lists, what they hold)
        classes = {
            column: tuple(feature["names"])
            for column, feature in inner.items()
            if feature.get("_type") == "ClassLabel"
        }
    except (ValueError, LookupError, TypeError, AttributeError) as err:
        raise DatasetError(
            f"{name} has a description of its columns (schema metadata 'huggingface') that cannot be read. Write the file "
            "again, with the datasets library or without that description"
        ) from err
    odd = [column for column, names in classes.items() if not all(isinstance(label, str) for label in names)]
    if odd:
        raise DatasetError(f"{name} declares labels for the column {listing(odd)} that are not texts. Write it again")
    return classes
