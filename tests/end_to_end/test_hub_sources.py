"""Models and data sets that lie on the Hub, at a revision."""

import json

import pytest
from huggingface_hub import HfApi

from hfbertcls import DatasetError, load_text_dataset
from hfbertcls.cli import main


@pytest.fixture
def on_hub(hub, reviews_dir, tiny_model_dir, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    api = HfApi()
    api.create_repo("alice/reviews", repo_type="dataset")
    for name in ("train", "validation", "test"):
        info = api.upload_file(
            path_or_fileobj=str(reviews_dir / f"{name}.csv"),
            path_in_repo=f"{name}.csv",
            repo_id="alice/reviews",
            repo_type="dataset",
        )
    api.create_repo("alice/tiny-bert")
    api.upload_folder(folder_path=str(tiny_model_dir), repo_id="alice/tiny-bert")
    return info.oid


def test_a_data_set_is_read_with_its_revision(hub, on_hub, reviews_dir):
    data = load_text_dataset("alice/reviews")
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 480, "validation": 64, "test": 64}
    assert data.is_from_hub
    assert data.revision == on_hub
    assert load_text_dataset(f"alice/reviews@{on_hub}").revision == on_hub
    assert data.splits["test"].texts == load_text_dataset(str(reviews_dir)).splits["test"].texts


@pytest.mark.parametrize("name", ["alice/nothing", "alice/reviews@nothing", "alice/reviews:nothing"])
def test_a_missing_data_set_is_an_error(hub, on_hub, name):
    with pytest.raises(DatasetError, match="cannot be loaded from the Hub"):
        load_text_dataset(name)


def test_a_data_set_that_is_a_script_is_an_error(hub, on_hub):
    api = HfApi()
    api.create_repo("alice/script", repo_type="dataset")
    api.upload_file(
        path_or_fileobj=b"import os\n", path_in_repo="script.py", repo_id="alice/script", repo_type="dataset"
    )
    with pytest.raises(
        DatasetError, match=r"'alice/script' is a script \(script\.py\), and scripts.*are not run.*refs/convert"
    ):
        load_text_dataset("alice/script")


def test_a_private_data_set_needs_the_token(hub, on_hub, monkeypatch, tmp_path):
    hub.store.repositories["datasets", "alice/reviews"].private = True
    monkeypatch.setenv("HF_TOKEN", "hf_bob")
    with pytest.raises(DatasetError, match=r"cannot be loaded from the Hub.*hf auth login"):
        load_text_dataset("alice/reviews")


def test_a_run_from_hub_to_hub_links_its_origins(hub, on_hub, tmp_path):
    words = ["train", "--model", "alice/tiny-bert", "--dataset", "alice/reviews", "--output-dir", str(tmp_path / "m")]
    assert main([*words, "--max-steps", "2", "--push-to-hub", "acme/films", "--publish-examples", "3"]) == 0
    report = json.loads((tmp_path / "m" / "report.json").read_text())
    assert report["model"]["base_model"] == "alice/tiny-bert"
    assert report["data"]["revision"] == on_hub
    card = (tmp_path / "m" / "README.md").read_text()
    assert "base_model: alice/tiny-bert" in card
    assert "model-index:" in card
    assert f"revision: {on_hub}" in card
    assert card.split("## Examples")[1].split("\n## ")[0].count("\n| ") == 4  # the head and three rows
    assert main(["verify", "acme/films"]) == 0
