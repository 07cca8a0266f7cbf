"""Data in memory give what the file with the same rows gives."""

import json
import re
from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from hfbertcls.data.columns import Columns
from hfbertcls.data.labels import read_labels
from hfbertcls.data.loading import data_to_measure, data_to_train, load_text_dataset
from hfbertcls.data.readers.raw import RawTable
from hfbertcls.diagnosis.doctor import diagnose
from hfbertcls.errors import DatasetError
from hfbertcls.training.options import TrainingOptions
from hfbertcls.workflows.compare import compare_models
from hfbertcls.workflows.evaluate import evaluate_model
from hfbertcls.workflows.train import train_and_evaluate


PLAIN = Path(__file__).parent / "trials" / "plain.csv"
FRAME = pd.read_csv(PLAIN)
TEXTS, LABELS = FRAME["text"].tolist(), FRAME["label"].tolist()
RECORDS = FRAME.to_dict("records")


def polars_frame():
    return pytest.importorskip("polars").DataFrame({"text": TEXTS, "label": LABELS})


FORMS = {
    "DataFrame": lambda: FRAME,
    "DataFrame with an index": lambda: FRAME.set_index(np.arange(len(FRAME)) + 7),
    "DataFrame of categories": lambda: FRAME.astype({"label": "category"}),
    "polars": polars_frame,
    "Dataset": lambda: datasets.Dataset.from_pandas(FRAME),
    "Dataset of records": lambda: datasets.Dataset.from_list(RECORDS),
    "Arrow": lambda: pa.Table.from_pandas(FRAME),
    "records": lambda: RECORDS,
    "columns": lambda: {"text": TEXTS, "label": LABELS},
    "texts and labels": lambda: (TEXTS, LABELS),
    "arrays": lambda: (np.array(TEXTS), FRAME["label"]),
    "pairs": lambda: list(zip(TEXTS, LABELS, strict=True)),
}
SPLIT_FORMS = {
    "DatasetDict": lambda: datasets.DatasetDict(
        train=datasets.Dataset.from_pandas(FRAME[:150], preserve_index=False),
        test=datasets.Dataset.from_pandas(FRAME[150:], preserve_index=False),
    ),
    "frames": lambda: {"train": FRAME[:150], "test": FRAME[150:]},
    "texts and labels": lambda: {"train": (TEXTS[:150], LABELS[:150]), "test": (TEXTS[150:], LABELS[150:])},
    "records": lambda: {"train": RECORDS[:150], "test": RECORDS[150:], "more": RECORDS},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_model_dir):
    """A model that was trained on the file, and its report."""
    out = tmp_path_factory.mktemp("memory") / "of-the-file"
    return out, train(tiny_model_dir, PLAIN, out)


def train(model, data, out):
    options = TrainingOptions(max_steps=2, eval_every="2", seed=3, command="hfbertcls")
    return train_and_evaluate(str(model), data, out, options)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_has_the_rows_and_splits_of_the_file(form):
    expected, actual = load_text_dataset(PLAIN), load_text_dataset(FORMS[form]())
    for name, split in expected.splits.items():
        assert actual.splits[name].texts == split.texts
        assert actual.splits[name].labels == split.labels
        assert actual.splits[name].rows.tolist() == split.rows.tolist()
        assert actual.splits[name].rows_sha256 == split.rows_sha256
    assert (actual.task, actual.labels_are_declared, actual.notes) == (
        expected.task,
        expected.labels_are_declared,
        expected.notes,
    )


def test_the_hash_of_data_in_memory_does_not_depend_on_the_library():
    hashes = {
        form: load_text_dataset(make()).splits["train"].sha256 for form, make in FORMS.items() if form != "polars"
    }
    assert len(set(hashes.values())) == 1, hashes
    assert load_text_dataset(polars_frame()).splits["train"].sha256 in hashes.values()


