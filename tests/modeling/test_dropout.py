"""Our dropout: the requested distribution, from PyTorch's seed."""

import numpy as np
import pytest
import torch

from hfbertcls.modeling.attention import bucketed_attention, rounded_up
from hfbertcls.modeling.dropout import FastDropout, keep_mask


@pytest.mark.parametrize("probability", [0.05, 0.1, 0.5, 0.9])
def test_as_many_elements_are_dropped_as_asked_for(probability):
    torch.manual_seed(0)
    kept = keep_mask((1000, 1000), probability, torch.float32)
    assert set(kept.unique().tolist()) == {0.0, 1.0}
    assert abs(kept.mean().item() - (1 - probability)) < 4 * (probability * (1 - probability) / 1e6) ** 0.5 + 1 / 32768


def test_neighbours_are_independent():
    torch.manual_seed(0)
    kept = keep_mask((4_000_000,), 0.5, torch.float64) - 0.5
    for lag in (1, 2, 3, 4, 8):
        assert abs((kept[:-lag] * kept[lag:]).mean().item()) < 5 * 0.25 / 4e6**0.5


def test_it_follows_the_seed_of_pytorch():
    torch.manual_seed(3)
    first, second = keep_mask((100,), 0.5, torch.float32), keep_mask((100,), 0.5, torch.float32)
    torch.manual_seed(3)
    assert torch.equal(keep_mask((100,), 0.5, torch.float32), first)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_expected_value_stays_and_the_gradient_follows_the_same_mask(dtype):
    torch.manual_seed(0)
    values = torch.full((400_000,), 2.0, dtype=dtype, requires_grad=True)
    layer = FastDropout(0.1)
    result = layer(values)
    assert abs(result.float().mean().item() - 2) < 0.01
    assert set(result.float().unique().tolist()) == {0.0, torch.tensor(2 / 0.9, dtype=dtype).item()}
    (gradient,) = torch.autograd.grad(result.sum(), values)
    assert torch.equal(gradient == 0, result == 0)
    layer.train(False)
    assert torch.equal(layer(values), values)


def test_attention_with_dropout_is_that_of_the_formula():
    """Drawn again from the same seed, the mask put into the formula gives the same result and gradients."""
    torch.manual_seed(0)
    query, key, value = (torch.randn(9, 2, 4, dtype=torch.float64, requires_grad=True) for _ in range(3))
    torch.manual_seed(7)
    output = bucketed_attention(query, key, value, (9,), 0.3, 0.5, None)
    torch.manual_seed(7)
    kept = keep_mask((2, 16, 16), 0.3, torch.float64)[:, :9, :9]  # (as it is computed: 9 tokens as 16)
    weights = torch.softmax(0.5 * query.transpose(0, 1) @ key.transpose(0, 1).transpose(1, 2), -1) * kept / 0.7
    expected = (weights @ value.transpose(0, 1)).transpose(0, 1)
    torch.testing.assert_close(output, expected)
    above = torch.randn_like(output)
    for one, other in zip(
        torch.autograd.grad(output, (query, key, value), above),
        torch.autograd.grad(expected, (query, key, value), above),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def test_there_are_few_sizes_and_little_padding():
    assert [rounded_up(count) for count in (1, 8, 9, 208, 300, 4_400)] == [8, 8, 16, 208, 304, 4_608]
    sizes = range(64, 9_000)
    assert all(count <= rounded_up(count) <= 1.13 * count for count in sizes)
    assert np.mean([rounded_up(count) / count for count in sizes]) < 1.03
    assert len({rounded_up(count) for count in sizes}) < 140


def test_tokens_behind_the_last_text_have_no_part_in_anything():
    torch.manual_seed(0)
    states = [torch.randn(24, 2, 4, requires_grad=True) for _ in range(3)]
    output = bucketed_attention(*states, (9, 4), 0.0, 0.5, None)
    alone = bucketed_attention(*[one[:13] for one in states], (9, 4), 0.0, 0.5, None)
    torch.testing.assert_close(output[:13], alone)
    assert not output[13:].any()
    for gradient in torch.autograd.grad(output.square().sum(), states):
        assert gradient[:13].any()
        assert not gradient[13:].any()


def test_backward_through_buckets_passes_a_numerical_check():
    torch.manual_seed(0)
    states = [torch.randn(19, 2, 3, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    for window in (None, 2):
        torch.autograd.gradcheck(lambda *s, w=window: bucketed_attention(*s, (5, 3, 5, 6), 0.0, 0.6, w), states)
