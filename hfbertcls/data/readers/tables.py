"""Files of labelled text, by format: each becomes a table with the columns, types and values that the file has."""

import gzip
import hashlib
import io
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

from hfbertcls.data.readers.columnar import read_arrow, read_parquet
from hfbertcls.data.readers.delimited import read_delimited
from hfbertcls.data.readers.encodings import Opened
from hfbertcls.data.readers.excel import read_excel
from hfbertcls.data.readers.expansion import refuse_bomb
from hfbertcls.data.readers.fasttext import read_fasttext
from hfbertcls.data.readers.layout import AS_SEEN, Layout
from hfbertcls.data.readers.raw import RawTable
from hfbertcls.data.readers.records import read_json, read_jsonl
from hfbertcls.errors import DatasetError, MissingAssetError
from hfbertcls.files import sha256_of


BYTES_OF_HEAD = 1 << 16
_HELD_UP_TO = 1 << 24
"""Bytes up to which a file is read from the disk once, and what is hashed is what is parsed."""
_Reader = Callable[[Opened, str, Layout], RawTable]


def read_table(path: Path, layout: Layout = AS_SEEN) -> RawTable:
    """Read one file of labelled text: csv, tsv, json, jsonl, parquet, arrow, xlsx or fastText txt, each also gzipped.

    Args:
        path: where it is.
        layout: how a delimited file is to be read.

    Raises:
        DatasetError: if the file cannot be read, or its content is not what its ending promises.
        MissingAssetError: if a package is missing that reads it.
    """
    suffix, reader = _reader_for(path)
    try:
        with open_stored(path):
            pass  # (refuses a pipe before it is waited for)
        before = _state_of(path)
        held = path.read_bytes() if path.stat().st_size <= _HELD_UP_TO else None
        digest = sha256_of(path) if held is None else hashlib.sha256(held).hexdigest()
        opened = partial(open_stored, path, held)
        with opened() as stream:
            head = stream.read(BYTES_OF_HEAD)
        refuse_wrong_content(head, path.name, suffix)
        raw = reader(opened, path.name, layout)
        is_same = _state_of(path) == before and (held is not None or sha256_of(path) == digest)
    except MissingAssetError:  # (is an OSError, too)
        raise
    except (EOFError, zlib.error, gzip.BadGzipFile) as err:
        raise DatasetError(f"{path.name} is not a complete gzip file ({err}). Fetch or compress it again") from err
    except OSError as err:
        raise DatasetError(f"{path.name} cannot be read: {err.strerror}") from err
    if not is_same:
        raise DatasetError(f"{path.name} changed while it was read. Repeat the command when nothing writes to it")
    return replace(raw, name=path.name, sha256=digest)


def _state_of(path: Path) -> tuple[int, int, int]:
    """What changes when somebody writes to a file or puts another in its place."""
    state = path.stat()
    return state.st_ino, state.st_size, state.st_mtime_ns


def open_stored(path: Path, held: bytes | None = None) -> BinaryIO:
    """The bytes of a file, unpacked if it ends in .gz.

    Args:
        path: where it is.
        held: its bytes, if they were read already.

    Raises:
        DatasetError: if it is no file; while it is read, if it unpacks to far more than any text does.
    """
    if path.exists() and not path.is_file():
        raise DatasetError(f"{path.name} is not a file (a folder, a pipe or a device). Name a file")
    stored: BinaryIO = path.open("rb") if held is None else io.BytesIO(held)
    if path.suffix.lower() != ".gz":
        return stored
    size = path.stat().st_size if held is None else len(held)
    return cast(BinaryIO, io.BufferedReader(_Unpacked(stored, path.name, size), BYTES_OF_HEAD))


class _Unpacked(io.RawIOBase):
    """The bytes of a gzip file, as many as a text of its size can have."""

    def __init__(self, stored: BinaryIO, name: str, size: int) -> None:
        super().__init__()
        self._stored, self._name, self._size = stored, name, size
        self._stream = gzip.GzipFile(fileobj=stored, mode="rb")
        self._count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._stream.readinto(buffer)
        self._count += count
        refuse_bomb(self._count, self._size, self._name)
        return count

    def close(self) -> None:
        self._stream.close()
        self._stored.close()
        super().close()


def is_table_file(path: Path) -> bool:
    """Whether the ending of a file is one that `read_table` knows."""
    return suffix_of(path) in _READERS


