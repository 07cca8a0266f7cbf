"""Train on folders of labelled text and say what calibration did to the scores of the test split.

    python benchmarks/calibration.py --data DIR --output-dir RUNS sst2 ag_news banking77 trec6 tweeteval_emotion

DIR holds one folder for each name, with train/validation/test files. The encoder is that of `hfbertcls quickstart`; so many
rows are drawn of each split (seeded), and all else is as `hfbertcls train` does it. The weights of before are those with the
temperature taken out again. The difference of the log losses has a 95 % paired bootstrap interval over the test rows.
"""

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from hfbertcls import Predictions, Report, TrainingOptions, load_text_dataset
from hfbertcls.data.tokenization import tokenize_split, tokenize_texts
from hfbertcls.modeling.engine import score
from hfbertcls.modeling.heads import undo_calibration
from hfbertcls.modeling.loading import ModelSource, load_for_inference, load_tokenizer
from hfbertcls.modeling.onnx_graph import OnnxClassifier, save_graph, to_onnx
from hfbertcls.tasks.known import task_of_report
from hfbertcls.workflows.quickstart import model_directory
from hfbertcls.workflows.train import train_and_evaluate


ROWS_THROUGH_PIPELINE = 200


def drawn(split, rows: int):
    """At most so many rows of a split, seeded, in their order."""
    chosen = np.sort(np.random.default_rng(0).permutation(len(split))[:rows])
    return split.take(split.name, chosen)


def row(name: str, data, directory: Path, report) -> str:
    """One line of the table: the shipped weights against the same without their temperature."""
    from transformers import pipeline

    path = directory / "predictions" / "test.parquet"
    task = task_of_report(report.task)
    after = Predictions.from_parquet(path.read_bytes(), task)
    source = ModelSource(str(directory))
    model, tokenizer = load_for_inference(source), load_tokenizer(source)
    undo_calibration(model)
    tokens = tokenize_split(data.splits["test"], tokenizer, report.task["max_length"], task)
    before = score(model, tokenizer, tokens)
    changed = int((before.argmax(axis=1) != after.predicted).sum())

    texts = data.splits["test"].texts[:ROWS_THROUGH_PIPELINE]
    answers = pipeline("text-classification", model=str(directory), truncation=True, top_k=None)(texts)
    found = np.array([[{a["label"]: a["score"] for a in answer}[n] for n in task.labels] for answer in answers])
    expected = task.probabilities(after.logits[: len(texts)])
    gap = np.abs(found - expected).max()
    few = tokenize_texts(texts, tokenizer, report.task["max_length"])
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "model.onnx"
        save_graph(to_onnx(load_for_inference(source), tokenizer), graph)
        onnx_gap = np.abs(task.probabilities(OnnxClassifier(graph).score(tokenizer, few)) - expected).max()

    losses = task.row_losses(after.gold, before), task.row_losses(after.gold, after.logits)
    difference = losses[1] - losses[0]
    draws = np.random.default_rng(0).integers(0, len(difference), (2_000, len(difference)))
    low, high = np.quantile(difference[draws].mean(axis=1), [0.025, 0.975])
    figures = report.evaluation["test"]["calibration"]
    accuracy = report.evaluation["test"]["metrics"]["accuracy"]["value"]
    rows = [f"{len(data.splits[split]):,}" for split in ("train", "validation", "test")]
    return (
        f"| {name} | {' / '.join(rows)} | {accuracy:.3f} | {figures['temperature']:.3f} | {losses[0].mean():.4f} | "
        f"{losses[1].mean():.4f} | {difference.mean():+.4f} ({low:+.4f} to {high:+.4f}) | {figures['ece_before']:.3f} | "
        f"{figures['ece_after']:.3f} | {changed} of {len(difference):,} | {gap:.1e} | {onnx_gap:.1e} |"
    )


def main() -> None:
    """Train on each named set and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--output-dir", required=True, type=Path)
    parser.add_argument("--rows", nargs=3, type=int, default=[3_000, 800, 1_500], metavar="N")
    parser.add_argument("--arguments", type=json.loads, default={}, metavar="JSON", help="of the trainer")
    parser.add_argument("--reuse", action="store_true", help="measure what an earlier call trained")
    options = parser.parse_args()
    print(
        "| set | rows (train / validation / test) | accuracy | temperature | log loss before | after | difference | ECE before | "
        "after | labels changed | `pipeline()` differs by | ONNX by |"
    )
    print("|:--|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|", flush=True)
    for name in options.names:
        data = load_text_dataset(str(options.data / name))
        limits = dict(zip(("train", "validation", "test"), options.rows, strict=True))
        data = replace(data, splits={split: drawn(part, limits[split]) for split, part in data.splits.items()})
        directory = options.output_dir / name
        training = TrainingOptions.of(overwrite=True, **options.arguments)
        if options.reuse:
            report = Report.from_json((directory / "report.json").read_text(encoding="utf-8"))
        else:
            report = train_and_evaluate(str(model_directory()), data, directory, training)
        print(row(name, data, directory, report), flush=True)


if __name__ == "__main__":
    main()
