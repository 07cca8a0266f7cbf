"""`--learning-curve` of numbers: RMSE over nested parts, on terminal and card, recomputed by verify."""

import itertools
import json
import shutil

import numpy as np
import pandas as pd
import pytest

from hfbertcls.cli import main
from hfbertcls.data.loading import load_text_dataset
from hfbertcls.data.splits import quintiles
from hfbertcls.repository.verify import verify_directory
from hfbertcls.workflows.learning_curve import parts_of


def write_rows(path, rows, seed, vocabulary):
    """Texts whose number depends on one word, far from 0 and 1."""
    generator = np.random.default_rng(seed)
    words = [generator.choice(vocabulary, 6) for _ in range(rows)]
    great = generator.integers(0, 2, rows)
    texts = [" ".join([*some, *["great"] * has]) for some, has in zip(words, great, strict=True)]
    pd.DataFrame({"text": texts, "points": 1000 + 20 * great + generator.standard_normal(rows)}).to_csv(
        path, index=False
    )


@pytest.fixture(scope="module")
def points(tmp_path_factory, vocabulary):
    folder = tmp_path_factory.mktemp("data") / "points"
    folder.mkdir()
    for seed, (name, rows) in enumerate({"train": 320, "validation": 64, "test": 64}.items()):
        write_rows(folder / f"{name}.csv", rows, seed, vocabulary)
    return folder


@pytest.fixture(scope="module")
def words(tiny_model_dir, points):
    return [
        "train", "--model", str(tiny_model_dir), "--dataset", str(points), "--label-column", "points",
        "--task", "regression", "--max-steps", "4", "--eval-every", "no", "--learning-curve",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def printed():
    return {}


@pytest.fixture(scope="module")
def curve_dir(tmp_path_factory, words, printed):
    import contextlib
    import io

    directory = tmp_path_factory.mktemp("curve") / "points"
    with contextlib.redirect_stdout(io.StringIO()) as output:
        assert main([*words, "--output-dir", str(directory)]) == 0
    printed["out"] = output.getvalue()
    return directory


def curve_in(directory):
    return json.loads((directory / "report.json").read_text())["training"]["learning_curve"]


def test_the_curve_is_of_the_rmse(curve_dir, printed):
    report = json.loads((curve_dir / "report.json").read_text())
    curve = report["training"]["learning_curve"]
    assert curve["metric"] == "rmse"
    assert [point["rows"] for point in curve["points"]] == [40, 80, 160, 320]
    assert all(set(point) == {"rows", "measured", "error"} for point in curve["points"])
    assert curve["points"][-1]["error"] == report["evaluation"]["test"]["metrics"]["rmse"]
    part = json.loads((curve_dir / "learning-curve" / "rows-40" / "report.json").read_text())
    assert curve["points"][0]["error"] == part["evaluation"]["test"]["metrics"]["rmse"]
    twice = curve["twice"]
    assert twice["rows"] == 640
    assert 0 <= twice["low"] <= twice["gain"] <= twice["high"]
    assert (
        f"with 640 training rows, expect RMSE lower by {twice['gain']:.3f} "
        f"(95 % interval {twice['low']:.3f} to {twice['high']:.3f})" in printed["out"]
    )


def test_the_card_shows_it_without_labels(curve_dir):
    card = (curve_dir / "README.md").read_text()
    part = card[card.index("### Would more data help?") :]
    part = part[: part.index("\n#", 5)]
    assert "| Training rows | RMSE (test) | 95 % interval |" in part
    assert "![RMSE over the number of training rows, 40, 80, 160, 320" in part
    assert "RMSE falls by" in part or "RMSE does not fall" in part
    assert "ccuracy" not in part
    assert (curve_dir / "plots" / "data_curve.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda curve: curve["twice"].update(gain=curve["twice"]["gain"] + 5), "learning_curve.twice.gain states"),
        (lambda curve: curve["points"][0]["error"].update(value=500.0), "learning_curve.fit.a states"),
        (lambda curve: curve["points"][-1]["error"].update(value=1.0), "points[-1].error.value states"),
        (lambda curve: curve.update(metric="mae"), "learning_curve.metric states 'mae', the files give 'rmse'"),
    ],
)
def test_verify_derives_it(curve_dir, tmp_path, change, message):
    assert verify_directory(curve_dir).differences == ()
    changed = tmp_path / "points"
    shutil.copytree(curve_dir, changed)
    report = json.loads((changed / "report.json").read_text())
    change(report["training"]["learning_curve"])
    (changed / "report.json").write_text(json.dumps(report))
    assert any(message in text for text in verify_directory(changed).differences)


def test_parts_are_nested_and_have_each_fifth_of_the_numbers(points):
    train = load_text_dataset(str(points), label_column="points", task="regression").splits["train"]
    fifths = quintiles(train.label_cells.to_numpy())
    parts = parts_of(train, seed=3)
    for smaller, larger in itertools.pairwise(parts):
        assert set(smaller.rows.tolist()) < set(larger.rows.tolist())
    for part in parts:
        counts = np.bincount(fifths[part.rows], minlength=5)
        assert counts.max() - counts.min() <= 2


def test_an_eighth_with_one_number_is_an_error_before_training(tiny_model_dir, tmp_path, capsys):
    rows = ["the film,1.5"] * 40 + ["the plot,2.5"]
    for name in ("train", "validation", "test"):
        (tmp_path / f"{name}.csv").write_text(
            "text,points\n" + "\n".join(f"{row[:-4]} {i},{row[-3:]}" for i, row in enumerate(rows))
        )
    words = ["train", "--model", str(tiny_model_dir), "--dataset", str(tmp_path), "--label-column", "points"]
    words += [
        "--task",
        "regression",
        "--allow-leakage",
        "--learning-curve",
        "--output-dir",
        str(tmp_path / "m"),
        "--seed",
        "1",
    ]
    assert main(words) == 1
    assert "--learning-curve trains on 5 of 41 rows too, and these have fewer than two different numbers" in (
        capsys.readouterr().err
    )
    assert not (tmp_path / "m").exists()
