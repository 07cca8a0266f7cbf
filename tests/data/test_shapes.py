"""Shapes of data: one column a label, no header, one folder a label, spreadsheets, pairs."""

import json
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest

from hfbertcls.cli import main
from hfbertcls.data.checks import require_trainable
from hfbertcls.data.loading import load_text_dataset
from hfbertcls.data.readers import expansion
from hfbertcls.data.readers.layout import Layout
from hfbertcls.data.readers.streaming import chunks, survey, text_column_of
from hfbertcls.data.sources import open_source
from hfbertcls.data.texts import TextPair
from hfbertcls.errors import ConfigurationError, DatasetError, MissingAssetError


TRIALS = Path(__file__).parent / "trials"
NAMES = ["delivery", "quality", "price"]


def loaded(path, **options):
    return load_text_dataset(str(path), make_splits=False, **options)


def written(tmp_path, text, name="x.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_one_column_of_0_and_1_for_each_label_is_multi_label():
    data = loaded(TRIALS / "onehot.csv", label_column=NAMES)
    expected = loaded(TRIALS / "names.jsonl").splits["test"].labels
    assert (data.task.name, data.task.labels, data.label_columns) == ("multi_label", tuple(NAMES), tuple(NAMES))
    assert [set(labels) for labels in data.splits["test"].labels] == [set(labels) for labels in expected]
    assert data.notes == ("3 columns of 0 and 1 are read as multi-label",)


def test_exactly_one_1_in_every_row_is_single_label(tmp_path):
    path = written(tmp_path, "text,good,bad\na,1,0\nb,0,1.0\nc,,\nd,true,False\n")
    data = loaded(path, label_column=["bad", "good"])
    assert (data.task.name, data.task.labels) == ("single_label", ("bad", "good"))
    assert data.splits["test"].labels == ["good", "bad", "good"]
    assert data.splits["test"].dropped == {"missing_label": 1}
    assert data.notes == ("2 columns of 0 and 1 are read as single-label, because every row has exactly one 1",)
    assert loaded(path, label_column=["bad", "good"], task="multi_label").splits["test"].labels[0] == ["good"]


def test_splits_agree_on_the_kind_of_their_columns(tmp_path):
    written(tmp_path, "text,good,bad\na,1,0\nb,0,1\n", "train.csv")
    written(tmp_path, "text,good,bad\nc,1,1\n", "test.csv")
    data = loaded(tmp_path, label_column=["good", "bad"])
    assert {name: split.labels for name, split in data.splits.items()} == {
        "train": [["good"], ["bad"]],
        "test": [["good", "bad"]],
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("text,a,b\nx,1,0\ny,2,0\n", r"x\.csv, line 3: 'a' holds '2', but more than one column.*must hold 0 or 1"),
        (
            "text,a,b\nx,1,0\ny,1,\n",
            r"x\.csv, line 3: 'b' is blank, but other labels of the row are not. Give it a 0 or 1",
        ),
    ],
)
def test_other_values_in_columns_of_labels_are_refused_with_the_row(tmp_path, text, message):
    with pytest.raises(DatasetError, match=message):
        loaded(written(tmp_path, text), label_column=["a", "b"])


def test_a_column_of_a_label_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(
        ConfigurationError, match=r"has no column 'prize' \(did you mean 'price'\?\), which --label-column"
    ):
        loaded(TRIALS / "onehot.csv", label_column=["delivery", "prize"])


def test_the_hint_names_columns_of_0_and_1():
    with pytest.raises(
        DatasetError, match="Name it: --label-column delivery quality price .one column of 0 and 1 for each"
    ):
        loaded(TRIALS / "onehot.csv")


