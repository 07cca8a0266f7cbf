"""The kernel with dropout is used where a trial shows that it drops weights, scales the others, and does both in the gradient."""

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from hfbertcls.modeling import flash_attention, padding_free
from hfbertcls.modeling.flash_attention import drops_weights_rightly, flash_attention_serves
from hfbertcls.modeling.layout import LENGTHS


def in_steps(states, layout, dropout, scale, drop=lambda weights, dropout: torch.dropout(weights, dropout, True)):
    """Attention within each text, one after the other."""
    outputs = []
    for query, key, value in zip(*(torch.split(one, list(layout.lengths)) for one in states), strict=True):
        query, key, value = (one.transpose(0, 1).float() for one in (query, key, value))
        weights = torch.softmax(query @ key.transpose(1, 2) * scale, dim=-1)
        outputs.append((drop(weights, dropout) @ value).transpose(0, 1))
    return torch.cat(outputs).to(states[0].dtype)


class OtherWeightsBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weights, dropout):
        return torch.dropout(weights, dropout, True)

    @staticmethod
    def backward(ctx, gradient):
        return torch.dropout(gradient, 0.5, True), None


def leaking(states, layout, dropout, scale):
    """As if all texts were one."""
    return in_steps(states, type(layout)((layout.tokens,)), dropout, scale)


WRONG = {
    "no dropout": lambda states, layout, dropout, scale: in_steps(states, layout, 0.0, scale),
    "too much": lambda states, layout, dropout, scale: in_steps(states, layout, 0.8, scale),
    "not scaled": lambda states, layout, dropout, scale: in_steps(states, layout, dropout, scale) / 2,
    "another scale": lambda states, layout, dropout, scale: in_steps(states, layout, dropout, 2 * scale),
    "others in the gradient": lambda *given: in_steps(*given, drop=OtherWeightsBackward.apply),
    "from text to text": leaking,
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_attention_as_defined_passes_the_trial(dtype):
    for seed in range(10):
        torch.manual_seed(seed)
        assert drops_weights_rightly(in_steps, torch.device("cpu"), dtype)


@pytest.mark.parametrize("mistake", WRONG)
def test_a_mistake_fails_the_trial(mistake):
    torch.manual_seed(0)
    assert not drops_weights_rightly(WRONG[mistake], torch.device("cpu"), torch.bfloat16)


def test_other_devices_are_not_tried():
    assert not flash_attention_serves(torch.empty(64, dtype=torch.bfloat16), 0.1)


@pytest.mark.parametrize("passes", [True, False])
def test_on_cuda_dropout_needs_the_trial(passes, monkeypatch):
    class Query:
        device, shape = torch.device("cuda", 0), (10, 2, 64)

        def __init__(self, dtype):
            self.dtype = dtype

    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(flash_attention, "_passes_on", lambda device, dtype: passes)
    half, full = Query(torch.bfloat16), Query(torch.float32)
    assert [flash_attention_serves(half, dropout) for dropout in (0.0, 0.1)] == [True, passes]
    assert not flash_attention_serves(full, 0.1)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert not flash_attention_serves(half, 0.0)


def test_where_the_operator_fails_padded_attention_serves_and_no_random_number_is_drawn():
    before = torch.get_rng_state()
    assert not flash_attention._passes_on("cpu", torch.bfloat16)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_step_with_the_kernel_has_all_gradients(monkeypatch):
    """On the device `meta`, which knows the shapes of what the kernel returns."""
    monkeypatch.setattr(padding_free, "flash_attention_serves", lambda query, dropout: dropout > 0)
    config = BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
    model = BertForSequenceClassification(config)
    padding_free.enable_padding_free(model)
    model.to("meta").train()
    names = ("input_ids", "attention_mask")
    batch = {name: torch.ones(2, 9, dtype=torch.long, device="meta") for name in names}
    model(**batch, labels=torch.zeros(2, dtype=torch.long, device="meta"), **{LENGTHS: (9, 4)}).loss.backward()
    assert all(one.grad is not None for name, one in model.named_parameters() if "key.bias" not in name)
