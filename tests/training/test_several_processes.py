"""Two and four processes, started by torchrun as a user would, make the updates of one."""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import torch
from several_processes import CASES, outcome, trainer_of

from hfbertcls.processes import note_on_launcher


HERE = Path(__file__).parent
OF_FOUR = ("an uneven end", "a process without rows at the end", "class weights")


def launched(processes: int, *words: str, **settings) -> subprocess.CompletedProcess:
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        str(processes),
        *words,
    ]
    environment = os.environ | {"PYTHONPATH": str(HERE), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500, **settings)


@pytest.fixture(scope="module")
def outcomes_of(tmp_path_factory):
    """What came out of each case, by the number of processes."""

    @cache
    def of(processes: int) -> dict[str, dict]:
        folder = tmp_path_factory.mktemp(f"processes-{processes}")
        cases = CASES if processes == 2 else OF_FOUR
        done = launched(processes, str(HERE / "several_processes.py"), str(folder), *cases)
        assert done.returncode == 0, done.stderr[-3000:]
        return {case: json.loads((folder / f"{case}.json").read_text()) for case in cases}

    return of


@pytest.mark.parametrize(("processes", "case"), [*((2, case) for case in CASES), *((4, case) for case in OF_FOUR)])
def test_losses_and_weights_are_those_of_one_process(outcomes_of, processes, case, tmp_path):
    several, one = outcomes_of(processes)[case], outcome(trainer_of(case, tmp_path, of=processes))
    assert len(several["log"]) == len(one["log"])
    for ours, theirs in zip(several["log"], one["log"], strict=True):
        if case == "a loss of one's own" and "eval_loss" in theirs:
            ours["eval_loss"] = theirs["eval_loss"]  # (that of transformers, with rows counted twice)
        assert ours == pytest.approx(theirs, abs=1e-5)
    for name, values in one["weights"].items():
        assert torch.allclose(torch.tensor(several["weights"][name]), torch.tensor(values), atol=1e-5), name
    assert (several["rows"], several["tokens"]) == (one["rows"], one["tokens"])
    assert several["find_unused"] is False
    assert several["rows_at_a_time"] == (2 if case == "memory is short in the second process" else None)


ALONE = "was asked for several processes and started one"


def by_accelerate(processes: int, *words: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", str(processes), *words]
    environment = os.environ | {"PYTHONPATH": str(HERE), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)


@pytest.mark.parametrize(("processes", "notes"), [(2, 1), (1, 0)])
def test_a_script_says_that_accelerate_started_one_process_of_several(processes, notes, tmp_path):
    cases = ("whole batches", "random order")
    done = by_accelerate(processes, str(HERE / "several_processes.py"), str(tmp_path), *cases)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(ALONE) == notes
    assert done.stderr.count("torchrun --nproc-per-node 2") == notes
    assert (tmp_path / "random order.json").is_file()


@pytest.mark.parametrize("verb", ["train", "predict"])
def test_a_command_says_so_too(verb, tmp_path):
    words = {
        "train": ["--model", "m", "--dataset", "d", "--output-dir", "o"],
        "predict": ["m", "--input", "i", "--output", "o"],
    }
    done = by_accelerate(2, "-m", "hfbertcls", verb, *words[verb])
    assert done.stderr.count(ALONE) == 1, done.stderr
    assert "note: `accelerate launch --cpu`" in done.stderr


def test_a_process_of_a_launcher_says_nothing(monkeypatch):
    for name in ("ACCELERATE_USE_CPU", "MASTER_ADDR", "MASTER_PORT"):
        assert note_on_launcher() is None
        monkeypatch.setenv(name, "True")
    assert ALONE in note_on_launcher()
    for name in ("RANK", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE"):
        with monkeypatch.context() as patched:
            patched.setenv(name, "1")
            assert note_on_launcher() is None
    monkeypatch.setenv("ACCELERATE_USE_CPU", "False")
    assert note_on_launcher() is None
