"""A folder for each label, a file for each text: `neg/1.txt`, in splits `train/neg/1.txt`."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from hfbertcls.data.on_disk import ROWS_PER_PART, TableWriter
from hfbertcls.data.readers.encodings import decode
from hfbertcls.data.readers.raw import RawTable
from hfbertcls.errors import listing


_ENDINGS = (".txt", "")


def has_label_folders(folder: Path) -> bool:
    """Whether a folder holds at least two folders with texts."""
    return len([one for one in _folders(folder) if next(_texts(one), None) is not None]) > 1


def read_label_folders(folder: Path) -> RawTable:
    """The texts of a folder of folders, sorted by label and name, with the name of each folder as the label.

    Raises:
        DatasetError: if a file is no text.
    """
    schema = pa.schema([("text", pa.string()), ("label", pa.string())])
    written = TableWriter(schema)
    digest = hashlib.sha256()
    files: list[str] = []
    guessed: list[str] = []
    part: list[tuple[str, str]] = []
    for label in _folders(folder):
        for path in _texts(label):
            name = f"{folder.name}/{label.name}/{path.name}"
            data = path.read_bytes()
            text, notes = decode(data, name)
            guessed += [name] if notes else []
            digest.update(f"{label.name}/{path.name}\0{len(data)}\0".encode("utf-8", "surrogateescape") + data)
            files.append(name)
            part.append((text, label.name))
            if len(part) == ROWS_PER_PART:
                written.write(_batch(part, schema))
                part = []
    written.write(_batch(part, schema))
    unread = [path.name for one in _folders(folder) for path in sorted(one.iterdir()) if not _is_text(path)]
    notes = (f"{folder.name}: not read: {listing(unread)}",) if unread else ()
    if guessed:
        notes += (
            f"{folder.name}: {len(guessed):,} files are not plain UTF-8 and were converted (the first: {guessed[0]})",
        )
    return RawTable(written.table(), folder.name, digest.hexdigest(), notes=notes, files=files)


def _batch(rows: list[tuple[str, str]], schema: pa.Schema) -> pa.RecordBatch:
    return pa.record_batch(
        [pa.array(column, pa.string()) for column in zip(*rows, strict=True)] or [[], []], schema=schema
    )


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _texts(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.iterdir()) if _is_text(path))


def _is_text(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".") and path.suffix.lower() in _ENDINGS
