"""Real processes, really killed: whatever the moment, `--resume` ends with the bits of a run that was left alone."""

import json
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from launched import rank_of


pytestmark = pytest.mark.stress
DEADLINE = 180


def start(words: list[str]) -> subprocess.Popen:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "hfbertcls", *words], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment
    )


def run(words: list[str]) -> str:
    process = start(words)
    _, errors = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0, errors.decode()
    return errors.decode()


def wait_for(process: subprocess.Popen, happened) -> bool:
    """Whether something happened before the process ended."""
    began = time.monotonic()
    while process.poll() is None and time.monotonic() - began < DEADLINE:
        if happened():
            return True
        time.sleep(0.0005)
    return False


@pytest.fixture(scope="module")
def words(tiny_model_dir, reviews_dir):
    given = ["train", "--model", str(tiny_model_dir), "--dataset", str(reviews_dir), "--learning-rate", "0.0005"]
    return [*given, "--epochs", "40", "--eval-every", "15", "--early-stopping", "40", "--logging-steps", "4"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, words):
    directory = tmp_path_factory.mktemp("undisturbed") / "run"
    run([*words, "--output-dir", str(directory)])
    return directory


def events(directory: Path) -> list[tuple]:
    found = []
    for line in (directory / "metrics.jsonl").read_text().splitlines():
        event = json.loads(line)
        timeless = {
            name: value
            for name, value in event["values"].items()
            if not any(word in name for word in ("second", "runtime", "utilisation", "memory"))
        }
        found.append((event["step"], event["split"], tuple(timeless.items())))
    return found


def assert_same(directory: Path, undisturbed: Path) -> None:
    for name in ("model.safetensors", "predictions/validation.parquet", "predictions/test.parquet"):
        assert (directory / name).read_bytes() == (undisturbed / name).read_bytes(), name
    assert events(directory) == events(undisturbed)
    assert len(set(events(directory))) == len(events(directory))
    assert {path.name for path in directory.iterdir()} == {path.name for path in undisturbed.iterdir()}


def test_ten_kills_at_random_moments(tmp_path, words, undisturbed, capsys):
    directory = tmp_path / "run"
    generator = random.Random(7)
    checkpoints = directory / "checkpoints"
    observed = {
        "writing a checkpoint": lambda: any((checkpoints / ".partial").glob("*")),
        "writing its optimiser": lambda: any((checkpoints / ".partial").glob("*/optimizer.pt")),
        "writing its state": lambda: any((checkpoints / ".partial").glob("*/trainer_state.json")),
        "writing the model": lambda: (directory / ".hfbertcls-staging").is_dir(),
        "writing the predictions": lambda: (directory / ".hfbertcls-staging" / "predictions").is_dir(),
    }
    moments = [*observed, *["at random"] * 5]
    generator.shuffle(moments)
    # The last ones end the run, so those that need it to be at its end come last.
    moments.sort(key=lambda moment: moment in ("writing the model", "writing the predictions"))
    killed = []
    record = directory / "metrics.jsonl"
    for moment in moments:
        process = start([*words, "--output-dir", str(directory), "--resume"])
        before = record.stat().st_mtime_ns if record.is_file() else 0
        wait_for(process, lambda before=before: record.is_file() and record.stat().st_mtime_ns != before)
        if moment == "at random":
            time.sleep(generator.uniform(0, 1.5))
        else:
            wait_for(process, observed[moment])
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL, f"the run ended before it could be killed while {moment}"
        steps = sorted(int(path.name.rpartition("-")[2]) for path in checkpoints.glob("checkpoint-*"))
        killed.append(f"{moment}; checkpoints then: {steps}")
    with capsys.disabled():
        print("\nkilled " + "\nkilled ".join(killed))
    assert not (directory / "model.safetensors").exists()
    run([*words, "--output-dir", str(directory), "--resume"])
    assert_same(directory, undisturbed)


