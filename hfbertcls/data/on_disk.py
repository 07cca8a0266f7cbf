"""Large tables: written to an unnamed file, and read from there as if they were in memory."""

import contextlib
import mmap
import tempfile
import weakref
from collections.abc import Iterator
from typing import IO

import pyarrow as pa

from hfbertcls.errors import DatasetError


LARGEST_IN_MEMORY = 1 << 23
"""Tables of more bytes are kept on the disk."""
ROWS_PER_PART = 8_192
_BYTES_BETWEEN_RELEASES = 1 << 24
_mapped: "weakref.WeakSet[mmap.mmap]" = weakref.WeakSet()


class TableWriter:
    """Collects rows into a table; above 8 MB it lies in a file of the temporary directory (`TMPDIR`).

    The file has no name and is gone with the table, or with the process, however it ends.

    Args:
        schema: of all rows; None takes that of the first ones.
    """

    def __init__(self, schema: pa.Schema | None = None) -> None:
        self._schema = schema
        self._batches: list[pa.RecordBatch] = []
        self._bytes = 0
        self._file: IO[bytes] | None = None
        self._writer: pa.RecordBatchFileWriter | None = None

    def write(self, rows: pa.RecordBatch | pa.Table) -> None:
        """Add rows.

        Raises:
            DatasetError: if there is no room for them in the temporary directory.
        """
        if self._schema is None:
            self._schema = rows.schema
        for batch in rows.to_batches() if isinstance(rows, pa.Table) else [rows]:
            self._batches.append(batch)
            self._bytes += batch.nbytes
        if self._bytes > LARGEST_IN_MEMORY:
            self._to_disk()

    def table(self) -> pa.Table:
        """All rows; nothing can be added after this."""
        if self._file is None or self._writer is None:
            return pa.Table.from_batches(self._batches, self._schema)
        self._to_disk()
        with self._disk_errors():
            self._writer.close()
            self._file.flush()
            mapped = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
            self._file.close()
        _mapped.add(mapped)
        return pa.ipc.open_file(pa.py_buffer(mapped)).read_all()

    def _to_disk(self) -> None:
        with self._disk_errors():
            if self._writer is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115  (closed by `table`)
                self._writer = pa.ipc.new_file(self._file, self._schema)
            for batch in self._batches:
                self._writer.write_batch(batch)
        self._batches = []

    @contextlib.contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as err:
            if self._file is not None:
                with contextlib.suppress(OSError):  # (closing tries to write what is left)
                    self._file.close()
            raise DatasetError(
                f"data of {self._bytes / 1e6:,.0f} MB and more cannot be written to the temporary directory "
                f"({err.strerror or err}). Make room there, or name another directory in the variable TMPDIR"
            ) from err


def in_parts(table: pa.Table, rows: int | None = None) -> Iterator[pa.RecordBatch]:
    """The rows in order, 8,192 at a time (or `rows`); what lies on the disk leaves memory after it was read."""
    seen = 0
    for batch in table.to_batches(max_chunksize=rows or ROWS_PER_PART):
        yield batch
        seen += batch.nbytes
        if seen > _BYTES_BETWEEN_RELEASES:
            release()
            seen = 0
    release()


def release() -> None:
    """Let go of the pages of files that were read; they are read again when they are looked at again."""
    if hasattr(mmap, "MADV_DONTNEED"):
        for mapped in list(_mapped):
            mapped.madvise(mmap.MADV_DONTNEED)
