import gzip
import hashlib
import json
import os

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hfbertcls.data.readers import records, tables
from hfbertcls.data.readers.tables import is_table_file, read_table
from hfbertcls.errors import DatasetError


ROWS = [{"text": "Good, very\u2028good", "label": "ja"}, {"text": "schlecht …", "label": "nein"}]


def _arrow(table: pa.Table, *, stream: bool) -> bytes:
    sink = pa.BufferOutputStream()
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def _parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return sink.getvalue().to_pybytes()


TABLE = pa.Table.from_pylist(ROWS)
FORMS = {
    "a.csv": "text,label\n" + "".join(f'"{row["text"]}",{row["label"]}\n' for row in ROWS),
    "a.tsv": "text\tlabel\n" + "".join(f"{row['text']}\t{row['label']}\n" for row in ROWS),
    "a.json": json.dumps(ROWS),
    "lines.json": "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS),
    "a.jsonl": "\n\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS) + "\n",
    "a.txt": "".join(f"__label__{row['label']} {row['text']}\n" for row in ROWS),
    "a.parquet": _parquet(TABLE),
    "a.arrow": _arrow(TABLE, stream=False),
    "stream.arrow": _arrow(TABLE, stream=True),
}


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", FORMS)
def test_every_form_gives_the_same_rows(tmp_path, name, packed):
    path = write(tmp_path, name, FORMS[name])
    if packed:
        path = write(tmp_path, f"{name}.gz", gzip.compress(path.read_bytes(), mtime=0))
    raw = read_table(path)
    assert raw.table.select(["text", "label"]).to_pylist() == ROWS
    assert raw.name == path.name
    assert raw.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert is_table_file(path)


def test_text_formats_know_the_line_of_a_row_and_others_its_number(tmp_path):
    assert read_table(write(tmp_path, "a.jsonl", FORMS["a.jsonl"])).place(1) == "a.jsonl, line 3"
    assert read_table(write(tmp_path, "a.parquet", FORMS["a.parquet"])).place(1) == "a.parquet, row 1 (counted from 0)"


def test_declared_classes_and_categories_are_read_from_parquet(tmp_path):
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["z", "a"])})
    path = tmp_path / "a.parquet"
    datasets.Dataset.from_dict({"text": ["x"], "label": [1]}, features=features).to_parquet(path)
    assert read_table(path).class_names == {"label": ("z", "a")}

    table = pa.table({"text": ["x"], "label": pa.array(["a"]).dictionary_encode()})
    assert read_table(write(tmp_path, "b.parquet", _parquet(table))).table["label"].type == pa.string()


def test_fasttext_lines_with_several_labels_give_lists(tmp_path):
    raw = read_table(write(tmp_path, "a.txt", "__label__a __label__b one two\n__label__a\tthree\n"))
    assert raw.table.to_pylist() == [
        {"text": "one two", "label": ["a", "b"]},
        {"text": "three", "label": ["a"]},
    ]


