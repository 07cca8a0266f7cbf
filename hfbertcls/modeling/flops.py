"""How much arithmetic training needs, and how fast the device at hand could do it."""

import sys
import time
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from hfbertcls.modeling.layer_parts import PARTS
from hfbertcls.modeling.memory import free_memory, is_out_of_memory
from hfbertcls.modeling.pooling import own_layers


_SIZE = {"cpu": 1_024, "cuda": 8_192}
_SMALLEST = 512
_ROUNDS = (20, 4)
"""On an accelerator, whose clock rises first, and on a CPU."""


def training_flops(model: nn.Module, tokens: int, squares: int) -> float:
    """Floating-point operations of matrix products that a forward and a backward pass over real tokens need.

    6 for each token and weight of the encoder's linear layers, and 12 for each pair of tokens of a text and hidden
    unit of a layer (Chowdhery et al., PaLM, 2022, appendix B). Embeddings, norms, an appended layer and the head are small
    and left out.

    Args:
        model: a classifier of transformers.
        tokens: real tokens.
        squares: the sum of the squares of the texts' lengths.
    """
    encoder: Any = getattr(model, "base_model", model)
    config: Any = encoder.config
    # The pooler and an appended layer need one token of each text.
    small = set(encoder.pooler.modules()) if getattr(encoder, "pooler", None) is not None else set()
    if own_layers(config) < config.num_hidden_layers:
        small |= set(encoder.get_submodule(PARTS[config.model_type].layers)[-1].modules())
    weights = sum(
        int(module.weight.numel())
        for module in encoder.modules()
        if isinstance(module, nn.Linear) and module not in small
    )
    pairs = 12 * own_layers(config) * int(config.hidden_size)
    return float(6 * weights * tokens + pairs * squares)


@lru_cache(maxsize=8)
def measured_peak(device_type: str, dtype: torch.dtype) -> float:
    """Floating-point operations a second of one large square matrix product, the best of some; cached.

    The factors are random: constant ones take less power, and with it a GPU runs faster. Where memory is short, the
    matrices are smaller.

    Args:
        device_type: `cpu`, `cuda` or `mps`.
        dtype: of the factors.
    """
    size = _SIZE.get(device_type, 2_048)
    while True:
        try:
            return _peak_of(size, device_type, dtype)
        except (RuntimeError, MemoryError) as err:
            if size < _SMALLEST or not is_out_of_memory(err):
                raise
        free_memory()
        size //= 2


def _peak_of(size: int, device_type: str, dtype: torch.dtype) -> float:
    generator = torch.Generator().manual_seed(0)  # (the random numbers of training stay as they are)
    row = torch.rand(size, generator=generator, dtype=torch.float32).to(device_type, dtype)
    one, other = row.expand(size, size).contiguous(), row[:, None].expand(size, size).contiguous()
    least = float("inf")
    for _ in range(_ROUNDS[device_type == "cpu"]):
        began = time.perf_counter()
        (one @ other)[0, 0].item()  # (waits for an accelerator)
        least = min(least, time.perf_counter() - began)
    return float(2 * size**3 / least)


def peak_memory(device_type: str) -> int | None:
    """Bytes that this process had at most: of the GPU's memory, else resident; None where the system does not tell."""
    if device_type == "cuda":
        return int(torch.cuda.max_memory_allocated())
    try:
        import resource  # noqa: PLC0415  (not on Windows)
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1_024
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * unit
