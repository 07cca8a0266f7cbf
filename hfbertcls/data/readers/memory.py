"""Data that are in memory already: frames, data sets, lists and arrays as tables like those of files."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from hfbertcls.data.dataset import SPLIT_STEMS
from hfbertcls.data.hashing import parquet_sha256
from hfbertcls.data.readers.columnar import plain, refuse_double_columns
from hfbertcls.data.readers.raw import RawTable
from hfbertcls.data.readers.records import table_of_records
from hfbertcls.data.texts import TEXT_FIELDS
from hfbertcls.errors import DatasetError, listing, shorten


_EXPECTED = (
    "Expected a path, a Hub id, a DataFrame of pandas or polars, a Dataset or DatasetDict, a list of dicts, (texts, labels), or a dict "
    "of splits with any of these"
)


def name_of(data: Any) -> str:
    """What data in memory are called in messages and in the report."""
    return f"{type(data).__name__} in memory"


def tables_in_memory(data: Any) -> tuple[dict[str | None, RawTable], tuple[str, ...]]:
    """The tables of data in memory, by split (one table alone under the name `None`), and notes.

    Raises:
        DatasetError: if they are of a kind that cannot be read.
    """
    if not isinstance(data, Mapping) or not _are_splits(data):
        return {None: _table(data, name_of(data))}, ()
    tables: dict[str | None, RawTable] = {}
    for name, part in data.items():
        split = SPLIT_STEMS.get(str(name))
        if split in tables:
            raise DatasetError(
                f"more than one split could be the {split} split: {listing(map(str, data))}. Keep one of them"
            )
        if split is not None:
            tables[split] = _table(part, str(name))
    if not tables:
        raise DatasetError(f"the data set has the splits {listing(map(str, data))}, but none is called train or test")
    ignored = [str(name) for name in data if str(name) not in SPLIT_STEMS]
    return tables, (f"splits that are not used: {listing(ignored)}",) if ignored else ()


def _are_splits(data: Mapping[Any, Any]) -> bool:
    """Whether a mapping holds splits, and not columns."""
    return any(str(name) in SPLIT_STEMS for name in data) and not any(_is_column(part) for part in data.values())


def _is_column(part: Any) -> bool:
    return isinstance(part, list) and bool(part) and not isinstance(part[0], Mapping | tuple)


def _table(data: Any, name: str) -> RawTable:
    classes = _declared_classes(data)
    try:
        table = _arrow(data, name)
    except DatasetError:  # (is a ValueError, too)
        raise
    except (pa.ArrowException, ValueError, OverflowError) as err:
        raise DatasetError(
            f"the {name} cannot be read as a table: {shorten(str(err), 160)}. Give each column values of one type"
        ) from err
    refuse_double_columns(table.schema, name)
    table = _canonical(plain(table))
    if not table.num_rows:
        raise DatasetError(f"the {name} has no row. Expected one for each text")
    return RawTable(table, name, parquet_sha256(table), class_names=classes)


def _arrow(data: Any, name: str) -> pa.Table:
    pandas, datasets = sys.modules.get("pandas"), sys.modules.get("datasets")  # (what is not imported was not passed)
    if pandas is not None and isinstance(data, pandas.DataFrame):
        return pa.Table.from_pandas(data, preserve_index=False)
    if datasets is not None and isinstance(data, datasets.Dataset):
        return data.with_format("arrow")[:]
    if hasattr(data, "__arrow_c_stream__"):  # (polars, PyArrow, DuckDB and others)
        return pa.table(data)
    if isinstance(data, Mapping):
        return _columns({str(column): values for column, values in data.items()}, name)
    if isinstance(data, tuple) and len(data) == 2 and not any(isinstance(part, str | Mapping) for part in data):
        return _columns({**_text_columns(data[0]), "label": data[1]}, name)
    if isinstance(data, list) and data and all(isinstance(record, Mapping) for record in data):
        return table_of_records([dict(record) for record in data], name, None)
    if isinstance(data, list) and data and all(isinstance(row, tuple) for row in data):
        names = {2: ("text", "label"), 3: (*TEXT_FIELDS, "label")}.get(len(data[0]))
        if names is not None and all(len(row) == len(names) for row in data):
            return _columns(dict(zip(names, map(list, zip(*data, strict=True)), strict=True)), name)
    raise DatasetError(f"data of the type {type(data).__name__} cannot be read. {_EXPECTED}")


def _text_columns(texts: Any) -> dict[str, Any]:
    """Texts as a column; tuples of two texts as the columns of pairs."""
    if not (isinstance(texts, list) and texts and all(isinstance(row, tuple) and len(row) == 2 for row in texts)):
        return {"text": texts}
    return dict(zip(TEXT_FIELDS, map(list, zip(*texts, strict=True)), strict=True))


def _columns(columns: Mapping[str, Any], name: str) -> pa.Table:
    values: dict[str, Sequence[Any]] = {}
    for column, cells in columns.items():
        if isinstance(cells, str) or not (hasattr(cells, "tolist") or isinstance(cells, Sequence)):
            raise DatasetError(
                f"the column {column!r} of the {name} is of the type {type(cells).__name__}. {_EXPECTED}"
            )
        values[column] = cells.tolist() if hasattr(cells, "tolist") else list(cells)
    lengths = {column: len(cells) for column, cells in values.items()}
    if len(set(lengths.values())) > 1:
        row_counts = ", ".join(f"{column!r} has {count:,}" for column, count in lengths.items())
        raise DatasetError(
            f"the columns of the {name} differ in length: {row_counts}. Give each row a value in each of them"
        )
    return pa.table({column: pa.array(cells, from_pandas=True) for column, cells in values.items()})


def _canonical(table: pa.Table) -> pa.Table:
    """The same values with the types that files have, so that the same rows have the same hash from every library."""
    columns = {}
    for column in table.schema:
        kind = column.type
        if pa.types.is_large_string(kind):
            kind = pa.string()
        elif pa.types.is_large_list(kind) or pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
            inner = kind.value_type
            text = pa.types.is_large_string(inner) or pa.types.is_string_view(inner)
            kind = pa.list_(pa.string() if text else inner)
        columns[column.name] = table.column(column.name).cast(kind).combine_chunks()
    return pa.table(columns)


def _declared_classes(data: Any) -> dict[str, tuple[str, ...]]:
    """The names of the classes that a `datasets.Dataset` declares, by column."""
    datasets = sys.modules.get("datasets")
    if datasets is None or not isinstance(data, datasets.Dataset):
        return {}
    return class_names_of(data)


def class_names_of(data: Any) -> dict[str, tuple[str, ...]]:
    """The names of the classes in the columns of a `datasets.Dataset` that hold them, or lists of them."""
    import datasets  # noqa: PLC0415  (takes a second)

    inner = {column: getattr(feature, "feature", feature) for column, feature in data.features.items()}
    return {
        column: tuple(feature.names) for column, feature in inner.items() if isinstance(feature, datasets.ClassLabel)
    }
