"""The benchmark for a GPU, in small: every kind of part, and a run that continues behind the parts in its file."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path


SCRIPT = Path(__file__).parent.parent / "benchmarks" / "gpu.py"
WITHOUT_DATASETS = "import runpy, sys; sys.modules['datasets'] = None; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
SHAPES = ("sst2-32", "sst2-256", "imdb-32")
CONTENDERS = ("ours", "stock", "ours-padded", "stock-flash", "ours-compiled", "stock-compiled")
MEASURED = ("sst2-32 ours", "sst2-32 stock", "imdb-32 ours-padded", "sst2-32 stock-flash", "sst2-256 ours-compiled")
"""The others stand in the file before, as of a run that was killed."""


def test_a_dry_run_does_what_is_missing_without_the_package_datasets(tmp_path):
    file, parts = tmp_path / "gpu.jsonl", [f"{shape} {name}" for shape in SHAPES for name in CONTENDERS]
    before = [json.dumps({"part": part, "ms_per_step": 1.0}) for part in parts if part not in MEASURED]
    file.write_text("\n".join([*before, json.dumps({"part": "waits ours", "error": "no time left"})]) + "\n")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_DATASETS, str(SCRIPT), "--dry-run", "--out", str(file)],
        env=os.environ | {"PYTHONPATH": str(SCRIPT.parent.parent), "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    found = {line["part"]: line for line in lines}
    counted = ["waits ours", "waits ours-padded", "waits stock"]
    assert sorted(found) == sorted([*parts, *counted, "whole run"])
    assert len(lines) == len(found) + 1  # (what failed is tried again, what is there is not)
    for part in MEASURED:
        if part == "sst2-32 stock-flash":
            assert "flash" in found[part]["error"].lower()
            continue
        one = found[part]
        assert (one["steps"], one["dry_run"], one["lengths"]) == (3, True, "synthetic"), one
        assert one["ms_per_step"] > 0 < one["utilisation"] < 1
        assert 0 < one["padding_fraction"] < 1
    assert found["sst2-32 ours"]["way"] == "texts end to end, with next to no padding"
    assert "torch.compile" in found["sst2-256 ours-compiled"]["way"]
    assert [found[part]["waits"] for part in counted] == [0, 0, "at least 1"]
    assert found["waits ours"]["operators"] > 100
    assert (found["whole run"]["steps"], found["whole run"]["epochs"]) == (10, 1)
    assert found["whole run"]["examples_per_second"] > 0


def test_without_cuda_it_says_what_to_do(tmp_path):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--out", str(tmp_path / "gpu.jsonl")],
        env=os.environ | {"PYTHONPATH": str(SCRIPT.parent.parent), "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 2
    assert "Pass --dry-run" in done.stderr


def test_a_step_asks_a_gpu_for_less_than_that_of_transformers_and_never_waits():
    """Counted on the device `meta`: forward and backward of BERT-base, attention as one kernel in both."""
    step = runpy.run_path(str(SCRIPT.parent / "operations.py"))["step"]
    stock, ours = step(False, False), step(True, True)
    assert (stock.waits, ours.waits) == (1, 0)
    assert ours.operations.total() < stock.operations.total()
