"""Time a training step, beside everyone else: the contenders take turns, several rounds, on the same rows.

    python benchmarks/train.py --data DIR --model MODEL_DIR sst2
    python benchmarks/train.py --data DIR --model MODEL_DIR imdb --max-length 512 --only dynamic-bf16 grouped-bf16 ours

DIR holds one folder for each name, with a train file. Each contender lives in a process of its own (ours as
`hfbertcls train` sets it up), and only one computes at a time. A step is all that happens between two updates: data,
forward, backward, clipping, update. `products` is the limit: the matrix products of the encoder on the real tokens, bf16.
"""

import argparse
import itertools
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

from turns import answer, take_turns


BATCH = 16
CONTENDERS = {
    "seed-512-fp32": ("the recipe: pad to 512, fp32", 2),
    "padded-128-fp32": ("run_classification's default: pad to 128, fp32", 4),
    "dynamic-fp32": ("Trainer + DataCollatorWithPadding, fp32", 8),
    "dynamic-bf16": ("the same, bf16", 12),
    "grouped-bf16": ("group_by_length, bf16", 12),
    "ours-fp32": ("hfbertcls, fp32", 10),
    "ours": ("hfbertcls, bf16", 20),
    "products": ("matrix products alone, bf16", 20),
}


def tokenized(options):
    """The first rows of the train split as token ids, and the tokenizer."""
    from hfbertcls import load_text_dataset
    from hfbertcls.data.tokenization import tokenize_split
    from hfbertcls.modeling.loading import ModelSource, load_tokenizer

    data = load_text_dataset(str(options.data / options.name), make_splits=False)
    split, tokenizer = data.splits["train"], load_tokenizer(ModelSource(options.model))
    import numpy as np

    rows = np.random.default_rng(0).permutation(len(split))[: options.rows]
    return (
        tokenize_split(split.take("train", rows), tokenizer, options.max_length, data.task),
        tokenizer,
        data.task,
    )


def trainer_of(options, steps: int, seed: int, parts):
    """A trainer of the contender, and the times at which its steps ended."""
    from transformers import DataCollatorWithPadding, Trainer, TrainerCallback, TrainingArguments

    from hfbertcls import TextClassificationTrainer, TextClassificationTrainingArguments
    from hfbertcls.modeling.loading import ModelSource, load_for_training

    split, tokenizer, task = parts
    ends = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_, **__):
            ends.append(time.perf_counter())

    common = {
        "output_dir": tempfile.mkdtemp(), "max_steps": steps, "per_device_train_batch_size": BATCH, "seed": seed,
        "learning_rate": 2e-5, "weight_decay": 0.01, "save_strategy": "no", "report_to": "none", "disable_tqdm": True,
        "logging_strategy": "no",
    }  # fmt: skip
    model = load_for_training(ModelSource(options.model), task, seed=0).model
    given = {"model": model, "train_dataset": split.dataset, "callbacks": [Clock()]}
    if options.worker.startswith("ours"):
        precision = "fp32" if options.worker.endswith("fp32") else "auto"
        args = TextClassificationTrainingArguments(**common, precision=precision, eval_every="no", num_train_epochs=1)
        return TextClassificationTrainer(args=args, processing_class=tokenizer, **given), ends
    length = {"seed-512-fp32": 512, "padded-128-fp32": 128}.get(options.worker)
    collate = DataCollatorWithPadding(tokenizer, padding="max_length" if length else True, max_length=length)
    grouped = {"train_sampling_strategy": "group_by_length"} if options.worker.startswith("grouped") else {}
    args = TrainingArguments(**common, **grouped, use_cpu=True, bf16=options.worker.endswith("bf16"))
    return Trainer(args=args, data_collator=collate, **given), ends


def products(split, steps: int, seed: int, model) -> list[float]:
    """Milliseconds of the encoder's matrix products, forward and backward, for batches of the real tokens."""
    import numpy as np
    import torch

    weights = [
        value.detach().to(torch.bfloat16)
        for name, value in model.named_parameters()
        if ".layer." in name and value.ndim == 2
    ]
    lengths = np.asarray(split.dataset["length"])
    generator = np.random.default_rng(seed)
    times = []
    for _ in range(steps):
        tokens = int(lengths[generator.permutation(len(lengths))[:BATCH]].sum())
        inputs = {size: torch.randn(tokens, size).to(torch.bfloat16) for weight in weights for size in weight.shape}
        began = time.perf_counter()
        for weight in weights:
            wide, narrow = inputs[weight.shape[0]], inputs[weight.shape[1]]
            narrow @ weight.T, wide @ weight, wide.T @ narrow
        times.append(1_000 * (time.perf_counter() - began))
    return times


def prepare(options):
    """For `turns.answer`: the milliseconds of each step of a turn."""
    import transformers
    from transformers import AutoModelForSequenceClassification

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    if options.worker.startswith("ours"):
        from hfbertcls.cli import prepare_process

        prepare_process()
    parts = tokenized(options)
    model = AutoModelForSequenceClassification.from_pretrained(options.model) if options.worker == "products" else None

    def take_turn(question):
        steps, seed = question
        if model is not None:
            return products(parts[0], steps, seed, model)
        trainer, ends = trainer_of(options, steps + 1, seed, parts)
        trainer.train()
        return [1_000 * (after - before) for before, after in itertools.pairwise(ends)]

    return None, take_turn


def main() -> None:
    """Let the contenders take turns and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--max-length", type=int, default=512)
    parser.add_argument("--rows", type=int, default=4_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--worker", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker is not None:
        answer(lambda: prepare(options))
        return
    times: dict[str, list[float]] = {}
    commands = {name: [sys.executable, *sys.argv, "--worker", name] for name in options.only}
    for turn, name, _, found in take_turns(commands, options.rounds, lambda name, turn: [CONTENDERS[name][1], turn]):
        times.setdefault(name, []).extend(value for value in found if value > 0)
        print(f"round {turn + 1}: {name} {min(found):,.0f} ms", file=sys.stderr, flush=True)
    import torch
    import transformers

    print(f"Python {platform.python_version()}, torch {torch.__version__}, transformers {transformers.__version__}, "
          f"{torch.get_num_threads()} threads; {options.name}, batch {BATCH}, cut at {options.max_length}\n")  # fmt: skip
    print("| contender | ms a step, median | minimum | median to ours | minimum to ours |\n|:--|--:|--:|--:|--:|")
    ours = times.get("ours") or next(iter(times.values()))
    for name, values in times.items():
        ratios = statistics.median(values) / statistics.median(ours), min(values) / min(ours)
        print(f"| {CONTENDERS[name][0]} | {statistics.median(values):,.0f} | {min(values):,.0f} | "
              f"{ratios[0]:.2f} | {ratios[1]:.2f} |")  # fmt: skip


if __name__ == "__main__":
    main()
