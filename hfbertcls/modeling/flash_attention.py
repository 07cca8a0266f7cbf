"""Attention within texts that lie end to end, by PyTorch's FlashAttention kernel, on CUDA.

PyTorch's public function for it (`torch.nn.attention.varlen`) has no dropout. The operator below it has; nested tensors
use it. It is tried once on each device, forward and backward, and not used where the trial fails.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from hfbertcls.modeling.layout import TextLayout


Attention = Callable[[list[torch.Tensor], TextLayout, float, float], torch.Tensor]
"""Called with query, key and value of shape `(tokens, heads, size)`, where the texts lie, dropout and scale."""
_SIZES = 8
"""The size of a head must be a multiple of this."""
_TOLERANCE = 0.05
"""Of the trial, relative: bf16 has 8 bits."""


def flash_attention_serves(query: torch.Tensor, dropout: float) -> bool:
    """Whether the kernel takes these states: bf16 or fp16 on CUDA from Ampere (sm80) on.

    Args:
        query: of any shape that ends with the size of a head.
        dropout: fraction of the attention weights that is dropped.
    """
    if query.device.type != "cuda" or query.dtype not in (torch.bfloat16, torch.float16) or query.shape[-1] % _SIZES:
        return False
    if torch.cuda.get_device_capability(query.device) < (8, 0):
        return False
    return dropout == 0 or _passes_on(str(query.device), query.dtype)


def flash_attention(
    states: list[torch.Tensor], layout: TextLayout, dropout: float, scale: float, window: int | None = None
) -> torch.Tensor:
    """Attention within each text, of shape `(tokens, heads, size)`.

    Args:
        states: query, key and value, each of shape `(tokens, heads, size)`.
        layout: where the texts lie.
        dropout: fraction of the attention weights that is dropped.
        scale: of the scores.
        window: how far a token sees in either direction; None: the whole text.
    """
    boundaries, longest = layout.boundaries(states[0].device), layout.longest
    sides = (-1, -1) if window is None else (window, window)
    if dropout == 0:
        from torch.nn.attention.varlen import varlen_attn  # noqa: PLC0415  (only where there is CUDA)

        attend: Any = varlen_attn  # (its annotation covers the variant that returns two tensors, too)
        result: torch.Tensor = attend(
            *states, boundaries, boundaries, longest, longest, scale=scale, window_size=sides
        )
        return result
    output: torch.Tensor = torch.ops.aten._flash_attention_forward(
        *states,
        boundaries,
        boundaries,
        longest,
        longest,
        dropout,
        False,  # (it is not causal)
        False,  # (no mask for debugging)
        scale=scale,
        window_size_left=sides[0],
        window_size_right=sides[1],
    )[0]
    return output


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]  # (a compiled step does not contain the trial)
@cache
def _passes_on(device: str, dtype: torch.dtype) -> bool:
    """Whether the operator exists in this PyTorch and drops weights as it should on this device."""
    place = torch.device(device)
    drawing = [place] if place.type == "cuda" else []
    try:
        with torch.random.fork_rng(drawing), torch.enable_grad():  # (a resumed run draws what it would have drawn)
            return drops_weights_rightly(flash_attention, place, dtype)
    except (AttributeError, RuntimeError, TypeError):
        return False


def drops_weights_rightly(attention: Attention, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether dropout sets about the asked-for part of the weights to zero, scales the others, and does both in the gradient too.

    The values are unit vectors, so that the output shows the weights. Output and gradients are compared with attention
    that is computed step by step in fp32 with the same weights dropped.

    Args:
        attention: to be tried.
        device: to try it on.
        dtype: of query, key and value.
    """
    layout, probability, size = TextLayout((5, 12, 16)), 0.5, 16
    generator = torch.Generator().manual_seed(0)
    query, key, given = (torch.randn(layout.tokens, 2, size, generator=generator) for _ in range(3))
    value = torch.cat([torch.eye(size)[:length] for length in layout.lengths])[:, None].expand(-1, 2, -1)
    tried = [one.to(device, dtype, copy=True).requires_grad_() for one in (query, key, value)]
    exact = [one.detach().float().cpu().requires_grad_() for one in tried]
    output = attention(tried, layout, probability, size**-0.5)
    gradients = torch.autograd.grad(output, tried, given.to(device, dtype))
    shown = output.detach().float().cpu()
    parts, kept, lengths = [], 0, list(layout.lengths)
    for q, k, v, weights in zip(*(torch.split(one, lengths) for one in (*exact, shown)), strict=True):
        q, k, v = (one.transpose(0, 1) for one in (q, k, v))
        mask = (weights[..., : len(weights)] != 0).transpose(0, 1)
        kept += int(mask.sum())
        probabilities = torch.softmax(q @ k.transpose(1, 2) * size**-0.5, dim=-1)
        parts.append((probabilities * mask / (1 - probability) @ v).transpose(0, 1))
    expected = torch.cat(parts)
    wanted = torch.autograd.grad(expected, exact, given)
    weights_of_all = 2 * sum(length**2 for length in layout.lengths)
    return abs(kept / weights_of_all - (1 - probability)) < 0.15 and all(
        float((one.detach().float().cpu() - other).norm()) < _TOLERANCE * float(other.norm())
        for one, other in zip((output, *gradients), (expected.detach(), *wanted), strict=True)
    )
