"""Duplicates are counted, and never end up in two splits."""

from pathlib import Path

import numpy as np

from hfbertcls.data.description import describe_dataset
from hfbertcls.data.duplicates import Duplicates, find_duplicates, first_occurrences
from hfbertcls.data.loading import load_text_dataset


def folder(tmp_path, **rows):
    for name, lines in rows.items():
        (tmp_path / f"{name}.csv").write_text("text,label\n" + "".join(f"{line}\n" for line in lines))
    return load_text_dataset(str(tmp_path))


def test_repeats_conflicts_and_overlaps_are_counted(tmp_path):
    data = folder(
        tmp_path,
        train=["one,a", "two,b", "one,a", "three,a", "three,b", "Four,a"],
        validation=["five,a", "two,a", "six,b"],
        test=["one,b", "one,a", "seven,b", "four,a", "five,b"],
    )
    duplicates = find_duplicates(data)
    assert duplicates == Duplicates(
        overlap={"train/validation": 1, "train/test": 3, "validation/test": 1},
        duplicate_rows={"train": 2, "test": 1},
        conflicting_texts={"train": 1, "test": 1},
    )
    lines = []
    describe_dataset(data, lines.append)
    notes = [line.removeprefix("  note: ") for line in lines if line.startswith("  note: ")]
    assert notes == [
        "1 of the 3 validation texts is in train too: up to 33.3 points of the validation accuracy may come from memorisation",
        "3 of the 5 test texts are in train too: up to 60.0 points of the test accuracy may come from memorisation",
        "1 text stands in train with different labels in different rows",
        "1 text stands in test with different labels in different rows",
        "2 of the 6 rows of train repeat an earlier one",
        "1 of the 5 rows of test repeats an earlier one",
    ]


def test_numbers_are_not_called_labels(tmp_path):
    for name, rows in {"train": ["one,1.5", "one,2", "two,3"], "test": ["one,1", "three,2"]}.items():
        (tmp_path / f"{name}.csv").write_text("text,label\n" + "\n".join(rows))
    lines = []
    describe_dataset(load_text_dataset(str(tmp_path), task="regression", make_splits=False), lines.append)
    notes = [line.removeprefix("  note: ") for line in lines if line.startswith("  note: ")]
    assert notes[-3:] == [
        "1 of the 2 test texts is in train too: the test metrics may be too good, because the model may have memorised them",
        "1 text stands in train with different numbers in different rows",
        "1 of the 3 rows of train repeats an earlier one",
    ]


def test_pairs_are_equal_if_both_texts_are(tmp_path):
    rows = ["one,two,a", "one,three,a", "one,two,b", "two,one,a"] * 2
    for name in ("train", "validation"):
        (tmp_path / f"{name}.csv").write_text("text,text_pair,label\n" + "\n".join(rows))
    duplicates = find_duplicates(load_text_dataset(str(tmp_path)))
    assert duplicates.conflicting_texts == {"train": 1, "validation": 1}
    assert duplicates.duplicate_rows == {"train": 5, "validation": 5}
    assert duplicates.overlap == {"train/validation": 8}


def test_lists_of_labels_conflict_if_they_differ(tmp_path):
    lines = [
        '{"text": "one", "labels": ["a", "b"]}',
        '{"text": "one", "labels": ["b"]}',
        '{"text": "two", "labels": ["a"]}',
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    data = load_text_dataset(str(tmp_path / "a.jsonl"), make_splits=False)
    assert find_duplicates(data).conflicting_texts == {"test": 1}


def test_the_first_occurrence_of_each_text(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\none,a\ntwo,b\none,b\nthree,a\ntwo,a\n")
    split = load_text_dataset(str(tmp_path / "a.csv"), make_splits=False).splits["test"]
    assert first_occurrences(split).tolist() == [0, 1, 0, 3, 1]


def test_equal_texts_are_cut_into_the_same_split(tmp_path):
    generator = np.random.default_rng(0)
    lines = [f"text {generator.integers(150)},{'ab'[generator.integers(2)]}\n" for _ in range(600)]
    (tmp_path / "a.csv").write_text("text,label\n" + "".join(lines))
    data = load_text_dataset(str(tmp_path / "a.csv"))
    assert find_duplicates(data).overlap == {}
    assert sum(map(len, data.splits.values())) == 600
    assert all(len(split) > 30 for split in data.splits.values())


def test_capitals_blanks_and_unicode_forms_make_no_difference(tmp_path):
    (tmp_path / "a.csv").write_text(
        "text,label\nA  Caf\u00e9,a\na\u00a0cafe\u0301,a\na cafe,a\n\u3000a caf\u00e9 ,a\na cafés,b\n",
        encoding="utf-8",
    )
    split = load_text_dataset(str(tmp_path / "a.csv"), make_splits=False).splits["test"]
    assert first_occurrences(split).tolist() == [0, 0, 2, 0, 4]


def test_the_leaking_files_are_told(tmp_path):
    messy = Path(__file__).parent / "messy"
    for name in ("train", "test"):
        (tmp_path / f"{name}.csv").write_bytes((messy / f"17_leak_{name}.csv").read_bytes())
    lines = []
    describe_dataset(load_text_dataset(str(tmp_path)), lines.append)
    assert (
        "  note: 12 of the 20 test texts are in train too: up to 60.0 points of the test accuracy may come from memorisation"
        in lines
    )
