import copy
import io
import json
import pickle
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hfbertcls import evaluation
from hfbertcls.data.dataset import TextDataset, TextSplit
from hfbertcls.errors import DatasetError
from hfbertcls.evaluation.report import Report, report_schema
from hfbertcls.evaluation.report_evaluation import Evaluation, Metric
from hfbertcls.evaluation.report_sections import CardFacts
from hfbertcls.evaluation.splits import evaluate_split, split_facts
from hfbertcls.modeling.predictions import Predictions
from hfbertcls.tasks.single_label import SingleLabel


def make_report(**changes):
    values = json.loads((Path(__file__).parent.parent / "repository" / "report.json").read_text(encoding="utf-8"))
    return replace(Report.from_json(json.dumps(values)), **changes)


def make_predictions(rows=40):
    generator = np.random.default_rng(0)
    return Predictions(
        task=SingleLabel(("b", "a", "ü|$")),
        rows=np.arange(rows) * 3,
        gold=generator.integers(0, 3, rows),
        logits=generator.normal(size=(rows, 3)).astype(np.float32),
    )


@pytest.mark.parametrize("changes", [{}, {"training": None}, {"command": "hfbertcls train ☕"}])
def test_report_round_trips(changes):
    report = make_report(**changes)
    text = report.to_json()
    assert Report.from_json(text) == report
    assert Report.from_json(text).to_json() == text
    assert changes.get("command", "hfbertcls") in text
    assert next(iter(json.loads(text))) == "schema_version"


def test_unknown_keys_are_kept():
    values = {**json.loads(make_report().to_json()), "later": {"x": [1]}}
    report = Report.from_json(json.dumps(values))
    assert report.extra == {"later": {"x": [1]}}
    assert json.loads(report.to_json()) == values


def test_the_metrics_of_a_split_are_attributes():
    report = make_report()
    accuracy = report.test.accuracy
    assert accuracy == Metric(accuracy.value, accuracy.low, accuracy.high)
    assert repr(accuracy) == f"Metric(value={accuracy.value}, low={accuracy.low}, high={accuracy.high})"
    assert accuracy.low < accuracy.value < accuracy.high
    assert {"accuracy", "f1_macro"} <= set(dir(report.test))
    assert {"test", "validation"} <= set(dir(report))
    assert f"accuracy: {accuracy.value:.3f}" in repr(report)
    assert repr(report).splitlines()[0].endswith(f": Sorts texts into {len(report.task.labels)} labels")
    with pytest.raises(AttributeError, match=r"there is no metric 'acuracy'; there are accuracy, f1_macro"):
        _ = report.test.acuracy
    with pytest.raises(AttributeError, match=r"the report has no 'train'; it has metrics of validation, test"):
        _ = report.train


def test_a_report_can_be_copied_and_pickled():
    report = make_report()
    assert copy.deepcopy(report) == pickle.loads(pickle.dumps(report)) == report


SCHEMA_FILE = Path(evaluation.__file__).parent / "report.schema.json"


def test_the_schema_of_the_package_is_that_of_the_types(request):
    if request.config.getoption("--update-golden"):
        SCHEMA_FILE.write_text(json.dumps(report_schema(), indent=2) + "\n", encoding="utf-8")
    assert json.loads(SCHEMA_FILE.read_text(encoding="utf-8")) == report_schema(), "pytest --update-golden writes it"


def test_a_written_report_fits_the_schema_and_a_damaged_one_does_not():
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    validator.validate(json.loads(make_report().to_json()))
    for path, value in (
        (("task", "labels"), None),
        (("model", "weights_sha256"), "x"),
        (("evaluation", "test", "rows"), ...),
        (("evaluation", "test", "metrics", "accuracy", "low"), "x"),
        (("training", "steps"), -1),
    ):
        assert not validator.is_valid(json.loads(changed(path, value))), path


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_metrics_that_are_not_numbers_are_not_written(value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        make_report(card=CardFacts(extra={"x": value})).to_json()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"report\.json is not valid JSON: "),
        ("5", r"report\.json has no schema_version; it is not a report of hfbertcls"),
        ("[]", r"report\.json has no schema_version; it is not a report of hfbertcls"),
        ('{"schema_version": 1, "task": {}}', r"report\.json is damaged: model is missing"),
        ("[" * 100_000, r"report\.json is not valid JSON: it is nested too deeply"),
        (make_report(schema_version=2).to_json(), r"has schema version 2, this release reads 1\. Update hfbertcls"),
        (
            make_report(card=CardFacts()).to_json().replace('"card": {}', '"card": NaN'),
            r"not valid JSON: NaN is not JSON",
        ),
    ],
)
def test_other_files_are_rejected(text, message):
    with pytest.raises(DatasetError, match=message):
        Report.from_json(text)


