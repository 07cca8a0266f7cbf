"""Multi-label classification: trained, calibrated, reported, pushed, compared and exported."""

import json
import shutil
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn import metrics

from hfbertcls import DatasetError
from hfbertcls.cli import main
from hfbertcls.data.tokenization import tokenize_texts
from hfbertcls.modeling.engine import score
from hfbertcls.modeling.heads import undo_calibration
from hfbertcls.modeling.loading import ModelSource, load_for_inference, load_tokenizer
from hfbertcls.modeling.predictions import Predictions
from hfbertcls.repository.verify import verify_directory
from hfbertcls.tasks.known import task_of_report
from hfbertcls.tasks.probabilities import sigmoid
from hfbertcls.tasks.thresholds import fit_thresholds
from hfbertcls.workflows.evaluate import evaluate_model


LABELS = ("cold", "dull", "great", "warm")


def remarks(count, seed, vocabulary):
    """Sentences of neutral words and label words; the labels are the latter, "dull" is sometimes missing."""
    generator = np.random.default_rng(seed)
    for _ in range(count):
        names = [name for name in LABELS if generator.random() < 0.3]
        words = [*generator.choice(vocabulary[:19], generator.integers(2, 10)).tolist(), *names]
        forgotten = {"dull"} if generator.random() < 0.2 else set()
        yield {"text": " ".join(generator.permutation(words)), "labels": sorted({*names} - forgotten)}


@pytest.fixture(scope="module")
def remarks_dir(tmp_path_factory, vocabulary):
    directory = tmp_path_factory.mktemp("data") / "remarks"
    directory.mkdir()
    for seed, (name, count) in enumerate({"train": 480, "validation": 120, "test": 120}.items()):
        lines = (json.dumps(row) + "\n" for row in remarks(count, seed, vocabulary))
        (directory / f"{name}.jsonl").write_text("".join(lines))
    return directory


@pytest.fixture(scope="module")
def words(tiny_model_dir, remarks_dir):
    words = ["train", "--model", str(tiny_model_dir), "--dataset", str(remarks_dir), "--max-steps", "240"]
    return [*words, "--learning-rate", "0.005", "--eval-every", "80"]


@pytest.fixture(scope="module")
def tagger(tmp_path_factory, words):
    directory = tmp_path_factory.mktemp("runs") / "tagger"
    assert main([*words, "--publish-examples", "3", "--output-dir", str(directory)]) == 0
    return directory


def report_of(directory):
    return json.loads((directory / "report.json").read_text())


def predictions_of(directory, split="test"):
    task = task_of_report(report_of(directory)["task"])
    stored = (directory / "predictions" / f"{split}.parquet").read_bytes()
    return Predictions.from_parquet(stored, task)


def texts_of(remarks_dir, split="test"):
    return [json.loads(line)["text"] for line in (remarks_dir / f"{split}.jsonl").read_text().splitlines()]


def test_the_metrics_are_those_of_scikit_learn_on_the_predictions_file(tagger, remarks_dir):
    report = report_of(tagger)
    table = pq.read_table(tagger / "predictions" / "test.parquet")
    assert pa.types.is_list(table.schema.field("label").type)
    assert pa.types.is_list(table.schema.field("prediction").type)
    expected_labels = [json.loads(line)["labels"] for line in (remarks_dir / "test.jsonl").read_text().splitlines()]
    assert table.column("label").to_pylist() == expected_labels
    gold, predicted = (
        np.array([[name in row for name in LABELS] for row in table.column(name).to_pylist()])
        for name in ("label", "prediction")
    )
    evaluation = report["evaluation"]["test"]
    assert evaluation["metrics"]["accuracy"]["value"] == metrics.accuracy_score(gold, predicted)
    assert evaluation["metrics"]["hamming_loss"]["value"] == metrics.hamming_loss(gold, predicted)
    for average in ("macro", "micro", "weighted"):
        expected = metrics.f1_score(gold, predicted, average=average)
        assert evaluation["metrics"][f"f1_{average}"]["value"] == pytest.approx(expected)
    logits = np.array(table.column("logits").to_pylist())
    losses = [metrics.log_loss(gold[:, label], 1 / (1 + np.exp(-logits[:, label]))) for label in range(4)]
    assert evaluation["metrics"]["log_loss"]["value"] == pytest.approx(np.mean(losses), rel=1e-6)
    for label, name in enumerate(LABELS):
        assert evaluation["per_label"][name]["f1"] == pytest.approx(
            metrics.f1_score(gold[:, label], predicted[:, label])
        )
    assert evaluation["metrics"]["f1_macro"]["value"] > 0.7
    assert evaluation["confusion_matrix"] is None


