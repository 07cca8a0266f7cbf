"""A file that training has split: later evaluations use only the held-out rows."""

import csv
import json
import shutil

import pytest

from hfbertcls import compare_models
from hfbertcls.cli import main
from hfbertcls.errors import DatasetError
from hfbertcls.workflows.evaluate import evaluate_model


@pytest.fixture(scope="module")
def single(tmp_path_factory, tiny_model_dir, reviews_dir):
    """One file, and a model that was trained on it."""
    folder = tmp_path_factory.mktemp("single")
    shutil.copyfile(reviews_dir / "train.csv", folder / "reviews.csv")
    words = ["train", "--model", str(tiny_model_dir), "--dataset", str(folder / "reviews.csv"), "--max-steps", "20"]
    assert main([*words, "--learning-rate", "0.003", "--eval-every", "10", "--output-dir", str(folder / "model")]) == 0
    return folder


def report_in(single):
    return json.loads((single / "model" / "report.json").read_text())


def test_evaluation_is_that_of_the_report(single):
    log_lines = []
    report = evaluate_model(str(single / "model"), str(single / "reviews.csv"), log=log_lines.append)
    theirs = report_in(single)["evaluation"]["test"]
    assert report.test.accuracy.to_dict() == theirs["metrics"]["accuracy"]
    assert report.to_dict()["evaluation"]["test"]["confusion_matrix"] == theirs["confusion_matrix"]
    assert report.data.splits["test"].rows == theirs["rows"] < 480
    assert any("was trained on rows of reviews.csv. Only the" in line for line in log_lines)


def test_a_split_can_be_chosen(single):
    report = evaluate_model(str(single / "model"), str(single / "reviews.csv"), split="test")
    assert report.data.splits["test"].rows == report_in(single)["evaluation"]["test"]["rows"]


def test_the_card_states_an_export_on_the_held_out_rows(single, tmp_path):
    directory = shutil.copytree(single / "model", tmp_path / "model")
    assert main(["export", str(directory), "--dataset", str(single / "reviews.csv")]) == 0
    report = json.loads((directory / "report.json").read_text())
    (export,) = report["model"]["exports"]
    rows = report["evaluation"]["test"]["rows"]
    assert (export["agreement"]["split"], export["agreement"]["rows"]) == ("test", rows)
    assert f"100.00 % of {rows} rows of test" in (directory / "README.md").read_text()


def test_two_models_are_compared_on_rows_that_neither_saw(single):
    model, data = str(single / "model"), str(single / "reviews.csv")
    comparison = compare_models(model, model, data)
    assert comparison.comparison.rows == report_in(single)["evaluation"]["test"]["rows"]


def test_without_predictions_the_held_out_rows_are_unknown(single, tmp_path):
    directory = shutil.copytree(single / "model", tmp_path / "model")
    shutil.rmtree(directory / "predictions")
    with pytest.raises(
        DatasetError, match=r"model was trained on reviews\.csv, and predictions/test\.parquet, which lists"
    ):
        evaluate_model(str(directory), str(single / "reviews.csv"))


def test_a_train_file_is_called_so(finished_run, reviews_dir):
    log_lines = []
    report = evaluate_model(str(finished_run), str(reviews_dir / "train.csv"), log=log_lines.append)
    assert list(report.evaluation) == ["train"]
    assert any("film-reviews was trained on these rows" in line for line in log_lines)


def test_other_rows_are_measured_as_they_are(single, tmp_path, reviews_dir):
    with (reviews_dir / "test.csv").open(encoding="utf-8") as file:
        rows = len(list(csv.DictReader(file)))
    report = evaluate_model(str(single / "model"), str(reviews_dir / "test.csv"))
    assert report.data.splits["test"].rows == rows
