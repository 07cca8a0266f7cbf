"""Tables of columns: Parquet and Arrow."""

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq

from hfbertcls.data.encodings import Opened
from hfbertcls.data.on_disk import ROWS_PER_PART, TableWriter
from hfbertcls.data.raw import RawTable
from hfbertcls.errors import DatasetError, listing, shorten


def read_parquet(opened: Opened, name: str) -> RawTable:
    """Read a Parquet file, some thousand rows at a time."""
    with opened() as stored:
        stream = stored if isinstance(stored, io.BufferedReader) else io.BytesIO(stored.read())  # (of a gzip file)
        written = TableWriter()
        try:
            with pq.ParquetFile(stream) as file:
                _refuse_double_columns(file.schema_arrow, name)
                written.write(_plain(file.schema_arrow.empty_table()))
                for batch in file.iter_batches(ROWS_PER_PART):
                    rows = pa.Table.from_batches([batch])
                    _refuse_damaged(rows, name)
                    written.write(_plain(rows))
        except (pa.ArrowException, OSError) as err:
            raise DatasetError(f"{name} cannot be read as Parquet ({shorten(str(err), 100)}). Write it again") from err
    table = written.table()
    return RawTable(table, name, "", class_names=_declared_classes(table, name))


def read_arrow(data: bytes, name: str) -> RawTable:
    """Read the bytes of an Arrow file or stream."""
    source = pa.BufferReader(data)
    try:
        reader = pa.ipc.open_file(source) if data.startswith(b"ARROW1") else pa.ipc.open_stream(source)
        table = reader.read_all()
    except (pa.ArrowException, OSError) as err:
        raise DatasetError(f"{name} cannot be read as Arrow ({shorten(str(err), 100)}). Write it again") from err
    return _raw(table, name)


def _raw(table: pa.Table, name: str) -> RawTable:
    _refuse_double_columns(table.schema, name)
    _refuse_damaged(table, name)
    return RawTable(_plain(table), name, "", class_names=_declared_classes(table, name))


def _refuse_double_columns(schema: pa.Schema, name: str) -> None:
    twice = sorted({column for column in schema.names if schema.names.count(column) > 1})
    if twice:
        raise DatasetError(f"{name} has the column {listing(twice)} more than once. Remove or rename one of them")


def _refuse_damaged(table: pa.Table, name: str) -> None:
    try:
        table.validate(full=True)
    except pa.ArrowInvalid as err:
        raise DatasetError(f"{name} is damaged ({shorten(str(err), 100)}). Write it again") from err


def _plain(table: pa.Table) -> pa.Table:
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
        classes = {
            column: tuple(feature["names"])
            for column, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
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
