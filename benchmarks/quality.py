"""Train with the defaults on folders of labelled text, some seeds each, and show what came out.

    python benchmarks/quality.py --data DIR --model MODEL_DIR --out runs.jsonl --seeds 0 1 2 -- sst2 trec6
    python benchmarks/quality.py ... -- sst5 "sst5:ordinal:very negative,negative,neutral,positive,very positive" stsb:regression
    python benchmarks/quality.py --show runs.jsonl

DIR holds one folder for each name, with train/validation/test files. Nothing is tuned: a run is
`hfbertcls train --model MODEL_DIR --dataset DIR/NAME` with the seed, and `--task` and `--labels` where the name has them. Rows of train
that are in test are counted and left as they are (`--allow-leakage`).

One line of JSON is written when a run ends. Runs that are in the file are not repeated. The network is not used.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from option_runs import lines_of, student


METRICS = ("accuracy", "f1_macro", "quadratic_kappa", "pearson", "spearman", "rmse")
"""Those that are shown, where a task has them."""
LABELS = 3
"""With so many labels at most, the F1 of each is kept."""


def run(model: Path, data: Path, name: str, seed: int) -> dict:
    """Run the command in a process of its own; what the benchmark keeps of its report."""
    folder, task, labels = (*name.split(":"), "", "")[:3]
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as output:
        command = ["train", "--model", str(model), "--dataset", str(data / folder), "--output-dir", f"{output}/run"]
        command += ["--seed", str(seed), "--allow-leakage", "--json", *(["--task", task] if task else [])]
        command += ["--labels", *labels.split(",")] if labels else []
        done = subprocess.run(
            [sys.executable, "-m", "hfbertcls", *command], stdout=subprocess.PIPE, text=True, check=True
        )
    report = json.loads(done.stdout)
    training = report["training"]
    line = {"seconds": round(time.perf_counter() - began, 1), "train_seconds": training["seconds"]}
    line |= {"train_rows": report["data"]["splits"]["train"]["rows"], "epochs": training["epochs"]}
    line |= {key: training[key] for key in ("steps", "best_step")}
    line |= {key: training["hyperparameters"][key] for key in ("learning_rate", "precision")}
    return line | {"splits": {split: _metrics(part) for split, part in report["evaluation"].items()}}


def _metrics(part: dict) -> dict:
    """Each metric with its interval, and those of the baselines."""
    kept = {key: [one[end] for end in ("value", "low", "high")] for key, one in part["metrics"].items()}
    per_label = {label: one["f1"] for label, one in part["per_label"].items()} if part.get("per_label") else {}
    return {
        "rows": part["rows"],
        "metrics": kept,
        "f1": per_label if len(per_label) <= LABELS else {},
        "baselines": {
            name: {key: value for key, value in one.items() if key in METRICS}
            for name, one in part["baselines"].items()
        },
    }


def over_seeds(values: Sequence[float]) -> str:
    """The mean, and Student's 95 % interval of it where there are several."""
    mean, half = student(values)
    if half is None:
        return f"{mean:.3f}"
    return f"{mean:.3f} ({mean - half:.3f} to {mean + half:.3f})"


def show(path: Path) -> None:
    """A table in Markdown: a line for each set, split and metric."""
    runs: dict[str, list[dict]] = {}
    for line in lines_of(path):
        runs.setdefault(line["set"], []).append(line)
    print(
        "| set | seeds | split, rows | metric | mean over the seeds (95 %) | rows of the first seed (95 %) | best baseline |"
    )
    print("|:--|--:|:--|:--|:--|:--|:--|")
    for name, lines in runs.items():
        for split, first in lines[0]["splits"].items():
            for metric in METRICS:
                if metric not in first["metrics"]:
                    continue
                mean = over_seeds([line["splits"][split]["metrics"][metric][0] for line in lines])
                low, high = first["metrics"][metric][1:]
                rival = _best(first["baselines"], metric)
                cells = [
                    name,
                    f"{len(lines)}",
                    f"{split}, {first['rows']:,}",
                    metric,
                    mean,
                    f"{low:.3f} to {high:.3f}",
                    rival,
                ]
                print(f"| {' | '.join(cells)} |")
            for label in first["f1"]:
                mean = over_seeds([line["splits"][split]["f1"][label] for line in lines])
                print(f"| {name} | {len(lines)} | {split}, {first['rows']:,} | F1 of {label} | {mean} | | |")


def _best(baselines: dict[str, dict], metric: str) -> str:
    """The name and the value of the best baseline that has the metric."""
    values = {name: one[metric] for name, one in baselines.items() if one.get(metric) is not None}
    if not values:
        return ""
    name = min(values, key=values.__getitem__) if metric == "rmse" else max(values, key=values.__getitem__)
    return f"{name} {values[name]:.3f}"


def main() -> None:
    """Run what is not in the file yet, or show it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME[:TASK[:LABEL,LABEL]]")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seeds", nargs="+", type=int, default=[42])
    parser.add_argument("--show", type=Path)
    options = parser.parse_args()
    if options.show is not None:
        show(options.show)
        return
    done = {(line["set"], line["seed"]) for line in lines_of(options.out)}
    for seed in options.seeds:
        for name in options.names:
            if (name, seed) in done:
                continue
            line = {"set": name, "seed": seed} | run(options.model, options.data, name, seed)
            with options.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            print(json.dumps(line)[:300], file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