def test_ten_kills_of_one_of_two_processes(tmp_path, words, capsys):
    """The other one ends within 30 seconds, and says how to go on."""
    words = [*words, "--num-processes", "2", "--batch-size", "16"]
    undisturbed, directory = tmp_path / "undisturbed" / "run", tmp_path / "run"
    run([*words, "--output-dir", str(undisturbed)])
    generator, record, killed = random.Random(11), directory / "metrics.jsonl", []
    for number in range(10):
        process = start([*words, "--output-dir", str(directory), "--resume"])
        before = record.stat().st_mtime_ns if record.is_file() else 0
        wait_for(process, lambda before=before: record.is_file() and record.stat().st_mtime_ns != before)
        time.sleep(generator.uniform(0, 3))
        began = time.monotonic()
        os.kill(rank_of(process, number % 2), signal.SIGKILL)
        _, errors = process.communicate(timeout=DEADLINE)
        assert process.returncode == 1
        assert errors.decode().count("another of the 2 processes of this run has ended") == 1, errors.decode()
        seconds = time.monotonic() - began
        assert seconds < 30
        steps = sorted(int(path.name.rpartition("-")[2]) for path in (directory / "checkpoints").glob("checkpoint-*"))
        killed.append(f"process {number % 2}: ended after {seconds:.1f} s; checkpoints then: {steps}")
    with capsys.disabled():
        print("\nkilled " + "\nkilled ".join(killed))
    run([*words, "--output-dir", str(directory), "--resume"])
    assert_same(directory, undisturbed)


def test_runs_that_were_killed_while_they_were_averaged(tmp_path, words, capsys):
    """The runs are complete and the average is not there yet: it is made again, to the same bits."""
    words = [*words, "--epochs", "2", "--seeds", "2", "--average", "uniform"]
    undisturbed, directory = tmp_path / "undisturbed" / "run", tmp_path / "run"
    run([*words, "--output-dir", str(undisturbed)])
    staging = directory / ".hfbertcls-staging"
    moments = {
        "the weights are averaged": lambda: staging.is_dir(),
        "they are scored": lambda: (staging / "predictions").is_dir(),
        "they are published": lambda: any(
            (directory / name).exists() for name in ("README.md", "config.json", "plots")
        ),
    }
    killed = []
    for moment, happened in moments.items():
        process = start([*words, "--output-dir", str(directory), "--resume"])
        wait_for(process, happened)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        killed.append(f"while {moment}: {process.returncode}, {sorted(path.name for path in directory.iterdir())}")
        assert all((directory / "seeds" / f"seed-{seed}" / "model.safetensors").is_file() for seed in (42, 43))
    with capsys.disabled():
        print("\nkilled " + "\nkilled ".join(killed))
    run([*words, "--output-dir", str(directory), "--resume"])
    assert_same(directory, undisturbed)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_request_to_stop_saves_and_says_how_to_go_on(tmp_path, words, undisturbed, number):
    directory = tmp_path / "run"
    process = start([*words, "--output-dir", str(directory)])
    wait_for(process, lambda: (directory / "checkpoints" / "checkpoint-30").is_dir())
    process.send_signal(number)
    _, errors = process.communicate(timeout=DEADLINE)
    assert process.returncode == 1
    error, advice = errors.decode().splitlines()[-2:]
    assert error.startswith("hfbertcls: stopped at step ")
    assert "and saved. To resume there, repeat the command with --resume" in error
    assert "Traceback" not in errors.decode()
    assert {path.name for path in directory.iterdir()} == {"checkpoints", "metrics.jsonl"}
    step = int(error.partition(" at step ")[2].partition(" of ")[0].replace(",", ""))
    pasted = shlex.split(advice.removeprefix("Resume: "))
    assert f"Resuming from step {step:,}" in run(pasted[pasted.index("train") :])
    assert_same(directory, undisturbed)


def test_two_runs_on_one_directory_exclude_each_other(tmp_path, words, undisturbed):
    directory = tmp_path / "run"
    first = start([*words, "--output-dir", str(directory)])
    wait_for(first, lambda: (directory / "metrics.jsonl").is_file())
    second = start([*words, "--output-dir", str(directory), "--resume"])
    _, errors = second.communicate(timeout=DEADLINE)
    assert second.returncode == 1
    assert "another run is writing to 'run'" in errors.decode().splitlines()[-1]
    first.communicate(timeout=DEADLINE)
    assert first.returncode == 0
    assert_same(directory, undisturbed)
