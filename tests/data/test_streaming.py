"""A file in parts: the rows of the whole file, and the same refusals."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hfbertcls.data.readers import streaming
from hfbertcls.data.readers.streaming import chunks, survey, text_column_of
from hfbertcls.errors import DatasetError


TEXTS = ["one", 'two, "quoted"', "three\nlines\nlong", "", "größer", "six", "seven"]


def written(tmp_path, ending):
    path = tmp_path / f"texts{ending}"
    kind = ending.removesuffix(".gz")
    if kind == ".parquet":
        pq.write_table(pa.table({"id": list(range(len(TEXTS))), "text": TEXTS}), path)
        return path
    if kind == ".jsonl":
        data = "".join(json.dumps({"id": i, "text": text}) + "\n" for i, text in enumerate(TEXTS))
    else:
        separator = "\t" if kind == ".tsv" else ","
        quoted = ['"' + text.replace('"', '""') + '"' for text in TEXTS]
        data = f"id{separator}text\n" + "".join(f"{i}{separator}{text}\n" for i, text in enumerate(quoted))
    path.write_bytes(gzip.compress(data.encode(), mtime=0) if ending.endswith(".gz") else data.encode())
    return path


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".parquet", ".csv.gz", ".jsonl.gz"])
def test_the_parts_are_the_whole_in_order(tmp_path, monkeypatch, ending):
    monkeypatch.setattr(streaming, "ROWS_PER_CHUNK", 3)
    file = survey(written(tmp_path, ending))
    assert (file.rows, file.columns) == (7, ("id", "text"))
    parts = list(chunks(file, "text", ["id"]))
    assert [(part.number, part.first_row, len(part.texts)) for part in parts] == [(0, 0, 3), (1, 3, 3), (2, 6, 1)]
    assert [text for part in parts for text in part.texts] == TEXTS
    kept = [value for part in parts for value in part.kept.column("id").to_pylist()]
    assert [int(value) for value in kept] == list(range(7))


def test_long_texts_make_short_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "_LETTERS_PER_CHUNK", 10)
    file = survey(written(tmp_path, ".csv"))
    assert [len(part.texts) for part in chunks(file, "text", [])] == [2, 1, 4]


@pytest.mark.parametrize(("mark", "encoding"), [(b"\xef\xbb\xbf", "utf-8"), (b"", "utf-16"), (b"", "cp1252")])
def test_other_encodings_are_read(tmp_path, mark, encoding):
    path = tmp_path / "texts.csv"
    path.write_bytes(mark + "text\ncafé au lait\nplain words here\n".encode(encoding))
    file = survey(path)
    assert [text for part in chunks(file, "text", []) for text in part.texts] == ["café au lait", "plain words here"]
    assert len(file.notes) == 1


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b"text\n", "has no row"),
        ("a.csv", b"text,b\nx,y\nz\n", "line 3: 1 fields, but the header has 2"),
        ("a.csv", b"text,text\nx,y\n", "names 'text' more than once"),
        ("a.csv", b'text\n"open\nmore\n', "line 2: the row that begins here cannot be read"),
        ("a.csv", b"text\na\x00b\n", "line 2: a NUL byte"),
        ("a.csv", b"PAR1", "is a Parquet file"),
        ("a.jsonl", b'{"text": "x"}\n{"text": \n', "line 2: not a JSON object"),
        ("a.jsonl", b'{"text": "x"}\n[1]\n', "line 2: .* is not an object"),
        ("a.csv.gz", gzip.compress(b"text\nx\n" * 100, mtime=0)[:-12], "not a complete gzip file"),
        ("a.parquet", b"PAR1 and no more", "cannot be read as Parquet"),
        ("a.xlsx", b"", "has an ending that predict does not read"),
        ("a.parquet.gz", b"", "has an ending that predict does not read"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DatasetError, match=message):
        survey(tmp_path / name)


def test_a_missing_file_and_a_large_one_in_another_encoding_are_refused(tmp_path, monkeypatch):
    with pytest.raises(DatasetError, match="cannot be read: No such file"):
        survey(tmp_path / "a.csv")
    monkeypatch.setattr(streaming, "_GUESSED_UP_TO", 5)
    (tmp_path / "b.csv").write_bytes("text\ncafé\n".encode("cp1252"))
    with pytest.raises(DatasetError, match="is not UTF-8"):
        survey(tmp_path / "b.csv")


@pytest.mark.parametrize(
    ("header", "requested", "column"),
    [
        ("text,b", None, "text"),
        ("b, Text", None, " Text"),
        ("sentence,b", None, "sentence"),
        ("x,b", "b", "b"),
        ("x", None, "x"),
    ],
)
def test_the_column_is_the_named_or_the_obvious_one(tmp_path, header, requested, column):
    path = tmp_path / "a.csv"
    path.write_text(f"{header}\n" + ",".join("1" for _ in header.split(",")) + "\n")
    assert text_column_of(survey(path), requested) == column


def test_no_column_is_guessed(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("x,y\n1,2\n")
    with pytest.raises(DatasetError, match="has no column 'z', which --text-column names"):
        text_column_of(survey(path), "z")
    with pytest.raises(DatasetError, match=r"columns 'x', 'y', but a text column \('text'\) was expected"):
        text_column_of(survey(path), None)


@pytest.mark.parametrize("content", [b"\xef\xbb\xbf", "\n\n".encode("utf-16"), b" \n\n"])
def test_a_file_without_a_letter_is_empty(tmp_path, content):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DatasetError, match=r"a\.csv is empty"):
        survey(tmp_path / "a.csv")


def test_blank_lines_may_stand_before_the_header(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\n" * 70_000 + b"text;label\na;x\n")
    assert survey(tmp_path / "a.csv").columns == ("text", "label")
