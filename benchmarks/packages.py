"""What other packages, and ours, do in a turn of `peers.py`; run by the interpreter of the package's own environment.

    python packages.py TASK:PACKAGE:PRECISION MODEL_DIR ROWS.json [--cpu-time]

Nothing of hfbertcls is imported but by its own functions. Each function loads a model and returns what a turn does with texts and labels.
"""

import argparse
import itertools
import json
import os
import platform
import resource
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from turns import answer


BATCH, STEPS, SHOTS = 16, 20, 8


def train_hfbertcls(path, precision):
    """`TextClassificationTrainer`, as `hfbertcls train` sets it up."""
    import pyarrow as pa

    import hfbertcls
    from hfbertcls.data.dataset import TextSplit
    from hfbertcls.data.tokenization import tokenize_split
    from hfbertcls.modeling.loading import ModelSource, load_for_training, load_tokenizer
    from hfbertcls.tasks.single_label import SingleLabel

    source, task = ModelSource(path), SingleLabel(("0", "1"))
    tokenizer, model = load_tokenizer(source), load_for_training(source, task, seed=0).model

    def run(texts, labels):
        table = pa.table({"row": range(len(texts)), "text": texts, "label": [str(label) for label in labels]})
        split = tokenize_split(TextSplit("train", table, len(texts)), tokenizer, 512, task)
        args = hfbertcls.TextClassificationTrainingArguments(
            output_dir=tempfile.mkdtemp(), num_train_epochs=1, per_device_train_batch_size=BATCH, learning_rate=2e-5,
            precision=precision, eval_every="no", save_strategy="no", report_to="none",
        )  # fmt: skip
        given = {"model": model, "train_dataset": split.dataset, "processing_class": tokenizer}
        hfbertcls.TextClassificationTrainer(args=args, **given).train()

    return run


def predict_hfbertcls(path, precision):
    """What `hfbertcls predict` does with the texts of a chunk."""
    import torch
    from transformers import AutoModelForSequenceClassification

    from hfbertcls.data.tokenization import tokenize_texts
    from hfbertcls.modeling.engine import in_bf16, score
    from hfbertcls.modeling.lengths import reading_length
    from hfbertcls.modeling.loading import ModelSource, load_tokenizer

    model = AutoModelForSequenceClassification.from_pretrained(path).eval()
    tokenizer = load_tokenizer(ModelSource(path))
    length = reading_length(tokenizer, model.config)
    scorer = in_bf16(model) if precision == "bf16" else model

    @torch.inference_mode()
    def run(texts, _):
        score(scorer, tokenizer, tokenize_texts(texts, tokenizer, length))

    return run


def predict_hfbertcls_pipeline(path, _):
    """What a script does."""
    import hfbertcls

    answers = hfbertcls.load_pipeline(path, device="cpu")
    return lambda texts, _: answers(texts)


def train_sentence_transformers(path, precision):
    """`CrossEncoderTrainer` with its loss for classes, which takes pairs."""
    from datasets import Dataset
    from sentence_transformers.cross_encoder import CrossEncoder, CrossEncoderTrainer, CrossEncoderTrainingArguments

    model = CrossEncoder(path, num_labels=2)

    def run(texts, labels):
        rows = Dataset.from_dict({"text": texts, "second": [""] * len(texts), "label": labels})
        args = CrossEncoderTrainingArguments(
            output_dir=tempfile.mkdtemp(), num_train_epochs=1, per_device_train_batch_size=BATCH, use_cpu=True,
            bf16=precision == "bf16", save_strategy="no", report_to="none",
        )  # fmt: skip
        CrossEncoderTrainer(model=model, args=args, train_dataset=rows).train()

    return run


def predict_sentence_transformers(path, precision):
    """`CrossEncoder.predict`, which takes pairs."""
    from sentence_transformers import CrossEncoder

    dtype = {"fp32": "float32", "bf16": "bfloat16"}[precision]
    model = CrossEncoder(path, num_labels=2, device="cpu", model_kwargs={"dtype": dtype})
    return lambda texts, _: model.predict([(text, "") for text in texts])