def test_keys_that_only_some_records_have_are_null_elsewhere(tmp_path):
    raw = read_table(write(tmp_path, "a.jsonl", '{"text": "a"}\n{"text": "b", "label": "x"}\n{"label": "y"}\n'))
    assert raw.table.to_pydict() == {"text": ["a", "b", None], "label": [None, "x", "y"]}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.xls", b"PK\x03\x04", r"ending '\.xls', which is not one of \.arrow, .*\. Save the sheet as .xlsx or CSV"),
        ("a.zip", b"PK\x03\x04", r"ending '\.zip'.*Unpack or convert the file"),
        ("noending", b"a", r"ending 'of no format'.*Unpack or convert"),
        ("a.csv", b"PK\x03\x04...", r"a\.csv is a ZIP archive or a spreadsheet.*'\.csv'.*Unpack it, or save"),
        ("a.csv", FORMS["a.parquet"], r"is a Parquet file, not what.*Rename it to a\.parquet"),
        ("a.jsonl", FORMS["a.arrow"], r"is an Arrow file, not what.*Rename it to a\.arrow"),
        ("a.csv", gzip.compress(b"text,label\n", mtime=0), r"is a gzip file, not what.*Rename it to a\.csv\.gz"),
        (
            "a.csv.gz",
            gzip.compress(b"text,label\n", mtime=0)[:-4],
            r"not a complete gzip file.*Fetch or compress it again",
        ),
        ("a.csv.gz", b"text,label\n", r"not a complete gzip file.*Fetch or compress it again"),
        ("a.parquet", b"text,label\n", r"is not a Parquet file.*Rename or convert it"),
        ("a.parquet", FORMS["a.parquet"][:60], r"cannot be read as Parquet.*Write it again"),
        ("a.arrow", FORMS["a.arrow"][:60], r"cannot be read as Arrow.*Write it again"),
        ("a.json", "[1, 2", r"a\.json is not valid JSON: "),
        ("a.json", '[{"text": NaN}]', r"a\.json is not valid JSON: NaN is not JSON"),
        ("a.json", "[]", r"holds no record\. Expected objects such as"),
        ("a.json", "", r"holds no record\. Expected objects such as"),
        ("a.json", '[{"text": "a"}, 5]', r"record 1: '5' is not an object\. Expected objects such as"),
        ("a.jsonl", '{"text": "a"}\n\n{"text"\n', r"line 3: not a JSON object .*on each line"),
        ("a.jsonl", '{"text": "a"}\n["b"]\n', r"line 2: .* is not an object\. Expected objects"),
        (
            "a.jsonl",
            '{"text": "a"}\n{"text": 5}\n',
            r"line 2: the value of 'text' is not of the type of those before it \('5'\).*or null",
        ),
        (
            "a.jsonl",
            '{"text": "a"}\n{"text": "\\ud800"}\n',
            r"line 2: the value of 'text' holds half of a letter.*or null",
        ),
        ("a.jsonl", '{"\\ud800": "a"}\n', r"line 1: the key .* is not text.*Rename"),
        ("a.json", "[" * 200_000, r"a\.json is nested too deeply.*Expected objects"),
        ("a.jsonl", "[" * 200_000, r"line 1: nested too deeply.*Expected"),
        ("a.jsonl", '{"text": "a", "n": 99999999999999999999}\n', r"line 1: the value of 'n' is a number too large"),
        (
            "a.jsonl",
            '{"text": "a"}\n{"text": "b", "label": "x", "label": "y"}\n',
            r"line 2: .*the key 'label' stands twice",
        ),
        (
            "a.json",
            '{"data": [{"text": "a"}]}',
            r"one JSON object with the keys 'data'.*the key 'data' holds one: save that",
        ),
        (
            "a.json",
            '{"text": {"0": "a"}, "label": {"0": "x"}}',
            r"one JSON object with the keys 'text', 'label'.*orient=",
        ),
        ("a.csv", b"\x28\xb5\x2f\xfd rest", r"is a Zstandard file"),
        ("a.csv", "<!DOCTYPE html><p>", r"is a web page"),
        (
            "a.csv",
            "version https://git-lfs.github.com/spec/v1\n",
            r"only a pointer to a file in Git LFS.*git lfs pull",
        ),
        ("a.csv", "sep=;\ntext;label\n", r"first line names the separator \(delete that line\)"),
        ("a.csv", "text,label\n" + "x" * 246 + "ustar", r"is a tar archive"),
        (
            "a.csv.gz",
            gzip.compress(gzip.compress(b"text,label\n", mtime=0), mtime=0),
            r"compressed twice: unpack it once",
        ),
        ("a.txt", "__label__a one\ntwo words\n", r"line 2: 'two words' does not begin with '__label__'.*use CSV"),
        ("a.txt", "\n", r"a\.txt is empty\. Expected lines of the form '__label__NAME text'"),
    ],
)
def test_files_that_are_not_what_they_seem_are_refused(tmp_path, name, content, message):
    with pytest.raises(DatasetError, match=f"(?s){message}"):
        read_table(write(tmp_path, name, content))


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(DatasetError, match=r"a\.csv is not a file \(a folder"):
        read_table(tmp_path / "a.csv")


def test_numbers_in_json_stay_as_they_are_written(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f'{{"text": "t", "label": {value}}}\n' for value in ("1", "2", "1.0", "null")))
    assert read_table(path).table["label"].to_pylist() == ["1", "2", "1.0", None]


@pytest.mark.parametrize(
    "values",
    [
        ["a", None, "b", "c"], [1, 2, None, 3], [1, 2.5, 3, None], [True, None, False], [None, None, None], [0.1, 0.2, 1.0],
        [["x"], [], None], [{"a": 1}, None, {"a": 2}],
    ],
)  # fmt: skip
def test_json_lines_give_the_table_that_a_list_of_them_gives(tmp_path, monkeypatch, values):
    monkeypatch.setattr(records, "ROWS_PER_PART", 2)
    rows = [{"text": f"t{index}", "label": value} for index, value in enumerate(values)]
    rows += [{"text": "no label"}, {"label": values[0], "late": 1}]
    whole = read_table(write(tmp_path, "a.json", json.dumps(rows)))
    lines = read_table(write(tmp_path, "a.jsonl", "\n\n".join(map(json.dumps, rows))))
    assert lines.table.equals(whole.table)
    assert lines.table.schema == whole.table.schema
    assert lines.place(len(rows) - 1) == f"a.jsonl, line {2 * len(rows) - 1}"


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ('{"text": 5}', "line 4: the value of 'text' is not of the type of those before it"),
        ('{"text": "\\ud800"}', "line 4: the value of 'text' holds half of a letter"),
        ('{"text": "a", "n": 99999999999999999999}', "line 4: the value of 'n' is a number too large"),
    ],
)
def test_a_value_that_does_not_fit_is_named_though_lines_are_read_in_parts(tmp_path, monkeypatch, bad, message):
    monkeypatch.setattr(records, "ROWS_PER_PART", 2)
    content = '{"text": "a"}\n{"text": "b"}\n{"text": "c"}\n' + bad
    with pytest.raises(DatasetError, match=message):
        read_table(write(tmp_path, "a.jsonl", content))


