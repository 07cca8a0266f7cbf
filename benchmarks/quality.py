"""Train with the defaults on folders of labelled text, and print a table of what came out.

    python benchmarks/quality.py --data DIR --model MODEL_DIR --output-dir RUNS sst2 trec6 ag_news

DIR holds one folder for each name, with train/validation/test files. Nothing is tuned: each row is
`hfbertcls train --model MODEL_DIR --dataset DIR/NAME` with no other option than the seed.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path


def train(model: str, data: Path, output_dir: Path, seed: int) -> dict:
    """Run the command in a process of its own and return its report."""
    command = [sys.executable, "-m", "hfbertcls", "train", "--model", model, "--dataset", str(data)]
    command += ["--output-dir", str(output_dir), "--seed", str(seed), "--overwrite", "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def row(name: str, report: dict) -> str:
    """One line of the table."""
    training, splits = report["training"], report["evaluation"]
    cells = [name, str(training["seed"]), f"{report['data']['splits']['train']['rows']:,}"]
    cells += [str(training["epochs"]), f"{training['steps']:,}", f"{training['hyperparameters']['learning_rate']:g}"]
    for split in ("validation", "test"):
        metrics = splits[split]["metrics"] if split in splits else None
        cells.append(
            "-" if metrics is None else f"{metrics['accuracy']['value']:.4f} / {metrics['f1_macro']['value']:.4f}"
        )
    last = splits.get("test", splits["validation"])
    baseline = last["baselines"]["tfidf_logreg"]
    cells.append(f"{baseline['accuracy']:.4f} / {baseline['f1_macro']:.4f}")
    cells += [
        f"{training['seconds']:.0f}",
        f"{training['tokens_per_second']:,.0f}",
        training["hyperparameters"]["precision"],
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Train on each named set and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--output-dir", required=True, type=Path)
    parser.add_argument("--seeds", nargs="+", type=int, default=[42])
    options = parser.parse_args()
    print(
        "| set | seed | train rows | epochs | steps | rate | validation acc / F1 | test acc / F1 | TF-IDF + LR | train s | tokens/s | precision |"
    )
    print("|:--|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|:--|", flush=True)
    for name in options.names:
        for seed in options.seeds:
            report = train(options.model, options.data / name, options.output_dir / f"{name}-{seed}", seed)
            print(row(name, report), flush=True)


if __name__ == "__main__":
    main()