def changed(path, value):
    """The golden report with another value; `...` removes the key."""
    report = json.loads(make_report().to_json())
    *parents, last = path
    place = report
    for key in parents:
        place = place[key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return json.dumps(report)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("task", "labels"), None, r"task\.labels is null; expected a list"),
        (("task", "labels", 0), 3, r"task\.labels\[0\] is 3; expected a text"),
        (("task", "labels"), ["a", "a", "b"], r"task\.labels must be at least one label, none twice"),
        (
            ("task", "type"),
            "ranking",
            r"task\.type is 'ranking'; expected single_label or multi_label or regression or ordinal",
        ),
        (("task", "thresholds"), [0.5], r"task\.thresholds must be null: no label has one"),
        (("schema_version",), True, r"schema_version is true; expected 1"),
        (("model", "weights_sha256"), "../x", r"model\.weights_sha256 is '\.\./x'; expected a SHA-256"),
        (
            ("model", "files_sha256"),
            {"../x": "a" * 64},
            r"model\.files_sha256 has the key '\.\./x'; expected the path",
        ),
        (
            ("files_sha256",),
            {"/etc/hostname": "a" * 64},
            r"files_sha256 has the key '/etc/hostname'; expected the path",
        ),
        (("files_sha256",), {".netrc": "a" * 64}, r"files_sha256 has the key '\.netrc'; expected the path"),
        (("evaluation",), {}, r"evaluation has no split"),
        (("evaluation", "test", "rows"), -1, r"evaluation\.test\.rows is -1; expected a count of at least 1"),
        (("evaluation", "test", "rows"), True, r"evaluation\.test\.rows is true; expected a count"),
        (("evaluation", "test", "metrics", "accuracy"), ..., r"evaluation\.test\.metrics\.accuracy is missing"),
        (("evaluation", "test", "metrics", "mcc", "low"), "x", r"metrics\.mcc\.low is 'x'; expected a number"),
        (("evaluation", "test", "per_label"), {}, r"evaluation\.test\.per_label must have the keys of task\.labels"),
        (("evaluation", "test", "confusion_matrix"), [[1]], r"test\.confusion_matrix must have a row and a column"),
        (
            ("evaluation", "test", "calibration", "temperature"),
            "warm",
            r"calibration\.temperature is 'warm'; expected a number or a list",
        ),
        (
            ("evaluation", "test", "adjustment"),
            {"shift": {}, "temperature_before": None, "before": {"accuracy": 0.5}, "recall_before": {}},
            r"evaluation\.test\.adjustment\.before\.f1_macro is missing",
        ),
        (("data", "splits", "test"), ..., r"evaluation\.test has no counterpart in data\.splits"),
        (("data", "splits", "/etc/passwd"), {}, r"data\.splits\./etc/passwd\.rows is missing"),
        (("data", "splits", "test", "label_counts"), {}, r"test\.label_counts must have the keys of task\.labels"),
        (("training", "seeds", "runs"), [], r"training\.seeds needs at least two runs"),
        (
            ("training", "learning_curve", "split"),
            "x",
            r"learning_curve\.split is 'x'; expected a split of evaluation",
        ),
        (("training", "learning_curve", "points"), [], r"learning_curve\.points must be at least two"),
        (
            ("training", "learning_curve", "metric"),
            "x",
            r"learning_curve\.metric is 'x'; expected a metric of evaluation\.test",
        ),
        (
            ("training", "learning_curve", "metric"),
            "log_loss",
            r"learning_curve\.points must have error alone, because the metric is log_loss",
        ),
        (
            ("training", "learning_curve", "points", 0, "right"),
            ...,
            r"learning_curve\.points must have right and accuracy, because the metric is accuracy",
        ),
        (("environment",), 5, r"environment is 5; expected an object"),
        (("card",), [], r"card is a list; expected an object"),
    ],
)
def test_a_damaged_report_is_rejected_with_the_key(path, value, message):
    with pytest.raises(DatasetError, match=rf"report\.json is damaged: .*{message}"):
        Report.from_json(changed(path, value))


def test_thresholds_of_another_number_than_the_labels_are_rejected():
    report = json.loads(make_report().to_json())
    report["task"] |= {"type": "multi_label", "thresholds": [0.5]}
    with pytest.raises(
        DatasetError, match=r"damaged: task\.thresholds must be one number for each label of a multi-label task"
    ):
        Report.from_json(json.dumps(report))


def test_a_split_with_the_name_of_a_path_is_rejected():
    report = json.loads(make_report().to_json())
    for part in (report["evaluation"], report["data"]["splits"]):
        part["../../x"] = part.pop("test")
    with pytest.raises(DatasetError, match=r"data\.splits has the key '\.\./\.\./x'; expected the name of a split"):
        Report.from_json(json.dumps(report))


