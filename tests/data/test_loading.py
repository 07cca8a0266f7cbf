import json

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hfbertcls.data.loading import load_text_dataset
from hfbertcls.errors import ConfigurationError, DatasetError


def load_csv(tmp_path, text, **options):
    (tmp_path / "a.csv").write_text(text)
    return load_text_dataset(str(tmp_path / "a.csv"), **{"make_splits": False, **options})


def load_records(tmp_path, records, **options):
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, records)))
    return load_text_dataset(str(tmp_path / "a.jsonl"), **{"make_splits": False, **options})


def test_a_file_without_splits_made_is_the_test_split(tmp_path):
    dataset = load_csv(tmp_path, "text,label\na,x\nb,y\n")
    assert list(dataset.splits) == ["test"]
    assert dataset.splits["test"].texts == ["a", "b"]
    assert dataset.split_method == "as in the source"
    assert dataset.source == "a.csv"


def test_positions_count_the_rows_that_were_left_out(tmp_path):
    split = load_csv(tmp_path, "text,label\n ,x\na,x\nb,\nc, \n\u00a0,\nd,y\n").splits["test"]
    assert split.rows.tolist() == [1, 5]
    assert split.rows_read == 6
    assert dict(split.dropped) == {"empty_text": 2, "missing_label": 2}


def test_positions_survive_the_cutting(tmp_path):
    lines = "".join(f"{'' if number % 5 == 0 else f't{number}'},{number % 2}\n" for number in range(100))
    cut = load_csv(tmp_path, "text,label\n" + lines, make_splits=True)
    for split in cut.splits.values():
        assert [f"t{row}" for row in split.rows] == split.texts


def test_texts_and_labels_stay_as_they_are(tmp_path):
    split = load_csv(tmp_path, 'text,label\n"  a ",007\nnan,n/a\n').splits["test"]
    assert (split.texts, split.labels) == (["  a ", "nan"], ["007", "n/a"])


@pytest.mark.parametrize(
    ("labels", "order"),
    [
        (["10", "9", "-1"], ("-1", "9", "10")),
        (["10", "9", "x"], ("10", "9", "x")),
        (["b", "A", "a"], ("A", "a", "b")),
        ([3, 20, 1], ("1", "3", "20")),
        ([True, False, True], ("false", "true")),
    ],
)
def test_labels_are_ordered_whatever_the_order_of_rows(tmp_path, labels, order):
    records = [{"text": "t", "label": label} for label in labels]
    for rows in (records, records[::-1]):
        dataset = load_records(tmp_path, rows)
        assert dataset.task.labels == order
        assert not dataset.labels_are_declared


def test_declared_classes_keep_their_order_and_minus_one_is_a_missing_label(tmp_path):
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["z", "a", "q"])}
    )
    rows = {"text": ["one", "two", "three"], "label": [1, -1, 0]}
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "a.parquet")
    dataset = load_text_dataset(str(tmp_path / "a.parquet"), make_splits=False)
    split = dataset.splits["test"]
    assert dataset.task.labels == ("z", "a", "q")
    assert dataset.labels_are_declared
    assert (split.labels, split.rows.tolist()) == (["a", "z"], [0, 2])
    assert dict(split.dropped) == {"missing_label": 1}


def test_lists_of_labels_are_multi_label(tmp_path):
    dataset = load_records(tmp_path, [{"text": "a", "labels": ["x", "y"]}, {"text": "b", "labels": []}])
    assert (dataset.task.name, dataset.task.labels, dataset.label_column) == ("multi_label", ("x", "y"), "labels")
    assert dataset.splits["test"].label_counts(dataset.task.labels) == {"x": 1, "y": 1}


def test_many_decimal_numbers_are_regression_and_may_be_declared_classes(tmp_path):
    text = "text,label\n" + "".join(f"t,{number}.5\n" for number in range(30))
    dataset = load_csv(tmp_path, text)
    assert dataset.task is None
    assert dataset.splits["test"].table["label"].to_pylist() == [number + 0.5 for number in range(30)]
    few = load_csv(tmp_path, "text,label\n" + "t,0.5\nt,1.5\n" * 20)
    assert (few.task.name, few.task.labels) == ("single_label", ("0.5", "1.5"))


