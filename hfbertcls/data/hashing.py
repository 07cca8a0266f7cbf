"""Hashes of data: of a table as it was read, and of the rows that are used."""

import hashlib
import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hfbertcls.data.on_disk import in_parts
from hfbertcls.data.texts import TEXT_FIELDS


def parquet_sha256(table: pa.Table) -> str:
    """Hash of the canonical Parquet form: no compression, no metadata, one row group for 65,536 rows."""
    sink = _Hashed()
    with pa.PythonFile(sink, mode="w") as file:
        pq.write_table(table.replace_schema_metadata(None), file, compression="none", row_group_size=65_536)
    return sink.digest.hexdigest()


def rows_sha256(table: pa.Table) -> str:
    """Hash of rows, texts and labels, independent of the file format."""
    digest = hashlib.sha256()
    names = [name for name in ("row", *TEXT_FIELDS, "label") if name in table.column_names]
    for part in in_parts(table.select(names)):
        for row in zip(*(part.column(name).to_pylist() for name in names), strict=True):
            digest.update(json.dumps(row, ensure_ascii=True).encode() + b"\n")
    return digest.hexdigest()


class _Hashed(io.RawIOBase):
    """A file that is never written: only its hash is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.digest = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.digest.update(data)
        return len(data)
