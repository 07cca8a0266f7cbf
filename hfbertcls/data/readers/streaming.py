"""Texts of a file of any size, a few thousand rows at a time: the whole file is checked before the first is used."""

import csv
import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa

from hfbertcls.data.columns import looks_like_a_text, obvious_texts
from hfbertcls.data.readers.columnar import harmless_metadata, parquet_parts
from hfbertcls.data.readers.delimited import (
    COMMAS,
    Form,
    find_form,
    header_and_rows,
    refuse_other_width,
)
from hfbertcls.data.readers.encodings import find_encoding
from hfbertcls.data.readers.layout import AS_SEEN, Layout
from hfbertcls.data.readers.records import json_lines
from hfbertcls.data.readers.tables import BYTES_OF_HEAD, open_stored, refuse_wrong_content, suffix_of
from hfbertcls.data.texts import texts_of
from hfbertcls.errors import ConfigurationError, DatasetError, listing, shorten


ROWS_PER_CHUNK = 4_096
_LETTERS_PER_CHUNK = 8_000_000
_GUESSED_UP_TO = 1 << 28
"""Bytes up to which a file that is not UTF-8 is read whole to detect its encoding."""
_PROMISED = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
FORMATS = (".csv", ".tsv", ".jsonl", ".parquet")


@dataclass(frozen=True)
class TextFile:
    """A file that was read once from end to end.

    Args:
        path: where it is.
        suffix: the ending that tells its format.
        columns: names of the columns.
        rows: how many there are.
        sha256: of the file's bytes.
        encoding: of a text file.
        form: of a delimited file.
        notes: on what was detected.
        layout: how a delimited file is to be read.
    """

    path: Path
    suffix: str
    columns: tuple[str, ...] = ()
    rows: int = 0
    sha256: str = ""
    encoding: str = "utf-8"
    form: Form = COMMAS
    notes: tuple[str, ...] = ()
    layout: Layout = AS_SEEN


@dataclass(frozen=True)
class Chunk:
    """Rows that stand together in a file.

    Args:
        number: of the chunk, from 0.
        first_row: 0-based position of its first row in the file.
        texts: as they stand there: strings, None, or in JSON anything else; for pairs a `TextPair` of these.
        kept: the columns that are to be kept; those of JSON lines as JSON.
    """

    number: int
    first_row: int
    texts: list[Any]
    kept: pa.Table

    @property
    def sha256(self) -> str:
        """Of what it holds: two chunks of the same rows have the same."""
        return hashlib.sha256(json.dumps([self.texts, self.kept.to_pydict()], default=str).encode()).hexdigest()


def survey(path: Path, layout: Layout = AS_SEEN) -> TextFile:
    """Read a file once from end to end, to be able to read it in parts.

    Args:
        path: where it is.
        layout: how a delimited file is to be read.

    Raises:
        DatasetError: if it cannot be read, or any row of it cannot; the message names the line.
    """
    suffix = suffix_of(path)
    if suffix == ".txt" and layout.header:
        raise DatasetError(
            f"{path.name} has the ending .txt. Pass --no-header to read each of its lines as a text, or as fields that are "
            "separated by tabs"
        )
    if suffix not in (*FORMATS, ".txt") or (suffix == ".parquet" and path.suffix.lower() == ".gz"):
        raise DatasetError(
            f"{path.name} has an ending that predict does not read. Expected {', '.join(FORMATS)}; all but Parquet also as .gz"
        )
    try:
        with open_stored(path):
            pass  # (refuses a pipe before it is waited for)
        with path.open("rb") as stored:
            file = TextFile(path, suffix, sha256=hashlib.file_digest(stored, "sha256").hexdigest(), layout=layout)
        if suffix == ".parquet":
            return _survey_parquet(file)
        opened = partial(open_stored, path)
        with opened() as stream:
            head = stream.read(BYTES_OF_HEAD)
        refuse_wrong_content(head, path.name, suffix)
        encoding, notes = find_encoding(opened, path.name, _GUESSED_UP_TO)
        file = replace(file, encoding=encoding, notes=notes)
        if suffix in _PROMISED:
            form = find_form(opened, path.name, encoding, _PROMISED[suffix], layout, others=suffix != ".txt")
            file = replace(file, form=form, notes=(*notes, *form.notes))
        columns: dict[str, None] = {}
        rows = 0
        for record in _records(file, path.open("rb")):
            columns.update(dict.fromkeys(record))
            rows += 1
        if not rows:
            raise DatasetError(f"{path.name} has no row. Expected a line for each text")
        return replace(file, columns=tuple(columns), rows=rows)
    except (EOFError, zlib.error, gzip.BadGzipFile) as err:
        raise DatasetError(f"{path.name} is not a complete gzip file ({err}). Fetch or compress it again") from err
    except UnicodeDecodeError as err:  # (`find_encoding` read all of it)
        raise DatasetError(
            f"{path.name} changed while it was read. Repeat the command when nothing writes to it"
        ) from err
    except OSError as err:
        raise DatasetError(f"{path.name} cannot be read: {err.strerror}. Check --input") from err


