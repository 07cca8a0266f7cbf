"""`--learning-curve`: nested parts of the rows, on the card, recomputed by verify."""

import json
import shutil
from collections import Counter

import numpy as np
import pytest

from hfbertcls.cli import main
from hfbertcls.repository.verify import verify_directory
from hfbertcls.workflows.learning_curve import nested_order


@pytest.fixture(scope="module")
def words(tiny_model_dir, reviews_dir):
    words = ["train", "--model", str(tiny_model_dir), "--dataset", str(reviews_dir), "--eval-every", "no"]
    return [*words, "--max-steps", "4", "--learning-curve"]


@pytest.fixture(scope="module")
def curve_dir(tmp_path_factory, words):
    directory = tmp_path_factory.mktemp("curve") / "films"
    assert main([*words, "--output-dir", str(directory)]) == 0
    return directory


def test_the_curve_is_reported_shown_and_recomputed(curve_dir, tmp_path):
    report = json.loads((curve_dir / "report.json").read_text())
    curve = report["training"]["learning_curve"]
    assert [point["rows"] for point in curve["points"]] == [60, 120, 240, 480]
    assert curve["points"][-1]["accuracy"] == report["evaluation"]["test"]["metrics"]["accuracy"]
    assert curve["twice"]["rows"] == 960
    assert "### Would more data help?" in (curve_dir / "README.md").read_text()
    assert (curve_dir / "plots" / "data_curve.png").read_bytes().startswith(b"\x89PNG")
    assert verify_directory(curve_dir).differences == ()
    changed = tmp_path / "films"
    shutil.copytree(curve_dir, changed)
    curve["twice"]["gain"] += 0.1
    (changed / "report.json").write_text(json.dumps(report))
    assert any("learning_curve.twice.gain states" in text for text in verify_directory(changed).differences)


def test_what_has_ended_is_not_repeated(curve_dir, words, tmp_path, capsys):
    directory = tmp_path / "films"
    shutil.copytree(curve_dir, directory)
    (directory / "README.md").write_text((directory / "README.md").read_text() + "\nWritten by hand.\n")
    shutil.rmtree(directory / "learning-curve" / "rows-240")
    assert main([*words, "--output-dir", str(directory), "--resume"]) == 0
    assert capsys.readouterr().err.count("there is nothing to resume") == 3
    assert (directory / "report.json").read_bytes() == (curve_dir / "report.json").read_bytes()
    assert (directory / "README.md").read_text().endswith("Written by hand.\n")


def test_every_prefix_has_the_labels_in_proportion():
    labels = ["a"] * 700 + ["b"] * 250 + ["c"] * 50
    order = nested_order(labels, seed=1)
    assert sorted(order) == list(range(1_000))
    for count in (100, 250, 500):
        counts = Counter(labels[row] for row in order[:count])
        assert [counts[name] / count for name in "abc"] == pytest.approx([0.7, 0.25, 0.05], abs=0.02)
    assert not np.array_equal(order, nested_order(labels, seed=2))


def test_a_label_of_one_row_is_an_error(tiny_model_dir, reviews_dir, tmp_path, capsys):
    data = tmp_path / "rare"
    shutil.copytree(reviews_dir, data)
    with (data / "train.csv").open("a") as file:
        file.write("the film,so so\n")
    words = ["train", "--model", str(tiny_model_dir), "--dataset", str(data), "--eval-every", "no", "--max-steps", "2"]
    assert main([*words, "--output-dir", str(tmp_path / "m"), "--learning-curve"]) == 1
    assert "--learning-curve trains on 60 of 481 rows too, and among these the label 'so so' has none" in (
        capsys.readouterr().err
    )
    assert not (tmp_path / "m").exists()


def test_seeds_and_curve_exclude_each_other(words, tmp_path, capsys):
    assert main([*words, "--output-dir", str(tmp_path / "m"), "--seeds", "2"]) == 2
    assert "--learning-curve is of one run, --seeds makes more than one. Leave one out" in capsys.readouterr().err