def simpletransformers_model(path):
    """A classifier that writes into a folder of its own."""
    from simpletransformers.classification import ClassificationModel

    folder = tempfile.mkdtemp()
    args = {"train_batch_size": BATCH, "output_dir": folder, "cache_dir": folder, "tensorboard_dir": folder,
            "overwrite_output_dir": True, "no_save": True}  # fmt: skip
    return ClassificationModel("bert", path, num_labels=2, use_cuda=False, args=args)


def train_simpletransformers(path, _):
    """`ClassificationModel.train_model`, which pads to 128 tokens."""
    import pandas as pd

    model = simpletransformers_model(path)
    return lambda texts, labels: model.train_model(pd.DataFrame({"text": texts, "labels": labels}))


def predict_simpletransformers(path, _):
    """`ClassificationModel.predict`, which pads to 128 tokens."""
    model = simpletransformers_model(path)
    return lambda texts, _: model.predict(texts)


def train_setfit(path, _):
    """`Trainer` on a few texts for each label: pairs of them, then the head."""
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments

    model = SetFitModel.from_pretrained(path)

    def run(texts, labels):
        chosen = [
            row for label in (0, 1) for row in [row for row in range(len(texts)) if labels[row] == label][:SHOTS]
        ]
        rows = Dataset.from_dict({"text": [texts[row] for row in chosen], "label": [labels[row] for row in chosen]})
        args = TrainingArguments(output_dir=tempfile.mkdtemp(), batch_size=BATCH, save_strategy="no", report_to="none")
        Trainer(model=model, args=args, train_dataset=rows).train()

    return run


def predict_setfit(path, _):
    """`SetFitModel.predict`; the head is that of two texts."""
    from setfit import SetFitModel

    model = SetFitModel.from_pretrained(path)
    model.model_head.fit(model.encode(["good", "bad"]), [1, 0])
    return lambda texts, _: model.predict(texts)


def cpu_seconds() -> float:
    """Of all threads of this process, and of the processes that it started and that have ended."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def prepare(options):
    """For `turns.answer`: versions first; then the seconds of a turn's call and the milliseconds of its steps."""
    os.environ |= {"HF_HUB_OFFLINE": "1", "WANDB_MODE": "disabled"} | (
        {"OMP_NUM_THREADS": "1"} if options.cpu_time else {}
    )
    tempfile.tempdir = str(options.rows.parent)  # (the parent removes it)
    clock = cpu_seconds if options.cpu_time else time.perf_counter
    task, name, precision = options.contender.split(":")
    package = name.removesuffix("-pipeline")
    ready = {found: version(found) for found in (package, "torch", "transformers")} | {
        "python": platform.python_version()
    }
    load = globals()[f"{task}_{name.replace('-', '_')}"]
    rows = json.loads(options.rows.read_text())[task]
    ends: list[float] = []
    try:
        if package == "hfbertcls":
            from hfbertcls.cli import prepare_process

            prepare_process()
        from torch.optim.optimizer import register_optimizer_step_post_hook

        register_optimizer_step_post_hook(lambda *_: ends.append(clock()))
        run = load(options.model, precision)
        if task == "predict":
            run(rows["text"][:32], None)
    except ImportError as err:
        return ready | {"error": f"{type(err).__name__}: {err}"}, lambda _: None

    def take_turn(turn):
        own = slice(turn * (STEPS + 1) * BATCH, (turn + 1) * (STEPS + 1) * BATCH) if task == "train" else slice(None)
        this = load(options.model, precision) if task == "train" else run
        ends.clear()
        began = clock()
        this(rows["text"][own], rows["label"][own])
        seconds = clock() - began
        return {"seconds": seconds, "steps": [1_000 * (end - start) for start, end in itertools.pairwise(ends)]}

    return ready, take_turn


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("contender")
    parser.add_argument("model")
    parser.add_argument("rows", type=Path)
    parser.add_argument("--cpu-time", action="store_true")
    options = parser.parse_args()
    answer(lambda: prepare(options))
