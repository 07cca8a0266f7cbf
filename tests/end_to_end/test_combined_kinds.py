"""Kinds of data that meet in one run: numbers and ordered labels for pairs, rare labels in windows."""

import csv
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from transformers import pipeline

from hfbertcls import TextClassifier
from hfbertcls.errors import ConfigurationError
from hfbertcls.repository.verify import verify_directory


ROWS = {"train": 320, "validation": 64, "test": 64}


@pytest.fixture(scope="module")
def alike_dir(tmp_path_factory, vocabulary):
    """Pairs with the number of words that both texts have of two, as a number and as stars."""
    folder = tmp_path_factory.mktemp("data") / "alike"
    folder.mkdir()
    generator = np.random.default_rng(3)
    for name, rows in ROWS.items():
        with (folder / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "text_pair", "points", "stars"])
            for _ in range(rows):
                texts, common = [generator.choice(vocabulary, 4).tolist() for _ in range(2)], 0
                for word in ("great", "dull"):
                    is_in = generator.integers(0, 2, 2)
                    common += int(is_in.all())
                    for text, has_it in zip(texts, is_in, strict=True):
                        text += [word] * int(has_it)
                noise = generator.standard_normal()
                writer.writerow([*map(" ".join, texts), f"{100 + 10 * common + noise:.2f}", common + 1])
    return folder


def trained(model, data, directory, **options):
    classifier = TextClassifier.train(str(model), data, output_dir=directory, max_steps=6, **options)
    assert not verify_directory(str(directory)).differences
    return classifier


def test_a_pair_gets_a_number_on_the_scale_of_the_data(tiny_model_dir, alike_dir, tmp_path):
    classifier = trained(tiny_model_dir, alike_dir, tmp_path / "n", label_column="points", task="regression")
    baselines = classifier.report.test.baselines
    assert set(baselines) == {
        "mean",
        "tfidf_ridge",
        "tfidf_ridge_second_text",
        "frozen_ridge",
        "frozen_ridge_separate_texts",
    }
    table = pq.read_table(tmp_path / "n" / "predictions" / "test.parquet").to_pydict()
    with (alike_dir / "test.csv").open() as file:
        pairs = [{"text": row["text"], "text_pair": row["text_pair"]} for row in csv.DictReader(file)]
    plain = pipeline("text-classification", model=str(tmp_path / "n"), function_to_apply="none")
    assert [one["score"] for one in plain(pairs)] == pytest.approx(table["prediction"], rel=1e-5)
    card = (tmp_path / "n" / "README.md").read_text()
    assert 'truncation=True, function_to_apply="none")\nprint(classifier({"text": ' in card


def test_a_pair_gets_an_ordered_label(tiny_model_dir, alike_dir, tmp_path):
    classifier = trained(tiny_model_dir, alike_dir, tmp_path / "o", label_column="stars", task="ordinal")
    assert classifier.report.task.labels == ("1", "2", "3")
    assert classifier.report.test.quadratic_kappa.value is not None
    config = json.loads((tmp_path / "o" / "config.json").read_text())
    assert config["hfbertcls_text_fields"] == ["text", "text_pair"]


@pytest.mark.parametrize("task", ["single_label", "ordinal"])
def test_rare_labels_are_weighed_and_adjusted_in_windows(tiny_model_dir, alike_dir, tmp_path, task):
    with (alike_dir / "train.csv").open() as file:
        rows = [(f"{row['text']} {row['text_pair']} " * 3, row["stars"]) for row in csv.DictReader(file)]
    texts, labels = map(list, zip(*rows, strict=True))
    options = {"task": task, "class_weights": "balanced", "prior": "uniform"}
    options |= {"max_length": 16, "long_text": "windows", "max_windows": 3, "learning_rate": 1e-3}
    classifier = trained(tiny_model_dir, (texts, labels), tmp_path / "w", **options)
    shown = classifier.report.shown
    assert shown.adjustment is not None
    assert shown.truncated is not None


def test_numbers_take_no_class_weights_and_no_prior(tiny_model_dir, alike_dir, tmp_path):
    for options in ({"class_weights": "balanced"}, {"prior": "uniform"}, {"loss": "focal"}):
        with pytest.raises(ConfigurationError, match=f"{next(iter(options)).replace('_', '.')} .*regression"):
            trained(tiny_model_dir, alike_dir, tmp_path / "x", label_column="points", task="regression", **options)
