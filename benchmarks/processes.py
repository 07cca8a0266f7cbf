"""Several processes against one on real text: how far losses, metrics and weights differ.

    python benchmarks/processes.py --data DIR/trec6 --model MODEL_DIR --processes 2 4

DIR/trec6 holds train.parquet and test.parquet with the columns text and label. Each number of processes trains the
same model on the same rows, with the same rows an update, by torchrun and gloo on this machine, in fp32 and without dropout.
Each process has one thread. Nothing is downloaded.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path


ROWS_AN_UPDATE = 32


def train(options: argparse.Namespace) -> None:
    """What one process does: train, and write losses and weights."""
    import datasets
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding

    from hfbertcls import TextClassificationTrainer, TextClassificationTrainingArguments, processes

    tokenizer = AutoTokenizer.from_pretrained(options.model)
    tokenizer.model_max_length = 64
    files = {name: str(options.data / f"{name}.parquet") for name in ("train", "test")}
    splits = datasets.load_dataset("parquet", data_files=files).class_encode_column("label")
    names = splits["train"].features["label"].names
    splits = splits.map(lambda rows: tokenizer(rows["text"], truncation=True), batched=True)
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(
        options.model,
        num_labels=len(names),
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        classifier_dropout=0.0,
    )
    args = TextClassificationTrainingArguments(
        str(options.folder / "run"),
        per_device_train_batch_size=ROWS_AN_UPDATE // processes.count(),
        max_steps=options.steps,
        learning_rate=1e-4,
        precision="fp32",
        logging_steps=1,
        eval_every=str(options.steps),
        save_strategy="no",
        load_best_model_at_end=False,
        use_cpu=True,
        report_to="none",
    )
    trainer = TextClassificationTrainer(
        model, args, DataCollatorWithPadding(tokenizer), splits["train"], splits["test"], tokenizer
    )
    trainer.train()
    if processes.is_first():
        torch.save(trainer.model.state_dict(), options.folder / "weights.pt")
        log = [{key: one[key] for key in one if isinstance(one[key], float)} for one in trainer.state.log_history]
        (options.folder / "log.json").write_text(json.dumps(log), encoding="utf-8")


def compared(one: Path, several: Path) -> dict[str, float]:
    """The largest differences between two runs."""
    import torch

    first, second = (json.loads((folder / "log.json").read_text(encoding="utf-8")) for folder in (one, several))
    losses = [abs(a["loss"] - b["loss"]) for a, b in zip(first, second, strict=True) if "loss" in a]
    metrics = [
        abs(a[name] - b[name])
        for a, b in zip(first, second, strict=True)
        for name in a
        if name in ("eval_loss", "eval_accuracy", "eval_f1_macro")
    ]
    weights, others = (torch.load(folder / "weights.pt") for folder in (one, several))
    differences = [float((weights[name].double() - others[name].double()).abs().max()) for name in weights]
    return {"loss": max(losses), "metrics on test": max(metrics), "weights": max(differences)}


def main() -> None:
    """Train with one process and with several, and print how far they differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--processes", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder is not None:
        train(options)
        return
    with tempfile.TemporaryDirectory() as folder:
        for count in (1, *options.processes):
            target = Path(folder) / str(count)
            target.mkdir()
            command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
            words = ["--data", str(options.data), "--model", options.model, "--steps", str(options.steps)]
            subprocess.run(
                [*command, __file__, *words, "--folder", str(target)],
                env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
                check=True,
                stdout=subprocess.DEVNULL,
            )
            if count > 1:
                found = compared(Path(folder) / "1", target)
                text = ", ".join(f"{name} {value:.1e}" for name, value in found.items())
                print(f"{count} processes against one, {options.steps} steps, largest differences: {text}", flush=True)


if __name__ == "__main__":
    main()
