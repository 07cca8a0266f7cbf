"""`--seeds N`: N runs, the choice of the best by validation, and the spread."""

import json
import shutil

import numpy as np
import pytest

from hfbertcls import TrainingOptions, train_with_seeds
from hfbertcls.cli import main
from hfbertcls.repository.verify import verify_directory


@pytest.fixture(scope="module")
def words(tiny_model_dir, reviews_dir):
    words = ["train", "--model", str(tiny_model_dir), "--dataset", str(reviews_dir), "--eval-every", "10"]
    return [*words, "--max-steps", "20", "--learning-rate", "0.003", "--seeds", "3", "--seed", "7"]


@pytest.fixture(scope="module")
def seeds_dir(tmp_path_factory, words):
    directory = tmp_path_factory.mktemp("seeds") / "three"
    assert main([*words, "--output-dir", str(directory)]) == 0
    return directory


def test_the_run_that_is_best_on_validation_is_shipped(seeds_dir):
    report = json.loads((seeds_dir / "report.json").read_text())
    seeds = report["training"]["seeds"]
    assert [run["seed"] for run in seeds["runs"]] == [7, 8, 9]
    best = max(seeds["runs"], key=lambda run: run["validation"]["f1_macro"])
    assert seeds["chosen"] == best["seed"] == report["training"]["seed"]
    place = seeds_dir / "seeds" / f"seed-{best['seed']}"
    for name in ("model.safetensors", "predictions/test.parquet", "config.json", "metrics.jsonl"):
        assert (seeds_dir / name).read_bytes() == (place / name).read_bytes()
    weights = {(seeds_dir / "seeds" / f"seed-{n}" / "model.safetensors").read_bytes() for n in (7, 8, 9)}
    assert len(weights) == 3


def test_mean_and_deviation_are_on_the_card_and_recomputed(seeds_dir, tmp_path):
    report = json.loads((seeds_dir / "report.json").read_text())
    seeds = report["training"]["seeds"]
    values = [run["test"]["accuracy"] for run in seeds["runs"]]
    assert seeds["summary"]["test"]["accuracy"] == pytest.approx(
        {"mean": np.mean(values), "sd": np.std(values, ddof=1)}
    )
    card = (seeds_dir / "README.md").read_text()
    assert card.startswith("---\n")
    assert "# three\n" in card
    assert f"| test, Accuracy | {np.mean(values):.3f} | {np.std(values, ddof=1):.3f} |" in card
    assert verify_directory(seeds_dir).differences == ()
    changed = tmp_path / "three"
    shutil.copytree(seeds_dir, changed)
    seeds["summary"]["test"]["accuracy"]["mean"] += 0.01
    seeds["runs"][[7, 8, 9].index(seeds["chosen"])]["test"]["accuracy"] += 0.01
    (changed / "report.json").write_text(json.dumps(report))
    differences = "\n".join(verify_directory(changed).differences)
    assert "training.seeds.summary.test.accuracy.mean states" in differences
    assert f"training.seeds.runs, seed {seeds['chosen']}, test.accuracy states" in differences


@pytest.mark.parametrize("average", [None, "uniform"])
def test_the_title_that_a_person_gave_stays(tmp_path, tiny_model_dir, reviews_dir, average):
    options = TrainingOptions(max_steps=2, eval_every="no", card={"title": "Film reviews, judged"})
    train_with_seeds(str(tiny_model_dir), str(reviews_dir), tmp_path / "two", 2, options, average=average)
    card = (tmp_path / "two" / "README.md").read_text()
    assert "# Film reviews, judged\n" in card
    assert 'model="two"' in card


def test_stopped_runs_resume_to_the_same_bits(seeds_dir, words, tmp_path):
    """The second of three runs is stopped; what is complete is kept, and the end is the same."""
    directory = tmp_path / "three"
    shutil.copytree(seeds_dir, directory)
    for name in ("model.safetensors", "report.json", "README.md"):
        (directory / name).unlink()
    shutil.rmtree(directory / "seeds" / "seed-9")
    kept = (directory / "seeds" / "seed-7" / "model.safetensors").stat().st_mtime_ns
    assert main([*words, "--output-dir", str(directory), "--resume"]) == 0
    assert (directory / "seeds" / "seed-7" / "model.safetensors").stat().st_mtime_ns == kept
    for name in ("model.safetensors", "predictions/test.parquet"):
        assert (directory / name).read_bytes() == (seeds_dir / name).read_bytes()


def test_complete_runs_have_nothing_to_resume(seeds_dir, words, capsys):
    assert main([*words, "--output-dir", str(seeds_dir), "--resume"]) == 0
    assert "The runs in 'three' are complete: there is nothing to resume" in capsys.readouterr().err
    assert main([*words, "--output-dir", str(seeds_dir), "--resume", "--seeds", "2"]) == 2
    assert "they have the seeds [7, 8, 9], not [7, 8]. Repeat the command of those runs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--seeds", "1"], "--seeds 1 is an invalid value. Expected a number from 2"),
        (
            ["--average", "gready"],
            "--average gready is an invalid value (did you mean 'greedy'?). Choose one of uniform, greedy",
        ),
        (["--push-to-hub", "alice/x", "--push-every-save"], "--push-every-save sends the checkpoints of one run"),
    ],
)
def test_what_makes_no_sense_is_an_error(words, more, expected, tmp_path, capsys):
    assert main([*words, "--output-dir", str(tmp_path / "m"), *more]) == 2
    assert expected in capsys.readouterr().err
    assert not (tmp_path / "m").exists()
