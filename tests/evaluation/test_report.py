import json

import numpy as np
import pyarrow as pa
import pytest

from hfbertcls.data.dataset import LabelSchema, TextDataset, TextSplit
from hfbertcls.errors import DatasetError
from hfbertcls.evaluation.report import Report, split_facts, split_figures
from hfbertcls.modeling.predictions import Predictions


def make_report(**changes):
    parts = {
        "task": {"labels": ["nein", "ja ☕"]},
        "model": {"name": "m"},
        "data": {},
        "evaluation": {"test": {"metrics": {"accuracy": {"value": 0.5, "low": None, "high": None}}}},
        "card": {},
        "environment": {},
        "command": "hfbertcls train",
    }
    return Report(**{**parts, **changes})


def make_predictions(rows=40):
    generator = np.random.default_rng(0)
    return Predictions(
        rows=np.arange(rows) * 3,
        gold=generator.integers(0, 3, rows),
        logits=generator.normal(size=(rows, 3)).astype(np.float32),
        label_names=("b", "a", "ü|$"),
    )


@pytest.mark.parametrize("training", [None, {"seed": 1}])
def test_report_round_trips(training):
    report = make_report(training=training)
    text = report.to_json()
    assert Report.from_json(text) == report
    assert Report.from_json(text).to_json() == text
    assert "☕" in text
    assert next(iter(json.loads(text))) == "schema_version"


def test_unknown_keys_are_kept():
    values = {**json.loads(make_report().to_json()), "later": {"x": [1]}}
    report = Report.from_json(json.dumps(values))
    assert report.extra == {"later": {"x": [1]}}
    assert json.loads(report.to_json()) == values


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_figures_that_are_not_numbers_are_not_written(value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        make_report(card={"x": value}).to_json()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"report\.json is not valid JSON: "),
        ("5", r"report\.json is not a JSON object; it is not a report of hfbertcls"),
        ("[]", r"report\.json is not a JSON object; it is not a report of hfbertcls"),
        ('{"schema_version": 1, "task": {}}', r"lacks model, data, .*command; it is not a report of hfbertcls"),
        (make_report(schema_version=2).to_json(), r"has schema version 2, this release reads 1\. Update hfbertcls"),
        (make_report(card={}).to_json().replace('"card": {}', '"card": NaN'), r"not valid JSON: NaN is not JSON"),
    ],
)
def test_other_files_are_refused(text, message):
    with pytest.raises(DatasetError, match=message):
        Report.from_json(text)


def test_facts_of_a_split_count_every_label():
    table = pa.table({"row": [0, 2], "text": ["x", "y"], "label": ["a", "a"]})
    split = TextSplit("test", table, 3, {"empty_text": 1}, "hash")
    dataset = TextDataset({"test": split}, "single_label", LabelSchema(("a", "b")), "x.csv", "text", "label")
    assert split_facts(split, dataset, truncated_rows=1, unknown_share=0.25) == {
        "rows": 2,
        "rows_read": 3,
        "dropped": {"empty_text": 1},
        "sha256": "hash",
        "rows_sha256": None,
        "label_counts": {"a": 2, "b": 0},
        "truncated_rows": 1,
        "unknown_token_share": 0.25,
    }


def test_figures_of_a_split_follow_from_its_predictions():
    predictions = make_predictions()
    figures = split_figures(predictions, "hash", {"majority": {"accuracy": 0.3}})
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert figures["rows"] == 40
    assert list(figures["per_label"]) == ["b", "a", "ü|$"]
    assert np.trace(figures["confusion_matrix"]) / 40 == figures["metrics"]["accuracy"]["value"]
    assert np.sum(figures["confusion_matrix"]) == 40


@pytest.mark.parametrize("rows", [0, 40])
def test_predictions_round_trip_and_are_the_same_bytes_twice(rows):
    predictions = make_predictions(rows)
    data = predictions.to_parquet()
    assert make_predictions(rows).to_parquet() == data
    read = Predictions.from_parquet(data, predictions.label_names)
    assert read.to_parquet() == data
    for name in ("rows", "gold", "logits", "predicted"):
        np.testing.assert_array_equal(getattr(read, name), getattr(predictions, name))
    assert (read.rows.dtype, read.gold.dtype, read.logits.dtype) == (np.int64, np.int64, np.float32)


def test_the_first_of_equal_logits_is_predicted():
    logits = np.zeros((1, 3), dtype=np.float32)
    assert Predictions(np.array([0]), np.array([1]), logits, ("a", "b", "c")).predicted.tolist() == [0]


def test_predictions_of_other_labels_are_refused():
    with pytest.raises(
        DatasetError, match=r"labels that the model has not: 'ü\|\$'\. The model has 'a', 'b'\. Use the predictions"
    ):
        Predictions.from_parquet(make_predictions().to_parquet(), ("a", "b"))
