"""Out of memory: detecting it, freeing memory, and dividing a batch into smaller parts."""

import gc
from collections.abc import Iterator, Mapping
from typing import Any

import torch


def is_out_of_memory(err: BaseException) -> bool:
    """Whether an error means that memory ran out: on a GPU, in cuDNN, or in PyTorch's allocator for the CPU."""
    from accelerate.utils.memory import should_reduce_batch_size  # noqa: PLC0415  (accelerate comes with training alone)

    if isinstance(err, RuntimeError) and any(words in str(err) for words in _OF_CUDA):
        return True
    return isinstance(err, MemoryError) or (isinstance(err, Exception) and bool(should_reduce_batch_size(err)))


_OF_CUDA = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""Messages that accelerate 1.15 does not know."""


def free_memory() -> None:
    """Free unused memory, of the process and of the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()


def parts_of(batch: Mapping[str, Any], rows: int) -> Iterator[dict[str, Any]]:
    """Divide a padded batch into parts of at most `rows` rows, each padded no longer than its own longest row.

    Args:
        batch: tensors of shape `(n, ...)`; those of shape `(n, positions)` are shortened with `attention_mask`.
        rows: of a part.
    """
    total = len(batch["input_ids"])
    for start in range(0, total, rows):
        part = {
            name: value[start : start + rows] if isinstance(value, tuple) or _has_rows(value) else value
            for name, value in batch.items()
        }
        yield _without_padding_columns(part)


def _has_rows(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.ndim > 0


def _without_padding_columns(part: dict[str, Any]) -> dict[str, Any]:
    mask = part.get("attention_mask")
    if mask is None:
        return part
    used = mask.any(dim=0).nonzero().flatten()
    first, last = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 1)
    return {
        name: value[:, first:last] if isinstance(value, torch.Tensor) and value.shape[:2] == mask.shape else value
        for name, value in part.items()
    }
