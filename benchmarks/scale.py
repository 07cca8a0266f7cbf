"""Double the rows and look whether time doubles and memory does not: for `predict`, and for what training does with data.

    python benchmarks/scale.py --data DIR --tokenizer MODEL_DIR predict
    python benchmarks/scale.py --data DIR --tokenizer MODEL_DIR training --largest 640000

DIR has a train file; its texts are repeated, each time with another word in front. Each size has a process of its own. For
`predict` the classifier is a BERT of one small layer with random weights, so that reading, tokenising and writing are
measured and not matrix products. `training` is all that `hfbertcls train` does before its first step (reading, checking,
cutting splits, looking for leakage, tokenising); the memory also that of fifty steps of that classifier. Memory is the largest resident size, and its
anonymous part (without pages of files, which the system may drop at any time).
"""

import argparse
import csv
import itertools
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path


class Memory(threading.Thread):
    """Looks at the resident size every few milliseconds; MB."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.resident = self.anonymous = 0.0

    def run(self) -> None:
        """Look until the process ends."""
        while True:
            lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
            sizes = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith(("VmRSS", "RssAnon"))}
            self.resident = max(self.resident, int(sizes["VmRSS"]) / 1_024)
            self.anonymous = max(self.anonymous, int(sizes["RssAnon"]) / 1_024)
            time.sleep(0.02)


def write_rows(path: Path, data: Path, rows: int) -> None:
    """So many rows of CSV, hardly two of them with the same text."""
    from hfbertcls import load_text_dataset

    split = load_text_dataset(str(data), make_splits=False).splits["train"]
    texts, labels = split.texts, split.labels
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for row, (text, label) in enumerate(itertools.islice(itertools.cycle(zip(texts, labels, strict=True)), rows)):
            writer.writerow([f"{row // len(texts)}-{row % 97} {text}", label])


def tiny_classifier(directory: Path, tokenizer_dir: str) -> None:
    """A classifier of two labels with random weights, for the tokenizer of a real model."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    from hfbertcls.modeling.loading import ModelSource, load_tokenizer

    tokenizer = load_tokenizer(ModelSource(tokenizer_dir))
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    BertForSequenceClassification(BertConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(directory)
    tokenizer.save_pretrained(directory)


def predict(folder: Path, done: Callable[[], None]) -> None:
    """Score the file."""
    from hfbertcls import predict_file
    from hfbertcls.inference.bulk import BulkOptions

    predict_file(str(folder / "model"), folder / "rows.csv", folder / "answers.parquet", BulkOptions(overwrite=True))
    done()


def training(folder: Path, done: Callable[[], None]) -> None:
    """Do with the file what a run does before its first step, and fifty steps."""
    from hfbertcls import TextClassificationTrainer, TextClassificationTrainingArguments, load_text_dataset
    from hfbertcls.data.tokenization import tokenize_split
    from hfbertcls.diagnosis.doctor import examine
    from hfbertcls.modeling.loading import ModelSource, load_for_training, load_tokenizer
    from hfbertcls.workflows.train import MOST_ROWS

    data = load_text_dataset(str(folder / "rows.csv"))
    examine(data, most_rows=MOST_ROWS).require_trainable()
    tokenizer = load_tokenizer(ModelSource(str(folder / "model")))
    tokenized = {name: tokenize_split(split, tokenizer, 128, data.task) for name, split in data.splits.items()}
    trainer = TextClassificationTrainer(
        load_for_training(ModelSource(str(folder / "model")), data.task, seed=0).model,
        TextClassificationTrainingArguments(
            str(folder / "out"), max_steps=50, eval_every="no", learning_rate=1e-4, save_strategy="no"
        ),
        train_dataset=tokenized["train"].dataset,
        processing_class=tokenizer,
    )
    done()
    trainer.train()


PARTS = {"predict": predict, "training": training}


def work(part: str, folder: Path) -> None:
    """Do one size, and print seconds and MB."""
    import datasets
    import torch
    import transformers

    from hfbertcls.cli import prepare_process

    prepare_process()
    transformers.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    del torch
    memory = Memory()
    memory.start()
    began, cpu = time.perf_counter(), time.process_time()
    seconds: list[float] = []
    PARTS[part](folder, lambda: seconds.extend([time.perf_counter() - began, time.process_time() - cpu]))
    print(json.dumps([*seconds, memory.resident, memory.anonymous]), flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--tokenizer")
    parser.add_argument("--smallest", type=int, default=10_000)
    parser.add_argument("--largest", type=int, default=1_000_000)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work is not None:
        work(options.part, options.work)
        return
    sizes = [options.smallest]
    while sizes[-1] < options.largest:
        sizes.append(min(sizes[-1] * 2, options.largest))
    print("| rows | seconds | CPU seconds | rows a CPU second | to the line before | resident MB | to the smallest | anonymous MB |\n"
          "|--:|--:|--:|--:|--:|--:|--:|--:|")  # fmt: skip
    earlier: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tiny_classifier(folder / "model", options.tokenizer)
        for rows in sizes:
            write_rows(folder / "rows.csv", options.data, rows)
            command = [sys.executable, __file__, options.part, "--work", str(folder)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            seconds, cpu, resident, anonymous = json.loads(done.stdout.splitlines()[-1])
            earlier.append((rows / cpu, resident))
            print(f"| {rows:,} | {seconds:,.1f} | {cpu:,.1f} | {rows / cpu:,.0f} | {earlier[-1][0] / earlier[-2:][0][0]:.2f} | "
                  f"{resident:,.0f} | {resident / earlier[0][1]:.2f} | {anonymous:,.0f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
