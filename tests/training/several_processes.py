"""A script of a user with a trainer, for one process or several: each case of `CASES`, and what came out of it.

torchrun --nproc-per-node 2 several_processes.py FOLDER CASE...
"""

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from tiny import arguments, tiny_classifier
from torch.distributed.tensor import DTensor
from transformers import DataCollatorWithPadding
from transformers import PreTrainedTokenizerFast as Tokenizer

from hfbertcls import TextClassificationTrainer, processes
from hfbertcls.tasks.single_label import SingleLabel
from hfbertcls.training.losses import LabelLoss


def uneven_rows(count: int, seed: int = 0, form: str = "one label") -> datasets.Dataset:
    """Rows of 4 to 12 tokens."""
    generator = np.random.default_rng(seed)
    columns: dict[str, list[Any]] = {"input_ids": [], "attention_mask": [], "labels": [], "length": []}
    if form == "pairs":
        columns["token_type_ids"] = []
    for _ in range(count):
        length = int(generator.integers(4, 13))
        ids = generator.integers(5, 40, length)
        label = int((ids > 22).sum() > length // 2)
        columns["input_ids"].append(ids.tolist())
        columns["attention_mask"].append([1] * length)
        columns["length"].append(length)
        columns["labels"].append([float(label), float(ids[0] > 22)] if form == "multi-label" else label)
        if form == "pairs":
            columns["token_type_ids"].append([0] * (length // 2) + [1] * (length - length // 2))
    return datasets.Dataset.from_dict(columns)


CASES: dict[str, dict[str, Any]] = {
    "whole batches": {"rows": 64, "batch": 8},
    "an uneven end": {"rows": 61, "batch": 8},
    "a process without rows at the end": {"rows": 33, "batch": 8},
    "accumulation": {"rows": 75, "batch": 4, "gradient_accumulation_steps": 2},
    "an odd number of rows": {"rows": 70, "batch": 5, "gradient_accumulation_steps": 3},
    "padded batches grouped by length": {"rows": 90, "batch": 4, "padding_free": False, "train_sampling_strategy": "group_by_length"},
    "random order": {"rows": 61, "batch": 4, "train_sampling_strategy": "random"},
    "multi-label": {"rows": 61, "batch": 4, "form": "multi-label"},
    "pairs": {"rows": 61, "batch": 4, "form": "pairs"},
    "class weights": {"rows": 61, "batch": 4, "weights": (1.0, 3.0), "gradient_accumulation_steps": 2},
    "incomplete batches dropped": {"rows": 61, "batch": 8, "dataloader_drop_last": True},
    "memory is short in the second process": {"rows": 61, "batch": 8, "try_longest_batch_first": True, "is_short": True},
    "a loss of one's own": {"rows": 61, "batch": 4, "own_loss": True},
}  # fmt: skip


def tokenizer() -> Tokenizer:
    from tokenizers import Tokenizer as Words
    from tokenizers.models import WordLevel

    words = {"[PAD]": 0, "[UNK]": 1, **{f"w{number}": number for number in range(2, 40)}}
    return Tokenizer(tokenizer_object=Words(WordLevel(words, "[UNK]")), pad_token="[PAD]", unk_token="[UNK]")


def _refuse_three_rows(model: Any, arguments: Any, keywords: dict[str, Any]) -> None:
    if len(keywords["input_ids"]) > 2:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")


def sum_over_rows(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
    """As the documentation of transformers says."""
    return torch.nn.functional.cross_entropy(outputs["logits"], labels, reduction="sum") / num_items_in_batch


def trainer_of(case: str, folder: Path, of: int = 1, **changes: Any) -> TextClassificationTrainer:
    """The trainer of a case, with the rows of an update that `of` processes have together."""
    values = dict(CASES[case]) | changes
    count, batch, form = values.pop("rows"), values.pop("batch"), values.pop("form", "one label")
    weights, own = values.pop("weights", None), values.pop("own_loss", False)
    model = tiny_classifier(dropout=values.pop("dropout", 0.0))
    is_short = values.pop("is_short", False)
    if form == "multi-label":
        model.config.problem_type = "multi_label_classification"
    args = arguments(
        folder,
        per_device_train_batch_size=batch * of,
        per_device_eval_batch_size=7,
        num_train_epochs=2,
        logging_steps=1,
        **values,
    )
    loss = (
        sum_over_rows if own else None if weights is None else LabelLoss(SingleLabel(("LABEL_0", "LABEL_1")), weights)
    )
    trainer = TextClassificationTrainer(
        model,
        args,
        DataCollatorWithPadding(tokenizer()),
        uneven_rows(count, form=form),
        uneven_rows(23, seed=1, form=form),
        compute_loss_func=loss,
    )
    if is_short and processes.rank() == 1:
        model.register_forward_pre_hook(_refuse_three_rows, with_kwargs=True, prepend=True)
    return trainer


def whole_weights(trainer: TextClassificationTrainer) -> dict[str, torch.Tensor]:
    """The weights, gathered where they are divided."""
    return {
        name: value.full_tensor() if isinstance(value, DTensor) else value
        for name, value in trainer.model.state_dict().items()
    }


def outcome(trainer: TextClassificationTrainer) -> dict[str, Any]:
    """What training came to: losses, validation metrics, and the weights."""
    trainer.train()
    names = ("loss", "grad_norm", "eval_loss", "eval_accuracy", "eval_f1_macro", "step")
    return {
        "log": [{name: one[name] for name in names if name in one} for one in trainer.state.log_history],
        "weights": {name: value.flatten().tolist() for name, value in whole_weights(trainer).items()},
        "rows": trainer.throughput.all_["rows_"],
        "tokens": trainer.throughput.all_["tokens_"],
        "rows_at_a_time": trainer.part_size.rows_,
        "find_unused": None
        if trainer.accelerator.ddp_handler is None
        else trainer.accelerator.ddp_handler.find_unused_parameters,
    }


def main(folder: Path, cases: list[str]) -> None:
    """Write `CASE.json` for each case, from the first process."""
    for case in cases:
        found = outcome(trainer_of(case, folder / case.replace(" ", "-")))
        if processes.is_first():
            (folder / f"{case}.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    warnings.simplefilter("error")
    main(Path(sys.argv[1]), sys.argv[2:])
