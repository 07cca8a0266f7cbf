"""Time other packages beside ours: each in its own environment, in turn, several rounds, on the same rows.

    python benchmarks/peers.py --data DIR --model MODEL_DIR sst2 --environment sentence-transformers=ENV/bin/python
    python benchmarks/peers.py ... --environment setfit=ENV2/bin/python --environment simpletransformers=ENV3/bin/python --cpu-time

DIR holds one folder for each name, with a train and a test file; MODEL_DIR is a BERT. Packages run with their defaults, but with batches
of 16 when they train. A turn of training is one epoch over rows of its own, the same for all; a step is what happens from one update of the
weights to the next, whatever the package. A turn of prediction is one call with all texts. The network is not used.

What differs by package: sentence-transformers takes pairs only, so each text gets an empty second one (one token more). setfit trains on 8
texts for each label: a step is 16 pairs of them (32 texts), one epoch are all pairs, and then a logistic regression is fitted.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

from packages import BATCH, STEPS
from turns import rates_table, take_turns


CONTENDERS = {
    "train:hfbertcls:fp32": "hfbertcls, fp32",
    "train:hfbertcls:bf16": "hfbertcls, bf16",
    "train:sentence-transformers:fp32": "CrossEncoderTrainer, fp32",
    "train:sentence-transformers:bf16": "CrossEncoderTrainer, bf16",
    "train:simpletransformers:fp32": "simpletransformers train_model, fp32",
    "train:setfit:fp32": "setfit Trainer, 8 texts a label, fp32",
    "predict:hfbertcls:fp32": "hfbertcls, as `predict`, fp32",
    "predict:hfbertcls-pipeline:fp32": "hfbertcls, load_pipeline()(texts), fp32",
    "predict:hfbertcls:bf16": "hfbertcls, as `predict`, bf16",
    "predict:sentence-transformers:fp32": "CrossEncoder.predict(pairs), fp32",
    "predict:sentence-transformers:bf16": "CrossEncoder.predict(pairs), bf16",
    "predict:simpletransformers:fp32": "simpletransformers predict(texts), fp32",
    "predict:setfit:fp32": "SetFitModel.predict(texts), fp32",
}


def draw(options) -> dict:
    """The rows of both tasks: train rows enough for every round, and texts of the test split."""
    import numpy as np

    from hfbertcls import load_text_dataset

    data = load_text_dataset(str(options.data / options.name), make_splits=False)
    drawn = {}
    for task, split, count in (
        ("train", "train", options.rounds * (STEPS + 1) * BATCH),
        ("predict", "test", options.rows),
    ):
        texts, labels = data.splits[split].texts, data.task.encode(data.splits[split].label_cells)
        rows = np.random.default_rng(0).permutation(len(texts))[:count]
        drawn[task] = {"text": [texts[row] for row in rows], "label": [int(labels[row] > 0) for row in rows]}
    return drawn


def tables(answers: dict[str, list], versions: dict[str, dict], texts: int) -> str:
    """The results as Markdown; ratios are to ours in the same precision."""
    lines = ["| contender | package | torch | transformers | Python |", "|:--|:--|:--|:--|:--|"]
    for name, found in {
        name.split(":")[1].removesuffix("-pipeline"): found for name, found in versions.items()
    }.items():
        lines.append(f"| {name} | {found[name]} | {found['torch']} | {found['transformers']} | {found['python']} |")
    failed = [
        f"{CONTENDERS[name]} did not start: {found['error']}\n" for name, found in versions.items() if "error" in found
    ]
    lines += ["", *failed, "| training | steps | ms a step, median | minimum | median to ours | minimum to ours | seconds of the whole call |",
              "|:--|--:|--:|--:|--:|--:|--:|"]  # fmt: skip
    steps = {name: [step for turn in turns for step in turn["steps"]] for name, turns in answers.items()}
    seconds = {name: [turn["seconds"] for turn in turns] for name, turns in answers.items()}
    for name in [name for name in answers if name.startswith("train")]:
        ours = steps.get(f"train:hfbertcls:{name.rpartition(':')[2]}", []) if "setfit" not in name else []
        median, least = statistics.median(steps[name]), min(steps[name])
        ratios = f"{median / statistics.median(ours):.2f} | {least / min(ours):.2f}" if ours else "- | -"
        lines.append(f"| {CONTENDERS[name]} | {len(steps[name])} | {median:,.0f} | {least:,.0f} | {ratios} | "
                     f"{statistics.median(seconds[name]):.1f} |")  # fmt: skip
    rates = {
        name: [texts / second for second in values] for name, values in seconds.items() if name.startswith("predict")
    }
    ours_of = "predict:hfbertcls:{}".format
    lines += ["", rates_table("prediction", CONTENDERS, rates, lambda name: ours_of(name.rpartition(":")[2]), 0)]
    return "\n".join(lines)


def main() -> None:
    """Let the packages take turns and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument(
        "--environment", action="append", default=[], help="PACKAGE=PYTHON, an interpreter that has it"
    )
    parser.add_argument("--rows", type=int, default=1_000, help="texts of a turn of prediction")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument(
        "--cpu-time", action="store_true", help="one thread, seconds of the CPU: less disturbed by others"
    )
    options = parser.parse_args()
    pythons = {"hfbertcls": sys.executable, "hfbertcls-pipeline": sys.executable}
    pythons |= dict(given.split("=", 1) for given in options.environment)
    load = os.getloadavg()[0]
    answers, versions = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.json"
        drawn = draw(options)
        file.write_text(json.dumps(drawn))
        worker = str(Path(__file__).with_name("packages.py"))
        rest = [options.model, str(file), *(["--cpu-time"] if options.cpu_time else [])]
        commands = {name: [pythons[name.split(":")[1]], worker, name, *rest]
                    for name in options.only if name.split(":")[1] in pythons}  # fmt: skip
        for turn, name, ready, found in take_turns(commands, options.rounds, lambda _, turn: turn):
            versions[name] = ready
            if found is not None:
                answers.setdefault(name, []).append(found)
                print(f"round {turn + 1}: {name} {found['seconds']:.1f} s", file=sys.stderr, flush=True)
    print(f"{options.name}, batch {BATCH}, {STEPS} steps a round, {len(drawn['predict']['text'])} texts of the test split, {options.rounds} rounds, "
          f"{'one thread, CPU time' if options.cpu_time else 'default threads, wall-clock time'}; "
          f"load {load:.1f} at the beginning, {os.getloadavg()[0]:.1f} at the end\n")  # fmt: skip
    print(tables(answers, versions, len(drawn["predict"]["text"])))


if __name__ == "__main__":
    main()
