"""Long texts: cut at 128 tokens, their beginning and end, windows, or all of 512 tokens. Accuracy, and what it costs.

    python benchmarks/long_texts.py --data DIR --model MODEL_DIR --out runs.jsonl --rows 1000 --test-rows 500
    python benchmarks/long_texts.py --show runs.jsonl

DIR holds one folder for each set, with train.parquet, test.parquet and perhaps validation.parquet, and the columns
text and label. At most so many rows are drawn, the same ones for each way and seed. A run is the command
`hfbertcls train` with the options of `WAYS`, three epochs long; `--max-windows 4` reads up to 416 tokens of a text in windows of 128.

One line of JSON is written when a run ends. Runs that are in the file are not repeated, failed ones are. The network
is not used.
"""

from pathlib import Path

import numpy as np
from option_runs import lines_of, run_or_show


SETS = ("bbc_news", "imdb")
_EPOCHS = ["--epochs", "3"]
WAYS = {
    "cut at 128": ["--max-length", "128", *_EPOCHS],
    "head-tail 128": ["--max-length", "128", "--long-text", "head-tail", *_EPOCHS],
    "windows of 128": ["--max-length", "128", "--long-text", "windows", "--max-windows", "4", *_EPOCHS],
    "cut at 512": ["--max-length", "512", *_EPOCHS],
}


def metrics_of(report: dict, way: str) -> dict:  # noqa: ARG001  (as run_missing calls it)
    """Accuracy of the test split with its interval, and the seconds of training."""
    test = report["evaluation"]["test"]["metrics"]
    return {
        "train_rows": report["data"]["splits"]["train"]["rows"],
        "test_rows": report["data"]["splits"]["test"]["rows"],
        "train_seconds": report["training"]["seconds"],
        "accuracy": [test["accuracy"][end] for end in ("value", "low", "high")],
        "f1_macro": test["f1_macro"]["value"],
    }


def show(path: Path) -> None:
    """A table in Markdown: means over the seeds, the interval of the first, seconds relative to cutting at 128."""
    runs: dict[tuple[str, str], list[dict]] = {}
    for line in lines_of(path):
        if "error" not in line:
            runs.setdefault((line["set"], line["way"]), []).append(line)
    print(
        "| set | rows | way | seeds | accuracy | interval of the first seed | seconds of training | times the first |"
    )
    print("|:--|--:|:--|--:|--:|:--|--:|--:|")
    order = list(WAYS)
    seconds = {key: float(np.median([one["train_seconds"] for one in lines])) for key, lines in runs.items()}
    for name, way in sorted(runs, key=lambda key: (key[0], order.index(key[1]))):
        lines = runs[name, way]
        mean = np.mean([one["accuracy"][0] for one in lines])
        low, high = lines[0]["accuracy"][1:]
        times = seconds[name, way] / seconds[name, order[0]] if (name, order[0]) in seconds else float("nan")
        cells = [name, f"{lines[0]['train_rows']:,}", way, f"{len(lines)}", f"{mean:.3f}", f"{low:.3f} to {high:.3f}"]
        print(f"| {' | '.join(cells)} | {seconds[name, way]:.0f} | {times:.1f} |")


if __name__ == "__main__":
    run_or_show(__doc__, SETS, WAYS, metrics_of, show)
