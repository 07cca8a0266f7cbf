"""Attention within each of several texts that lie end to end, without arithmetic on padding."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.autograd.function import once_differentiable

from hfbertcls.modeling.dropout import keep_mask


_COST_OF_A_BUCKET = 50_000
"""Scores (rows x heads x length^2) that cost about as much time as one more round of calls on a CPU; measured."""


@dataclass(frozen=True)
class Bucket:
    """Texts that are computed together, padded to the longest of them.

    Args:
        length: in tokens, of the longest.
        rows: how many texts.
        start: position of the first token, if it is one text (no padding, no copy).
        tokens: positions of the tokens, int64 of shape `(rows, length)`; padding repeats the first token.
        real: True where `tokens` is no padding, of the same shape; None if there is none.
    """

    length: int
    rows: int
    start: int
    tokens: torch.Tensor
    real: torch.Tensor | None


@lru_cache(maxsize=64)
def buckets_of(lengths: tuple[int, ...], heads: int) -> tuple[Bucket, ...]:
    """Divide texts among buckets so that padding and calls together cost least (dynamic programming over the lengths).

    Args:
        lengths: tokens of each text, in the order in which they lie.
        heads: of the attention.
    """
    sizes = np.asarray(lengths, dtype=np.int64)
    order = np.argsort(sizes, kind="stable")
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    cost = np.zeros(len(sizes) + 1)
    begin = np.zeros(len(sizes) + 1, dtype=np.int64)
    for end in range(1, len(sizes) + 1):
        padded = float(heads * sizes[order[end - 1]] ** 2)
        choices = cost[:end] + _COST_OF_A_BUCKET + (end - np.arange(end)) * padded
        begin[end] = int(choices.argmin())
        cost[end] = choices[begin[end]]
    buckets = []
    end = len(sizes)
    while end > 0:
        texts = np.sort(order[begin[end] : end])
        buckets.append(_bucket(starts[texts], sizes[texts]))
        end = int(begin[end])
    return tuple(buckets)


def _bucket(starts: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]) -> Bucket:
    length = int(sizes.max())
    offsets = np.arange(length)
    real = offsets < sizes[:, None]
    tokens = starts[:, None] + np.where(real, offsets, 0)
    return Bucket(
        length, len(sizes), int(starts[0]), torch.from_numpy(tokens), None if real.all() else torch.from_numpy(real)
    )


def bucketed_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    lengths: tuple[int, ...],
    dropout: float,
    scale: float,
    window: int | None,
) -> torch.Tensor:
    """Attention on a CPU: plain matrix products for each bucket, with a backward pass of its own.

    Scores and weights have the format of `query` (so bf16 under autocast, as transformers' eager attention has them); the
    softmax is computed in fp32 within. Dropout on the weights is exact, with the numbers of `keep_mask`; PyTorch's fused
    kernels for the CPU have none, and what it takes instead computes in fp32, many times slower.

    Args:
        query, key, value: of shape `(tokens, heads, size)`.
        lengths: tokens of each text.
        dropout: share of the attention weights that is dropped.
        scale: of the scores.
        window: how far a token sees in either direction; None: the whole text.

    Returns:
        of shape `(tokens, heads, size)`.
    """
    result: torch.Tensor = _Attention.apply(query, key, value, lengths, dropout, scale, window)  # type: ignore[no-untyped-call]
    return result


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        lengths: tuple[int, ...],
        dropout: float,
        scale: float,
        window: int | None,
    ) -> torch.Tensor:
        heads = query.shape[1]
        output = torch.empty(query.shape, dtype=query.dtype)
        weights, kept = [], []
        for bucket in buckets_of(lengths, heads):
            own = _Layout(bucket, heads)
            scores = _product(own.gathered(query), own.gathered(key).transpose(1, 2), scale)
            own.hide(scores, window)
            weight = torch.softmax(scores, -1)
            dropped, factor = weight, 1.0
            if dropout > 0:
                kept.append(keep_mask(weight.shape, dropout, weight.dtype))
                dropped, factor = weight * kept[-1], 1 / (1 - dropout)
            own.put(_product(dropped, own.gathered(value), factor), output)
            weights.append(weight)
        ctx.save_for_backward(query, key, value, *weights, *kept)
        ctx.settings = (lengths, dropout, scale)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        lengths, dropout, scale = ctx.settings
        query, key, value, *saved = ctx.saved_tensors
        heads = query.shape[1]
        buckets = buckets_of(lengths, heads)
        for_query, for_key, for_value = (torch.empty(query.shape, dtype=query.dtype) for _ in range(3))
        factor = 1 / (1 - dropout)
        for number, bucket in enumerate(buckets):
            own = _Layout(bucket, heads)
            weight = saved[number]
            kept = saved[len(buckets) + number] if dropout > 0 else None
            above = own.zero_padding(own.gathered(gradient))
            dropped = weight if kept is None else weight * kept
            own.put(_product(dropped.transpose(1, 2), above, factor), for_value)
            for_weight = _product(above, own.gathered(value).transpose(1, 2), factor)
            if kept is not None:
                for_weight.mul_(kept)
            for_score = torch._softmax_backward_data(for_weight, weight, -1, weight.dtype)
            own.put(_product(for_score, own.gathered(key), scale), for_query)
            own.put(_product(for_score.transpose(1, 2), own.gathered(query), scale), for_key)
        return for_query, for_key, for_value, None, None, None, None


def _product(left: torch.Tensor, right: torch.Tensor, factor: float) -> torch.Tensor:
    """`factor * left @ right`, of batches of matrices."""
    return torch.baddbmm(left.new_empty(()), left, right, beta=0, alpha=factor)


class _Layout:
    """How the tokens of a bucket become batches of matrices `(rows * heads, length, size)`, and back."""

    def __init__(self, bucket: Bucket, heads: int) -> None:
        self.bucket = bucket
        self.heads = heads
        self.end = bucket.start + bucket.length

    def gathered(self, values: torch.Tensor) -> torch.Tensor:
        """Take the bucket's part of `(tokens, heads, size)`."""
        if self.bucket.rows == 1:
            return values[self.bucket.start : self.end].transpose(0, 1)
        size = values.shape[-1]
        padded = values.index_select(0, self.bucket.tokens.view(-1))
        padded = padded.view(self.bucket.rows, self.bucket.length, self.heads, size)
        return padded.transpose(1, 2).reshape(-1, self.bucket.length, size)

    def put(self, values: torch.Tensor, into: torch.Tensor) -> None:
        """Put `(rows * heads, length, size)` back to the places of the tokens, without the padding."""
        if self.bucket.rows == 1:
            into[self.bucket.start : self.end] = values.transpose(0, 1)
            return
        size = values.shape[-1]
        padded = values.view(self.bucket.rows, self.heads, self.bucket.length, size).transpose(1, 2)
        tokens, real = self.bucket.tokens, self.bucket.real
        if real is None:
            into.index_copy_(0, tokens.view(-1), padded.reshape(-1, self.heads, size))
        else:
            into.index_copy_(0, tokens[real], padded[real])

    def hide(self, scores: torch.Tensor, window: int | None) -> None:
        """Set scores of padding, and of tokens outside the window, to minus infinity, in place."""
        real = self.bucket.real
        hidden = None if real is None else ~real[:, None, None, :]
        if window is not None and window < self.bucket.length - 1:
            places = torch.arange(self.bucket.length)
            far = (places[:, None] - places).abs() > window
            # A place of padding sees all real tokens: a row of scores without any would become NaN.
            hidden = far if real is None or hidden is None else hidden | (far & real[:, None, :, None])
        if hidden is not None:
            scores.view(self.bucket.rows, self.heads, *scores.shape[1:]).masked_fill_(hidden, float("-inf"))

    def zero_padding(self, values: torch.Tensor) -> torch.Tensor:
        """Set the places of padding to zero, in place."""
        if self.bucket.real is not None:
            shaped = values.view(self.bucket.rows, self.heads, self.bucket.length, -1)
            shaped.mul_(self.bucket.real[:, None, :, None])
        return values
