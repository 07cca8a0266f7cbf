"""A run that was stopped at any time resumes with `--resume`, and ends like one that never stopped."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from tiny import TIMES

from hfbertcls.cli import main
from hfbertcls.repository.output_directory import OutputDirectory
from hfbertcls.trainer import TextClassificationTrainer
from hfbertcls.training.callbacks.interruption import InterruptionCallback


class Killed(BaseException):
    """As sudden as a signal, as far as Python code can tell."""


@pytest.fixture(scope="module")
def words(tiny_model_dir, reviews_dir):
    words = ["train", "--model", str(tiny_model_dir), "--dataset", str(reviews_dir), "--learning-rate", "0.001"]
    return [*words, "--epochs", "2", "--eval-every", "4", "--early-stopping", "9", "--batch-size", "32"]


def contents(directory: Path) -> dict[str, str]:
    """Hashes of what must be the same, and the record without its times."""
    files = ["model.safetensors", "config.json", *(f"predictions/{split}.parquet" for split in ("validation", "test"))]
    hashes = {name: hashlib.sha256((directory / name).read_bytes()).hexdigest() for name in files}
    events = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    for event in events:
        del event["seconds"]
        for name in TIMES:
            event["values"].pop(name, None)
    report = json.loads((directory / "report.json").read_text())
    training = {name: report["training"][name] for name in ("best_step", "steps", "epochs", "padding_fraction")}
    return hashes | {"events": events, "evaluation": report["evaluation"], "training": training}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, words):
    directory = tmp_path_factory.mktemp("undisturbed") / "run"
    assert main([*words, "--output-dir", str(directory)]) == 0
    return contents(directory)


def kill_at_step(patch, step):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == step:
            raise Killed

    patch.setattr(InterruptionCallback, "on_step_end", on_step_end)


def kill_in_evaluation_of_the_end(patch, _):
    original = TextClassificationTrainer.save_model

    def save_model(self, output_dir=None, _internal_call=False):
        original(self, output_dir, _internal_call)
        if not _internal_call:
            raise Killed

    patch.setattr(TextClassificationTrainer, "save_model", save_model)


def kill_in_publishing(patch, number):
    original = Path.replace
    moved = []

    def replace(self, target):
        if ".hfbertcls-staging" in self.parts and ".hfbertcls-staging" not in Path(target).parts:
            moved.append(self)
            if len(moved) == number:
                raise Killed
        return original(self, target)

    patch.setattr(Path, "replace", replace)


def killed(run, kill, when):
    with pytest.MonkeyPatch.context() as patch:
        kill(patch, when)
        with pytest.raises(Killed):
            main(run)


@pytest.mark.parametrize(
    ("kill", "when"),
    [
        (kill_at_step, 1),
        (kill_at_step, 6),
        (kill_at_step, 29),
        (kill_in_evaluation_of_the_end, None),
        (kill_in_publishing, 1),
        (kill_in_publishing, 8),
    ],
)
def test_resume_ends_with_the_same_files(tmp_path, words, undisturbed, capsys, kill, when):
    run = [*words, "--output-dir", str(tmp_path / "run")]
    killed(run, kill, when)
    assert not OutputDirectory(tmp_path / "run").holds_a_model
    assert main(run) == 1
    assert "Pass --resume to continue it, --overwrite to replace" in capsys.readouterr().err
    assert main([*run, "--resume"]) == 0
    assert contents(tmp_path / "run") == undisturbed
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "report.json",
        "predictions", "metrics.jsonl", "training_args.json", "plots", "checkpoints",
    }  # fmt: skip


def test_resume_without_a_run_begins_one(tmp_path, words, undisturbed):
    assert main([*words, "--output-dir", str(tmp_path / "run"), "--resume"]) == 0
    assert contents(tmp_path / "run") == undisturbed


def test_resume_of_a_complete_run_changes_nothing(tmp_path, words, capsys):
    run = [*words, "--output-dir", str(tmp_path / "run")]
    main(run)
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    capsys.readouterr()
    assert main([*run, "--resume", "--json"]) == 0
    printed = capsys.readouterr()
    assert "The run in 'run' is complete" in printed.err
    assert json.loads(printed.out) == json.loads((tmp_path / "run" / "report.json").read_text())
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before


@pytest.fixture
def stopped(tmp_path, words):
    run = [*words, "--output-dir", str(tmp_path / "run")]
    killed(run, kill_at_step, 10)
    return run


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (["--learning-rate", "0.002"], "learning_rate (0.001, now 0.002)"),
        (["--seed", "7"], "seed (42, now 7)"),
        (["--max-length", "16"], "max_length (32, now 16)"),
        (["--batch-size", "16"], "rows_per_update (32, now 16)"),
        (["--early-stopping", "2"], "early_stopping (9, now 2)"),
    ],
)
def test_another_run_is_not_gone_on_with(stopped, capsys, changes, expected):
    assert main([*stopped, *changes, "--resume"]) == 2
    message = capsys.readouterr().err
    assert f"these settings differ: {expected}" in message
    assert "Repeat the command of that run, or restart with --overwrite" in message


def test_other_texts_are_not_gone_on_with(stopped, reviews_dir, tmp_path, capsys):
    shutil.copytree(reviews_dir, tmp_path / "reviews")
    with (tmp_path / "reviews" / "train.csv").open("a") as file:
        file.write("the good film,positive\n")
    assert main([*stopped, "--dataset", str(tmp_path / "reviews"), "--resume"]) == 2
    assert "these settings differ: the rows of train." in capsys.readouterr().err


def test_smaller_batches_with_more_accumulation_are_the_same_run(stopped, capsys):
    halved = ["--batch-size", "16", "--gradient-accumulation-steps", "2"]
    assert main([*stopped, *halved, "--report-to", "none", "--resume"]) == 0
    assert "Resuming from step 8" in capsys.readouterr().err


def test_a_directory_of_something_else_is_an_error(tmp_path, words, capsys):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter-1.txt").write_text("It was a dark and stormy night.")
    assert main([*words, "--output-dir", str(tmp_path / "thesis"), "--resume"]) == 1
    assert "no run of hfbertcls wrote the directory 'thesis'" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["chapter-1.txt"]


def test_resume_and_overwrite_exclude_each_other(tmp_path, words, capsys):
    assert main([*words, "--output-dir", str(tmp_path / "run"), "--resume", "--overwrite"]) == 2
    assert "--overwrite: not allowed with argument --resume" in capsys.readouterr().err


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 3 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield folder
    # What the run still has mapped into memory (weights, tables) keeps the disk busy until it is collected.
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> None:
    """Leave no more room than for half a file."""
    free = shutil.disk_usage(folder).free
    (folder / "other-things").write_bytes(b"\0" * (free - 8_192))


@pytest.mark.parametrize("moment", ["checkpoint", "model", "record"])
def test_a_full_disk_loses_nothing(small_disk, words, undisturbed, capsys, moment):
    run = [*words, "--output-dir", str(small_disk / "run")]
    with pytest.MonkeyPatch.context() as patch:
        if moment == "record":
            original_log = TextClassificationTrainer.log

            def log(self, *args, **kwargs):
                if self.state.global_step == 10:
                    free = shutil.disk_usage(small_disk).free
                    (small_disk / "other-things").write_bytes(b"\0" * free)
                original_log(self, *args, **kwargs)

            patch.setattr(TextClassificationTrainer, "log", log)
        else:
            original = TextClassificationTrainer.save_model

            def save_model(self, output_dir=None, _internal_call=False):
                if (self.state.global_step == 12) if moment == "checkpoint" else not _internal_call:
                    fill(small_disk)
                original(self, output_dir, _internal_call)

            patch.setattr(TextClassificationTrainer, "save_model", save_model)
        assert main([*run, "--logging-steps", "5"]) == 1
    message = [line for line in capsys.readouterr().err.splitlines() if line.startswith("hfbertcls: error: ")]
    assert len(message) == 1
    assert "Free disk space" in message[0]
    assert "repeat the command with --resume" in message[0]
    left = {path.name for path in (small_disk / "run").iterdir()}
    assert left <= {"checkpoints", "metrics.jsonl"}
    assert not (small_disk / "run" / "checkpoints" / ".partial").exists()
    (small_disk / "other-things").unlink()
    assert main([*run, "--logging-steps", "5", "--resume"]) == 0
    result = contents(small_disk / "run")
    assert {name: result[name] for name in result if name != "events"} == {
        name: undisturbed[name] for name in undisturbed if name != "events"
    }


def test_a_disk_without_room_for_one_checkpoint_is_an_error_before_training(words, tmp_path, monkeypatch, capsys):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100_000))
    assert main([*words, "--output-dir", str(tmp_path / "run")]) == 1
    assert "the disk of 'run' has 0 MB free, and the run needs at least" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_batch_size_auto_is_accepted_and_nonsense_is_not(tmp_path, words, undisturbed, capsys):
    assert main([*words, "--output-dir", str(tmp_path / "run"), "--batch-size", "auto"]) == 0
    assert contents(tmp_path / "run") == undisturbed
    assert main([*words, "--output-dir", str(tmp_path / "other"), "--batch-size", "many"]) == 2
    assert "--batch-size many is an invalid value. Expected a number from 1, or auto" in capsys.readouterr().err


@pytest.fixture
def earlier(tmp_path, words):
    """A complete run, to be replaced."""
    assert main([*words, "--max-steps", "4", "--seed", "9", "--output-dir", str(tmp_path / "run")]) == 0
    return tmp_path / "run"


def test_a_model_stays_until_the_run_that_replaces_it_is_complete(earlier, words, undisturbed, monkeypatch, capsys):
    before = contents(earlier)
    with monkeypatch.context() as patch:
        kill_at_step(patch, 6)
        with pytest.raises(Killed):
            main([*words, "--output-dir", str(earlier), "--overwrite"])
    assert {**contents(earlier), "events": None} == {**before, "events": None}
    assert main(["verify", str(earlier)]) == 0
    assert main([*words, "--output-dir", str(earlier)]) == 1
    assert "holds a run that was stopped. Pass --resume to continue it" in capsys.readouterr().err
    assert main([*words, "--output-dir", str(earlier), "--resume"]) == 0
    assert "Resuming from step 4" in capsys.readouterr().err
    assert contents(earlier) == undisturbed
    assert main(["verify", str(earlier)]) == 0
    assert main([*words, "--output-dir", str(earlier), "--resume"]) == 0
    assert "is complete: there is nothing to resume" in capsys.readouterr().err


def test_a_run_that_fails_leaves_the_earlier_model(earlier, words, capsys):
    before = contents(earlier)["evaluation"]
    assert main([*words, "--learning-rate", "1000", "--output-dir", str(earlier), "--overwrite"]) == 1
    assert "the training loss is nan" in capsys.readouterr().err
    assert contents(earlier)["evaluation"] == before
    assert main(["verify", str(earlier)]) == 0


def test_a_classifier_can_be_trained_on_in_its_own_directory(earlier, words, monkeypatch, capsys):
    words = [*words[:1], *words[3:], "--model", str(earlier), "--output-dir", str(earlier)]
    with monkeypatch.context() as patch:
        kill_at_step(patch, 6)
        with pytest.raises(Killed):
            main([*words, "--overwrite"])
    assert main([*words, "--resume"]) == 0
    assert "Resuming from step 4" in capsys.readouterr().err
    assert main(["verify", str(earlier)]) == 0
