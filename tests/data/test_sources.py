"""Files, folders, shards, and what is neither."""

import os
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hfbertcls.data.loading import load_text_dataset
from hfbertcls.data.sources import open_source
from hfbertcls.errors import DatasetError


def rows(count=20, start=0):
    return "text,label\n" + "".join(f"text {n},{'ab'[n % 2]}\n" for n in range(start, start + count))


def test_shards_are_read_in_order_with_their_notes(tmp_path):
    (tmp_path / "train-00000-of-00002.csv").write_text(rows(20))
    (tmp_path / "train-00001-of-00002.csv").write_bytes(rows(20, 20).replace("text 21", "caf\u00e9").encode("cp1252"))
    data = load_text_dataset(str(tmp_path))
    assert sum(map(len, data.splits.values())) == 40
    assert any("Windows-1252" in note for note in data.notes)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["train-00000-of-00003.csv", "train-00002-of-00003.csv"], r"2 of 3 shards; missing .* numbers 1 "),
        (["train-00000-of-00003.csv"], r"1 of 3 shards; missing .* numbers 1, 2 "),
        (["train-00000-of-00002.csv", "train-00000-of-00002.tsv"], "more than one file could be the train split"),
        (["train-00000-of-00002.csv", "train-00000-of-00001.csv"], "more than one file could be the train split"),
        (["train.csv", "training.csv"], "more than one file could be the train split"),
    ],
)
def test_incomplete_or_doubled_shards_are_refused(tmp_path, names, message):
    for name in names:
        (tmp_path / name).write_text(rows())
    with pytest.raises(DatasetError, match=message):
        open_source(str(tmp_path))


def class_labels(path, names):
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=names)})
    split = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]}, features=features)
    split.to_parquet(path)


def test_shards_that_number_their_labels_differently_are_refused(tmp_path):
    class_labels(tmp_path / "train-00000-of-00002.parquet", ["neg", "pos"])
    class_labels(tmp_path / "train-00001-of-00002.parquet", ["pos", "neg"])
    with pytest.raises(DatasetError, match="declare different labels, or in another order"):
        open_source(str(tmp_path))


def test_a_number_that_no_declared_label_has_is_refused(tmp_path):
    class_labels(tmp_path / "train.parquet", ["neg", "pos"])
    table = pq.read_table(tmp_path / "train.parquet")
    pq.write_table(table.set_column(1, table.schema.field(1), pa.array([0, 7])), tmp_path / "train.parquet")
    with pytest.raises(
        DatasetError,
        match=r"train\.parquet, row 1 \(counted from 0\): the label 7 in 'label' is none of the 2 declared",
    ):
        load_text_dataset(str(tmp_path))


@pytest.mark.parametrize("kind", ["spreadsheet", "bzip2", "folder", "link", "pipe"])
def test_a_test_split_that_cannot_be_read_is_not_passed_over(tmp_path, kind):
    (tmp_path / "train.csv").write_text(rows())
    if kind == "folder":
        (tmp_path / "test").mkdir()
    elif kind == "link":
        (tmp_path / "test.csv").symlink_to(tmp_path / "nowhere.csv")
    elif kind == "pipe":
        os.mkfifo(tmp_path / "test.csv")
    else:
        (tmp_path / {"spreadsheet": "test.ods", "bzip2": "test.csv.bz2"}[kind]).write_text("x")
    with pytest.raises(DatasetError, match=r"is the test split by its name, but .*move it away"):
        open_source(str(tmp_path))


def test_other_files_beside_the_splits_are_named(tmp_path):
    (tmp_path / "train.csv").write_text(rows())
    (tmp_path / "unlabelled.csv").write_text("text\na\n")
    (tmp_path / "notes.pdf").write_text("x")
    assert open_source(str(tmp_path)).notes == ("not read: 'unlabelled.csv'",)


def saved(tmp_path, *names):
    split = datasets.Dataset.from_dict({"text": [f"t{n}" for n in range(40)], "label": ["a", "b"] * 20})
    datasets.DatasetDict(dict.fromkeys(names, split)).save_to_disk(tmp_path / "saved")
    return str(tmp_path / "saved")


def test_a_saved_data_set_is_read_and_its_other_splits_are_named(tmp_path):
    source = open_source(saved(tmp_path, "train", "dev", "unsup"))
    assert source.tables.keys() == {"train", "validation"}
    assert source.notes == ("splits that are not used: 'unsup'",)


def test_two_splits_for_one_purpose_are_refused(tmp_path):
    with pytest.raises(DatasetError, match="more than one split could be the validation split: 'validation', 'dev'"):
        open_source(saved(tmp_path, "train", "validation", "dev"))


@pytest.mark.parametrize("name", ["dataset_dict.json", "train/state.json"])
def test_a_damaged_saved_data_set_is_refused(tmp_path, name):
    folder = saved(tmp_path, "train")
    Path(folder, name).write_text("{")
    with pytest.raises(DatasetError, match="was written by save_to_disk, but cannot be read"):
        open_source(folder)


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ("", "--dataset is empty"),
        ("~nouser-7391/x.csv", "there is no file or folder 'x.csv'"),
        ("x" * 300 + ".csv", "cannot be read: File name too long"),
        ("/dev/null", "neither a file nor a folder"),
    ],
)
def test_what_is_no_file_is_refused_with_the_reason(dataset, message):
    with pytest.raises(DatasetError, match=message):
        open_source(dataset)


def test_decimal_labels_keep_their_digits(tmp_path):
    labels = pa.array([0.1, 0.2] * 30, pa.float32())
    pq.write_table(pa.table({"text": [f"t{n}" for n in range(60)], "label": labels}), tmp_path / "a.parquet")
    assert load_text_dataset(str(tmp_path / "a.parquet")).task.labels == ("0.1", "0.2")


def test_an_infinite_label_is_refused(tmp_path):
    pq.write_table(pa.table({"text": ["a", "b"], "label": [0.5, float("inf")]}), tmp_path / "a.parquet")
    with pytest.raises(DatasetError, match=r"a\.parquet, row 1 \(counted from 0\): the label in 'label' is infinite"):
        load_text_dataset(str(tmp_path / "a.parquet"))


def test_thousands_of_labels_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\n" + "".join(f"text {n},c{n % 1001}\n" for n in range(4004)))
    with pytest.raises(DatasetError, match="1,001 different labels, more than the 1,000"):
        load_text_dataset(str(tmp_path / "a.csv"))


def test_rows_of_shards_are_named_by_their_file_and_line(tmp_path):
    for number, text in enumerate(["text,label\na,x\nb,y\n", "text,label\nc,x\n,y\n"]):
        (tmp_path / f"train-0000{number}-of-00002.csv").write_text(text)
    split = load_text_dataset(str(tmp_path), make_splits=False).splits["train"]
    assert [split.place(row) for row in range(3)] == [
        "train-00000-of-00002.csv, line 2",
        "train-00000-of-00002.csv, line 3",
        "train-00001-of-00002.csv, line 2",
    ]
    assert split.first_dropped == {"empty_text": "train-00001-of-00002.csv, line 3"}
