"""Class weights, focal loss and logit adjustment on imbalanced data: macro F1, recall of rare labels, calibration.

    python benchmarks/imbalance.py --data DIR --model MODEL_DIR --out runs.jsonl
    python benchmarks/imbalance.py ... --sets trec50 --ways balanced prior --seeds 1 --rows 1500
    python benchmarks/imbalance.py --show runs.jsonl

DIR holds one folder for each set, with train.parquet, test.parquet and perhaps validation.parquet, and the columns
text and label. At most so many rows are drawn, the same ones for each way and seed. A run is the command
`hfbertcls train` with one further option: `balanced` is `--class-weights balanced`, `focal` is `--loss focal`, `prior`
is `--prior uniform`. The weights of `prior` before the adjustment are those of a run without any option, so its line
has the metrics of `none` too.

One line of JSON is written when a run ends. Runs that are in the file are not repeated, failed ones are. The network
is not used.
"""

from pathlib import Path

import numpy as np
from option_runs import lines_of, run_or_show, student


SETS = ("tweeteval_stance_climate", "financial_phrasebank", "trec50")
WAYS = {
    "prior": ["--prior", "uniform"],
    "balanced": ["--class-weights", "balanced"],
    "focal": ["--loss", "focal"],
}
METRICS = ("accuracy", "f1_macro", "log_loss", "ece")
RARE = 3
"""The labels whose recall is shown: so many of the rarest in train, among those with rows in the test split."""


def metrics_of(report: dict, way: str) -> dict:
    """The metrics of the test split by way: those of the option, and of none where the report has them."""
    test, counts = report["evaluation"]["test"], report["data"]["splits"]["train"]["label_counts"]
    support = {label: one["support"] for label, one in test["per_label"].items()}
    present = [label for label in sorted(counts, key=counts.get) if support[label] and counts[label]]
    rare = present[:RARE]
    recall = np.mean([test["per_label"][label]["recall"] for label in rare])
    ways = {way: {**{key: test["metrics"][key]["value"] for key in METRICS}, "rare_recall": float(recall)}}
    if adjustment := test.get("adjustment"):
        before = np.mean([adjustment["recall_before"][label] for label in rare])
        ways["none"] = {**{key: adjustment["before"][key] for key in METRICS}, "rare_recall": float(before)}
    return {
        "train_rows": sum(counts.values()),
        "best_step": report["training"]["best_step"],
        "rare": {label: [counts[label], support[label]] for label in rare},
        "ways": ways,
    }


def show(path: Path) -> None:
    """A table in Markdown: means over the seeds, and Student's 95 % interval of the paired difference of macro F1 to none."""
    values: dict[tuple[str, str], dict[int, dict]] = {}
    for line in lines_of(path):
        for way, metrics in line.get("ways", {}).items():
            values.setdefault((line["set"], way), {})[line["seed"]] = metrics
    keys = ("f1_macro", "rare_recall", "accuracy", "log_loss", "ece")
    print("| set | option | seeds | macro F1 | minus none, points (95 %) | recall of rare labels | accuracy | log loss "
          "| calibration error |")  # fmt: skip
    print("|:--|:--|--:|--:|--:|--:|--:|--:|--:|")
    order = ("none", *WAYS)
    for name, way in sorted(values, key=lambda key: (key[0], order.index(key[1]))):
        runs, plain = values[name, way], values.get((name, "none"), {})
        means = [f"{np.mean([one[key] for one in runs.values()]):.3f}" for key in keys]
        gains = [100 * (one["f1_macro"] - plain[seed]["f1_macro"]) for seed, one in runs.items() if seed in plain]
        cells = [name, way, f"{len(runs)}", means[0], "" if way == "none" else with_interval(gains), *means[1:]]
        print(f"| {' | '.join(cells)} |")


def with_interval(gains: list[float]) -> str:
    """The mean, with Student's 95 % interval where there are several."""
    mean, half = student(gains)
    if half is None:
        return f"{mean:+.1f}"
    return f"{mean:+.1f} ({mean - half:+.1f} to {mean + half:+.1f})"


if __name__ == "__main__":
    run_or_show(__doc__, SETS, WAYS, metrics_of, show)
