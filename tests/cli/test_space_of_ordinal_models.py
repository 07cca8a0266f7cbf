"""A model of ordered labels on the loopback Hub, with its Space: labels in their order, metrics of ranks."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import yaml
from huggingface_hub import HfApi

from hfbertcls.cli import main
from hfbertcls.hub.space import runtime as space_runtime


REPO = "alice/moods"
LABELS = ["poor", "fair", "good", "excellent"]
"""Neither sorted by name nor by number of rows."""


@pytest.fixture(autouse=True)
def logged_in(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    monkeypatch.setattr(space_runtime.time, "sleep", lambda seconds: None)


@pytest.fixture(scope="module")
def moods(tmp_path_factory, tiny_model_dir, vocabulary):
    folder = tmp_path_factory.mktemp("moods")
    generator = np.random.default_rng(0)
    lines = ["text,mood"]
    for _ in range(360):
        great, dull = generator.integers(0, 2, 2)
        words = [*generator.choice(vocabulary, 5), *["great"] * great, *["dull"] * dull]
        lines.append(f"{' '.join(words)},{LABELS[1 + great - dull + int(generator.integers(0, 2) and great >= dull)]}")
    (folder / "moods.csv").write_text("\n".join(lines) + "\n")
    words = ["train", "--model", str(tiny_model_dir), "--dataset", str(folder / "moods.csv"), "--label-column", "mood"]
    words += ["--task", "ordinal", "--labels", *LABELS, "--max-steps", "20", "--eval-every", "10"]
    assert main([*words, "--output-dir", str(folder / "model")]) == 0
    return folder / "model"


def test_the_space_has_the_labels_in_order_and_the_metrics_of_ranks(hub, moods, tmp_path):
    assert main(["push", str(moods), REPO, "--public"]) == 0
    assert main(["space", str(moods)]) == 0
    api = HfApi()
    model = tmp_path / "model"
    api.snapshot_download(REPO, local_dir=model)
    space = tmp_path / "space"
    api.snapshot_download(REPO, repo_type="space", local_dir=space)
    readme = (space / "README.md").read_text()
    assert yaml.safe_load(readme.split("---")[1])["short_description"] == "Sorts texts into 4 ordered labels"
    config = json.loads((model / "config.json").read_text())
    assert [config["id2label"][str(index)] for index in range(4)] == LABELS
    shown = about_of(model, space)
    assert "| Gold label | " + " | ".join(LABELS) + " |" in shown
    places = [shown.index(f"\n| {label} | ") for label in LABELS]
    assert places == sorted(places)
    metrics = json.loads((model / "report.json").read_text())["evaluation"]["test"]["metrics"]
    for key, name in (
        ("quadratic_kappa", "Quadratic kappa"),
        ("rank_mae", "Mean absolute error in ranks"),
        ("off_by_one", "Off-by-one accuracy"),
    ):
        assert (
            f"| {name} | {metrics[key]['value']:.3f} | {metrics[key]['low']:.3f} to {metrics[key]['high']:.3f} |"
            in shown
        )
    assert "Sorts texts into 4 ordered labels; fine-tuned from" in shown


def about_of(model, space) -> str:
    """What the pushed app says about the pushed model, in a process of its own."""
    code = "from about import about_text; print(about_text())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=space,
        env={**os.environ, "MODEL_ID": str(model)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