def test_the_thresholds_follow_from_the_validation_split_alone_and_stand_in_the_configuration(tagger):
    validation = predictions_of(tagger, "validation")
    expected = fit_thresholds(validation.gold, validation.logits).tolist()
    assert report_of(tagger)["task"]["thresholds"] == expected
    assert json.loads((tagger / "config.json").read_text())["hfbertcls_thresholds"] == expected


def test_each_label_is_calibrated_in_the_weights_and_that_can_be_undone(tagger, words, tmp_path, remarks_dir):
    assert main([*words, "--no-calibration", "--output-dir", str(tmp_path / "plain")]) == 0
    before, after = predictions_of(tmp_path / "plain"), predictions_of(tagger)
    calibration = report_of(tagger)["evaluation"]["test"]["calibration"]
    assert len(set(calibration["temperature"])) > 1
    np.testing.assert_allclose(after.logits * calibration["temperature"], before.logits, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(after.logits > 0, before.logits > 0)
    np.testing.assert_array_equal(after.predicted, before.predicted)
    model, tokenizer = load_for_inference(ModelSource(str(tagger))), load_tokenizer(ModelSource(str(tagger)))
    undo_calibration(model)
    logits = score(model, tokenizer, tokenize_texts(texts_of(remarks_dir), tokenizer, 32))
    np.testing.assert_allclose(logits, before.logits, rtol=1e-4, atol=1e-4)


def test_plain_pipeline_gives_the_calibrated_scores(tagger, remarks_dir):
    from transformers import pipeline

    answers = pipeline("text-classification", model=str(tagger), top_k=None)(texts_of(remarks_dir))
    scores = [{answer["label"]: answer["score"] for answer in row} for row in answers]
    expected = sigmoid(predictions_of(tagger).logits)
    assert [[row[name] for name in LABELS] for row in scores] == pytest.approx(expected, abs=1e-5)


def test_evaluate_gives_the_same_metrics_and_rejects_data_of_another_kind(
    tagger, remarks_dir, reviews_dir, finished_run
):
    result = evaluate_model(str(tagger), str(remarks_dir))
    expected = report_of(tagger)["evaluation"]["test"]
    for name, entry in result.to_dict()["evaluation"]["test"]["metrics"].items():
        assert entry["value"] == pytest.approx(expected["metrics"][name]["value"], abs=1e-6), name
    assert result.task.extra["thresholds"] == report_of(tagger)["task"]["thresholds"]
    with pytest.raises(DatasetError, match=r"'tagger' gives a text any number of labels, but reviews has one label"):
        evaluate_model(str(tagger), str(reviews_dir))
    with pytest.raises(DatasetError, match=r"'film-reviews' gives a text one label, but remarks has lists of labels"):
        evaluate_model(str(finished_run), str(remarks_dir))


def test_a_model_without_thresholds_gives_labels_from_one_half_on(tagger, remarks_dir, tmp_path):
    shutil.copytree(tagger, tmp_path / "bare")
    config = json.loads((tmp_path / "bare" / "config.json").read_text())
    del config["hfbertcls_thresholds"]
    (tmp_path / "bare" / "config.json").write_text(json.dumps(config))
    result = evaluate_model(str(tmp_path / "bare"), str(remarks_dir))
    expected = predictions_of(tagger)
    right = (expected.task.with_threshold(0.5).decide(expected.logits) == expected.gold).all(axis=1)
    assert result.task.extra["thresholds"] == [0.5] * 4
    assert result.test.accuracy.value == pytest.approx(right.mean(), abs=0.01)


def test_an_untouched_directory_verifies_and_the_card_tells_of_thresholds(tagger, remarks_dir, capsys):
    assert verify_directory(tagger).differences == ()
    assert main(["verify", str(tagger), "--rescore", "--dataset", str(remarks_dir)]) == 0
    card = (tagger / "README.md").read_text()
    assert "Gives a text any of 4 labels, or none." in card
    assert f"| 2 | great | {report_of(tagger)['task']['thresholds'][2]:.4f} |" in card
    assert "Confusion matrix" not in card
    assert not (tagger / "plots" / "confusion_matrix.png").exists()
    assert "from hfbertcls import load_pipeline" in card
    assert "a temperature of its own" in card
    assert "### Examples" in card or "## Examples" in card


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (
            lambda report: report["task"]["thresholds"].__setitem__(1, 0.123),
            "report.json: task.thresholds[1] states '0.123'",
        ),
        (
            lambda report: report["evaluation"]["validation"]["calibration"]["temperature"].__setitem__(0, 1.234),
            "config.json: its hfbertcls_temperature is not the one that report.json states for the validation split",
        ),
        (
            lambda report: report["evaluation"]["test"]["metrics"]["f1_micro"].__setitem__("value", 0.999),
            "report.json: evaluation.test.metrics.f1_micro.value states '0.999'",
        ),
        (
            lambda report: report["evaluation"]["test"]["per_label"]["dull"].__setitem__("recall", 0.999),
            "report.json: evaluation.test.per_label.dull.recall states '0.999'",
        ),
    ],
    ids=["threshold", "temperature", "metric", "metric of a label"],
)
def test_what_is_changed_is_named(tagger, tmp_path, change, place):
    directory = shutil.copytree(tagger, tmp_path / "tagger")
    report = report_of(directory)
    change(report)
    (directory / "report.json").write_text(json.dumps(report))
    assert any(line.startswith(place) for line in verify_directory(directory).differences)


