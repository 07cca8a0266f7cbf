"""Dropout whose random numbers do not cost more than the arithmetic around them."""

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.autograd.function import once_differentiable


_RESOLUTION = 1 << 15
_ONE_AS_BF16 = 0x3F80  # the bits of 1.0


def _keep_bits(count: int, probability: float) -> torch.Tensor:
    """Masks of 16 bits, all set where dropout keeps an element, none elsewhere; int16 of shape `(count,)`.

    PyTorch draws one element after the other on a CPU, which takes longer than the matrix products of a small model.
    Here a generator of 64-bit numbers, seeded from PyTorch's own, draws four elements at a time; seeds and checkpoints
    keep their meaning. The probability is kept to 1/32,768 (3,277/32,768 for 0.1).
    """
    seed = int(torch.randint(2**62, ()))
    words = np.random.Generator(np.random.SFC64(seed)).integers(0, 2**64, size=(count + 3) // 4, dtype=np.uint64)
    bits = torch.from_numpy(words.view(np.int16))[:count]
    threshold = _RESOLUTION // 2 - round(probability * _RESOLUTION)
    # 15 random bits, less the threshold: negative (all bits set after the shift) where the element is kept.
    return bits.bitwise_right_shift_(1).sub_(threshold).bitwise_right_shift_(15)


def keep_mask(shape: torch.Size | tuple[int, ...], probability: float, dtype: torch.dtype) -> torch.Tensor:
    """Draw which elements dropout keeps: 1 where it does, 0 elsewhere, on the CPU.

    Args:
        shape: of the result.
        probability: that an element is dropped (0 to 1).
        dtype: of the result.
    """
    bits = _keep_bits(int(np.prod(shape)), probability).bitwise_and_(_ONE_AS_BF16)
    return bits.view(torch.bfloat16).view(shape).to(dtype)


def drop(values: torch.Tensor, probability: float) -> torch.Tensor:
    """Set elements to zero as `keep_mask` does, without scaling the others; on the CPU, without a gradient."""
    if values.element_size() == 2:
        bits = _keep_bits(values.numel(), probability).view(values.shape)
        return values.view(torch.int16).bitwise_and(bits).view(values.dtype)
    return values * keep_mask(values.shape, probability, values.dtype)


class _Dropped(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, probability: float) -> torch.Tensor:
        kept = keep_mask(values.shape, probability, torch.bfloat16)
        kept = kept.to(values.dtype)
        ctx.save_for_backward(kept)
        ctx.scale = 1 / (1 - probability)
        return (values * kept).mul_(ctx.scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        (kept,) = ctx.saved_tensors
        return (gradient * kept).mul_(ctx.scale), None


class FastDropout(nn.Dropout):
    """`nn.Dropout` with the numbers of `keep_mask` on a CPU; elsewhere as the parent."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Drop elements in training; the argument has the parent's name."""
        if not self.training or self.p in (0.0, 1.0) or input.device.type != "cpu" or not input.is_floating_point():
            return super().forward(input)
        result: torch.Tensor = _Dropped.apply(input, self.p)  # type: ignore[no-untyped-call]
        return result
