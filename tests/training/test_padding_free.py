"""Training without padding: the batches and the loss curve of the stock trainer; the method is logged."""

import pytest
import torch
from tiny import arguments, rows, weights
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    MPNetConfig,
    MPNetForSequenceClassification,
    Trainer,
    TrainingArguments,
)

from hfbertcls import TextClassificationTrainer
from hfbertcls.modeling.padding_free import is_padding_free


def ragged(count: int):
    """Rows of 2 to 30 tokens."""
    data = rows(count, length=30, seed=3)
    lengths = [2 + (7 * index) % 29 for index in range(count)]
    data = data.map(lambda row, index: {"input_ids": row["input_ids"][: lengths[index]]}, with_indices=True)
    return data.add_column("attention_mask", [[1] * length for length in lengths]).add_column("length", lengths)


def pad(features):
    longest = max(len(feature["input_ids"]) for feature in features)
    filled = {
        name: torch.tensor([feature[name] + [0] * (longest - len(feature[name])) for feature in features])
        for name in ("input_ids", "attention_mask")
    }
    return {**filled, "labels": torch.tensor([feature["labels"] for feature in features])}


def classifier(dropout: float = 0.0):
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=40, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=32, num_labels=2, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout,
    )  # fmt: skip
    return BertForSequenceClassification(config)


SETTINGS = {
    "max_steps": 50, "logging_steps": 1, "learning_rate": 1e-3, "per_device_train_batch_size": 16, "seed": 5,
    "weight_decay": 0.01, "warmup_steps": 5,
}  # fmt: skip


def losses(trainer) -> torch.Tensor:
    return torch.tensor([entry["loss"] for entry in trainer.state.log_history if "loss" in entry])


def test_fifty_steps_give_the_loss_curve_of_the_stock_trainer(tmp_path):
    data = ragged(300)
    args = TrainingArguments(str(tmp_path / "stock"), **SETTINGS, use_cpu=True, report_to="none", disable_tqdm=True)
    plain = classifier()
    stock = Trainer(plain, args, pad, data)
    stock.train()
    args = arguments(tmp_path, **SETTINGS, eval_every="no", train_sampling_strategy="auto")
    trainer = TextClassificationTrainer(classifier(), args, pad, data)
    trainer.train()
    assert is_padding_free(trainer.model)
    assert 0 <= trainer.throughput.padding_fraction < 0.03
    assert len(losses(trainer)) == 50
    torch.testing.assert_close(losses(trainer), losses(stock), rtol=0, atol=1e-4)
    for name, value in weights(plain).items():
        torch.testing.assert_close(weights(trainer.model)[name], value, rtol=0, atol=2e-3)


@pytest.mark.parametrize(
    ("model", "changes", "way", "order"),
    [
        (classifier, {}, "texts end to end, with next to no padding", "random"),
        (
            classifier,
            {"padding_free": False},
            "padded batches of texts of like length (as requested)",
            "group_by_length",
        ),
        (
            classifier,
            {"padding_free": False, "train_sampling_strategy": "random"},
            "padded batches (as requested)",
            "random",
        ),
        (
            classifier,
            {"train_sampling_strategy": "group_by_length"},
            "texts end to end, with next to no padding",
            "group_by_length",
        ),
        (
            lambda: MPNetForSequenceClassification(
                MPNetConfig(
                    vocab_size=40, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64
                )
            ),
            {},
            "padded batches of texts of like length (its attention has a position bias of its own)",
            "group_by_length",
        ),
    ],
)
def test_the_method_is_chosen_and_logged(tmp_path, model, changes, way, order):
    args = arguments(tmp_path, eval_every="no", **{"train_sampling_strategy": "auto", **changes})
    trainer = TextClassificationTrainer(model(), args, pad, ragged(32))
    assert trainer.padding_ == way
    assert args.train_sampling_strategy == order


def test_models_made_by_model_init_run_without_padding_too(tmp_path):
    args = arguments(tmp_path, eval_every="no", max_steps=2, train_sampling_strategy="auto")
    trainer = TextClassificationTrainer(None, args, pad, ragged(64), model_init=lambda: classifier())
    trainer.train()
    assert is_padding_free(trainer.model)


def test_dropout_is_drawn_again_from_the_same_seed(tmp_path):
    curves = []
    for name in ("one", "two"):
        args = arguments(tmp_path / name, **{**SETTINGS, "max_steps": 5}, eval_every="no")
        trainer = TextClassificationTrainer(classifier(0.2), args, pad, ragged(100))
        trainer.train()
        curves.append(losses(trainer).tolist())
    assert len(curves[0]) == 5
    assert curves[0] == curves[1]
