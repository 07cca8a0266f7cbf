"""Calibrated scores come out of plain `pipeline()`, and all statements about them can be recomputed."""

import json
from dataclasses import replace

import numpy as np
import pytest

from hfbertcls.cli import main
from hfbertcls.data.tokenization import tokenize_texts
from hfbertcls.modeling.engine import score
from hfbertcls.modeling.heads import undo_calibration
from hfbertcls.modeling.loading import ModelSource, load_for_inference, load_tokenizer
from hfbertcls.modeling.predictions import Predictions
from hfbertcls.repository.card import Fence, sha256_of_text, split_card
from hfbertcls.repository.verify import verify_directory
from hfbertcls.tasks.known import task_of_report
from hfbertcls.tasks.probabilities import softmax


def read(directory, split="test"):
    report = json.loads((directory / "report.json").read_text())
    path = directory / "predictions" / f"{split}.parquet"
    return report, Predictions.from_parquet(path.read_bytes(), task_of_report(report["task"]))


@pytest.fixture(scope="module")
def uncalibrated_run(tmp_path_factory, tiny_model_dir, reviews_dir):
    """The same run as `finished_run`, without calibration."""
    directory = tmp_path_factory.mktemp("finished") / "film-reviews"
    words = ["train", "--model", str(tiny_model_dir), "--dataset", str(reviews_dir), "--output-dir", str(directory)]
    words += ["--max-steps", "20", "--learning-rate", "0.003", "--eval-every", "10", "--no-calibration"]
    assert main(words) == 0
    return directory


def texts_of(reviews_dir):
    return [line.rpartition(",")[0] for line in (reviews_dir / "test.csv").read_text().splitlines()[1:]]


def test_pipeline_gives_the_scores_of_the_predictions_file(finished_run, reviews_dir):
    from transformers import pipeline

    _, predictions = read(finished_run)
    answers = pipeline("text-classification", model=str(finished_run), top_k=None)(texts_of(reviews_dir))
    scores = [{answer["label"]: answer["score"] for answer in row} for row in answers]
    expected = softmax(predictions.logits)
    assert [[row[name] for name in predictions.task.labels] for row in scores] == pytest.approx(expected, abs=1e-5)


def test_calibration_changes_scores_and_no_prediction(finished_run, uncalibrated_run):
    (report, after), (plain, before) = read(finished_run), read(uncalibrated_run)
    calibration, metrics = report["evaluation"]["test"]["calibration"], report["evaluation"]["test"]["metrics"]
    assert plain["evaluation"]["test"]["calibration"] is None
    assert calibration["temperature"] != 1
    np.testing.assert_array_equal(after.predicted, before.predicted)
    np.testing.assert_allclose(after.logits * calibration["temperature"], before.logits, rtol=1e-4, atol=1e-5)
    assert calibration["log_loss_before"] == pytest.approx(
        plain["evaluation"]["test"]["metrics"]["log_loss"]["value"], rel=1e-5
    )
    assert calibration["log_loss_after"] == metrics["log_loss"]["value"]
    assert calibration["ece_after"] == metrics["ece"]["value"]
    assert report["evaluation"]["validation"]["calibration"]["fitted_on"] == "validation"


def test_the_configuration_holds_the_factor_and_it_can_be_undone(finished_run, uncalibrated_run, reviews_dir):
    report, _ = read(finished_run)
    model = load_for_inference(ModelSource(str(finished_run)))
    assert model.config.hfbertcls_temperature == report["evaluation"]["test"]["calibration"]["temperature"]
    undo_calibration(model)
    tokenizer = load_tokenizer(ModelSource(str(finished_run)))
    logits = score(model, tokenizer, tokenize_texts(texts_of(reviews_dir), tokenizer, 32))
    np.testing.assert_allclose(logits, read(uncalibrated_run)[1].logits, rtol=1e-4, atol=1e-5)
    assert "hfbertcls_temperature" not in json.loads((uncalibrated_run / "config.json").read_text())


