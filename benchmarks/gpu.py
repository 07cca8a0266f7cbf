"""Training steps of BERT-base on a GPU, in at most eight minutes: milliseconds, utilisation, waits, and one whole run.

    python benchmarks/gpu.py --out gpu.jsonl [--data DIR]
    python benchmarks/gpu.py --out dry.jsonl --dry-run      # every part with a tiny model and a few steps, on a CPU

Each part adds a line of JSON to the file when it ends. A run that was killed continues behind the parts in the file; parts
that failed are tried again. The weights are random and made here, so nothing is fetched, and neither `datasets` nor a tokenizer is
needed. On a machine without this package and without network, carry the repository and whatever `pip install --dry-run
.` lists beside torch and transformers (scikit-learn, scipy, pyarrow, accelerate, ...), installed elsewhere by
`pip install --target vendor --no-deps NAME ...`, and run `PYTHONPATH=vendor:. python benchmarks/gpu.py --out gpu.jsonl`. It was
written for torch 2.11 and transformers 5.17 and later.

A step is all that happens between two updates: data, forward, backward, clipping, update. Steps 51 to 350 are timed, between two
waits for the device. Utilisation is the arithmetic on real tokens as a fraction of the matrix-product peak that is measured on the spot
(`hfbertcls/modeling/flops.py`), so padding counts as time without work. Contenders:

    ours            as configured: FlashAttention with a dropout of 0.1 on attention weights, if the kernel passes its trial (`flash_dropout`)
    ours-padded     the same without that kernel: attention alone is padded
    ours-compiled   with torch.compile, for which ours leaves the model as transformers made it (padded, grouped by length)
    stock           transformers' Trainer, dynamic padding, SDPA; stock-flash with the package flash-attn; stock-compiled

DIR/sst2 and DIR/imdb hold parquet files with a column `text` or `sentence`, of which the lengths are taken: words and punctuation
marks, and two for [CLS] and [SEP]. Without them the lengths are log-normal: SST-2 with a median of 11 tokens (sigma 0.6, 3 to 66), IMDb
with one of 230 (sigma 0.6, 10 to 512).
"""

import argparse
import contextlib
import json
import re
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import transformers
from torch.autograd import DeviceType
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainerCallback, TrainingArguments

from hfbertcls import TextClassificationTrainer, TextClassificationTrainingArguments, enable_padding_free
from hfbertcls.modeling.flash_attention import flash_attention_serves
from hfbertcls.modeling.flops import measured_peak, peak_memory, training_flops
from hfbertcls.modeling.layout import WithLengths


SECONDS = 450
"""Of all parts; the one that is under way ends its step after that."""
SECONDS_OF_RUN = 100
"""Kept for the whole run at the end."""
SHAPES = {"sst2-32": ("sst2", 32), "sst2-256": ("sst2", 256), "imdb-32": ("imdb", 32)}
FIRST, LATER = ("ours", "stock"), ("ours-padded", "stock-flash", "ours-compiled", "stock-compiled")
ROWS = {"sst2": 67_349, "imdb": 25_000}
DISTRIBUTIONS = {"sst2": (11, 0.6, 3, 66), "imdb": (230, 0.6, 10, 512)}
"""Median, sigma of the logarithm, least, most."""
TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "vocab_size": 100,
}
WAITS = ("cudaStreamSynchronize", "cudaEventSynchronize")
"""Calls of the driver in which the host waits. (The profiler itself ends with `cudaDeviceSynchronize`.)"""
HAS_GPU = torch.cuda.is_available()


class Rows(torch.utils.data.Dataset):
    """Random token ids of given lengths, with random labels."""

    column_names = ("input_ids", "labels", "length")

    def __init__(self, lengths: np.ndarray, vocabulary: int):
        generator = np.random.default_rng(0)
        self.lengths = lengths
        self._starts = np.cumsum(lengths) - lengths
        self._ids = torch.from_numpy(generator.integers(5, vocabulary, int(lengths.sum())))
        self._labels = generator.integers(0, 2, len(lengths))

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            return {"length": self.lengths.tolist(), "labels": self._labels.tolist()}[key]
        start, length = int(self._starts[key]), int(self.lengths[key])
        return {"input_ids": self._ids[start : start + length], "labels": int(self._labels[key]), "length": length}


