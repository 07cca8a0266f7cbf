"""Numbers from a file to the answers: trained, reported, verified, loaded by plain transformers, compared, exported."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from hfbertcls import TextClassifier, load_pipeline
from hfbertcls.cli import main
from hfbertcls.errors import ConfigurationError, ModelError
from hfbertcls.evaluation.report import Report
from hfbertcls.repository.verify import verify_directory
from hfbertcls.tasks.regression import Regression
from hfbertcls.workflows import export as exporting
from hfbertcls.workflows.export import Agreement, Exported


OFFSET, SCALE = 1000.0, 20.0
"""Far from 0 and 1: what is not folded back into the weights shows."""


def numbers_of(rows, seed, vocabulary):
    """Texts whose number depends on two words."""
    generator = np.random.default_rng(seed)
    lines = ["text,points"]
    for _ in range(rows):
        words = [*generator.choice(vocabulary, 5), *generator.choice(["great", "dull"], generator.integers(0, 2))]
        value = 1.5 * ("great" in words) - ("dull" in words) + 0.1 * generator.standard_normal()
        lines.append(f"{' '.join(words)},{OFFSET + SCALE * value:.2f}")
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def points(tmp_path_factory, vocabulary):
    """A folder with 320, 64 and 64 rows, and 3 more train rows without a usable number."""
    folder = tmp_path_factory.mktemp("data") / "points"
    folder.mkdir()
    for seed, (name, rows) in enumerate({"train": 320, "validation": 64, "test": 64}.items()):
        text = numbers_of(rows, seed, vocabulary)
        (folder / f"{name}.csv").write_text(
            text + ("the film,\nthe film, \n the plot,nan\n" if name == "train" else "")
        )
    return folder


def train(model, data, directory, *more):
    words = ["train", "--model", str(model), "--dataset", str(data), "--output-dir", str(directory)]
    return main([*words, "--label-column", "points", "--task", "regression", *more])


FINE_TUNING = ("--recipe", "plain", "--learning-rate", "0.003", "--max-steps", "100", "--eval-every", "50")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_model_dir, points):
    """Fine-tuned from a random head, so that the weights are those of steps."""
    directory = tmp_path_factory.mktemp("numbers") / "numbers"
    assert train(tiny_model_dir, points, directory, *FINE_TUNING) == 0
    return directory


@pytest.fixture(scope="module")
def report(trained):
    return Report.from_json((trained / "report.json").read_text())


def test_it_learns_and_the_report_has_metrics_of_numbers(report):
    assert (report.task.type, report.task.labels) == ("regression", ())
    assert list(report.test.metrics) == ["pearson", "spearman", "mae", "rmse", "r2"]
    for metric in report.test.metrics.values():
        assert metric.low < metric.value < metric.high
    assert report.training.best_step > 0
    assert report.training.selection_metric == "rmse"
    assert set(report.test.baselines) == {"mean", "tfidf_ridge", "frozen_ridge"}
    assert report.test.rmse.value < 0.8 * report.test.baselines["mean"].metrics["rmse"]
    assert (report.test.per_label, report.test.confusion_matrix, report.test.calibration) == ({}, None, None)
    assert report.data.splits["train"].dropped == {"missing_label": 3}


def test_the_metrics_are_those_of_scipy(trained, report):
    from scipy import stats

    rows = pd.read_parquet(trained / "predictions" / "test.parquet")
    gold, predicted = rows.label.to_numpy(), rows.prediction.to_numpy()
    assert report.test.pearson.value == pytest.approx(stats.pearsonr(gold, predicted).statistic)
    assert report.test.spearman.value == pytest.approx(stats.spearmanr(gold, predicted).statistic)
    assert report.test.mae.value == pytest.approx(np.abs(gold - predicted).mean())
    assert report.test.r2.value == pytest.approx(
        1 - ((gold - predicted) ** 2).sum() / ((gold - gold.mean()) ** 2).sum()
    )


def test_plain_transformers_answers_on_the_scale_of_the_data(trained, points):
    from transformers import pipeline

    texts = pd.read_csv(points / "test.csv").text.tolist()
    answers = pipeline("text-classification", model=str(trained), function_to_apply="none")(texts)
    stated = pd.read_parquet(trained / "predictions" / "test.parquet").prediction.to_numpy()
    np.testing.assert_allclose([one["score"] for one in answers], stated, rtol=1e-5)
    assert "hfbertcls_target_mean_and_scale" not in json.loads((trained / "config.json").read_text())
    assert "hfbertcls_target_mean_and_scale" in json.loads(
        next((trained / "checkpoints").glob("checkpoint-*/config.json")).read_text()
    )


def test_it_is_verified_and_scored_again(trained, points):
    assert verify_directory(trained).holds
    assert main(["verify", str(trained), "--rescore", "--dataset", str(points)]) == 0


def test_the_card_states_numbers_and_no_labels(trained, report):
    card = (trained / "README.md").read_text()
    assert "Predicts a number from a text." in card
    assert f"| RMSE (test, 64 rows) | **{report.test.rmse.value:.3f}**" in card
    assert 'function_to_apply="none"' in card
    assert "![Predicted against true numbers of 64 test rows" in card
    assert (
        "64 rows are few: the interval of RMSE and that of R² are too narrow where a few errors are much larger"
        in card
    )
    for absent in ("Confusion", "## Labels", "F1", "alibrat", "bstain", "BCa"):
        assert absent not in card, absent
    assert {path.name for path in (trained / "plots").iterdir()} == {
        "baselines.png",
        "learning_curves.png",
        "residuals.png",
    }


def test_predictions_are_numbers(trained, points, tmp_path):
    output = tmp_path / "answers.csv"
    assert main(["predict", str(trained), "--input", str(points / "test.csv"), "--output", str(output)]) == 0
    answers = pd.read_csv(output)
    assert list(answers.columns) == ["row", "prediction", "reason"]
    stated = pd.read_parquet(trained / "predictions" / "test.parquet").prediction
    np.testing.assert_allclose(answers.prediction, stated, rtol=1e-5)


def test_in_python_answers_are_numbers(trained, points):
    classifier = TextClassifier.from_pretrained(trained, log=None)
    frame = classifier.predict(["great film", "", "dull film"], log=None)
    assert frame.prediction[0] > frame.prediction[2] > OFFSET - 3 * SCALE
    assert np.isnan(frame.prediction[1])
    assert frame.reason[1] == "the text is empty"
    assert load_pipeline(str(trained))("great film")[0]["score"] == pytest.approx(frame.prediction[0], rel=1e-5)
    evaluated = classifier.evaluate(points, log=None)
    assert evaluated.test.rmse.value == pytest.approx(classifier.report.test.rmse.value)


@pytest.mark.parametrize("option", [["--target-accuracy", "0.9"], ["--threshold", "0.5"], ["--abstain-below", "0.5"]])
def test_abstaining_is_refused(trained, points, tmp_path, option, capsys):
    words = [
        "predict",
        str(trained),
        "--input",
        str(points / "test.csv"),
        "--output",
        str(tmp_path / "o.csv"),
        *option,
    ]
    assert main(words) == 2
    assert f"{option[0]} has no meaning for 'numbers', which predicts numbers" in capsys.readouterr().err


def test_a_threshold_of_the_pipeline_is_refused(trained):
    with pytest.raises(ConfigurationError, match="threshold has no meaning for a model that predicts numbers"):
        load_pipeline(str(trained), threshold=0.5)


def test_options_of_labels_are_refused_before_anything_is_trained(tiny_model_dir, points, tmp_path, capsys):
    for option, message in (
        (["--label-smoothing-factor", "0.1"], "--label-smoothing-factor is not defined for a regression task"),
        (["--metric", "accuracy"], "--metric accuracy is not defined for a regression task. Choose one of pearson"),
        (["--labels", "a", "b"], "--labels has no meaning for --task regression, which predicts numbers"),
        (["--label-separator", ";"], "--label-separator has no meaning for --task regression"),
    ):
        assert train(tiny_model_dir, points, tmp_path / "none", *option) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_it_is_compared_by_the_error_of_each_row(trained, points, tmp_path, capsys):
    words = ["compare", str(trained), "tfidf", "--dataset", str(points), "--output-dir", str(tmp_path / "compared")]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "TF-IDF + ridge regression, fitted on 320 rows" in printed
    assert "Nearer to the number: A on" in printed
    comparison = json.loads((tmp_path / "compared" / "comparison.json").read_text())
    assert comparison["metrics"]["mae"]["low"] < comparison["metrics"]["mae"]["difference"]
    assert comparison["only_a_right"] + comparison["only_b_right"] == 64
    first = pd.read_csv(tmp_path / "compared" / "disagreements.csv").iloc[0]
    assert abs(first.a - first.b) > 0
    assert first.right in ("a", "b")


def test_training_goes_on_from_a_trained_model(trained, points, tmp_path, capsys):
    directory = tmp_path / "more"
    assert train(trained, points, directory, "--max-steps", "2", "--learning-rate", "1e-7", "--eval-every", "1") == 0
    before, after = (
        Report.from_json((one / "report.json").read_text()).test.rmse.value for one in (trained, directory)
    )
    assert after == pytest.approx(before, rel=0.01), "the head is standardized again, not made anew"


@pytest.mark.parametrize("stop", [50])
def test_a_run_that_was_stopped_ends_with_the_same_weights(trained, tiny_model_dir, points, tmp_path, stop):
    copy = shutil.copytree(trained, tmp_path / "numbers")
    weights = (copy / "model.safetensors").read_bytes()
    for path in [*copy.glob("checkpoints/checkpoint-*"), *copy.iterdir()]:
        if path.name == f"checkpoint-{stop}" or path.name == "checkpoints" or path.name == "metrics.jsonl":
            continue
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert (copy / "checkpoints" / f"checkpoint-{stop}").is_dir()
    assert train(tiny_model_dir, points, copy, *FINE_TUNING, "--resume") == 0
    assert (copy / "model.safetensors").read_bytes() == weights


def test_few_rows_are_cross_validated(tiny_model_dir, vocabulary, tmp_path):
    file = tmp_path / "few.csv"
    file.write_text(numbers_of(90, 5, vocabulary))
    assert train(tiny_model_dir, file, tmp_path / "few") == 0
    report = Report.from_json((tmp_path / "few" / "report.json").read_text())
    folds = report.evaluation["cross_validation"]
    assert (folds.kind, folds.rows, folds.folds) == ("out_of_fold", 90, 5)
    assert folds.rmse.value < 0.8 * folds.baselines["mean"].metrics["rmse"]
    assert [phase.name for phase in report.training.phases] == ["cross_validation"]
    assert verify_directory(tmp_path / "few").holds


def test_a_number_of_minus_100_counts(tiny_model_dir, vocabulary, points, tmp_path):
    """For transformers a label of -100 is one to be ignored: a batch of such numbers had no loss."""
    data = shutil.copytree(points, tmp_path / "points")
    rows = ["text,points", *(f"{word} film {row},-100" for row in range(40) for word in vocabulary[:2]), "the plot,7"]
    (data / "train.csv").write_text("\n".join(rows) + "\n")
    more = ("--recipe", "plain", "--batch-size", "2", "--max-steps", "4", "--eval-every", "4")
    assert train(tiny_model_dir, data, tmp_path / "numbers", *more) == 0
    losses = [json.loads(line) for line in (tmp_path / "numbers" / "metrics.jsonl").read_text().splitlines()]
    assert all(np.isfinite(one["values"]["loss"]) for one in losses if "loss" in one["values"])


def test_a_pushed_model_answers_the_same_numbers(hub, trained, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    copy = shutil.copytree(trained, tmp_path / "numbers")
    assert main(["push", str(copy), "alice/numbers"]) == 0
    (answer,) = load_pipeline("alice/numbers")("great film")
    assert answer["score"] == pytest.approx(load_pipeline(str(trained))("great film")[0]["score"], rel=1e-6)


def test_splits_are_held_out_by_quintile(tiny_model_dir, vocabulary, tmp_path):
    from hfbertcls import load_text_dataset

    file = tmp_path / "all.csv"
    file.write_text(numbers_of(500, 6, vocabulary))
    data = load_text_dataset(file, label_column="points", task="regression", seed=3)
    assert "stratified by quintile" in data.split_method
    means = [np.mean(split.labels) for split in data.splits.values()]
    assert np.ptp(means) < 0.15 * np.std(data.splits["train"].labels), "the parts have the same distribution"


def test_an_export_answers_the_same_numbers(trained, points, tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    assert main(["export", str(trained), "--dataset", str(points), "--output-dir", str(tmp_path / "onnx")]) == 0
    (one,) = json.loads((tmp_path / "onnx" / "export.json").read_text())["files"]
    assert one["agreement"]["largest_difference"] < 1e-5
    assert one["agreement"]["metrics"]["rmse"] == pytest.approx(one["agreement"]["original_metrics"]["rmse"], rel=1e-3)


def test_what_int8_changes_is_said_in_numbers(trained, points, tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    model = tmp_path / "numbers"
    shutil.copytree(trained, model)
    assert main(["export", str(model), "--dataset", str(points), "--quantize", "int8"]) == 0
    printed = capsys.readouterr().out
    report = Report.from_json((model / "report.json").read_text())
    fp32, int8 = (one.agreement for one in report.model.exports)
    assert fp32.changes["largest"] < 0.1 < int8.changes["largest"]
    assert 0 < int8.changes["mean"] < int8.changes["largest"]
    assert 0.001 < int8.changes["relative"] < 0.2
    assert int8.original_metrics["pearson"] == pytest.approx(report.test.pearson.value, abs=1e-3)
    assert int8.metrics["pearson"] != int8.original_metrics["pearson"]
    assert (
        f"numbers differ from the original's by up to {int8.changes['largest']:.3g}, by {int8.changes['mean']:.3g} on average, on "
        "64 rows of test" in printed
    )
    assert (
        f"Pearson correlation {int8.metrics['pearson']:.4f} (original {int8.original_metrics['pearson']:.4f})"
        in printed
    )
    for absent in ("same answer", "logits", "accuracy", "predictions change"):
        assert absent not in printed
    card = (model / "README.md").read_text()
    assert f"| {int8.changes['largest']:.4f} ({int8.changes['mean']:.4f}) | {int8.metrics['pearson']:.4f} (" in card
    assert verify_directory(model).differences == ()


def exported_numbers(relative, precision="int8", split="test"):
    agreement = Agreement(
        split=split, rows=64, same_label=0.4, largest_difference=0.001, accuracy=None, original_accuracy=None, f1_macro=None,
        original_f1_macro=None, accuracy_difference=None, texts_per_second=1.0, original_texts_per_second=1.0,
        changes={"largest": 1.0, "mean": 0.5, "relative": relative},
    )  # fmt: skip
    return Exported("onnx/model.onnx", precision, 1, 4, "", agreement)


def test_an_export_whose_numbers_change_much_is_doubted_or_refused():
    assert exporting.doubts_of(exported_numbers(0.09)) is None
    assert exporting.doubts_of(exported_numbers(0.15)) == (
        "the numbers change by 0.15 standard deviations with int8: look whether that is worth it"
    )
    assert "pass --dataset to learn how far the numbers change" in exporting.doubts_of(
        exported_numbers(0.3, split=None)
    ).replace("dataset=", "--dataset ")
    exporting._require_agreement(exported_numbers(0.15).agreement, "int8")
    exporting._require_agreement(exported_numbers(0.3, split=None).agreement, "int8")
    for precision, remedy in (("int8", "without --quantize"), ("fp32", "another version of torch")):
        with pytest.raises(
            ModelError, match=rf"differ from the original's by 0\.3 standard deviations on the 64 rows.*{remedy}"
        ):
            exporting._require_agreement(exported_numbers(0.3).agreement, precision)


def test_changes_of_constant_numbers_have_a_scale():
    changes = Regression(()).changes(np.full(4, 2.0), np.full(4, 3.0))
    assert changes == {"largest": 1.0, "mean": 1.0, "relative": 0.5}