def test_evaluate_tells_what_the_temperature_does_on_other_texts(finished_run, reviews_dir, capsys):
    capsys.readouterr()
    assert main(["evaluate", str(finished_run), "--dataset", str(reviews_dir), "--json"]) == 0
    calibration = json.loads(capsys.readouterr().out)["evaluation"]["test"]["calibration"]
    expected = read(finished_run)[0]["evaluation"]["test"]["calibration"]
    assert calibration.pop("fitted_on") == expected.pop("fitted_on") == "validation"
    assert calibration == pytest.approx(expected, rel=1e-5)


def reseal(directory, report):
    """Write a changed report with a card whose hashes and text agree with it: only the metrics reveal it."""
    from hfbertcls import Report
    from hfbertcls.repository.card import render_model_card

    text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
    (directory / "report.json").write_text(text)
    (directory / "README.md").write_text(render_model_card(Report.from_json(text)))


def test_verify_finds_another_temperature_and_other_metrics(model_dir):
    report, _ = read(model_dir)
    reseal(model_dir, report)
    assert verify_directory(model_dir).differences == ()
    for split in report["evaluation"].values():
        split["calibration"]["temperature"] *= 1.5
    reseal(model_dir, report)
    differences = "\n".join(verify_directory(model_dir).differences)
    assert (
        "config.json: its hfbertcls_temperature is not the one that report.json states for the test split"
        in differences
    )
    assert "report.json: evaluation.test.calibration.log_loss_before states" in differences
    for split in report["evaluation"].values():
        split["calibration"] = None
    reseal(model_dir, report)
    assert any("hfbertcls_temperature" in text for text in verify_directory(model_dir).differences)


def test_verify_finds_logits_that_no_fitting_gave(model_dir):
    report, predictions = read(model_dir, "validation")
    path = model_dir / "predictions" / "validation.parquet"
    path.write_bytes(replace(predictions, logits=predictions.logits * np.float32(1.01)).to_parquet())
    reseal(model_dir, report)
    differences = verify_directory(model_dir).differences
    assert any(
        text.startswith("report.json: evaluation.validation.calibration.temperature states") for text in differences
    )


def test_the_card_says_what_calibration_did(finished_run, uncalibrated_run):
    card = (finished_run / "README.md").read_text()
    calibration = read(finished_run)[0]["evaluation"]["test"]["calibration"]
    assert f"divided by a temperature of {calibration['temperature']:.3f}, fitted on the validation split" in card
    assert "temperature" not in (uncalibrated_run / "README.md").read_text()
    fence = Fence.find(split_card(card)[1])
    assert sha256_of_text(fence.body) == fence.body_sha256


def test_a_run_does_not_resume_with_another_calibration(finished_run, tiny_model_dir, reviews_dir, capsys):
    words = ["train", "--model", str(tiny_model_dir), "--dataset", str(reviews_dir), "--output-dir", str(finished_run)]
    words += ["--max-steps", "20", "--learning-rate", "0.003", "--eval-every", "10", "--resume"]
    assert main([*words, "--no-calibration"]) == 2
    assert "these settings differ: calibration (True, now False)" in capsys.readouterr().err
    assert main(words) == 0


def test_few_validation_rows_leave_the_scores_alone_with_a_note(tmp_path, tiny_model_dir, reviews_dir, capsys):
    data = tmp_path / "few"
    data.mkdir()
    for name, rows in {"train": 100, "validation": 20}.items():
        lines = (reviews_dir / f"{name}.csv").read_text().splitlines()[: rows + 1]
        (data / f"{name}.csv").write_text("\n".join(lines) + "\n")
    words = ["--model", str(tiny_model_dir), "--dataset", str(data), "--output-dir", str(tmp_path / "m")]
    assert main(["train", *words, "--max-steps", "2"]) == 0
    assert "not calibrated: that needs 30 validation rows" in capsys.readouterr().err
    report = json.loads((tmp_path / "m" / "report.json").read_text())
    assert report["evaluation"]["validation"]["calibration"] is None