def test_thresholds_that_are_changed_in_the_configuration_are_found(tagger, tmp_path):
    directory = shutil.copytree(tagger, tmp_path / "tagger")
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | {"hfbertcls_thresholds": [0.5] * 4}))
    assert (
        "config.json: its hfbertcls_thresholds are not those that report.json states"
        in verify_directory(directory).differences
    )


def test_compare_tells_the_better_one_and_which_rows_they_disagree_on(tagger, remarks_dir, tmp_path, capsys):
    capsys.readouterr()
    place = tmp_path / "compared"
    words = ["compare", "tfidf", str(tagger), "--dataset", str(remarks_dir), "--output-dir", str(place), "--json"]
    assert main(words) == 0
    comparison = json.loads(capsys.readouterr().out)
    assert comparison["metrics"]["accuracy"]["b"] == pytest.approx(
        report_of(tagger)["evaluation"]["test"]["metrics"]["accuracy"]["value"], abs=0.01
    )
    assert comparison["metrics"]["hamming_loss"]["low"] <= comparison["metrics"]["hamming_loss"]["difference"]
    lines = (place / "disagreements.csv").read_text().splitlines()
    assert len(lines) - 1 >= comparison["only_a_right"] + comparison["only_b_right"]


def test_seeds_can_be_averaged_with_a_learning_curve(tagger, words, tmp_path):
    """All that a run can be asked for beside it."""
    words = [*words, "--max-steps", "40", "--eval-every", "20"]
    begun = [str(tagger) if before == "--model" else word for before, word in pairwise(["", *words])]
    directory = tmp_path / "averaged"
    assert main([*begun, "--seeds", "2", "--average", "uniform", "--output-dir", str(directory)]) == 0
    report = report_of(directory)
    average = report["training"]["seeds"]["average"]
    assert average["metric"] == "f1_macro"
    if average["shipped"]:
        assert average["validation"] == report["evaluation"]["validation"]["metrics"]["f1_macro"]["value"]
    assert set(report["training"]["seeds"]["runs"][0]["test"]) == {
        "accuracy", "f1_macro", "f1_micro", "f1_weighted", "hamming_loss", "log_loss",
    }  # fmt: skip
    assert verify_directory(directory).differences == ()

    assert main([*words, "--learning-curve", "--output-dir", str(tmp_path / "curve")]) == 0
    points = report_of(tmp_path / "curve")["training"]["learning_curve"]["points"]
    assert [point["rows"] for point in points] == [60, 120, 240, 480]
    assert verify_directory(tmp_path / "curve").differences == ()