def suffix_of(path: Path) -> str:
    """The ending that tells the format, without that of gzip."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _reader_for(path: Path) -> tuple[str, _Reader]:
    suffix = suffix_of(path)
    if suffix not in _READERS:
        hint = "Save the sheet as .xlsx or CSV" if suffix in {".xls", ".ods"} else "Unpack or convert the file"
        raise DatasetError(
            f"{path.name} has the ending {path.suffix or 'of no format'!r}, which is not one of "
            f"{', '.join(sorted(_READERS))} (each also as .gz). {hint}"
        )
    return suffix, _READERS[suffix]


_MAGIC: tuple[tuple[bytes, set[str], str, str | None], ...] = (
    (b"PAR1", {".parquet"}, "a Parquet file", ".parquet"),
    (b"ARROW1", {".arrow"}, "an Arrow file", ".arrow"),
    (b"PK\x03\x04", {".xlsx"}, "a ZIP archive or a spreadsheet", None),
    (b"\x1f\x8b", set(), "a gzip file", ".gz"),
    (b"\x28\xb5\x2f\xfd", set(), "a Zstandard file", None),
    (b"\xd0\xcf\x11\xe0", set(), "an old Office file (such as .xls)", None),
    (b"\xff\xfe\x00\x00", set(), "in UTF-32", None),
    (b"\x00\x00\xfe\xff", set(), "in UTF-32", None),
    (b"{\\rtf", set(), "an RTF document", None),
    (b"<!DOCTYPE html", set(), "a web page", None),
    (b"<!doctype html", set(), "a web page", None),
    (b"<html", set(), "a web page", None),
    (b"version https://git-lfs", set(), "only a pointer to a file in Git LFS (fetch it with: git lfs pull)", None),
    (b"sep=", set(), "a file whose first line names the separator (delete that line)", None),
    (b"BZh", set(), "a bzip2 file", None),
    (b"\xfd7zXZ", set(), "an XZ file", None),
    (b"%PDF", set(), "a PDF", None),
    (b"\x80\x04\x95", set(), "a Python pickle", None),
)


def refuse_wrong_content(data: bytes, name: str, suffix: str) -> None:
    """Refuse a file whose first bytes are those of another format.

    Raises:
        DatasetError: if they are; the message names the format.
    """
    for magic, fitting, kind, ending in _MAGIC:
        if data.startswith(magic) and suffix not in fitting:
            new_name = f"{name}{ending}" if ending == ".gz" else f"{name.removesuffix(suffix)}{ending}"
            remedy = f"Rename it to {new_name}" if ending else "Unpack it, or save the data as CSV or Parquet in UTF-8"
            if ending == ".gz" and name.lower().endswith(".gz"):
                remedy = "It was compressed twice: unpack it once"
            raise DatasetError(f"{name} is {kind}, not what its ending {suffix!r} promises. {remedy}")
    if data[257:262] == b"ustar":
        raise DatasetError(f"{name} is a tar archive, not what its ending {suffix!r} promises. Unpack it")
    if suffix == ".parquet" and not data.startswith(b"PAR1"):
        raise DatasetError(f"{name} is not a Parquet file, though its ending says so. Rename or convert it")


def _delimited(separator: str) -> _Reader:
    def read(opened: Opened, name: str, layout: Layout) -> RawTable:
        text = read_delimited(opened, name, separator, layout)
        return RawTable(text.table, name, "", text.lines, notes=text.notes, has_header=layout.header)

    return read


def _lines(opened: Opened, name: str, layout: Layout) -> RawTable:
    """A .txt file: in fastText form, or without a header one row a line."""
    if not layout.header:
        text = read_delimited(opened, name, "\t", layout, others=False)
        return RawTable(text.table, name, "", text.lines, notes=text.notes)
    with opened() as stream:
        return read_fasttext(stream.read(), name)


def _whole(read: Callable[[bytes, str], RawTable]) -> _Reader:
    def read_whole(opened: Opened, name: str, _: Layout) -> RawTable:
        with opened() as stream:
            return read(stream.read(), name)

    return read_whole


def _opened(read: Callable[[Opened, str], RawTable]) -> _Reader:
    return lambda opened, name, _: read(opened, name)


_READERS: dict[str, _Reader] = {
    ".arrow": _whole(read_arrow),
    ".csv": _delimited(","),
    ".json": _whole(read_json),
    ".jsonl": _opened(read_jsonl),
    ".parquet": _opened(read_parquet),
    ".tsv": _delimited("\t"),
    ".txt": _lines,
    ".xlsx": _opened(read_excel),
}