@pytest.mark.parametrize("form", SPLIT_FORMS)
def test_splits_in_memory_are_those_of_files(form, tmp_path):
    FRAME[:150].to_csv(tmp_path / "train.csv", index=False)
    FRAME[150:].to_csv(tmp_path / "test.csv", index=False)
    expected, actual = load_text_dataset(tmp_path), load_text_dataset(SPLIT_FORMS[form]())
    assert {name: split.rows_sha256 for name, split in actual.splits.items()} == {
        name: split.rows_sha256 for name, split in expected.splits.items()
    }
    assert actual.notes == (("splits that are not used: 'more'",) if form == "records" else ())


def test_names_of_classes_missing_values_and_vectors_are_kept():
    names = datasets.ClassLabel(names=["no", "yes"])
    data = datasets.Dataset.from_dict({"text": ["a", "b", "c"], "label": [1, 0, -1]}).cast_column("label", names)
    split = load_text_dataset(data, make_splits=False).splits["test"]
    assert (split.labels, split.dropped) == (["yes", "no"], {"missing_label": 1})
    split = load_text_dataset((["a", None, "c"], ["x", "y", float("nan")]), make_splits=False).splits["test"]
    assert split.dropped == {"empty_text": 1, "missing_label": 1}
    assert split.first_dropped == {
        "empty_text": "tuple in memory, row 1 (counted from 0)",
        "missing_label": "tuple in memory, row 2 (counted from 0)",
    }
    data = load_text_dataset((["a", "b"], np.array([[1, 0], [1, 1]])), labels=["x", "y"], make_splits=False)
    assert data.splits["test"].labels == [["x"], ["x", "y"]]


def test_lists_of_declared_classes_have_their_names(tmp_path):
    features = datasets.Features(
        {"text": datasets.Value("string"), "labels": datasets.List(datasets.ClassLabel(names=["no", "yes", "so"]))}
    )
    data = datasets.Dataset.from_dict({"text": ["a", "b", "c"], "labels": [[2, 0], [], [1]]}, features=features)
    data.to_parquet(tmp_path / "x.parquet")
    datasets.DatasetDict(test=data).save_to_disk(tmp_path / "saved")
    for source in (data, tmp_path / "x.parquet", tmp_path / "saved"):
        actual = load_text_dataset(source, make_splits=False)
        assert actual.splits["test"].labels == [["so", "no"], [], ["yes"]]
        assert actual.task.labels == ("no", "yes", "so")
    table = pa.table({"text": ["a"], "labels": [[5]]}, schema=data.with_format("arrow")[:].schema)
    with pytest.raises(DatasetError, match="row 0 .*the label 5 in 'labels' is none of the 3 declared ones"):
        read_labels(RawTable(table, "x", "", class_names={"labels": ("no", "yes", "so")}), Columns("text", "labels"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (3, "data of the type int cannot be read. Expected a path, a Hub id, a DataFrame"),
        ((row for row in RECORDS), "data of the type generator cannot be read. Expected"),
        ([], "data of the type list cannot be read. Expected"),
        (["a", "b"], "data of the type list cannot be read. Expected"),
        (FRAME[:0], "the DataFrame in memory has no row. Expected one for each text"),
        ((["a"], ["x", "y"]), "differ in length: 'text' has 1, 'label' has 2. Give each row a value"),
        ((["a", "b"], ["x", 1]), "the tuple in memory cannot be read as a table.*Give each column values of one type"),
        ({"text": "a", "label": "b"}, "the column 'text' of the dict in memory is of the type str. Expected"),
        ({"train": FRAME, "training": FRAME}, "more than one split could be the train split"),
        (pd.concat([FRAME, FRAME["text"]], axis=1), "cannot be read as a table: .*Duplicate column names found"),
    ],
)
def test_what_is_no_table_is_refused(data, message):
    with pytest.raises(DatasetError, match=message):
        load_text_dataset(data)


def test_a_path_that_is_not_there_is_no_hub_id():
    with pytest.raises(DatasetError, match="there is no file or folder 'nothing'"):
        load_text_dataset(Path("user/nothing"))


