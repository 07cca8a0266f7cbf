"""How long `hfbertcls train` takes where hardly anything is trained: 300 rows, 20 steps, a BERT of 4 x 128 with random weights.

    python benchmarks/short_run.py --rounds 9 before=BEFORE/.venv/bin/hfbertcls after=.venv/bin/hfbertcls

The commands take turns. Minimum and median of the wall time, and of the processor time of the command without the processes that it
starts: what the user waits for where the other processor is free. All must end with the same weights and predictions.
"""

import argparse
import csv
import hashlib
import json
import os
import random
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path


STEPS, ROWS, WORDS = 20, 300, 600
COMPARED = ("model.safetensors", "predictions/validation.parquet", "predictions/test.parquet")


def write_rows(path):
    """Texts of three labels, each with some words of its own."""
    drawn = random.Random(0)
    words = ["".join(drawn.choice("bdfgklmnprstv") + drawn.choice("aeiou") for _ in range(3)) for _ in range(WORDS)]
    own = {label: drawn.sample(words, 12) for label in ("bad", "fine", "good")}
    rows = []
    for number in range(ROWS):
        label = list(own)[number % len(own)]
        chosen = (drawn.choice(own[label] if drawn.random() < 0.25 else words) for _ in range(drawn.randint(6, 25)))
        rows.append((" ".join(chosen), label))
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return [text for text, _ in rows]


def write_model(directory, texts):
    """A BERT with random weights, and word pieces made of the texts."""
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, set_seed

    pieces = BertWordPieceTokenizer()
    pieces.train_from_iterator(texts, vocab_size=1_000, min_frequency=1, show_progress=False)
    special = {f"{name}_token": f"[{name.upper()}]" for name in ("unk", "sep", "pad", "cls", "mask")}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=pieces._tokenizer, model_max_length=128, **special)
    set_seed(0)
    sizes = {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 512}
    BertModel(BertConfig(vocab_size=tokenizer.vocab_size, **sizes)).save_pretrained(directory)
    tokenizer.save_pretrained(directory)


def run(command, folder):
    """Seconds of one run: wall, and processor time of the command alone."""
    shutil.rmtree(folder / "out", ignore_errors=True)
    words = [
        command,
        "train",
        "--model",
        "model",
        "--dataset",
        "rows.csv",
        "--output-dir",
        "out",
        "--max-steps",
        str(STEPS),
    ]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    began = time.perf_counter()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(words, cwd=folder, env=environment, stdout=log, stderr=log)
        alone = None
        while process.poll() is None:
            alone = processor_time(process.pid) or alone
            time.sleep(0.02)
    wall = time.perf_counter() - began
    if process.returncode:
        raise SystemExit((folder / "log").read_text(errors="replace")[-2_000:])
    return wall, alone


def processor_time(pid):
    """Of a process alone, from /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main():
    """Compare commands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commands", nargs="+", metavar="NAME=COMMAND", help="the first is what others are compared to")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    commands = {
        name: str(Path(path).absolute()) for name, _, path in (word.partition("=") for word in options.commands)
    }
    taken = {name: [] for name in commands}
    results = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_model(folder / "model", write_rows(folder / "rows.csv"))
        for name, command in commands.items():  # (what is compiled and read from the disk the first time)
            run(command, folder)
            results[name] = [hashlib.sha256((folder / "out" / file).read_bytes()).hexdigest() for file in COMPARED]
        for _ in range(options.rounds):
            for name, command in commands.items():
                taken[name].append(run(command, folder))
                print(
                    json.dumps({"name": name, "wall": taken[name][-1][0], "processor": taken[name][-1][1]}), flush=True
                )
    first = next(iter(taken))
    print(
        "\n| command | wall s, minimum | wall s, median | processor s, minimum | processor s, median | to the first, minima | medians |"
    )
    print("|:--|--:|--:|--:|--:|--:|--:|")
    for name, times in taken.items():
        columns = list(zip(*times, strict=True))
        reference = next(zip(*taken[first], strict=True))
        values = [kind(column) for column in columns for kind in (min, statistics.median)]
        ratios = [kind(columns[0]) / kind(reference) for kind in (min, statistics.median)]
        print(f"| {name} | {' | '.join(f'{value:.2f}' for value in [*values, *ratios])} |")
    print(f"\nsame weights and predictions: {all(found == results[first] for found in results.values())}")


if __name__ == "__main__":
    main()
