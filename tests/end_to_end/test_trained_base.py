"""Fine-tuning of a classifier: one step at a learning rate of 1e-9 keeps its accuracy, in any order of the labels."""

import csv
import json

import pytest

from hfbertcls.cli import main


def relabelled(reviews_dir, folder, names, extra=()):
    """The reviews under other names of their labels, and a few rows of further labels."""
    folder.mkdir()
    for path in reviews_dir.iterdir():
        with path.open(newline="", encoding="utf-8") as source:
            rows = [(row["text"], names[row["label"]]) for row in csv.DictReader(source)]
        more = [
            (f"the {word} {number}", label) for label in extra for number, word in enumerate(("story", "scene") * 4)
        ]
        with (folder / path.name).open("w", newline="", encoding="utf-8") as target:
            csv.writer(target).writerows([("text", "label"), *rows, *(more if path.stem == "train" else [])])
    return folder


def train(base, data, output):
    words = ["train", "--model", str(base), "--dataset", str(data), "--output-dir", str(output)]
    assert main([*words, "--max-steps", "1", "--learning-rate", "1e-9", "--eval-every", "1", "--no-calibration"]) == 0
    return json.loads((output / "report.json").read_text())


def accuracy(report):
    return report["evaluation"]["test"]["metrics"]["accuracy"]["value"]


@pytest.fixture(scope="module")
def base(tmp_path_factory, tiny_model_dir, reviews_dir):
    """A classifier that has learned, and its accuracy."""
    directory = tmp_path_factory.mktemp("base") / "reviews"
    words = ["train", "--model", str(tiny_model_dir), "--dataset", str(reviews_dir), "--output-dir", str(directory)]
    assert main([*words, "--epochs", "4", "--learning-rate", "0.003", "--batch-size", "16"]) == 0
    value = accuracy(json.loads((directory / "report.json").read_text()))
    assert value > 0.8
    return directory, value


CASES = {
    "the same labels": ({"negative": "negative", "positive": "positive"}, (), "is kept: it has the same labels"),
    "another order and case": (
        {"negative": "negative", "positive": "Positive"}, (), "matched with the labels by name: 'Positive', 'negative' kept",
    ),
    "one more": (
        {"negative": "negative", "positive": "positive"}, ("mixed",), "by name: 'negative', 'positive' kept; 'mixed' new",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_classifier_stays_as_good_as_it_was(case, base, reviews_dir, tmp_path, capsys):
    names, extra, note = CASES[case]
    data = relabelled(reviews_dir, tmp_path / "data", names, extra)
    directory, before = base
    report = train(directory, data, tmp_path / "next")
    assert accuracy(report) == before
    assert f"the trained head of {directory.name} is" in report["training"]["notes"][0]
    assert note in report["training"]["notes"][0]
    assert report["training"]["notes"][0] in capsys.readouterr().err
    assert f"The trained head of {directory.name} is" in (tmp_path / "next" / "README.md").read_text()


def test_a_label_less_leaves_the_others_as_they_were(base, reviews_dir, tmp_path):
    names = {"negative": "negative", "positive": "positive"}
    directory, before = base
    three = tmp_path / "three"
    train(directory, relabelled(reviews_dir, tmp_path / "more", names, ["mixed"]), three)
    report = train(three, reviews_dir, tmp_path / "two")
    assert accuracy(report) == before
    assert "'negative', 'positive' kept; 'mixed' left out" in report["training"]["notes"][0]


def test_labels_of_another_kind_begin_with_a_new_head(base, reviews_dir, tmp_path):
    data = relabelled(reviews_dir, tmp_path / "data", {"negative": "ham", "positive": "spam"})
    report = train(base[0], data, tmp_path / "next")
    assert "is replaced: it knows 'negative', 'positive', and none of 'ham', 'spam'" in report["training"]["notes"][0]
    # A head of the earlier labels would be far from one half.
    assert report["evaluation"]["test"]["metrics"]["log_loss"]["value"] > 0.5