def chunks(
    file: TextFile, text_column: str, kept: Sequence[str], text_pair_column: str | None = None
) -> Iterator[Chunk]:
    """Read a file in parts, the same ones each time.

    Args:
        file: the result of `survey`.
        text_column: with the texts.
        kept: columns to pass on.
        text_pair_column: with the second texts, for pairs.

    Raises:
        DatasetError: if the file changed since `survey`; after the last chunk at the latest.
    """
    changed = (
        f"{file.path.name} changed while it was read, so nothing is written: the answers would be of two versions. Repeat the "
        "command when nothing writes to the file"
    )
    digest = hashlib.sha256()
    text_columns = [text_column, *([] if text_pair_column is None else [text_pair_column])]
    with file.path.open("rb", buffering=0) as stored:
        try:
            if file.suffix == ".parquet":
                yield from _chunks_of_columns(file, stored, text_columns, kept)
                stored.seek(0)
            else:
                yield from _chunks_of_records(file, _Hashed(stored, digest), text_columns, kept)
        except (csv.Error, zlib.error, EOFError, LookupError, OSError, ValueError, pa.ArrowException) as err:
            stored.seek(0)
            if hashlib.file_digest(stored, "sha256").hexdigest() != file.sha256:
                raise DatasetError(changed) from err
            if isinstance(err, DatasetError):
                raise
            raise DatasetError(f"{file.path.name} cannot be read ({shorten(str(err), 100)}). Write it again") from err
        while block := stored.read(BYTES_OF_HEAD):
            digest.update(block)
    if digest.hexdigest() != file.sha256:
        raise DatasetError(changed)


class _Hashed(io.RawIOBase):
    """The bytes of an open file, hashed as they are read; closing it leaves the file open."""

    def __init__(self, stored: io.FileIO, digest: Any) -> None:
        super().__init__()
        self._stored, self._digest = stored, digest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._stored.readinto(buffer) or 0
        self._digest.update(memoryview(buffer)[:count])
        return count


def _chunks_of_columns(
    file: TextFile, stored: io.FileIO, text_columns: Sequence[str], kept: Sequence[str]
) -> Iterator[Chunk]:
    number = first_row = 0
    columns = list(dict.fromkeys([*text_columns, *kept]))
    for table in parquet_parts(stored, file.path.name, ROWS_PER_CHUNK, columns):
        texts = texts_of([table.column(name).to_pylist() for name in text_columns])
        yield Chunk(number, first_row, texts, table.select(kept))
        number, first_row = number + 1, first_row + len(table)


def _chunks_of_records(
    file: TextFile, stored: _Hashed, text_columns: Sequence[str], kept: Sequence[str]
) -> Iterator[Chunk]:
    number = first_row = 0
    as_json = file.suffix == ".jsonl"
    texts: list[Any] = []
    columns: list[list[str | None]] = [[] for _ in kept]
    letters = 0

    def chunk() -> Chunk:
        arrays = [pa.array(column, pa.string()) for column in columns]
        fields = [pa.field(name, pa.string(), metadata={"json": "true"} if as_json else None) for name in kept]
        return Chunk(number, first_row, texts, pa.table(arrays, schema=pa.schema(fields)))

    for record in _records(file, io.BufferedReader(stored, BYTES_OF_HEAD)):
        row = [record.get(name) for name in text_columns]
        texts += texts_of([[cast(str, text)] for text in row])
        letters += sum(len(text) for text in row if isinstance(text, str))
        for column, name in zip(columns, kept, strict=True):
            column.append(json.dumps(record.get(name), ensure_ascii=True) if as_json else cast(str, record[name]))
        if len(texts) == ROWS_PER_CHUNK or letters >= _LETTERS_PER_CHUNK:
            yield chunk()
            number, first_row = number + 1, first_row + len(texts)
            texts, columns, letters = [], [[] for _ in kept], 0
    if texts:
        yield chunk()


