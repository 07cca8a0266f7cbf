"""`train` in several processes: one result, one voice, one end, as of one process."""

import csv
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from launched import rank_of

from hfbertcls import TextClassificationTrainingArguments
from hfbertcls.cli import main
from hfbertcls.repository.verify import verify_directory


DEADLINE = 240


def started(*words, **environment) -> subprocess.Popen:
    settings = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"} | environment
    command = [sys.executable, "-m", *map(str, words)]
    return subprocess.Popen(command, env=settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(*words, **environment) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    process = started("hfbertcls", *words, **environment)
    output, errors = process.communicate(timeout=DEADLINE)
    return process.returncode, output, errors


def wait_for(happened, process: subprocess.Popen) -> None:
    began = time.monotonic()
    while not happened():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() - began < DEADLINE
        time.sleep(0.002)


@pytest.fixture(scope="module")
def model(tmp_path_factory, tiny_model_dir):
    """An encoder without dropout: random numbers are drawn in each process."""
    place = Path(shutil.copytree(tiny_model_dir, tmp_path_factory.mktemp("model") / "tiny-bert"))
    config = json.loads((place / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (place / "config.json").write_text(json.dumps(config))
    return place


@pytest.fixture(scope="module")
def few(tmp_path_factory, reviews):
    place = tmp_path_factory.mktemp("few") / "few.csv"
    with place.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *reviews(64, 7)])
    return place


def facts(directory: Path) -> dict:
    """The report without what depends on the machine and the clock."""
    report = json.loads((directory / "report.json").read_text())
    training = report["training"]
    kept = ("best_step", "steps", "epochs", "selection_metric", "selection_value")
    return {
        "data": report["data"],
        "task": report["task"],
        "training": {name: training[name] for name in kept if name in training},
        "evaluation": {
            split: {name: part["metrics"][name]["value"] for name in part["metrics"]}
            for split, part in report["evaluation"].items()
        },
    }


def logits_of(directory: Path, split: str) -> list[float]:
    return [
        number
        for row in pq.read_table(directory / "predictions" / f"{split}.parquet")["logits"].to_pylist()
        for number in row
    ]


def flat(values, name="") -> dict:
    if isinstance(values, dict):
        return {key: value for inner, part in values.items() for key, value in flat(part, f"{name}/{inner}").items()}
    return {name: values}


def assert_same(one: Path, two: Path) -> None:
    ours, theirs = flat(facts(one)), flat(facts(two))
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert value == (pytest.approx(theirs[name], abs=1e-4) if isinstance(value, float) else theirs[name]), name
    for path in sorted((one / "predictions").iterdir()):
        assert logits_of(one, path.stem) == pytest.approx(logits_of(two, path.stem), abs=1e-4)


OF_TWO = ["--batch-size", "8", "--num-processes", "2"]
OF_ONE = ["--batch-size", "16"]


@pytest.mark.parametrize(
    "more",
    [
        ["--max-steps", "30", "--eval-every", "5", "--early-stopping", "2"],
        ["--max-steps", "6", "--eval-every", "3", "--learning-curve"],
        [
            "--epochs",
            "1",
            "--gradient-accumulation-steps",
            "2",
            "--padding-free",
            "false",
            "--class-weights",
            "balanced",
        ],
    ],
    ids=["early stopping", "learning curve", "accumulation, padding and class weights"],
)
def test_the_report_is_that_of_one_process(model, reviews_dir, tmp_path, more):
    words = [
        "train",
        "--model",
        model,
        "--dataset",
        reviews_dir,
        "--learning-rate",
        "0.002",
        "--precision",
        "fp32",
        *more,
    ]
    code, output, errors = run(*words, *OF_TWO, "--output-dir", tmp_path / "two")
    assert code == 0, errors
    assert output.count("Written to") == 1
    assert "Warning" not in errors
    assert main([str(word) for word in (*words, *OF_ONE, "--output-dir", tmp_path / "one")]) == 0
    assert_same(tmp_path / "one", tmp_path / "two")
    assert main(["verify", str(tmp_path / "two"), "--rescore", "--dataset", str(reviews_dir)]) == 0


def test_folds_of_few_rows_are_spread_over_the_processes(model, few, tmp_path):
    words = ["train", "--model", model, "--dataset", few, "--precision", "fp32", "--pooling", "mean"]
    code, _, errors = run(*words, "--num-processes", "2", "--output-dir", tmp_path / "two")
    assert code == 0, errors
    assert "the folds are spread over 2 processes" in errors
    assert main([str(word) for word in (*words, "--output-dir", tmp_path / "one")]) == 0
    assert_same(tmp_path / "one", tmp_path / "two")


def test_one_process_pushes(model, reviews_dir, tmp_path, hub):
    words = ["train", "--model", model, "--dataset", reviews_dir, "--max-steps", "6", "--eval-every", "3"]
    place = {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_alice", "HF_HUB_OFFLINE": "0"}
    more = ["--push-to-hub", "alice/reviews", "--push-every-save", "--output-dir", tmp_path / "run"]
    code, output, errors = run(*words, *OF_TWO, *more, **place)
    assert code == 0, errors
    assert output.count("alice/reviews") >= 1
    assert errors.count("Pushing to alice/reviews") == 1


@pytest.fixture(scope="module")
def long_run(tiny_model_dir, reviews_dir):
    """With dropout, whose random numbers differ between the processes."""
    words = [
        "train",
        "--model",
        tiny_model_dir,
        "--dataset",
        reviews_dir,
        "--learning-rate",
        "0.001",
        "--precision",
        "fp32",
    ]
    return [*words, "--epochs", "6", "--eval-every", "15", *OF_TWO]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, long_run):
    place = tmp_path_factory.mktemp("undisturbed") / "run"
    code, _, errors = run(*long_run, "--output-dir", place)
    assert code == 0, errors
    return place


def bits(directory: Path) -> list[str]:
    names = ["model.safetensors", "predictions/test.parquet", "predictions/validation.parquet"]
    return [hashlib.sha256((directory / name).read_bytes()).hexdigest() for name in names]


def events(directory: Path) -> list[tuple]:
    found = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return [(one["step"], one["split"], one["values"].get("loss"), one["values"].get("accuracy")) for one in found]


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_the_run_and_resume_ends_with_the_same_bits(long_run, undisturbed, tmp_path, rank):
    place = tmp_path / "run"
    launcher = started("hfbertcls", *long_run, "--output-dir", place)
    wait_for((place / "checkpoints" / "checkpoint-30").is_dir, launcher)
    began = time.monotonic()
    os.kill(rank_of(launcher, rank), signal.SIGKILL)
    _, errors = launcher.communicate(timeout=DEADLINE)
    assert time.monotonic() - began < 30
    assert launcher.returncode == 1
    assert errors.count("error:") == 1
    assert "another of the 2 processes of this run has ended" in errors
    assert "--resume" in errors.splitlines()[-1]
    assert "Traceback" not in errors
    code, _, errors = run(*long_run, "--output-dir", place, "--resume")
    assert code == 0, errors
    assert "Resuming from step" in errors
    assert bits(place) == bits(undisturbed)
    assert events(place) == events(undisturbed)


def test_a_signal_to_one_process_stops_all_and_they_save(long_run, undisturbed, tmp_path):
    place = tmp_path / "run"
    launcher = started("hfbertcls", *long_run, "--output-dir", place)
    wait_for((place / "checkpoints" / "checkpoint-30").is_dir, launcher)
    os.kill(rank_of(launcher, 1), signal.SIGTERM)
    _, errors = launcher.communicate(timeout=DEADLINE)
    assert launcher.returncode == 1
    assert errors.count("hfbertcls: stopped at step") == 1
    assert "--num-processes 2" in next(line for line in errors.splitlines() if line.startswith("Resume: "))
    code, _, errors = run(*long_run, "--output-dir", place, "--resume")
    assert code == 0, errors
    assert bits(place) == bits(undisturbed)


@pytest.fixture(scope="module")
def seeds(tiny_model_dir, reviews_dir):
    """Runs of two seeds, with dropout."""
    words = ["train", "--model", tiny_model_dir, "--dataset", reviews_dir, "--learning-rate", "0.001"]
    return [*words, "--precision", "fp32", "--batch-size", "8", "--epochs", "2", "--eval-every", "30", "--seeds", "2"]


@pytest.fixture(scope="module")
def in_turn(tmp_path_factory, seeds):
    """The same of one process."""
    place = tmp_path_factory.mktemp("in-turn") / "run"
    code, _, errors = run(*seeds, "--average", "uniform", "--output-dir", place)
    assert code == 0, errors
    return place


def of_seeds(directory: Path) -> dict[str, list[str]]:
    """The bits of each run, and of what is written in the end."""
    return {path.name: bits(path) for path in (directory, directory / "seeds/seed-42", directory / "seeds/seed-43")}


def test_seeds_are_spread_over_the_processes_and_each_run_is_that_of_one(seeds, in_turn, tmp_path):
    two = tmp_path / "run"
    code, output, errors = run(*seeds, "--average", "uniform", "--num-processes", "2", "--output-dir", two)
    assert code == 0, errors
    assert output.count("Written to") == 1
    assert errors.count("The 2 runs are spread over 2 processes. These lines are of seed 42") == 1
    assert errors.count("Start: linear probe") == 1  # (of the first process alone)
    assert of_seeds(two) == of_seeds(in_turn)
    assert not list(two.glob("seeds/*/checkpoints/checkpoint-*"))
    assert verify_directory(str(two)).differences == ()


def test_a_signal_to_one_process_ends_the_runs_of_all_seeds_and_they_are_resumed(seeds, in_turn, tmp_path):
    words = [*seeds, "--average", "uniform", "--num-processes", "2", "--output-dir", tmp_path / "run"]
    launcher = started("hfbertcls", *words)
    wait_for((tmp_path / "run" / "seeds" / "seed-43" / "checkpoints" / "checkpoint-30").is_dir, launcher)
    began = time.monotonic()
    os.kill(rank_of(launcher, 1), signal.SIGTERM)
    _, errors = launcher.communicate(timeout=DEADLINE)
    assert time.monotonic() - began < 30
    assert launcher.returncode == 1
    assert "Traceback" not in errors
    assert "--resume" in errors.splitlines()[-1]
    code, _, errors = run(*words, "--resume")
    assert code == 0, errors
    assert of_seeds(tmp_path / "run") == of_seeds(in_turn)


def test_one_process_resumes_what_two_began(model, reviews_dir, tmp_path):
    words = ["train", "--model", model, "--dataset", reviews_dir, "--learning-rate", "0.0001", "--precision", "fp32"]
    words += ["--epochs", "2", "--eval-every", "15", "--batch-size", "8"]
    place, whole = tmp_path / "run", tmp_path / "whole"
    launcher = started("hfbertcls", *words, "--num-processes", "2", "--output-dir", place)
    wait_for((place / "checkpoints" / "checkpoint-30").is_dir, launcher)
    os.kill(rank_of(launcher, 1), signal.SIGKILL)
    launcher.communicate(timeout=DEADLINE)
    code, _, errors = run(*words, "--output-dir", place, "--resume")
    assert (code, "rows_per_update (16, now 8)" in errors) == (2, True)
    code, _, errors = run(*words, "--gradient-accumulation-steps", "2", "--output-dir", place, "--resume")
    assert code == 0, errors
    code, _, errors = run(*words, "--gradient-accumulation-steps", "2", "--output-dir", whole)
    assert code == 0, errors
    assert [one[:2] for one in events(place)] == [one[:2] for one in events(whole)]
    assert [one[2] for one in events(place)] == pytest.approx([one[2] for one in events(whole)], abs=1e-4)


def test_two_machines_need_no_common_disk(long_run, undisturbed, tmp_path):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]

    def on_both(*more) -> list[str]:
        running = []
        for rank in (0, 1):
            launch = ["torch.distributed.run", "--nnodes", "2", "--node-rank", rank, "--nproc-per-node", "1"]
            launch += ["--master-addr", "127.0.0.1", "--master-port", port, "--local-addr", "127.0.0.1"]
            words = [word for word in long_run if word not in ("--num-processes", "2")]
            if rank:  # (the second machine has neither the model nor the data)
                words = [str(tmp_path / "nothing") if isinstance(word, Path) else word for word in words]
            place = ["--output-dir", tmp_path / f"machine-{rank}" / "run"]
            running.append(started(*launch, "-m", "hfbertcls", *words, *place, *more, TMPDIR=str(tmp_path)))
        if not more:
            checkpoints = tmp_path / "machine-0" / "run" / "checkpoints"
            wait_for((checkpoints / "checkpoint-30").is_dir, running[0])
            os.kill(rank_of(running[1], 1), signal.SIGTERM)
        results = [process.communicate(timeout=DEADLINE)[1] for process in running]
        assert [process.returncode for process in running] == [0, 0] if more else [1, 1], results
        return results

    assert "stopped at step" in on_both()[0]
    resumed = on_both("--resume")
    assert "Resuming from step" in resumed[0]
    assert bits(tmp_path / "machine-0" / "run") == bits(undisturbed)
    assert not (tmp_path / "machine-1" / "run").exists()


