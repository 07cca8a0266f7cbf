"""`hfbertcls compare`: two models, or a model and TF-IDF, with a verdict and the rows where they disagree."""

import csv
import json
import shutil

import pytest

from hfbertcls.cli import main


@pytest.fixture(scope="module")
def other_run(tmp_path_factory, tiny_model_dir, reviews_dir):
    """A classifier of the same labels in the other order that has hardly been trained."""
    directory = tmp_path_factory.mktemp("other") / "novice"
    words = ["train", "--model", str(tiny_model_dir), "--dataset", str(reviews_dir), "--output-dir", str(directory)]
    assert main([*words, "--max-steps", "2", "--labels", "positive", "negative", "--eval-every", "no"]) == 0
    return directory


def test_a_model_against_words_counted(finished_run, reviews_dir, tmp_path, capsys):
    words = ["compare", str(finished_run), "tfidf", "--dataset", str(reviews_dir)]
    assert main([*words, "--output-dir", str(tmp_path / "e")]) == 0
    shown = capsys.readouterr().out
    assert "B: TF-IDF + logistic regression, fitted on 480 rows" in shown
    assert "On the test split of reviews (64 rows)" in shown
    comparison = json.loads((tmp_path / "e" / "comparison.json").read_text())
    assert comparison["verdict"] in shown
    report = json.loads((finished_run / "report.json").read_text())["evaluation"]["test"]
    assert comparison["metrics"]["accuracy"]["a"] == report["metrics"]["accuracy"]["value"]
    assert comparison["metrics"]["accuracy"]["b"] == report["baselines"]["tfidf_logreg"]["accuracy"]
    with (tmp_path / "e" / "disagreements.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    right = [row["right"] for row in rows]
    assert right.count("a") == comparison["only_a_right"]
    assert right.count("b") == comparison["only_b_right"]
    assert all(row["a"] != row["b"] for row in rows)


def test_labels_in_another_order_are_the_same_labels(finished_run, other_run, reviews_dir, capsys):
    assert main(["compare", str(finished_run), str(other_run), "--dataset", str(reviews_dir), "--json"]) == 0
    comparison = json.loads(capsys.readouterr().out)
    expected = json.loads((other_run / "report.json").read_text())["evaluation"]["test"]["metrics"]
    assert comparison["metrics"]["accuracy"]["b"] == expected["accuracy"]["value"]
    assert comparison["metrics"]["log_loss"]["b"] == pytest.approx(expected["log_loss"]["value"], rel=1e-4)
    assert comparison["a"]["num_parameters"] == comparison["b"]["num_parameters"]
    assert min(comparison["a"]["rows_per_second"], comparison["b"]["rows_per_second"]) > 0


def test_a_model_on_the_hub_at_a_revision(model_dir, reviews_dir, hub, capsys, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    assert main(["push", str(model_dir), "alice/film-reviews", "--tag", "v1"]) == 0
    capsys.readouterr()
    words = ["compare", str(model_dir), "alice/film-reviews@v1", "--dataset", str(reviews_dir), "--json"]
    assert main(words) == 0
    comparison = json.loads(capsys.readouterr().out)
    assert (comparison["b"]["name"], comparison["b"]["revision"]) == ("alice/film-reviews", "v1")
    assert "they are equally often right" in comparison["verdict"]


@pytest.mark.parametrize(
    ("a", "b", "code", "expected"),
    [
        ("tfidf", "tfidf", 2, "tfidf cannot be compared with itself. Name a model as A or B"),
        ("tfidf", "./no-such-model", 1, "there is no directory 'no-such-model'"),
    ],
)
def test_what_cannot_be_compared_is_an_error(a, b, code, expected, reviews_dir, capsys):
    assert main(["compare", a, b, "--dataset", str(reviews_dir)]) == code
    assert expected in capsys.readouterr().err


def test_words_cannot_be_counted_without_a_train_split(finished_run, reviews_dir, capsys):
    assert main(["compare", str(finished_run), "tfidf", "--dataset", str(reviews_dir / "test.csv")]) == 1
    assert "tfidf is fitted on the train split and compared on another one; test.csv has 'test'" in (
        capsys.readouterr().err
    )


def test_models_of_other_labels_are_an_error(finished_run, reviews_dir, tmp_path, capsys):
    shutil.copytree(finished_run, tmp_path / "three")
    from hfbertcls.modeling.loading import ModelSource, load_for_training
    from hfbertcls.tasks.single_label import SingleLabel

    task = SingleLabel(("negative", "neutral", "positive"))
    load_for_training(ModelSource(str(finished_run)), task, seed=1).model.save_pretrained(tmp_path / "three")
    assert main(["compare", str(finished_run), str(tmp_path / "three"), "--dataset", str(reviews_dir)]) == 1
    assert "have different labels: 'negative', 'positive' and 'negative', 'neutral', 'positive'" in (
        capsys.readouterr().err
    )


def test_two_seeds_of_one_recipe_are_called_so(finished_run, tiny_model_dir, reviews_dir, tmp_path, capsys):
    words = [
        "train",
        "--model",
        str(tiny_model_dir),
        "--dataset",
        str(reviews_dir),
        "--output-dir",
        str(tmp_path / "m"),
    ]
    assert main([*words, "--max-steps", "2", "--eval-every", "no", "--seed", "1", "--seeds", "2"]) == 0
    one, other = (tmp_path / "m" / "seeds" / f"seed-{seed}" for seed in (1, 2))
    capsys.readouterr()
    pair = ["compare", str(one), str(other), "--dataset", str(reviews_dir)]
    assert main(pair) == 0
    assert "Training: both are the same recipe with other seeds" in capsys.readouterr().out
    (other / "model.safetensors").write_bytes((one / "model.safetensors").read_bytes())
    assert main([*pair, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["training"] is None, "the report is about other weights"
    assert main(["compare", str(tmp_path / "m"), str(finished_run), "--dataset", str(reviews_dir)]) == 0
    assert "points over 2 seeds)" in capsys.readouterr().out