class Collate:
    """Pads to the longest text of a batch, and remembers what each batch holds."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.squares: list[int] = []
        self.positions: list[int] = []

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """The batch."""
        sizes = [len(row["input_ids"]) for row in rows]
        ids = torch.nn.utils.rnn.pad_sequence([row["input_ids"] for row in rows], batch_first=True)
        self.tokens.append(sum(sizes))
        self.squares.append(sum(size * size for size in sizes))
        self.positions.append(ids.numel())
        mask = torch.arange(ids.shape[1]) < torch.tensor(sizes)[:, None]
        return {
            "input_ids": ids,
            "attention_mask": mask.long(),
            "labels": torch.tensor([row["labels"] for row in rows]),
        }


class Clock(TrainerCallback):
    """The time at the end of two steps, after the device has done its work; ends a part that takes too long."""

    def __init__(self, first: int, last: int, deadline: float):
        self._first, self._last, self._deadline = first, last, deadline
        self.times: dict[int, float] = {}

    def on_step_end(self, _: Any, state: Any, control: Any, **__: Any) -> None:
        """Note the time."""
        step = state.global_step
        is_over = time.monotonic() > self._deadline
        if step in (self._first, self._last) or is_over:
            if HAS_GPU:
                torch.cuda.synchronize()
            self.times[step] = time.perf_counter()
        control.should_training_stop |= is_over


def lengths_of(name: str, options: argparse.Namespace) -> np.ndarray:
    """Tokens of each text."""
    rows = 300 if options.dry_run else ROWS[name]
    if options.data is not None:
        import pyarrow.dataset

        table = pyarrow.dataset.dataset(sorted((options.data / name).glob("*train*.parquet"))).to_table()
        column = next(column for column in ("text", "sentence") if column in table.column_names)
        texts = table[column].slice(0, rows).to_pylist()
        counted = [min(512, 2 + len(re.findall(r"\w+|[^\w\s]", text))) for text in texts]
        return np.asarray(counted, dtype=np.int64)
    median, sigma, least, most = DISTRIBUTIONS[name]
    drawn = np.random.default_rng(1).lognormal(np.log(median), sigma, rows)
    return np.clip(drawn.round(), least, 64 if options.dry_run else most).astype(np.int64)


def model_of(contender: str, options: argparse.Namespace) -> BertForSequenceClassification:
    """BERT-base, or a tiny one, with random weights."""
    torch.manual_seed(0)
    config = BertConfig(num_labels=2, **(TINY if options.dry_run else {}))
    config.id2label, config.label2id = {0: "negative", 1: "positive"}, {"negative": 0, "positive": 1}
    implementation = "flash_attention_2" if contender == "stock-flash" else "sdpa"
    return BertForSequenceClassification._from_config(config, attn_implementation=implementation)


def trainer_of(contender: str, rows: Rows, batch: int, options: argparse.Namespace, **more: Any) -> Any:
    """A trainer of a contender, which makes `max_steps` updates, and its collator."""
    common = {
        "output_dir": tempfile.mkdtemp(), "per_device_train_batch_size": batch, "learning_rate": 2e-5, "report_to": "none",
        "weight_decay": 0.01, "disable_tqdm": True, "torch_compile": contender.endswith("compiled"), "seed": 0,
        **({"torch_compile_backend": "eager"} if contender.endswith("compiled") and options.dry_run else {}),
    }  # fmt: skip
    model, collate = model_of(contender, options), Collate()
    callbacks, evaluation = more.pop("callbacks", []), more.pop("eval_dataset", None)
    given = {
        "model": model,
        "data_collator": collate,
        "train_dataset": rows,
        "eval_dataset": evaluation,
        "callbacks": callbacks,
    }
    if contender.startswith("ours"):
        precision = "bf16" if HAS_GPU else "auto"
        timed = {"eval_every": "no", "num_train_epochs": 1, "logging_strategy": "no"}
        args = TextClassificationTrainingArguments(**common, precision=precision, **{**timed, **more})
        return TextClassificationTrainer(args=args, **given), collate
    args = TrainingArguments(
        **common, **more, bf16=HAS_GPU, save_strategy="no", logging_strategy="no", use_cpu=not HAS_GPU
    )
    return Trainer(args=args, **given), collate


def attention_of(contender: str) -> Any:
    """What takes the kernel away from the contender that has none."""
    if contender != "ours-padded":
        return contextlib.nullcontext()
    return mock.patch("hfbertcls.modeling.padding_free.flash_attention_serves", return_value=False)


def steps(shape: str, contender: str, options: argparse.Namespace, left: float) -> dict[str, Any]:
    """Time the steps of a contender."""
    name, batch = SHAPES[shape]
    first, last = (1, 4) if options.dry_run else (50, 350)
    batch = min(batch, 16) if options.dry_run else batch
    if contender.endswith("compiled"):
        torch._dynamo.reset()
    clock = Clock(first, last, time.monotonic() + min(40.0, left))
    rows = Rows(lengths_of(name, options), TINY["vocab_size"] if options.dry_run else 30_522)
    trainer, collate = trainer_of(contender, rows, batch, options, max_steps=last, callbacks=[clock])
    if HAS_GPU:
        torch.cuda.reset_peak_memory_stats()
    with attention_of(contender):
        trainer.train()
    begin, end = min(clock.times), max(clock.times)
    if begin == end:
        raise RuntimeError(f"{end} steps took all the time there was")
    seconds = clock.times[end] - clock.times[begin]
    tokens = sum(collate.tokens[begin:end])
    flops = training_flops(trainer.model, tokens, sum(collate.squares[begin:end]))
    return {
        "ms_per_step": 1_000 * seconds / (end - begin),
        "steps": end - begin,
        "tokens_per_second": tokens / seconds,
        "padding_fraction": 1 - tokens / sum(collate.positions[begin:end]),
        "utilisation": flops / seconds / peak(),
        "way": getattr(trainer, "padding_", "dynamic padding"),
        "peak_memory_bytes": peak_memory("cuda" if HAS_GPU else "cpu"),
    }


def peak() -> float:
    """Floating-point operations a second of large products in bf16 (on a CPU: in fp32)."""
    return measured_peak("cuda", torch.bfloat16) if HAS_GPU else measured_peak("cpu", torch.float32)


class Operators(TorchDispatchMode):
    """Counts the operators of PyTorch that are called."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Count one."""
        self.count += 1
        return func(*args, **(kwargs or {}))


