"""Runs of `hfbertcls train` that differ in their options, one line of JSON each; a benchmark that was killed goes on.

What `imbalance.py` and `long_texts.py` share, and `quality.py` in part.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats


def run_or_show(
    doc: str,
    sets: Sequence[str],
    ways: Mapping[str, list[str]],
    metrics_of: Callable[[dict, str], dict[str, Any]],
    show: Callable[[Path], None],
) -> None:
    """The command of such a benchmark: run what is not in the file yet, or show a table of what is.

    Args:
        doc: of the script.
        sets: the data sets, unless others are named.
        ways: options of `hfbertcls train` by name.
        metrics_of: what a line holds, from the report and the name of the way.
        show: prints the table of a file.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--sets", nargs="+", default=sets)
    parser.add_argument("--ways", nargs="+", default=tuple(ways), choices=tuple(ways))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1_500)
    parser.add_argument("--test-rows", type=int, default=1_000)
    parser.add_argument("--show", type=Path)
    options = parser.parse_args()
    if options.show is not None:
        show(options.show)
    else:
        run_missing(options, ways, metrics_of)


def student(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean over seeds, and half of its 95 % interval (Student's t); None for one seed."""
    if len(values) < 2:
        return float(np.mean(values)), None
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    return float(np.mean(values)), float(half)


def run_missing(
    options: argparse.Namespace, ways: Mapping[str, list[str]], metrics_of: Callable[[dict, str], dict[str, Any]]
) -> None:
    """Run what is not in the file yet.

    Args:
        options: of the command line.
        ways: options of `hfbertcls train` by name.
        metrics_of: what a line holds, from the report and the name of the way.
    """
    done = {(line["set"], line["way"], line["seed"]) for line in lines_of(options.out) if "error" not in line}
    if options.out.exists() and not options.out.read_text(encoding="utf-8").endswith("\n"):
        with options.out.open("a", encoding="utf-8") as file:
            file.write("\n")  # (the line that a kill has cut)
    for seed in range(options.seeds):
        for name in options.sets:
            for way in options.ways:
                if (name, way, seed) in done:
                    continue
                line = {"set": name, "way": way, "seed": seed}
                try:
                    seconds, report = run(options, name, ways[way], seed)
                    line |= {"seconds": seconds, **metrics_of(report, way)}
                except RuntimeError as err:
                    line["error"] = str(err)
                with options.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
                print(json.dumps(line)[:300], file=sys.stderr, flush=True)


def run(options: argparse.Namespace, name: str, words: Sequence[str], seed: int) -> tuple[float, dict]:
    """Train once, and return the seconds and the report."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        data, output = Path(folder) / "data", Path(folder) / "model"
        write_rows(options.data / name, data, {"train": options.rows, "test": options.test_rows})
        command = ["--model", str(options.model), "--dataset", str(data), "--output-dir", str(output)]
        command += ["--seed", str(seed), "--allow-leakage", "--json", *words]
        done = subprocess.run(
            [sys.executable, "-m", "hfbertcls", "train", *command], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(done.stderr[-500:])
        report = json.loads((output / "report.json").read_text(encoding="utf-8"))
    return round(time.perf_counter() - began, 1), report


def write_rows(source: Path, target: Path, most: Mapping[str, int]) -> None:
    """The splits of a set, with at most so many rows, drawn with a seed."""
    import pyarrow.parquet as pq

    target.mkdir()
    for path in sorted(source.glob("*.parquet")):
        table = pq.read_table(path, columns=["text", "label"])
        drawn = np.random.default_rng(0).permutation(len(table))[: most.get(path.stem, len(table))]
        pq.write_table(table.take(np.sort(drawn)), target / path.name)


def lines_of(path: Path) -> list[dict]:
    """The lines of a file; one that a kill has cut is none."""
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            continue
    return lines