def test_the_command_line_takes_several_columns_and_the_report_keeps_them(tmp_path, tiny_model_dir):
    words = [
        "train",
        "--model",
        str(tiny_model_dir),
        "--dataset",
        str(TRIALS / "onehot.csv"),
        "--label-column",
        *NAMES,
    ]
    out = tmp_path / "out"
    assert main([*words, "--output-dir", str(out), "--max-steps", "2", "--eval-every", "2"]) == 0
    report = json.loads((out / "report.json").read_text())
    assert (report["task"]["label_column"], report["task"]["labels"]) == (NAMES, NAMES)
    words = ["evaluate", str(out), "--dataset", str(TRIALS / "onehot.csv"), "--label-column", *NAMES]
    assert main(words) == 0


def test_a_file_without_a_header_says_so():
    with pytest.raises(
        DatasetError, match=r"first line of nohdr\.csv looks like data.*such as 'text,label', or pass --no-header"
    ):
        loaded(TRIALS / "nohdr.csv")


def test_rows_of_a_file_without_a_header_are_those_of_the_file_with_one():
    data, expected = loaded(TRIALS / "nohdr.csv", header=False), loaded(TRIALS / "plain.csv")
    assert data.splits["test"].texts == expected.splits["test"].texts
    assert data.splits["test"].labels == expected.splits["test"].labels
    assert (data.text_column, data.label_column) == ("column_1", "column_2")
    named = loaded(
        TRIALS / "nohdr.csv",
        header=False,
        text_column="column_2",
        label_column="column_1",
        task="single_label",
        labels=[*expected.splits["test"].texts],
    )
    assert named.splits["test"].texts == expected.splits["test"].labels


@pytest.mark.parametrize("ending", [".tsv", ".txt"])
def test_lines_without_a_header_are_rows_separated_by_tabs(tmp_path, ending):
    path = written(tmp_path, "ham\tHello, you; there\nspam\tWin, now\nham\tBye, then\nham\tSee you\n", f"x{ending}")
    data = loaded(path, header=False)
    assert data.splits["test"].texts == ["Hello, you; there", "Win, now", "Bye, then", "See you"]
    assert data.splits["test"].labels == ["ham", "spam", "ham", "ham"]


def test_predict_reads_lines_without_a_header(tmp_path):
    path = written(tmp_path, "Hello, you; there\nWin, now\n", "x.txt")
    file = survey(path, Layout(header=False))
    assert text_column_of(file, None) == "column_1"
    assert [text for part in chunks(file, "column_1", []) for text in part.texts] == ["Hello, you; there", "Win, now"]
    with pytest.raises(DatasetError, match=r"x\.txt has the ending \.txt. Pass --no-header"):
        survey(path)
    with pytest.raises(DatasetError, match="looks like a text, not like a header. Pass --no-header"):
        text_column_of(survey(TRIALS / "nohdr.csv"), None)
    lines = written(tmp_path, "I liked it so very much\nNot me\n", "lines.csv")
    with pytest.raises(DatasetError, match="looks like a text, not like a header. Pass --no-header"):
        text_column_of(survey(lines), None)
    assert survey(lines, Layout(header=False)).rows == 2


@pytest.mark.parametrize("name", ["train", "."])
def test_one_folder_a_label_is_read(tmp_path, name):
    shutil.copytree(TRIALS / "byfolder", tmp_path / "texts")
    data = loaded(tmp_path / "texts" / name)
    split = data.splits["test" if name == "train" else "train"]
    assert set(split.labels) == {"neg", "pos"}
    one = tmp_path / "texts" / "train" / "neg" / "1.txt"
    assert (one.read_text(), "neg") in zip(split.texts, split.labels, strict=True)
    assert set(data.splits) == ({"test"} if name == "train" else {"train", "test"})
    before = split.sha256
    one.write_text("another text")
    assert loaded(tmp_path / "texts" / name).splits[split.name].sha256 != before