def waits(contender: str, options: argparse.Namespace, _: float) -> dict[str, Any]:
    """How often the host waits for the device in one step, and how many kernels there are.

    Without a GPU: operators of a forward and backward pass on the meta device, where whatever waits for a number fails.
    """
    rows = Rows(lengths_of("sst2", options), TINY["vocab_size"] if options.dry_run else 30_522)
    model = model_of(contender, options)
    collate: Any = Collate()
    if contender.startswith("ours"):
        enable_padding_free(model)
        collate = WithLengths(collate)
    device = torch.device("cuda" if HAS_GPU else "meta")
    model.to(device).train()
    batch = {
        name: value.to(device) if isinstance(value, torch.Tensor) else value
        for name, value in collate([rows[number] for number in range(32)]).items()
    }
    if not HAS_GPU:
        with Operators() as operators:
            try:
                model(**batch).loss.backward()
            except (RuntimeError, NotImplementedError) as err:
                return {
                    "operators": operators.count,
                    "waits": "at least 1",
                    "reason": str(err).partition("\n")[0][:200],
                }
        return {"operators": operators.count, "waits": 0}
    with attention_of(contender):
        return counted_on_cuda(model, batch)


def counted_on_cuda(model: Any, batch: dict[str, Any]) -> dict[str, Any]:
    """Kernels, copies and waits of the fourth step on a batch."""
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)

    def step() -> None:
        with torch.autocast("cuda", torch.bfloat16):
            loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    for _ in range(3):
        step()
    torch.cuda.synchronize()
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        step()
    events = profile.events()
    on_device = [one for one in events if one.device_type == DeviceType.CUDA]
    return {
        "kernels": sum(not one.name.startswith(("Memcpy", "Memset")) for one in on_device),
        "copies_to_host": sum(one.name.startswith("Memcpy DtoH") for one in on_device),
        "waits": sum(one.name in WAITS for one in events),
    }


