"""Attention within each text of a batch that is laid end to end, without arithmetic on padding."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.autograd.function import once_differentiable

from hfbertcls.modeling.dropout import drop


_COST_OF_A_BUCKET = 50_000
"""Scores (rows x heads x length^2) that cost about as much time as one more round of calls on a CPU; measured."""


def rounded_up(count: int) -> int:
    """The next size for which products are computed: a multiple of 8, or of 1/16 to 1/32 of the size if that is more.

    oneDNN generates machine code for each new size of a product, which takes memory and ten times the time of a small
    product. It keeps about a thousand. Few sizes are worth 3 % of padding.
    """
    step = max(8, 1 << (count.bit_length() - 5)) if count > 16 else 8
    return -(-count // step) * step


def _rounded_rows(count: int) -> int:
    """The next of 1, 2, 3, 4, 6, 8, 12, 16, 24, ..."""
    step = 1 << max(0, count.bit_length() - 2)
    return -(-count // step) * step


@dataclass(frozen=True)
class Bucket:
    """Texts that are computed together, padded to one length; there may be rows of nothing.

    Args:
        shape: rows and length, in tokens.
        sizes: tokens of each text.
        tokens: positions of the tokens, int64 of shape `(rows * length,)`; padding repeats other tokens.
        places: positions of the real tokens, int64 of shape `(real,)`.
        slots: where these lie among `tokens`, of the same shape.
    """

    shape: tuple[int, int]
    sizes: tuple[int, ...]
    tokens: torch.Tensor
    places: torch.Tensor
    slots: torch.Tensor


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
    rows = np.array([_rounded_rows(count) for count in range(1, len(sizes) + 1)])
    cost = np.zeros(len(sizes) + 1)
    begin = np.zeros(len(sizes) + 1, dtype=np.int64)
    for end in range(1, len(sizes) + 1):
        padded = float(heads * rounded_up(lengths[order[end - 1]]) ** 2)
        choices = cost[:end] + _COST_OF_A_BUCKET + rows[:end][::-1] * padded
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
    shape = _rounded_rows(len(sizes)), rounded_up(int(sizes.max()))
    tokens = np.full(shape, starts[0])
    real = np.zeros(shape, dtype=np.bool_)
    real[: len(sizes)] = np.arange(shape[1]) < sizes[:, None]
    tokens[: len(sizes)] = starts[:, None] + np.where(real[: len(sizes)], np.arange(shape[1]), 0)
    slots = np.flatnonzero(real)
    places = tokens.ravel()[slots]
    arrays = (torch.from_numpy(array) for array in (tokens.ravel(), places, slots))
    return Bucket(shape, tuple(sizes.tolist()), *arrays)


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

    Scores and weights have the format of `query`: bf16 under autocast, as in transformers' eager attention. The
    softmax is computed in fp32. Dropout on the weights is exact, with the numbers of `drop`. PyTorch's fused kernels
    for the CPU have no dropout, and its fallback computes in fp32, many times slower.

    Args:
        query, key, value: of shape `(tokens, heads, size)`.
        lengths: tokens of each text; together they may be fewer than `tokens`.
        dropout: fraction of the attention weights that is dropped.
        scale: of the scores.
        window: how far a token sees in either direction; None: the whole text.

    Returns:
        of shape `(tokens, heads, size)`; zero behind the last text.
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
        output = query.new_zeros(query.shape)  # (there may be tokens behind the last text)
        weights, dropped = [], []
        for bucket in buckets_of(lengths, heads):
            own = _Layout(bucket, heads)
            scores = _product(own.gathered(query), own.gathered(key).transpose(1, 2), scale)
            own.hide(scores, window)
            weights.append(torch.softmax(scores, -1))
            dropped.append(drop(weights[-1], dropout) if dropout > 0 else weights[-1])
            own.put(_product(dropped[-1], own.gathered(value), 1 / (1 - dropout)), output)
        ctx.save_for_backward(query, key, value, output, *weights, *dropped)
        ctx.settings = (lengths, dropout, scale)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        lengths, dropout, scale = ctx.settings
        query, key, value, output, *saved = ctx.saved_tensors
        heads = query.shape[1]
        buckets = buckets_of(lengths, heads)
        for_query, for_key, for_value = (query.new_zeros(query.shape) for _ in range(3))
        factor = 1 / (1 - dropout)
        # The gradient of a softmax needs the weights times their gradients, summed over each row of weights. The
        # output times its gradient has the same sum and is smaller (Dao et al., FlashAttention, 2022, section B.2).
        sums = (gradient * output).sum(-1, keepdim=True)
        for bucket, weight, dropped in zip(buckets, saved[: len(buckets)], saved[len(buckets) :], strict=True):
            own = _Layout(bucket, heads)
            above = own.zero_padding(own.gathered(gradient))
            own.put(_product(dropped.transpose(1, 2), above, factor), for_value)
            for_score = _product(above, own.gathered(value).transpose(1, 2), factor).mul_(dropped)
            for_score.addcmul_(weight, own.zero_padding(own.gathered(sums)), value=-1)
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
        self.rows, self.length = bucket.shape

    def gathered(self, values: torch.Tensor) -> torch.Tensor:
        """Take the bucket's part of `(tokens, heads, size)`."""
        padded = values.index_select(0, self.bucket.tokens).view(self.rows, self.length, self.heads, -1)
        return padded.transpose(1, 2).reshape(self.rows * self.heads, self.length, -1)

    def put(self, values: torch.Tensor, into: torch.Tensor) -> None:
        """Put `(rows * heads, length, size)` back to the places of the tokens, without the padding."""
        padded = values.view(self.rows, self.heads, self.length, -1).transpose(1, 2)
        real = padded.reshape(self.rows * self.length, self.heads, -1).index_select(0, self.bucket.slots)
        into.index_copy_(0, self.bucket.places, real)

    def hide(self, scores: torch.Tensor, window: int | None) -> None:
        """Set scores of padding, and of tokens outside the window, to minus infinity, in place."""
        by_row = scores.view(self.rows, self.heads, self.length, self.length)
        for row, size in enumerate(self.bucket.sizes):
            if size < self.length:
                by_row[row, :, :, size:] = float("-inf")
        if window is not None and window < self.length - 1:
            places = torch.arange(self.length)
            far = (places[:, None] - places).abs() > window
            for row, size in enumerate(self.bucket.sizes):
                # A place of padding sees all real tokens: a row of scores without any would become NaN.
                by_row[row, :, :size].masked_fill_(far[:size], float("-inf"))

    def zero_padding(self, values: torch.Tensor) -> torch.Tensor:
        """Set the places of padding to zero, in place."""
        by_row = values.view(self.rows, self.heads, self.length, -1)
        for row, size in enumerate(self.bucket.sizes):
            by_row[row, :, size:] = 0.0
        by_row[len(self.bucket.sizes) :] = 0.0
        return values
