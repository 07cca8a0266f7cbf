"""Tables on the disk are the same tables, leave no file, and raise an error when there is no room."""

import csv
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hfbertcls.data import on_disk
from hfbertcls.data.loading import load_text_dataset
from hfbertcls.data.on_disk import TableWriter, in_parts, release
from hfbertcls.data.readers import delimited
from hfbertcls.data.sources import open_source
from hfbertcls.data.tokenization import tokenize_split
from hfbertcls.diagnosis.doctor import examine
from hfbertcls.errors import DatasetError
from hfbertcls.tasks.single_label import SingleLabel


@pytest.fixture
def on_the_disk(monkeypatch, tmp_path):
    monkeypatch.setattr(on_disk, "LARGEST_IN_MEMORY", 0)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    return tmp_path / "temporary"


def rows(begin, end):
    numbers = range(begin, end)
    return pa.record_batch({"text": [f"text {n}" for n in numbers], "ids": [[n] * (n % 5) for n in numbers]})


def test_a_table_on_the_disk_is_the_table(on_the_disk):
    written = TableWriter()
    for begin in range(0, 1_000, 100):
        written.write(rows(begin, begin + 100))
    table = written.table()
    assert table.equals(pa.Table.from_batches([rows(0, 1_000)]))
    assert list(on_the_disk.iterdir()) == []
    release()
    assert table.column("text")[999].as_py() == "text 999"


def test_a_small_table_stays_in_memory(monkeypatch):
    monkeypatch.setattr(tempfile, "TemporaryFile", None)
    written = TableWriter()
    written.write(rows(0, 10))
    assert written.table().num_rows == 10


def test_a_table_without_rows(on_the_disk):
    schema = rows(0, 1).schema
    assert TableWriter(schema).table().equals(schema.empty_table())


def test_parts_are_the_rows_in_order(on_the_disk):
    written = TableWriter()
    for begin in range(0, 100, 7):
        written.write(rows(begin, min(begin + 7, 100)))
    parts = list(in_parts(written.table(), 5))
    assert max(map(len, parts)) == 5
    assert pa.Table.from_batches(parts).equals(pa.Table.from_batches([rows(0, 100)]))


def test_no_room_is_said(on_the_disk, monkeypatch):
    monkeypatch.setattr(tempfile, "TemporaryFile", partial(Path("/dev/full").open, "wb", buffering=0))
    with pytest.raises(DatasetError, match=r"temporary directory \(No space left on device\).*TMPDIR"):
        TableWriter().write(rows(0, 10))


def test_all_that_is_made_of_data_is_the_same_from_the_disk(tmp_path, tiny_tokenizer, on_the_disk, monkeypatch):
    generator = np.random.default_rng(0)
    words = ["good", "bad", "film", "plot", "the", "a", "is", "ENDING", "é"]
    path = tmp_path / "rows.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for _ in range(600):
            text = " ".join(generator.choice(words, generator.integers(0, 6)))
            writer.writerow([text, generator.choice(["x", "y"])])

    def made():
        data = load_text_dataset(str(path))
        split = data.splits["train"]
        tokens = tokenize_split(split, tiny_tokenizer, 4, data.task)
        return (
            {name: one.table.combine_chunks() for name, one in data.splits.items()},
            {name: (one.rows_read, one.dropped, one.first_dropped) for name, one in data.splits.items()},
            examine(data).to_dict(),
            tokens.dataset.data.table.combine_chunks(),
            (tokens.num_tokens.tolist(), tokens.unknown_tokens, tokens.largest_id),
        )

    for module in (on_disk, delimited):
        monkeypatch.setattr(module, "ROWS_PER_PART", 64)
    from_disk = made()
    monkeypatch.setattr(on_disk, "LARGEST_IN_MEMORY", 1 << 30)
    assert from_disk == made()


def test_no_room_is_said_however_much_is_written_at_a_time(on_the_disk, monkeypatch):
    monkeypatch.setattr(tempfile, "TemporaryFile", partial(Path("/dev/full").open, "wb"))

    def write():
        written = TableWriter()
        for begin in range(0, 1_000, 4):
            written.write(rows(begin, begin + 4))
        written.table()

    with pytest.raises(DatasetError, match=r"temporary directory \(No space left on device\).*TMPDIR"):
        write()


def test_shards_lie_on_the_disk_together(tmp_path, monkeypatch):
    for shard in range(3):
        pq.write_table(
            pa.table({"text": [f"text {shard}"] * 100, "label": ["x"] * 100}),
            tmp_path / f"train-{shard:05}-of-00003.parquet",
        )
    monkeypatch.setattr(on_disk, "LARGEST_IN_MEMORY", 4_000)
    before = pa.total_allocated_bytes()
    raw = open_source(str(tmp_path)).tables["train"]
    assert pa.total_allocated_bytes() - before < 4_000 < raw.table.nbytes
    assert raw.table.column("text").to_pylist() == [f"text {shard}" for shard in range(3) for _ in range(100)]


def test_a_label_that_is_not_known_is_refused(tmp_path, tiny_tokenizer):
    (tmp_path / "rows.csv").write_text("text,label\n" + "a,x\nb,y\n" * 5)
    data = load_text_dataset(str(tmp_path / "rows.csv"), make_splits=False)
    with pytest.raises(DatasetError, match="the label 'y' is not one of the known labels"):
        tokenize_split(data.splits["test"], tiny_tokenizer, 8, SingleLabel(("x", "z")))
