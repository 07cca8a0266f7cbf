"""Ordered labels from a file to the answers."""

import json

import numpy as np
import pytest

from hfbertcls import TextClassifier
from hfbertcls.cli import main
from hfbertcls.evaluation.report import Report
from hfbertcls.repository.verify import verify_directory


@pytest.fixture(scope="module")
def stars(tmp_path_factory, vocabulary):
    """360 rows of 1 to 5 stars: 3, and one or two more or fewer for two words."""
    generator = np.random.default_rng(0)
    lines = ["text,stars"]
    for _ in range(360):
        words = [*generator.choice(vocabulary, 5), *generator.choice(["great", "dull"], generator.integers(0, 3))]
        value = 3 + words.count("great") - words.count("dull")
        lines.append(f"{' '.join(words)},{min(5, max(1, value))}")
    path = tmp_path_factory.mktemp("data") / "stars.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_model_dir, stars):
    directory = tmp_path_factory.mktemp("ordinal") / "stars"
    words = ["train", "--model", str(tiny_model_dir), "--dataset", str(stars), "--output-dir", str(directory)]
    assert (
        main([*words, "--label-column", "stars", "--task", "ordinal", "--max-steps", "20", "--eval-every", "10"]) == 0
    )
    return directory


def test_the_report_has_metrics_of_ranks_and_is_verified(trained):
    report = Report.from_json((trained / "report.json").read_text())
    assert (report.task.type, report.task.labels) == ("ordinal", ("1", "2", "3", "4", "5"))
    assert report.training.selection_metric == "quadratic_kappa"
    for name in ("quadratic_kappa", "rank_mae", "off_by_one"):
        metric = report.test.metrics[name]
        assert metric.low < metric.value < metric.high or metric.low <= metric.value == metric.high == 1
    assert report.test.confusion_matrix is not None
    assert report.test.calibration is not None
    assert verify_directory(trained).holds


def test_the_card_states_them(trained):
    card = (trained / "README.md").read_text()
    assert "Sorts texts into 5 ordered labels." in card
    for line in (
        "| Quadratic kappa |",
        "| Mean absolute error in ranks (lower is better) |",
        "| Off-by-one accuracy |",
    ):
        assert line in card
    assert "Quadratic kappa is 1 for perfect answers" in card


def test_plain_transformers_gives_the_same_answers(trained, stars):
    from transformers import pipeline

    config = json.loads((trained / "config.json").read_text())
    assert (config["hfbertcls_ordered_labels"], config["problem_type"]) == (True, "single_label_classification")
    classifier = TextClassifier.from_pretrained(trained, log=None)
    texts = ["great great film", "dull plot", "the film"]
    plain = [one["label"] for one in pipeline("text-classification", model=str(trained))(texts)]
    assert classifier.predict(texts, log=None).prediction.tolist() == plain
    assert classifier.evaluate(str(stars), log=None).task.type == "ordinal", "the kind is remembered"


def test_it_is_compared_and_scored_again(trained, stars, capsys):
    assert main(["compare", str(trained), "tfidf", "--dataset", str(stars)]) == 0
    printed = capsys.readouterr().out
    assert "Quadratic kappa" in printed
    assert main(["verify", str(trained), "--rescore", "--dataset", str(stars)]) == 0


def test_words_without_an_order_are_refused(tiny_model_dir, tmp_path, capsys):
    path = tmp_path / "words.csv"
    path.write_text("text,label\n" + "".join(f"text {row},{['bad', 'good'][row % 2]}\n" for row in range(400)))
    words = ["train", "--model", str(tiny_model_dir), "--dataset", str(path), "--output-dir", str(tmp_path / "none")]
    assert main([*words, "--task", "ordinal"]) == 2
    assert "--task ordinal needs the order of the labels" in capsys.readouterr().err
