"""Training FLOPs are those that PyTorch counts; the peak of the device is measured."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from hfbertcls.modeling.flops import measured_peak, peak_memory, training_flops


SIZES = {
    "vocab_size": 40, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 128,
    "max_position_embeddings": 80, "attn_implementation": "eager",
}  # fmt: skip
DISTIL = {"vocab_size": 40, "dim": 64, "n_layers": 3, "n_heads": 4, "hidden_dim": 128, "attn_implementation": "eager"}
MODELS = {
    "bert": lambda: BertForSequenceClassification(BertConfig(**SIZES)),
    "roberta": lambda: RobertaForSequenceClassification(RobertaConfig(**SIZES)),
    "distilbert": lambda: DistilBertForSequenceClassification(DistilBertConfig(**DISTIL)),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("length", [8, 64])
def test_the_formula_gives_what_pytorch_counts(name, length):
    model = MODELS[name]()
    ids = torch.randint(5, 40, (6, length))
    with FlopCounterMode(display=False) as counter:
        model(
            input_ids=ids, attention_mask=torch.ones_like(ids), labels=torch.zeros(6, dtype=torch.int64)
        ).loss.backward()
    assert training_flops(model, 6 * length, 6 * length**2) == pytest.approx(counter.get_total_flops(), rel=0.05)


def test_peak_and_memory_are_measured():
    assert 1e8 < measured_peak("cpu", torch.float32) < 1e15
    assert measured_peak("cpu", torch.float32) == measured_peak("cpu", torch.float32)
    before = peak_memory("cpu")
    block = torch.ones(50_000_000)
    after = peak_memory("cpu")
    assert before is not None
    assert after is not None
    assert before > 10_000_000
    assert after >= max(before, block.numel() * 4)


def test_a_run_states_its_speed(finished_run):
    import json

    training = json.loads((finished_run / "report.json").read_text())["training"]
    assert 0 < training["flop_utilisation"] < 1
    assert training["peak_memory_bytes"] > 100_000_000
    assert 0 <= training["padding_fraction"] < 0.05
    seconds = training["seconds"]
    assert training["examples_per_second"] == pytest.approx(20 * 32 / seconds, rel=0.1)
    card = (finished_run / "README.md").read_text()
    assert "GB of memory at most." in card
    events = [json.loads(line) for line in (finished_run / "metrics.jsonl").read_text().splitlines()]
    logged = [event["values"] for event in events if event["split"] == "train"]
    assert all({"tokens_per_second", "flop_utilisation", "peak_memory_bytes"} <= values.keys() for values in logged)
