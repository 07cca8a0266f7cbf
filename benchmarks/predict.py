"""Texts per second of a classifier, beside everyone else: the contenders take turns, several rounds, on the same rows.

    python benchmarks/predict.py --data DIR --model MODEL_DIR sst2
    python benchmarks/predict.py --data DIR --model MODEL_DIR bbc_news --onnx-fp32 a.onnx --onnx-int8 b.onnx

DIR holds one folder for each name, with a test file; MODEL_DIR a sequence classifier (its answers may be worth nothing).
Each contender lives in a process of its own, and only one computes at a time. A turn is from texts to logits or labels,
tokenisation included; texts are cut where the model ends. `bf16` of the pipeline is a model loaded with that `dtype`, ours
is `predict --precision bf16`. The limit is the matrix products of the linear layers on the real tokens, nothing else.
"""

import argparse
import os
import platform
import sys
import time
from pathlib import Path

from turns import answer, rates_table, take_turns


BATCH = 32
CONTENDERS = {  # (what it is, share of the rows that its turn takes)
    "single-fp32": ("pipeline(), one by one, fp32", 0.15),
    "batched-fp32": ("pipeline(batch_size=32), fp32", 0.15),
    "sorted-fp32": ("the same, sorted by length, fp32", 0.5),
    "onnx-fp32": ("onnxruntime, sorted, batches of 32, fp32", 0.5),
    "ours-fp32": ("hfbertcls, fp32", 1),
    "products-fp32": ("matrix products alone, fp32", 1),
    "single-bf16": ("pipeline(), one by one, bf16", 0.15),
    "batched-bf16": ("pipeline(batch_size=32), bf16", 0.15),
    "sorted-bf16": ("the same, sorted by length, bf16", 0.5),
    "onnx-int8": ("onnxruntime, sorted, batches of 32, int8", 0.5),
    "ours-bf16": ("hfbertcls, bf16", 1),
    "products-bf16": ("matrix products alone, bf16", 1),
}


def texts_of(options) -> list[str]:
    """Rows of the test split, drawn once for all contenders."""
    import numpy as np

    from hfbertcls import load_text_dataset

    texts = load_text_dataset(str(options.data / options.name), make_splits=False).splits["test"].texts
    return [texts[row] for row in np.random.default_rng(0).permutation(len(texts))[: options.rows]]


def pipeline_of(options):
    """What transformers offers: one by one, in batches, or in batches of similar length."""
    import torch
    from transformers import pipeline

    kind, precision = options.worker.split("-")
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    answer = pipeline("text-classification", model=options.model, truncation=True, dtype=dtype, device="cpu")

    def run(texts):
        if kind == "sorted":
            texts = sorted(texts, key=len)
        answer(texts, batch_size=1 if kind == "single" else BATCH)

    return run


def onnx_of(options):
    """ONNX Runtime, sorted by length, in batches."""
    import onnxruntime
    from transformers import AutoConfig

    from hfbertcls.modeling.lengths import reading_length
    from hfbertcls.modeling.loading import ModelSource, load_tokenizer

    file = options.onnx_int8 if options.worker.endswith("int8") else options.onnx_fp32
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    tokenizer = load_tokenizer(ModelSource(options.model))
    length = reading_length(tokenizer, AutoConfig.from_pretrained(options.model))

    def run(texts):
        texts = sorted(texts, key=len)
        for start in range(0, len(texts), BATCH):
            given = {"padding": True, "truncation": True, "max_length": length, "return_tensors": "np"}
            batch = tokenizer(texts[start : start + BATCH], **given)
            session.run(None, {name: batch[name].astype("int64") for name in names})

    return run


def ours_of(options):
    """What `hfbertcls predict` does with the texts of a chunk; or the products alone, timed without the rest."""
    import torch
    from torch.nn.functional import linear
    from transformers import AutoModelForSequenceClassification

    from hfbertcls.cli import prepare_process
    from hfbertcls.data.tokenization import tokenize_texts
    from hfbertcls.modeling.engine import batches_by_length, in_bf16, score
    from hfbertcls.modeling.lengths import reading_length
    from hfbertcls.modeling.loading import ModelSource, load_tokenizer

    prepare_process()
    kind, precision = options.worker.split("-")
    model = AutoModelForSequenceClassification.from_pretrained(options.model).eval()
    tokenizer = load_tokenizer(ModelSource(options.model))
    length = reading_length(tokenizer, model.config)
    bf16 = precision == "bf16"
    dtype = torch.bfloat16 if bf16 else torch.float32
    scorer = in_bf16(model) if bf16 else model
    layers = [weight.detach().to(dtype) for name, weight in model.named_parameters()
              if ".layer." in name and weight.ndim == 2]  # fmt: skip

    def run(texts):
        score(scorer, tokenizer, tokenize_texts(texts, tokenizer, length))

    def products(texts):
        import numpy as np

        lengths = np.asarray(tokenize_texts(texts, tokenizer, length).dataset["length"])
        seconds = 0.0
        for positions in batches_by_length(lengths):
            sizes = {weight.shape[1] for weight in layers}
            inputs = {size: torch.randn(int(lengths[positions].sum()), size).to(dtype) for size in sizes}
            began = time.perf_counter()
            for weight in layers:
                linear(inputs[weight.shape[1]], weight)
            seconds += time.perf_counter() - began
        return seconds

    return run if kind == "ours" else products


def prepare(options):
    """For `turns.answer`: the number of texts in a turn, and the seconds of one."""
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    if options.threads:
        torch.set_num_threads(options.threads)
    texts = texts_of(options)
    texts = texts[: max(BATCH, round(CONTENDERS[options.worker][1] * len(texts)))]
    kind = options.worker.split("-")[0]
    run = {"onnx": onnx_of, "ours": ours_of, "products": ours_of}.get(kind, pipeline_of)(options)

    @torch.inference_mode()
    def take_turn(texts):
        began = time.perf_counter()
        seconds = run(texts)
        return seconds or time.perf_counter() - began

    take_turn(texts[:BATCH])
    return len(texts), lambda _: take_turn(texts)


def main() -> None:
    """Let the contenders take turns and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--onnx-fp32", type=Path)
    parser.add_argument("--onnx-int8", type=Path)
    parser.add_argument("--rows", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, help="of torch; ONNX Runtime keeps its own default")
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--worker", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker is not None:
        answer(lambda: prepare(options))
        return
    without = {name for name in ("onnx-fp32", "onnx-int8") if getattr(options, name.replace("-", "_")) is None}
    load = os.getloadavg()[0]
    rates: dict[str, list[float]] = {}
    commands = {name: [sys.executable, *sys.argv, "--worker", name] for name in options.only if name not in without}
    for turn, name, rows, seconds in take_turns(commands, options.rounds, lambda *_: None):
        rates.setdefault(name, []).append(rows / seconds)
        print(f"round {turn + 1}: {name} {rates[name][-1]:,.1f} texts/s", file=sys.stderr, flush=True)
    import torch
    import transformers

    print(f"Python {platform.python_version()}, torch {torch.__version__}, transformers {transformers.__version__}, "
          f"{options.threads or torch.get_num_threads()} threads; {options.name}, {options.rows} rows of its test split; "
          f"load {load:.1f} at the beginning, {os.getloadavg()[0]:.1f} at the end\n")  # fmt: skip
    titles = {name: title for name, (title, _) in CONTENDERS.items()}
    print(
        rates_table("contender", titles, rates, lambda name: "ours-fp32" if name.endswith("fp32") else "ours-bf16", 1)
    )


if __name__ == "__main__":
    main()