def test_lines_in_fasttext_form_end_in_any_way(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"__label__a one\n__label__b two\r__label__a three\r\n__label__b four")
    assert read_table(path).table["text"].to_pylist() == ["one", "two", "three", "four"]


def write_parquet(path, table, metadata=None):
    pq.write_table(table.replace_schema_metadata({"huggingface": metadata} if metadata is not None else None), path)


@pytest.mark.parametrize(
    "metadata",
    ["{", "[1]", '{"info": null}', b"\xff", '{"info": {"features": {"l": {"_type": "ClassLabel", "names": null}}}}'],
)
def test_a_damaged_description_of_columns_is_refused(tmp_path, metadata):
    write_parquet(tmp_path / "a.parquet", pa.table({"text": ["a"], "l": [0]}), metadata)
    with pytest.raises(DatasetError, match=r"'huggingface'\) that cannot be read\. Write the file again"):
        read_table(tmp_path / "a.parquet")


def test_declared_labels_that_are_no_texts_are_refused(tmp_path):
    metadata = '{"info": {"features": {"l": {"_type": "ClassLabel", "names": [5, 6]}}}}'
    write_parquet(tmp_path / "a.parquet", pa.table({"text": ["a"], "l": [0]}), metadata)
    with pytest.raises(DatasetError, match="declares labels for the column 'l' that are not texts"):
        read_table(tmp_path / "a.parquet")


def test_a_column_that_stands_twice_is_refused(tmp_path):
    table = pa.table([pa.array(["a"]), pa.array(["x"]), pa.array(["y"])], names=["text", "label", "label"])
    with pa.ipc.new_file(tmp_path / "a.arrow", table.schema) as file:
        file.write_table(table)
    with pytest.raises(DatasetError, match="the column 'label' more than once"):
        read_table(tmp_path / "a.arrow")


def test_text_that_is_not_utf8_within_parquet_is_refused(tmp_path):
    bad = pa.StringArray.from_buffers(1, pa.py_buffer(b"\x00\x00\x00\x00\x02\x00\x00\x00"), pa.py_buffer(b"\xff\xfe"))
    pq.write_table(pa.table({"text": bad, "label": ["x"]}), tmp_path / "a.parquet")
    with pytest.raises(DatasetError, match="is damaged"):
        read_table(tmp_path / "a.parquet")


def test_views_of_text_are_read_as_text(tmp_path):
    table = pa.table({"text": pa.array(["a", "b"], pa.string_view())})
    with pa.ipc.new_file(tmp_path / "a.arrow", table.schema) as file:
        file.write_table(table)
    assert read_table(tmp_path / "a.arrow").table["text"].to_pylist() == ["a", "b"]


@pytest.mark.parametrize("held_up_to", [0, 1 << 20], ids=["read in parts", "held"])
@pytest.mark.parametrize("same_size", [False, True])
def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path, monkeypatch, held_up_to, same_size):
    path = tmp_path / "a.csv"
    path.write_text("text,label\none,x\ntwo,y\n")
    os.utime(path, ns=(0, 0))  # (two changes may come in one tick of the clock)

    def look_and_write(*_):
        path.write_text("text,label\none,x\nsix,y\n" if same_size else "text,label\none,x\n")

    monkeypatch.setattr(tables, "_HELD_UP_TO", held_up_to)
    monkeypatch.setattr(tables, "refuse_wrong_content", look_and_write)
    with pytest.raises(
        DatasetError, match=r"a\.csv changed while it was read\. Repeat the command when nothing writes"
    ):
        read_table(path)


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.jsonl", "a.parquet", "a.parquet.gz"])
def test_large_files_are_read_like_small_ones(tmp_path, monkeypatch, name):
    kind = name.removesuffix(".gz")
    data = FORMS[kind] if isinstance(FORMS[kind], bytes) else FORMS[kind].encode()
    path = tmp_path / name
    path.write_bytes(data if kind == name else gzip.compress(data))
    small = read_table(path)
    monkeypatch.setattr(tables, "_HELD_UP_TO", 0)
    large = read_table(path)
    assert small.table.to_pylist() == large.table.to_pylist() == ROWS
    assert small.sha256 == large.sha256
