"""How many operations a training step of BERT-base asks a device for, and how often the host waits: ours and stock.

    python benchmarks/operations.py

Forward and backward, without the optimizer, of 32 texts with 7 to 30 tokens and the usual dropout of 0.1, on the device `meta`, which
computes nothing. An operation that only looks at a tensor in another way (a view) is not counted. The attention within texts counts as one
operation forward and one backward, as on a GPU: PyTorch's memory-efficient kernel where the texts are padded, its FlashAttention kernel
where they lie end to end. The host waits where it asks for a number.
"""

from collections import Counter
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoConfig, AutoModelForSequenceClassification


LENGTHS_OF_TEXTS = (7, 30, 22, 15) * 8


class Counting(TorchDispatchMode):
    """Counts operations by their names; a question for a number is answered with False."""

    def __init__(self):
        super().__init__()
        self.operations, self.waits = Counter(), 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.__name__
        if name.startswith("_local_scalar_dense"):
            self.waits += 1
            return False
        is_view = any(one.alias_info is not None and not one.alias_info.is_write for one in func._schema.returns)
        if not is_view and not name.startswith(("detach", "empty", "_unsafe_view", "lift", "alias")):
            self.operations[name] += 1
        return func(*args, **(kwargs or {}))


def efficient_attention(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None):  # noqa: ARG001
    """What PyTorch does on a GPU for padded texts, without what it does to the mask."""
    return torch.ops.aten._scaled_dot_product_efficient_attention(
        query, key, value, None, True, dropout_p, is_causal, scale=scale
    )[0]


def step(is_ours, is_flash):
    """One step."""
    from hfbertcls import enable_padding_free
    from hfbertcls.modeling.layout import LENGTHS

    model = AutoModelForSequenceClassification.from_config(AutoConfig.for_model("bert"))
    if is_ours:
        enable_padding_free(model)
    model.to("meta").train()
    rows, longest = len(LENGTHS_OF_TEXTS), max(LENGTHS_OF_TEXTS)
    inputs = {
        name: torch.ones(rows, longest, dtype=torch.long, device="meta") for name in ("input_ids", "attention_mask")
    }
    inputs["labels"] = torch.zeros(rows, dtype=torch.long, device="meta")
    serves = mock.patch("hfbertcls.modeling.padding_free.flash_attention_serves", return_value=is_flash)
    padded = mock.patch("torch.nn.functional.scaled_dot_product_attention", efficient_attention)
    with serves, padded, Counting() as counted:
        model(**inputs, **({LENGTHS: LENGTHS_OF_TEXTS} if is_ours else {})).loss.backward()
    return counted


if __name__ == "__main__":
    print("| model | attention | operations | waits | tokens computed |")
    print("|:--|:--|--:|--:|--:|")
    padded, real = len(LENGTHS_OF_TEXTS) * max(LENGTHS_OF_TEXTS), sum(LENGTHS_OF_TEXTS)
    for label, attention, is_ours, tokens in (
        ("transformers", "padded", False, padded),
        ("hfbertcls", "padded", True, real),
        ("hfbertcls", "FlashAttention", True, real),
    ):
        found = step(is_ours, attention == "FlashAttention")
        print(f"| {label} | {attention} | {found.operations.total():,} | {found.waits} | {tokens:,} |")
