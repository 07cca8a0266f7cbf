"""The user's story, with a tiny model: from a folder of texts to a model repository that can be trusted."""

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn import metrics

from hfbertcls.cli import main


SECRET = "hf_" + "A1b2C3d4E5" * 3 + "wxyz"


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_model_dir, reviews_dir):
    """A directory that `hfbertcls train` wrote, with a token and a telling home directory in the environment."""
    home = tmp_path_factory.mktemp("home") / "u-somebody-7391"
    home.mkdir()
    config = home / "run.yaml"
    config.write_text(
        "learning_rate: 0.003\nepochs: 1\nbatch_size: 16\neval_every: epoch\nlogging_steps: 2\ncard:\n  license: mit\n  language: en\n"
    )
    output = home / "film-reviews"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_TOKEN", SECRET)
        patch.setenv("USER", "u-somebody-7391")
        words = ["train", "--config", str(config), "--model", str(tiny_model_dir), "--dataset", str(reviews_dir)]
        odd = ["--run-name", "~exp"]
        assert main([*words, "--output-dir", str(output), "--epochs", "4", "--weight-decay", "0.05", *odd]) == 0
    return output


@pytest.fixture(scope="module")
def report(trained):
    return json.loads((trained / "report.json").read_text())


def test_the_directory_is_complete(trained):
    top = {path.name for path in trained.iterdir()}
    assert top == {
        "README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "report.json",
        "predictions", "metrics.jsonl", "training_args.json", "plots", "checkpoints",
    }  # fmt: skip
    assert {path.name for path in (trained / "predictions").iterdir()} == {"validation.parquet", "test.parquet"}
    pictures = {"baselines.png", "confusion_matrix.png", "reliability.png", "learning_curves.png"}
    assert {path.name for path in (trained / "plots").iterdir()} == pictures


def test_the_model_learned(report):
    assert report["evaluation"]["test"]["metrics"]["accuracy"]["low"] > 0.8


def test_flags_win_over_the_configuration_file(report):
    assert report["training"]["epochs"] == 4
    assert report["training"]["hyperparameters"]["learning_rate"] == 0.003
    assert report["training"]["hyperparameters"]["weight_decay"] == 0.05


def test_nothing_outside_checkpoints_is_a_pickle(trained):
    for path in trained.rglob("*"):
        if path.is_file() and "checkpoints" not in path.parts:
            head = path.read_bytes()[:8]
            assert not head.startswith((b"\x80", b"PK\x03\x04")), path.name


def test_no_file_tells_a_token_a_user_or_a_path(trained):
    for path in trained.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            for secret in (SECRET, "u-somebody-7391", str(trained.parent), str(Path.home()) + "/"):
                assert secret.encode() not in data, (path.name, secret)


def read_predictions(trained, split):
    table = pq.read_table(trained / "predictions" / f"{split}.parquet")
    assert table.column_names == [
        "row", "label", "prediction", "logits", "tokens", "baseline_majority", "baseline_tfidf_logreg",
        "baseline_frozen_logreg",
    ]  # fmt: skip
    return (
        table.column("label").to_pylist(),
        table.column("prediction").to_pylist(),
        np.array(table["logits"].to_pylist()),
    )


@pytest.mark.parametrize("split", ["validation", "test"])
def test_every_metric_follows_from_the_predictions_file(trained, report, split):
    gold, predicted, logits = read_predictions(trained, split)
    evaluation = report["evaluation"][split]
    labels = report["task"]["labels"]
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    probabilities = shifted / shifted.sum(axis=1, keepdims=True)
    positive = [label == labels[1] for label in gold]
    expected = {
        "accuracy": metrics.accuracy_score(gold, predicted),
        "f1_macro": metrics.f1_score(gold, predicted, average="macro"),
        "f1_weighted": metrics.f1_score(gold, predicted, average="weighted"),
        "mcc": metrics.matthews_corrcoef(gold, predicted),
        "log_loss": metrics.log_loss(gold, probabilities, labels=labels),
        "roc_auc": metrics.roc_auc_score(positive, probabilities[:, 1]),
        "average_precision": metrics.average_precision_score(positive, probabilities[:, 1]),
    }
    for name, value in expected.items():
        entry = evaluation["metrics"][name]
        assert entry["value"] == pytest.approx(value, abs=1e-9), name
        assert entry["low"] <= entry["value"] <= entry["high"], name
    ece = evaluation["metrics"]["ece"]
    assert 0 <= ece["low"] <= ece["value"] <= ece["high"] <= 1
    assert evaluation["confusion_matrix"] == metrics.confusion_matrix(gold, predicted, labels=labels).tolist()
    precision, recall, f1, support = metrics.precision_recall_fscore_support(gold, predicted, labels=labels)
    for index, label in enumerate(labels):
        assert evaluation["per_label"][label] == pytest.approx(
            {"precision": precision[index], "recall": recall[index], "f1": f1[index], "support": support[index]}
        )
    assert predicted == [labels[index] for index in logits.argmax(axis=1)]
    assert evaluation["rows"] == len(gold) == 64


