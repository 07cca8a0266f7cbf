"""`--slice-by`: metrics of each value, from train and evaluate, on the card, and recomputed by verify."""

import json
import shutil

import pyarrow.parquet as pq
import pytest

from hfbertcls import load_text_dataset
from hfbertcls.cli import main
from hfbertcls.errors import ConfigurationError
from hfbertcls.repository.verify import verify_directory


@pytest.fixture(scope="module")
def sliced_dir(tmp_path_factory, reviews_dir):
    """The reviews with the column `shop`: one in eight rows has none."""
    directory = tmp_path_factory.mktemp("data") / "shops"
    directory.mkdir()
    for path in reviews_dir.glob("*.csv"):
        header, *lines = path.read_text().splitlines()
        shops = ["north|east", "south", "south", " "] * len(lines)
        rows = [f"{line},{shop}" for line, shop in zip(lines, shops, strict=False)]
        (directory / path.name).write_text("\n".join([f"{header},shop", *rows]) + "\n")
    return directory


@pytest.fixture(scope="module")
def sliced_run(tmp_path_factory, tiny_model_dir, sliced_dir):
    directory = tmp_path_factory.mktemp("finished") / "shops-model"
    words = ["train", "--model", str(tiny_model_dir), "--dataset", str(sliced_dir), "--output-dir", str(directory)]
    assert main([*words, "--max-steps", "20", "--learning-rate", "0.003", "--slice-by", "shop"]) == 0
    return directory


def test_slices_are_reported_and_derived_again(sliced_run, tmp_path):
    report = json.loads((sliced_run / "report.json").read_text())
    assert report["task"]["slice_column"] == "shop"
    slices = report["evaluation"]["test"]["slices"]
    assert [(entry["name"], entry["rows"]) for entry in slices["by_column"]["slices"]] == [
        ("(none)", 16),
        ("north|east", 16),
        ("south", 32),
    ]
    assert [entry["accuracy"] is None for entry in slices["by_column"]["slices"]] == [True, True, False]
    assert sum(entry["rows"] for entry in slices["by_length"]["slices"]) == 64
    assert verify_directory(sliced_run).differences == ()
    changed = tmp_path / "changed"
    shutil.copytree(sliced_run, changed)
    report["evaluation"]["test"]["slices"]["by_column"]["slices"][2]["accuracy"]["value"] = 0.123
    (changed / "report.json").write_text(json.dumps(report))
    assert any(
        "evaluation.test.slices.by_column.slices[2].accuracy.value states '0.123'" in text
        for text in verify_directory(changed).differences
    )


def test_they_stand_on_the_card(sliced_run):
    card = (sliced_run / "README.md").read_text()
    assert "### By shop (test split)" in card
    assert "| north\\|east | 16 (too few) | - | - | - | - |" in card
    assert "### By length of the text" not in card  # (all of these slices have too few rows)
    assert "### Selective prediction (test split)" in card


def test_evaluate_slices_too(finished_run, sliced_dir, capsys):
    words = ["evaluate", str(finished_run), "--dataset", str(sliced_dir), "--slice-by", "shop"]
    capsys.readouterr()
    assert main([*words, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert len(report["evaluation"]["test"]["slices"]["by_column"]["slices"]) == 3
    assert main([*words[:-2]]) == 0
    assert "by shop" not in capsys.readouterr().out.lower()


def test_the_weakest_is_printed(finished_run, reviews_dir, tmp_path, capsys):
    """The labels are the predictions, except for half of one shop: that slice is the weakest."""
    predictions = pq.read_table(finished_run / "predictions" / "test.parquet").column("prediction").to_pylist()
    header, *lines = (reviews_dir / "test.csv").read_text().splitlines()
    other = {"positive": "negative", "negative": "positive"}
    rows = []
    for number, (line, label) in enumerate(zip(lines, predictions, strict=True)):
        label = other[label] if number % 4 == 1 else label
        rows.append(f"{line.rpartition(',')[0]},{label},{('north', 'south')[number % 2]}")
    (tmp_path / "t.csv").write_text("\n".join([f"{header},shop", *rows]) + "\n")
    assert main(["evaluate", str(finished_run), "--dataset", str(tmp_path / "t.csv"), "--slice-by", "shop"]) == 0
    assert "Lowest accuracy by shop: south (0.500, 0.336 to 0.664, 32 rows; the slices differ by more than chance" in (
        capsys.readouterr().out
    )


def test_a_missing_column_is_an_error(sliced_dir):
    with pytest.raises(ConfigurationError, match="has no column 'shops', which --slice-by names. Its columns are"):
        load_text_dataset(str(sliced_dir), slice_by="shops")


def test_a_column_of_many_values_is_an_error(tmp_path):
    lines = [f"text {number},{'ab'[number % 2]},{number}" for number in range(60)]
    (tmp_path / "many.csv").write_text("\n".join(["text,label,id", *lines]) + "\n")
    with pytest.raises(
        ConfigurationError, match="the column 'id' of many.csv has 60 different values; --slice-by takes a column with"
    ):
        load_text_dataset(str(tmp_path / "many.csv"), slice_by="id")