@pytest.mark.parametrize("form", ["DataFrame", "Dataset", "texts and labels"])
def test_the_report_of_a_run_is_that_of_the_file(form, trained, tiny_model_dir, tmp_path):
    actual = train(tiny_model_dir, FORMS[form](), tmp_path / "of-the-file")
    assert comparable(actual) == comparable(trained[1])


def comparable(report):
    """The text of a report without the name and hash of the source, and without times."""
    where = r"plain\.csv, line [\d,]+|\w+ in memory, row [\d,]+ \(counted from 0\)"
    values = json.loads(re.sub(where, "PLACE", report.to_json()))
    values["data"]["source"] = None
    for split in values["data"]["splits"].values():
        split["sha256"] = None
    timed = "second|peak|memory|utilisation"
    values["training"] = {key: value for key, value in values["training"].items() if not re.search(timed, key)}
    for phase in values["training"].get("phases", ()):
        del phase["seconds"]
    return values


FORMS_OF_EVALUATION = {
    "path": lambda: PLAIN,
    "string": lambda: str(PLAIN),
    "read for training": lambda: load_text_dataset(PLAIN),
    "read whole": lambda: load_text_dataset(PLAIN, make_splits=False),
    "DataFrame": lambda: FRAME,
    "DataFrame read for training": lambda: load_text_dataset(FRAME, seed=5),
}


@pytest.mark.parametrize("form", FORMS_OF_EVALUATION)
def test_a_model_is_measured_on_the_same_rows_whichever_way_they_come_in(form, trained, model_of_others):
    lines = []
    report = evaluate_model(str(trained[0]), FORMS_OF_EVALUATION[form](), log=lines.append)
    assert report.test.rows == 20  # (the rows that were held out of its own training)
    assert any("Only the 20 rows of its test split are evaluated" in line for line in lines)
    assert evaluate_model(str(model_of_others), FORMS_OF_EVALUATION[form]()).test.rows == 200
    assert compare_models(str(trained[0]), str(model_of_others), FORMS_OF_EVALUATION[form]()).comparison.rows == 20


@pytest.fixture(scope="module")
def model_of_others(tmp_path_factory, tiny_model_dir):
    out = tmp_path_factory.mktemp("memory") / "of-others"
    rows = [(text.replace("The", "That"), label) for text, label in zip(TEXTS, LABELS, strict=True)]
    train(tiny_model_dir, rows, out)
    return out


def test_a_split_that_was_cut_is_measured_where_it_is_asked_for(model_of_others):
    data = load_text_dataset(PLAIN, cross_validation="off")
    assert evaluate_model(str(model_of_others), data, "validation").validation.rows == 20


def test_rows_of_one_label_are_measured(model_of_others):
    texts = [text for text, label in zip(TEXTS, LABELS, strict=True) if label == "positive"]
    one = {"text": texts, "label": ["positive"] * len(texts)}
    for data, rows in ((one, len(texts)), (load_text_dataset(one), len(texts)), ({"train": one, "test": FRAME}, 200)):
        assert evaluate_model(str(model_of_others), data).test.rows == rows


def test_what_was_read_whole_can_be_trained_on():
    cut, whole = load_text_dataset(PLAIN, seed=3), load_text_dataset(PLAIN, make_splits=False)
    trained_on = data_to_train(whole, 3)
    assert {name: split.texts for name, split in trained_on.splits.items()} == {
        name: split.texts for name, split in cut.splits.items()
    }
    assert data_to_train(cut, 99) is cut
    with pytest.raises(DatasetError, match="has no train split; it has 'test'. Add a train file"):
        data_to_train(load_text_dataset({"test": FRAME}, make_splits=False), 3)


def test_splits_that_somebody_changed_are_measured_as_they_are():
    data = load_text_dataset(PLAIN)
    few = data.splits["test"].take("test", np.arange(5))
    changed = replace(data, splits={**data.splits, "test": few})
    assert data_to_measure(changed) is changed


def test_the_doctor_examines_data_in_memory():
    assert diagnose(FRAME).source == "DataFrame in memory"
    assert [finding.code for finding in diagnose(FRAME).refusals] == []
    assert diagnose(3).refusals[0].message.startswith("data of the type int cannot be read")