def test_a_metric_or_an_option_that_is_not_defined_is_an_error_before_training(words, tmp_path, capsys):
    for further, message in (
        (
            ["--metric", "mcc"],
            "--metric mcc is not defined for a multi-label task of 4 labels. Choose one of",
        ),
        (
            ["--label-smoothing-factor", "0.1"],
            "--label-smoothing-factor is not defined for a multi-label task of 4 labels",
        ),
    ):
        assert main([*words, *further, "--output-dir", str(tmp_path / "none")]) == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "none" / "model.safetensors").exists()


def test_the_onnx_graph_gives_the_same_labels(tagger, remarks_dir, tmp_path):
    pytest.importorskip("onnxruntime")
    directory = shutil.copytree(tagger, tmp_path / "tagger")
    assert main(["export", str(directory), "--dataset", str(remarks_dir), "--quantize", "int8"]) == 0
    exact, small = report_of(directory)["model"]["exports"]
    assert exact["agreement"]["same_label"] == 1.0
    assert small["agreement"]["same_label"] >= 0.95
    assert exact["agreement"]["accuracy"] == report_of(tagger)["evaluation"]["test"]["metrics"]["accuracy"]["value"]
    assert "Sigmoid of their `logits`" in (directory / "README.md").read_text()
    assert verify_directory(directory).differences == ()


def test_a_stopped_run_resumes_to_the_same_bytes(tagger, words, tmp_path):
    directory = tmp_path / "tagger"
    shutil.copytree(tagger, directory)
    for name in ("model.safetensors", "report.json", "README.md"):
        (directory / name).unlink()
    shutil.rmtree(directory / "checkpoints" / "checkpoint-240")
    assert main([*words, "--publish-examples", "3", "--resume", "--output-dir", str(directory)]) == 0
    for name in ("model.safetensors", "config.json", "predictions/test.parquet"):
        assert (directory / name).read_bytes() == (tagger / name).read_bytes(), name


def test_labels_that_are_joined_in_a_cell_are_read_again_by_verify(tiny_model_dir, remarks_dir, tmp_path):
    rows = [json.loads(line) for line in (remarks_dir / "train.jsonl").read_text().splitlines()]
    lines = (f"{row['text']},{'|'.join(row['labels'])}\n" for row in rows)
    (tmp_path / "remarks.csv").write_text("text,labels\n" + "".join(lines))
    words = ["train", "--model", str(tiny_model_dir), "--dataset", str(tmp_path / "remarks.csv")]
    words += ["--label-separator", "|", "--max-steps", "4", "--output-dir", str(tmp_path / "tagger")]
    assert main(words) == 0
    assert report_of(tmp_path / "tagger")["task"]["label_separator"] == "|"
    again = ["verify", str(tmp_path / "tagger"), "--rescore", "--dataset", str(tmp_path / "remarks.csv")]
    assert main(again) == 0


def test_predictions_that_do_not_follow_from_the_logits_are_found(tagger, tmp_path):
    directory = shutil.copytree(tagger, tmp_path / "tagger")
    path = directory / "predictions" / "test.parquet"
    table = pq.read_table(path)
    changed = [["cold"], *table.column("prediction").to_pylist()[1:]]
    changed[0] = [] if changed[0] == table.column("prediction")[0].as_py() else changed[0]
    index = table.schema.get_field_index("prediction")
    pq.write_table(table.set_column(index, "prediction", pa.array(changed, pa.list_(pa.string()))), path)
    assert (
        "predictions/test.parquet: its predictions do not follow from its logits"
        in verify_directory(directory).differences
    )
