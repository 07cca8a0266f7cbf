"""A classifier of a few thousand weights, and random rows for it."""

from pathlib import Path

import datasets
import torch
from transformers import BertConfig, BertForSequenceClassification, set_seed

from hfbertcls import TextClassificationTrainingArguments


TIMES = (
    "runtime", "samples_per_second", "steps_per_second", "examples_per_second", "tokens_per_second", "flop_utilisation",
    "peak_flops_per_second", "peak_memory_bytes",
)  # fmt: skip
"""Values of `metrics.jsonl` that depend on the machine and on what else it does."""


def tiny_classifier(dropout: float = 0.1, num_labels: int = 2) -> BertForSequenceClassification:
    set_seed(0)
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=40,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=32,
            num_labels=num_labels,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
        )
    )


def rows(count: int, length: int = 6, seed: int = 0) -> datasets.Dataset:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, 40, (count, length), generator=generator)
    labels = (ids > 22).sum(dim=1) > length // 2
    return datasets.Dataset.from_dict({"input_ids": ids.tolist(), "labels": labels.long().tolist()})


def arguments(tmp_path: Path, **changes) -> TextClassificationTrainingArguments:
    values = {
        "output_dir": str(tmp_path / "out"),
        "precision": "fp32",
        "num_train_epochs": 1,
        "learning_rate": 1e-3,
        "per_device_train_batch_size": 16,
        "eval_every": "epoch",
    }
    return TextClassificationTrainingArguments(**{**values, "train_sampling_strategy": "sequential", **changes})


def weights(model) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