def _survey_parquet(file: TextFile) -> TextFile:
    with file.path.open("rb") as stored:
        metadata = harmless_metadata(stored, file.path.name)
    return replace(file, columns=tuple(metadata.schema.to_arrow_schema().names), rows=metadata.num_rows)


def _records(file: TextFile, stored: io.BufferedReader) -> Iterator[dict[str, Any]]:
    name = file.path.name
    packed = file.path.suffix.lower() == ".gz"
    with stored, cast(BinaryIO, gzip.GzipFile(fileobj=stored, mode="rb")) if packed else stored as stream:
        if file.suffix == ".jsonl":
            with io.TextIOWrapper(stream, file.encoding, newline="\n") as lines:
                yield from (record for _, record in json_lines(lines, name))
            return
        limit = csv.field_size_limit(2**31 - 1)  # a text may be longer than the 131,072 characters that csv allows
        try:
            with io.TextIOWrapper(stream, file.encoding, newline="") as lines:
                header, records = header_and_rows(lines, name, file.form, file.layout)
                for line, fields in records:
                    refuse_other_width(fields, header, f"{name}, line {line:,}", file.form)
                    yield dict(zip(header, fields, strict=True))
        finally:
            csv.field_size_limit(limit)


def text_columns_of(
    file: TextFile, text: str | None, text_pair: str | None, texts: int | None
) -> tuple[str, str | None]:
    """The column with the texts, and for pairs that with the second ones: the named ones, else the obvious ones.

    Args:
        file: the result of `survey`.
        text: the named column of the texts.
        text_pair: the named column of the second texts.
        texts: how many the model reads of a row; None if that is unknown.

    Raises:
        DatasetError: if one is not there, or none is obvious.
        ConfigurationError: if the model reads one text, and two columns are named, or the reverse.
    """
    for flag, name in (("--text-column", text), ("--text-pair-column", text_pair)):
        _require_column(file, name, flag)
    if text_pair is not None and texts == 1:
        raise ConfigurationError(
            f"--text-pair-column {text_pair} has no meaning: the model reads one text a row. Leave it out"
        )
    if texts != 2 and text_pair is None:
        return text_column_of(file, text), None
    if text is None:
        text, text_pair = obvious_texts(file.columns, text_pair)
    if text is None or text_pair is None:
        raise DatasetError(
            f"the model reads pairs of texts, and {file.path.name} has the columns {listing(file.columns)}. Name those of both "
            "texts with --text-column and --text-pair-column"
        )
    if text == text_pair:
        raise ConfigurationError(f"--text-column and --text-pair-column both name {text!r}. Name two columns")
    return text, text_pair


def _require_column(file: TextFile, name: str | None, flag: str) -> None:
    if name is not None and name not in file.columns:
        raise DatasetError(
            f"{file.path.name} has no column {name!r}, which {flag} names. Its columns are {listing(file.columns)}"
        )


def text_column_of(file: TextFile, requested: str | None) -> str:
    """The column with the texts: the named one, else the obvious one.

    Raises:
        DatasetError: if it is not there, or none is obvious.
    """
    _require_column(file, requested, "--text-column")
    if requested is not None:
        return requested
    for candidate in ("text", "sentence"):
        alike = [name for name in file.columns if name.strip().casefold() == candidate]
        if candidate in alike or len(alike) == 1:
            return candidate if candidate in alike else alike[0]
    if file.suffix in _PROMISED and file.layout.header and any(map(looks_like_a_text, file.columns)):
        raise DatasetError(
            f"the first line of {file.path.name} ({listing(file.columns, 3)}) looks like a text, not like a header. Pass --no-header "
            "if it is one, or name the column with --text-column"
        )
    if len(file.columns) == 1:
        return file.columns[0]
    raise DatasetError(
        f"{file.path.name} has the columns {listing(file.columns)}, but a text column ('text') was expected. "
        "Name it with --text-column"
    )