def whole_run(options: argparse.Namespace, left: float, ms_per_step: float) -> dict[str, Any]:
    """Train on all rows with SST-2's lengths, with evaluations and checkpoints; fewer epochs where time is short."""
    lengths = lengths_of("sst2", options)
    vocabulary = TINY["vocab_size"] if options.dry_run else 30_522
    of_epoch = -(-len(lengths) // 32) * ms_per_step / 1_000
    epochs = 1 if options.dry_run else max(1, min(3, int(0.8 * left / of_epoch)))
    rows, others = Rows(lengths, vocabulary), Rows(lengths[:872], vocabulary)
    began = time.perf_counter()
    more = {"eval_every": "epoch", "num_train_epochs": epochs, "logging_strategy": "steps", "logging_steps": 0.1}
    trainer, _ = trainer_of("ours", rows, 32, options, eval_dataset=others, **more)
    prepared = time.perf_counter()
    trainer.train()
    trained = time.perf_counter()
    metrics = trainer.evaluate()
    speed = trainer.speed()
    return {
        "epochs": epochs,
        "steps": trainer.state.global_step,
        "seconds": {
            "prepare": prepared - began,
            "train": trained - prepared,
            "evaluate": time.perf_counter() - trained,
        },
        "eval_loss": metrics["eval_loss"],
        "utilisation": speed["flop_utilisation"],
        **{name: speed[name] for name in ("examples_per_second", "tokens_per_second", "padding_fraction")},
    }


def main() -> int:
    """Do what is not in the file yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    options = parser.parse_args()
    if not HAS_GPU and not options.dry_run:
        parser.error("there is no CUDA here. Pass --dry-run to try every part with a tiny model")
    transformers.logging.set_verbosity_error()
    deadline = time.monotonic() + options.seconds
    lines = options.out.read_text(encoding="utf-8").splitlines() if options.out.is_file() else []
    done = {one["part"]: one for one in map(json.loads, lines) if "error" not in one}
    parts: dict[str, Any] = {}
    for contenders, counted in ((FIRST, FIRST), (LATER, ("ours-padded",))):
        for contender in contenders:
            parts |= {f"{shape} {contender}": partial(steps, shape, contender, options) for shape in SHAPES}
        parts |= {f"waits {contender}": partial(waits, contender, options) for contender in counted}
    parts["whole run"] = lambda left: whole_run(options, left, done.get("sst2-32 ours", {}).get("ms_per_step", 12.0))
    machine = {
        "device": torch.cuda.get_device_name() if HAS_GPU else "cpu",
        "peak_flops_per_second": peak(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "flash_dropout": HAS_GPU and flash_attention_serves(torch.empty(64, device="cuda", dtype=torch.bfloat16), 0.1),
        "lengths": "synthetic" if options.data is None else "of the data",
        "dry_run": options.dry_run,
    }
    with options.out.open("a", encoding="utf-8") as out:
        for part, do in parts.items():
            left = deadline - time.monotonic() - (SECONDS_OF_RUN if part != "whole run" else 0)
            if part in done:
                continue
            began = time.perf_counter()
            try:
                found = do(left) if left > 0 else {"error": "no time left"}
            except (RuntimeError, ImportError, ValueError, TypeError, AttributeError, LookupError, OSError) as err:
                found = {"error": f"{type(err).__name__}: {str(err)[:300]}"}
            done[part] = {"part": part, **found, "wall_seconds": time.perf_counter() - began, **machine}
            print(json.dumps(done[part]), file=out, flush=True)
            print(f"{part}: {json.dumps(found)}", file=sys.stderr, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