def test_hashes_are_those_of_the_files(trained, report):
    def sha256(path):
        return hashlib.sha256(path.read_bytes()).hexdigest()

    assert report["model"]["weights_sha256"] == sha256(trained / "model.safetensors")
    for split in ("validation", "test"):
        assert report["evaluation"][split]["predictions_sha256"] == sha256(trained / f"predictions/{split}.parquet")


def test_pipeline_gives_the_predictions_of_the_file(trained, reviews_dir):
    import csv

    from transformers import pipeline

    with (reviews_dir / "test.csv").open(newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    _, predicted, logits = read_predictions(trained, "test")
    answers = pipeline("text-classification", model=str(trained))(texts, top_k=None)
    assert [answer[0]["label"] for answer in answers] == predicted
    for answer, row in zip(answers, logits, strict=True):
        exponentials = np.exp(row - row.max())
        assert answer[0]["score"] == pytest.approx(exponentials.max() / exponentials.sum(), abs=1e-5)


def test_a_text_of_10_000_words_is_answered(trained):
    from transformers import pipeline

    from hfbertcls import load_pipeline

    text = "good film " * 5_000
    assert load_pipeline(str(trained))(text)[0]["label"] in ("negative", "positive")
    assert pipeline("text-classification", model=str(trained), truncation=True)(text) == load_pipeline(str(trained))(
        text
    )
    with pytest.raises(RuntimeError, match="size"):
        pipeline("text-classification", model=str(trained))(text)


def test_the_saved_tokenizer_keeps_the_length_and_no_padding(trained):
    assert json.loads((trained / "tokenizer_config.json").read_text())["model_max_length"] == 32
    saved = json.loads((trained / "tokenizer.json").read_text())
    assert (saved["truncation"], saved["padding"]) == (None, None)


def test_the_card_is_a_function_of_the_report(trained):
    from hfbertcls import Report
    from hfbertcls.repository.card import render_model_card

    text = (trained / "report.json").read_text()
    assert render_model_card(Report.from_json(text)) == (trained / "README.md").read_text()
    assert Report.from_json(text).to_json() == text


def test_the_card_shows_the_facts_of_the_author_and_lists_the_missing_ones(trained):
    card = (trained / "README.md").read_text()
    assert "license: mit" in card
    assert "Not stated by the author: intended use, known limitations and biases." in card


def test_the_record_has_the_losses_and_the_evaluations(trained, report):
    events = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    evaluations = [event for event in events if event["split"] == "validation"]
    assert [event["step"] for event in evaluations] == [30, 60, 90, 120]
    best = max(evaluations, key=lambda event: event["values"]["f1_macro"])
    assert report["training"]["best_step"] == best["step"]
    f1_macro = report["evaluation"]["validation"]["metrics"]["f1_macro"]["value"]
    assert f1_macro == pytest.approx(best["values"]["f1_macro"], abs=1e-9)
    assert all(math.isfinite(event["values"]["loss"]) for event in evaluations)


def test_evaluate_gives_the_metrics_of_the_report_again(trained, report, reviews_dir, tmp_path, capsys):
    words = ["evaluate", str(trained), "--dataset", str(reviews_dir), "--output-dir", str(tmp_path / "e"), "--json"]
    assert main(words) == 0
    again = json.loads(capsys.readouterr().out)["evaluation"]["test"]
    first = report["evaluation"]["test"]
    assert again["confusion_matrix"] == first["confusion_matrix"]
    assert again["baselines"] == {key: first["baselines"][key] for key in ("majority", "tfidf_logreg")}
    assert again["metrics"]["log_loss"]["value"] == pytest.approx(first["metrics"]["log_loss"]["value"], abs=1e-6)
    assert {path.name for path in (tmp_path / "e").iterdir()} == {"report.json", "predictions", "plots"}


def test_labels_that_the_model_lacks_are_an_error(trained, tmp_path, capsys):
    path = tmp_path / "other.csv"
    path.write_text("text,label\ngood film,Positive\nbad film,negative\n")
    assert main(["evaluate", str(trained), "--dataset", str(path)]) == 1
    message = capsys.readouterr().err
    assert "labels that 'film-reviews' does not know: 'Positive' (did you mean 'positive'?)" in message
    assert "Rename the labels" in message


def test_an_encoder_without_a_trained_head_is_an_error(tiny_model_dir, reviews_dir, capsys):
    assert main(["evaluate", str(tiny_model_dir), "--dataset", str(reviews_dir)]) == 1
    assert "'tiny-bert' is no trained classifier" in capsys.readouterr().err


def test_a_directory_that_is_taken_is_an_error(trained, tiny_model_dir, reviews_dir, capsys):
    before = (trained / "report.json").read_bytes()
    words = ["train", "--model", str(tiny_model_dir), "--dataset", str(reviews_dir), "--output-dir", str(trained)]
    assert main(words) == 1
    assert "'film-reviews' is not empty. Pass --overwrite" in capsys.readouterr().err
    assert (trained / "report.json").read_bytes() == before