def test_facts_of_a_split_count_every_label():
    table = pa.table({"row": [0, 2], "text": ["x", "y"], "label": ["a", "a"]})
    split = TextSplit("test", table, 3, {"empty_text": 1}, "hash")
    dataset = TextDataset({"test": split}, SingleLabel(("a", "b")), "x.csv", "text", "label")
    assert split_facts(split, dataset, truncated_rows=1, unknown_share=0.25).to_dict() == {
        "rows": 2,
        "rows_read": 3,
        "dropped": {"empty_text": 1},
        "sha256": "hash",
        "label_counts": {"a": 2, "b": 0},
        "truncated_rows": 1,
        "unknown_token_share": 0.25,
    }


def test_metrics_of_a_split_follow_from_its_predictions():
    predictions = replace(make_predictions(), baselines={"majority": np.zeros(40, dtype=np.int64)})
    evaluation = evaluate_split(predictions, "a" * 64, {"majority": {"train_rows": 3}})
    section = evaluation.to_dict()
    assert json.loads(json.dumps(section, allow_nan=False)) == section
    assert Evaluation.from_dict(section) == evaluation
    assert section["rows"] == 40
    assert list(section["per_label"]) == ["b", "a", "ü|$"]
    assert np.trace(section["confusion_matrix"]) / 40 == section["metrics"]["accuracy"]["value"]
    assert np.sum(section["confusion_matrix"]) == 40
    majority = section["baselines"]["majority"]
    assert majority["accuracy"] == np.mean(predictions.gold == 0)
    assert majority["train_rows"] == 3
    gain = section["metrics"]["accuracy"]["value"] - majority["accuracy"]
    assert majority["difference"]["value"] == pytest.approx(gain)
    assert majority["difference"]["low"] < majority["difference"]["value"] < majority["difference"]["high"]


@pytest.mark.parametrize("rows", [0, 40])
def test_predictions_round_trip_and_are_the_same_bytes_twice(rows):
    predictions = replace(make_predictions(rows), baselines={"majority": np.ones(rows, dtype=np.int64)})
    data = predictions.to_parquet()
    assert predictions.to_parquet() == data
    read = Predictions.from_parquet(data, predictions.task)
    assert read.to_parquet() == data
    np.testing.assert_array_equal(read.baselines["majority"], predictions.baselines["majority"])
    for name in ("rows", "gold", "logits", "predicted"):
        np.testing.assert_array_equal(getattr(read, name), getattr(predictions, name))
    assert (read.rows.dtype, read.gold.dtype, read.logits.dtype) == (np.int64, np.int64, np.float32)


def test_the_first_of_equal_logits_is_predicted():
    logits = np.zeros((1, 3), dtype=np.float32)
    assert Predictions(SingleLabel(("a", "b", "c")), np.array([0]), np.array([1]), logits).predicted.tolist() == [0]


def test_predictions_of_other_labels_are_rejected():
    with pytest.raises(
        DatasetError, match=r"labels that the model has not: 'ü\|\$'\. The model has 'a', 'b'\. Use the predictions"
    ):
        Predictions.from_parquet(make_predictions().to_parquet(), SingleLabel(("a", "b")))


def with_column(name, values):
    table = pq.read_table(io.BytesIO(make_predictions().to_parquet()))
    place = table.column_names.index(name) if name in table.column_names else None
    sink = io.BytesIO()
    pq.write_table(table.append_column(name, values) if place is None else table.set_column(place, name, values), sink)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("row", pa.array([0] * 40), r"has rows twice, or with numbers below 0"),
        ("row", pa.array(range(-1, 39)), r"has rows twice, or with numbers below 0"),
        ("row", pa.array([None, *range(39)]), r"column 'row' of the predictions file lacks values"),
        ("row", pa.array([0.5] * 40), r"column 'row' of the predictions file has the type double; expected int64"),
        ("logits", pa.array([[np.nan] * 3] * 40, pa.list_(pa.float32())), r"must have 3 finite logits a row"),
        ("logits", pa.array([[1.0, 2.0]] * 40, pa.list_(pa.float32())), r"must have 3 finite logits a row"),
        ("baseline_x", pa.array(["?"] * 40), r"labels that the model has not: '\?'"),
        ("note", pa.array(["?"] * 40), r"has an unexpected column 'note'"),
    ],
)
def test_a_predictions_file_that_is_not_what_we_write_is_rejected(name, values, message):
    with pytest.raises(DatasetError, match=message):
        Predictions.from_parquet(with_column(name, values), make_predictions().task)
