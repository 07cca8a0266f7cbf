"""Files that hold far more than they look: refused with one message, before they fill the memory."""

import gzip
import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hfbertcls.cli.configuration import expand_config
from hfbertcls.data.loading import load_text_dataset
from hfbertcls.data.readers import expansion
from hfbertcls.data.readers.streaming import chunks, survey
from hfbertcls.errors import ConfigurationError, DatasetError
from hfbertcls.repository.card_metadata import parse_front_matter


MEGABYTE = "x" * (1 << 20)


@pytest.fixture(autouse=True)
def small_limits(monkeypatch):
    monkeypatch.setattr(expansion, "ALWAYS_ALLOWED", 1 << 23)


def write_parquet(path, rows, **options):
    pq.write_table(pa.table({"text": rows, "label": pa.array(["a", "b"] * (len(rows) // 2))}), path, **options)


def one_text_stored_once(path):
    write_parquet(path, pa.DictionaryArray.from_arrays(pa.array([0] * 20, pa.int32()), pa.array([MEGABYTE])))


def one_text_stored_once_per_row(path):
    write_parquet(path, [MEGABYTE] * 20, compression="zstd", use_dictionary=False)


def many_short_rows(path):
    write_parquet(path, pa.array(["a"] * 6_000_000), compression="zstd")


def packed_arrow(path):
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    table = pa.table({"text": [MEGABYTE] * 20, "label": ["a", "b"] * 10})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=2)


def categories_in_arrow(path):
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 3_000, pa.int32()), pa.array([MEGABYTE]))
    table = pa.table({"text": texts, "label": ["a", "b"] * 1_500})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)


def packed(content):
    return lambda path: path.write_bytes(gzip.compress(content, mtime=0))


BOMBS = {
    "dictionary.parquet": one_text_stored_once,
    "pages.parquet": one_text_stored_once_per_row,
    "rows.parquet": many_short_rows,
    "packed.arrow": packed_arrow,
    "categories.arrow": categories_in_arrow,
    "a.csv.gz": packed(b"text,label\n" + b"a" * 20_000_000),
    "a.jsonl.gz": packed(b'{"text": "a", "label": "b"}\n' * 1_000_000),
    "a.json.gz": packed(b"[" + b" " * 20_000_000),
    "a.txt.gz": packed(b"__label__a b\n" * 2_000_000),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_file_that_holds_far_more_than_its_size_is_refused(tmp_path, name):
    BOMBS[name](tmp_path / name)
    with pytest.raises(
        DatasetError, match=rf"{name} has [\d,]+ bytes, but holds more than [\d,]+ when it is unpacked"
    ):
        load_text_dataset(tmp_path / name)


@pytest.mark.parametrize("name", [name for name in BOMBS if name.endswith(("parquet", "csv.gz", "jsonl.gz"))])
def test_predict_refuses_it_before_anything_is_scored(tmp_path, name):
    BOMBS[name](tmp_path / name)
    with pytest.raises(DatasetError, match=rf"^{name} has [\d,]+ bytes, but holds more than"):
        survey(tmp_path / name)


def test_repetitive_data_are_read(tmp_path):
    generator = np.random.default_rng(0)
    texts = [f"review {generator.integers(10)} of the same {'lamp ' * 20}" for _ in range(5_000)]
    write_parquet(tmp_path / "x.parquet", texts, compression="zstd")
    lines = "".join(json.dumps({"text": text, "label": "ab"[n % 2]}) + "\n" for n, text in enumerate(texts))
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    for name in ("x.parquet", "x.jsonl.gz"):
        assert load_text_dataset(tmp_path / name, make_splits=False).splits["test"].texts == texts
        assert [text for part in chunks(survey(tmp_path / name), "text", []) for text in part.texts] == texts


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_file_is_not_waited_for(tmp_path, kind):
    path = tmp_path / "x.csv"
    make = {
        "pipe": os.mkfifo,
        "device": lambda path: path.symlink_to("/dev/zero"),
        "folder": lambda path: path.mkdir(),
    }
    make[kind](path)
    with pytest.raises(DatasetError, match=r"x\.csv is not a file \(a folder, a pipe or a device\). Name a file"):
        survey(path)
    if kind != "folder":
        with pytest.raises(DatasetError, match="is neither a file nor a folder"):
            load_text_dataset(path)
    with pytest.raises(ConfigurationError, match=r"x\.csv is not a file \(a folder, a pipe or a device\)"):
        expand_config(["train", "--config", str(path)], ())


@pytest.mark.parametrize(
    ("name", "content"), [("a.json", "[" * 200_000), ("b.json", '{"a":' * 200_000), ("a.jsonl", "[" * 200_000)]
)
def test_layers_without_end_are_refused(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(DatasetError, match=f"{name}.* nested too deeply. Expected"):
        load_text_dataset(tmp_path / name)


def test_wide_tables_are_read_in_the_time_of_their_cells(tmp_path):
    names = [f"c{number}" for number in range(40_000)]
    path = tmp_path / "x.csv"
    rows = [[*names, "text", "label"], *(["1"] * 40_000 + [text, label] for text, label in ("ax", "by", "cx"))]
    path.write_text("".join(",".join(row) + "\n" for row in rows))
    assert load_text_dataset(path, make_splits=False).splits["test"].texts == ["a", "b", "c"]
    assert len(survey(path).columns) == 40_002
    path.write_text(",".join(f"c{number}" for number in range(100_001)) + "\n")
    with pytest.raises(DatasetError, match="has 100,001 columns; at most 100,000 are read. Keep those with texts"):
        load_text_dataset(path)


@pytest.mark.parametrize("name", ["x.json", "x.jsonl"])
def test_records_without_a_key_in_common_are_refused(tmp_path, name):
    records = [json.dumps({f"k{number}": "x"}) for number in range(30_000)]
    (tmp_path / name).write_text(f"[{','.join(records)}]" if name == "x.json" else "\n".join(records))
    with pytest.raises(
        DatasetError, match="30,000 different keys, but a record has 1.0 of them on average. Expected the same"
    ):
        load_text_dataset(tmp_path / name)


ALIASES = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ALIASES, r"aliases \(\*name\) are not read; write the value out"),
        ("a: " + "[" * 20_000, "nested too deeply|is not valid YAML"),
    ],
)
def test_yaml_that_grows_is_refused(tmp_path, text, message):
    with pytest.raises(ConfigurationError, match=message):
        parse_front_matter(text)
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        expand_config(["train", "--config", str(tmp_path / "x.yaml")], ())
