"""The order of the rows: random as in the stock trainer, or in batches of texts of similar length."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import Sampler


_BATCHES_PER_POOL = 50
_ROWS_AT_A_TIME = 1_024


class ShuffledSampler(Sampler[int]):
    """Every row once in each epoch, in the order of `SeedableRandomSampler`, which the stock trainer uses.

    That one holds the order as Python numbers, twice: 80 MB for a million rows (seen in torch 2.13).

    Args:
        num_rows: how many there are.
        seed: of the shuffling.
    """

    def __init__(self, num_rows: int, seed: int) -> None:
        self.num_rows = num_rows
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order; accelerate calls this at the beginning of each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.num_rows

    def __iter__(self) -> Iterator[int]:
        order = torch.randperm(self.num_rows, generator=torch.Generator().manual_seed(self.seed + self.epoch))
        for start in range(0, self.num_rows, _ROWS_AT_A_TIME):
            yield from order[start : start + _ROWS_AT_A_TIME].tolist()


class LengthGroupedSampler(Sampler[int]):
    """Shuffle the rows, sort pools of 50 batches by length, and shuffle the batches again.

    transformers' sampler of the same idea leaves the batches sorted within each pool, longest first. Where a label's
    texts are longer than others, it then comes in runs, and the training loss jumps at every pool (seen on the film
    reviews of the quickstart: from 0.5 to about 2 every 50 steps).

    The order depends on the seed and the epoch alone, so a resumed run sees the same batches.

    Args:
        lengths: tokens of each row.
        batch_size: rows in a batch.
        seed: of the shuffling.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self.lengths = np.asarray(lengths)
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order; accelerate calls this at the beginning of each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        generator = np.random.default_rng((self.seed, self.epoch))
        order = generator.permutation(len(self.lengths))
        pool = self.batch_size * _BATCHES_PER_POOL
        pooled = [order[start : start + pool] for start in range(0, len(order), pool)]
        by_length = np.concatenate([rows[np.argsort(self.lengths[rows], kind="stable")] for rows in pooled])
        batches = [by_length[start : start + self.batch_size] for start in range(0, len(order), self.batch_size)]
        whole = [batch for batch in batches if len(batch) == self.batch_size]
        for position in generator.permutation(len(whole)):
            yield from whole[position].tolist()
        for batch in batches[len(whole) :]:  # the incomplete last batch stays last, or it would split others
            yield from batch.tolist()
