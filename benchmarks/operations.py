"""How many operations a training step of BERT-base asks a device for, and how often the host waits: ours and stock.

    python benchmarks/operations.py

Forward and backward, without the optimizer, of 32 texts with 7 to 30 tokens and the usual dropout of 0.1, on the device `meta`, which
computes nothing. An operation that only looks at a tensor in another way (a view) is not counted; attention counts as the operations that
PyTorch makes of it there. The host waits where it asks for a number.
"""

from collections import Counter

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


def step(is_ours):
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
    with Counting() as counted:
        model(**inputs, **({LENGTHS: LENGTHS_OF_TEXTS} if is_ours else {})).loss.backward()
    return counted


if __name__ == "__main__":
    print("| model | operations | waits | tokens computed |")
    print("|:--|--:|--:|--:|")
    padded = len(LENGTHS_OF_TEXTS) * max(LENGTHS_OF_TEXTS)
    for label, is_ours, tokens in (("transformers", False, padded), ("hfbertcls", True, sum(LENGTHS_OF_TEXTS))):
        found = step(is_ours)
        print(f"| {label} | {found.operations.total():,} | {found.waits} | {tokens:,} |")