def test_splits_of_a_folder_stay_as_they_are(tmp_path):
    for name in ("train", "dev", "test"):
        (tmp_path / f"{name}.csv").write_text(f"text,label\n{name},a\nb,b\n")
    dataset = load_text_dataset(str(tmp_path))
    assert {name: split.texts[0] for name, split in dataset.splits.items()} == {
        "train": "train",
        "validation": "dev",
        "test": "test",
    }


def test_a_test_split_without_labels_is_left_out_and_noted(tmp_path):
    (tmp_path / "train.csv").write_text("text,label\n" + "".join(f"a {n},x\nb {n},y\n" for n in range(30)))
    (tmp_path / "test.csv").write_text("text,label\na,\nb,\n")
    dataset = load_text_dataset(str(tmp_path))
    assert dataset.notes == ("the test split has no labels (2 rows) and is not used",)
    assert list(dataset.splits) == ["train"]


def test_split_by_a_text_keeps_equal_texts_together(tmp_path):
    lines = "".join(f"t{number // 2},{number % 2}\n" for number in range(300))
    cut = load_csv(tmp_path, "text,label\n" + lines, make_splits=True, split_by="text").splits
    assert not set(cut["train"].texts) & set(cut["test"].texts + cut["validation"].texts)


def test_a_group_column_with_a_reserved_name_is_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"the column 'row' of a.csv has a name .* Rename it in the data"):
        load_csv(tmp_path, "text,label,row\na,x,1\n", split_by="row")
    with pytest.raises(DatasetError, match=r"the column 'label' of a.csv has a name .* Rename it in the data"):
        load_csv(tmp_path, "text,mood,label\na,x,1\n", label_column="mood", split_by="label")