def test_files_in_folders_are_named_and_what_is_no_text_is_noted(tmp_path):
    shutil.copytree(TRIALS / "byfolder" / "train", tmp_path / "texts")
    (tmp_path / "texts" / "neg" / "0.txt").write_text(" ")
    (tmp_path / "texts" / "pos" / "picture.png").write_bytes(b"x")
    (tmp_path / "texts" / "pos" / "old.txt").write_bytes("café au lait".encode("cp1252"))
    data = loaded(tmp_path / "texts")
    assert data.splits["test"].first_dropped == {"empty_text": "texts/neg/0.txt"}
    assert data.notes[0] == "texts: not read: 'picture.png'"
    assert "1 files are not plain UTF-8 and were converted (the first: texts/pos/old.txt)" in data.notes[1]
    (tmp_path / "texts" / "neg" / "1.txt").write_bytes(b"a\x00b")
    with pytest.raises(DatasetError, match=r"texts/neg/1\.txt, line 1: a NUL byte"):
        loaded(tmp_path / "texts")


def test_a_spreadsheet_has_the_rows_of_the_csv(tmp_path):
    pytest.importorskip("openpyxl")
    expected = loaded(TRIALS / "plain.csv").splits["test"]
    shutil.copy(TRIALS / "plain.xlsx", tmp_path / "train.xlsx")
    for path in (TRIALS / "plain.xlsx", tmp_path):
        split = next(iter(loaded(path).splits.values()))
        assert (split.texts, split.labels) == (expected.texts, expected.labels)


def test_cells_of_a_spreadsheet_are_what_a_csv_would_hold(tmp_path):
    pytest.importorskip("openpyxl")
    path = tmp_path / "x.xlsx"
    rows = {"text": ["a", None, 5, "d"], "label": [1, 2.5, True, "x"]}
    with pd.ExcelWriter(path) as writer:
        pd.DataFrame(rows).to_excel(writer, sheet_name="one", index=False)
        pd.DataFrame(rows).to_excel(writer, sheet_name="two", index=False)
    data = loaded(path)
    assert data.splits["test"].texts == ["a", "5", "d"]
    assert data.splits["test"].labels == ["1", "true", "x"]
    assert data.splits["test"].first_dropped == {"empty_text": "x.xlsx, line 3"}
    assert data.notes == ("x.xlsx: the sheet 'one' is read, not 'two'",)


def test_without_openpyxl_a_spreadsheet_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(
        MissingAssetError, match=r"needs openpyxl. Run pip install 'hfbertcls\[excel\]', or save the sheet as CSV"
    ):
        loaded(TRIALS / "plain.xlsx")


def test_what_is_no_spreadsheet_is_refused(tmp_path, monkeypatch):
    pytest.importorskip("openpyxl")
    path = tmp_path / "x.xlsx"
    path.write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(DatasetError, match=r"x\.xlsx cannot be read as a spreadsheet.*Save it again"):
        loaded(path)
    monkeypatch.setattr(expansion, "ALWAYS_ALLOWED", 1_000)
    monkeypatch.setattr(expansion, "LARGEST_RATIO", 1)
    with pytest.raises(
        DatasetError, match=r"plain\.xlsx has 9,041 bytes, but holds more than 9,041 when it is unpacked"
    ):
        loaded(TRIALS / "plain.xlsx")


@pytest.mark.parametrize("options", [{}, {"text_column": "sentence1", "text_pair_column": "sentence2"}])
def test_pairs_are_read_and_the_first_text_alone_is_noted(options):
    data = load_text_dataset(str(TRIALS / "pairs_s12.csv"), **options)
    assert require_trainable(data).labels
    assert data.text_columns == ("sentence1", "sentence2")
    assert isinstance(data.splits["train"].texts[0], TextPair)
    alone = load_text_dataset(str(TRIALS / "pairs_s12.csv"), text_column="sentence1")
    assert (require_trainable(alone).labels, alone.text_columns) == (data.task.labels, ("sentence1",))
    assert any("the column 'sentence2' is not read" in note for note in alone.notes)


def test_a_source_that_was_opened_is_read_as_it_was_opened():
    source = open_source(str(TRIALS / "nohdr.csv"), Layout(header=False))
    assert load_text_dataset(source, header=False).splits["train"].rows_read