def test_an_error_is_said_once_with_its_exit_code(model, reviews_dir, tmp_path):
    words = [
        "train",
        "--model",
        model,
        "--dataset",
        reviews_dir,
        "--num-processes",
        "2",
        "--output-dir",
        tmp_path / "run",
    ]
    for more, code, message in (
        (["--epochs", "-3"], 2, "--epochs -3 is an invalid value"),
        (["--label-column", "stars"], 2, "has no column 'stars'"),
        (["--learning-rate", "999", "--precision", "fp32", "--max-steps", "30"], 1, "the weights are lost"),
    ):
        found, output, errors = run(*words, *more)
        assert (found, output, errors.count("error:"), "Traceback" in errors) == (code, "", 1, False), errors
        assert message in errors
    found, _, errors = run(*words, RANK="0", WORLD_SIZE="3")
    assert (found, "contradicts the launcher, which started 3 processes" in errors) == (2, True)
    found, _, errors = run(*words, "--num-processes", "0")
    assert (found, "--num-processes 0 is an invalid value" in errors) == (2, True)


def test_processes_end_quietly_after_the_last_message(tmp_path):
    """Where a thread outlived Python, three of eight such runs were aborted."""
    script = tmp_path / "script.py"
    script.write_text("from hfbertcls import processes\nprocesses.join()\nprocesses.lead(lambda: 'x' * 1_000)\n")
    for _ in range(4):
        process = started("torch.distributed.run", "--standalone", "--nproc-per-node", "4", script)
        _, errors = process.communicate(timeout=DEADLINE)
        assert (process.returncode, "terminate called" in errors) == (0, False), errors


def test_what_cannot_be_divided_is_done_once(finished_run, reviews_dir):
    words = ["-m", "hfbertcls", "evaluate", finished_run, "--dataset", reviews_dir / "test.csv", "--json"]
    process = started("torch.distributed.run", "--standalone", "--nproc-per-node", "2", *words)
    output, errors = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0, errors
    assert json.loads(output)


def test_several_gpus_are_never_used_by_data_parallel(tmp_path):
    arguments = TextClassificationTrainingArguments(output_dir=str(tmp_path), per_device_train_batch_size=8)
    arguments._n_gpu = 4
    assert (arguments.n_gpu, arguments.train_batch_size) == (1, 8)