@pytest.mark.parametrize(
    ("text", "options", "kind", "message"),
    [
        (
            "text,label\na,x\n",
            {"split_by": "usr"},
            ConfigurationError,
            "'usr', which --split-by names.*'text', 'label'",
        ),
        (
            "text,label\na,x\n",
            {"labels": ["y"]},
            DatasetError,
            "not declared: 'x'. The declared labels are 'y'. Correct --labels",
        ),
        (
            "text,label\na,x\n",
            {"labels": ["x", "x"]},
            ConfigurationError,
            "a label is declared twice in 'x', 'x'. Correct --labels",
        ),
        ("text,label\na,x\n", {"task": "multi_label"}, DatasetError, "--task multi_label does not fit.*one label for"),
        ("text,label\na,x\n", {"task": "regression"}, DatasetError, "--task regression does not fit.*numbers only"),
        ("text,label\n,x\n", {}, DatasetError, "no usable row: 1 read, 1 with empty text. Check --text-column"),
        (
            "text,label\n" + "".join(f"t,l{number}\n" for number in range(30)),
            {},
            DatasetError,
            "30 different values in 30 rows.*Name another one with --label-column",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path, text, options, kind, message):
    with pytest.raises(kind, match=message):
        load_csv(tmp_path, text, **options)


def test_columns_of_another_type_are_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"'text' of a.jsonl holds 'int64', but texts were expected.*--text-column"):
        load_records(tmp_path, [{"text": 1, "label": "x"}])
    with pytest.raises(DatasetError, match=r"'label' of a.jsonl holds 'struct.*--label-column"):
        load_records(tmp_path, [{"text": "a", "label": {"x": 1}}])


def test_splits_that_differ_in_columns_or_kind_of_labels_are_refused(tmp_path):
    (tmp_path / "train.jsonl").write_text('{"text": "a", "labels": ["x"]}\n')
    (tmp_path / "test.jsonl").write_text('{"text": "a", "labels": "x"}\n')
    with pytest.raises(
        DatasetError, match=r"lists of labels in the split 'train', but one label .* Write it the same way"
    ):
        load_text_dataset(str(tmp_path))
    (tmp_path / "test.jsonl").write_text('{"text": "a"}\n')
    with pytest.raises(
        DatasetError, match=r"the test split \(test.jsonl\) has no column 'labels'.*columns are 'text'"
    ):
        load_text_dataset(str(tmp_path))


def test_a_folder_without_train_is_refused(tmp_path):
    (tmp_path / "test.csv").write_text("text,label\na,x\n")
    with pytest.raises(DatasetError, match=r"has no train split; it has 'test'. Add a train file"):
        load_text_dataset(str(tmp_path))


def test_encoding_a_label_that_is_not_known_names_the_close_one(tmp_path):
    task = load_csv(tmp_path, "text,label\na,good\nb,bad\n").task
    assert task.encode(pa.array(["good", "bad"])).tolist() == [1, 0]
    assert task.encode(pa.array([], pa.string())).dtype == np.int64
    with pytest.raises(
        DatasetError, match=r"'god' is not one of the known labels \(did you mean 'good'\?\): 'bad', 'good'"
    ):
        task.encode(pa.array(["god"]))


def test_a_table_without_rows_is_refused(tmp_path):
    pq.write_table(
        pa.table({"text": pa.array([], pa.string()), "label": pa.array([], pa.string())}), tmp_path / "a.parquet"
    )
    with pytest.raises(DatasetError, match="the train split has no usable row: 0 read"):
        load_text_dataset(str(tmp_path / "a.parquet"))


def test_a_null_in_a_list_of_labels_is_no_label(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a", "labels": ["x"]}\n{"text": "b", "labels": ["x", null]}\n')
    with pytest.raises(DatasetError, match=r"a\.jsonl, line 2: the list of labels in 'labels' holds a null"):
        load_text_dataset(str(tmp_path / "a.jsonl"))


SEVERAL_IN_A_CELL = 'text,labels\n"The lamp, broken",delivery; quality\nThanks,\nLate,delivery\nBad,quality;quality;\n'


def test_a_cell_can_name_several_labels(tmp_path):
    (tmp_path / "reviews.csv").write_text(SEVERAL_IN_A_CELL)
    data = load_text_dataset(str(tmp_path / "reviews.csv"), label_separator=";", make_splits=False)
    assert (data.task.name, data.label_column, data.label_separator) == ("multi_label", "labels", ";")
    assert data.splits["test"].labels == [["delivery", "quality"], [], ["delivery"], ["quality"]]
    assert data.splits["test"].label_counts(data.task.labels) == {"delivery": 2, "quality": 2}


def test_without_a_separator_such_cells_are_one_label_and_the_way_out_is_told(tmp_path):
    (tmp_path / "reviews.csv").write_text(SEVERAL_IN_A_CELL)
    with pytest.raises(
        DatasetError, match=r"--task multi_label does not fit.*If a cell holds more than one.*--label-separator"
    ):
        load_text_dataset(str(tmp_path / "reviews.csv"), label_column="labels", task="multi_label", make_splits=False)
    with pytest.raises(ConfigurationError, match="--label-separator is blank"):
        load_text_dataset(str(tmp_path / "reviews.csv"), label_separator=" ", make_splits=False)


def test_lists_are_not_separated(tmp_path):
    (tmp_path / "reviews.jsonl").write_text('{"text": "a", "labels": ["x;y", "x;y"]}\n')
    path = str(tmp_path / "reviews.jsonl")
    assert load_text_dataset(path, make_splits=False).splits["test"].labels == [["x;y"]]
    with pytest.raises(DatasetError, match="which --label-separator cannot separate"):
        load_text_dataset(path, label_separator=";", make_splits=False)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            [[0, 1, 1], [1, 0, 0]],
            r"look like one 0 or 1 for each of 3 labels.*Name all labels in the order of the lists with --labels",
        ),
        ([[["a"], ["b"]], [["a"]]], "holds lists in lists.*Flatten it"),
        ([["a"], ["b", " "]], r"line 2: the list of labels in 'labels' holds a blank one"),
    ],
    ids=["multi-hot", "nested", "blank"],
)
def test_lists_that_do_not_name_the_labels_of_a_row_are_refused(tmp_path, labels, message):
    with pytest.raises(DatasetError, match=message):
        load_records(tmp_path, [{"text": f"text {n}", "labels": names} for n, names in enumerate(labels)])


def test_a_separator_that_no_cell_holds_is_told(tmp_path):
    (tmp_path / "reviews.csv").write_text(SEVERAL_IN_A_CELL)
    data = load_text_dataset(str(tmp_path / "reviews.csv"), label_separator="|", make_splits=False)
    assert data.notes == ("no cell of 'labels' holds '|', so every row has at most one label",)
