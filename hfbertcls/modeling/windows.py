"""Reading a long text in windows: one pass for each, and the mean of their logits.

A row of token ids holds the windows of a text one behind the other, all but the last one with `max_length` tokens.
Collators, samplers and batches need to know nothing of it: a hook before the model makes a row of each window, one
behind it takes the mean over the windows of each text. The mean of logits is the logit of the mean vector, so a linear
model on vectors of texts is a linear model on vectors of windows.
"""

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from hfbertcls.data.long_text import LongText
from hfbertcls.errors import ModelError
from hfbertcls.modeling.layout import LENGTHS


if TYPE_CHECKING:
    from transformers import PreTrainedModel


_OWNERS, _LABELS = "hfbertcls_owners", "hfbertcls_labels"
_LOSSES = {
    "regression": lambda logits, labels: functional.mse_loss(logits.squeeze(-1), labels.squeeze(-1).to(logits.dtype)),
    "multi_label_classification": lambda logits, labels: functional.binary_cross_entropy_with_logits(logits, labels),
    "single_label_classification": lambda logits, labels: functional.cross_entropy(logits, labels.flatten()),
}
"""The losses of transformers, by `problem_type`."""


def read_long_texts(model: "PreTrainedModel") -> None:
    """Let a classifier read rows of windows, if its configuration says that long texts are read so.

    Nothing of this is saved with the model. A second call has no effect.

    Args:
        model: changed in place.

    Raises:
        ModelError: if the configuration is damaged.
    """
    long_text = LongText.of_config(model.config)
    if long_text.mode != "windows" or reads_windows(model):
        return
    model.register_forward_pre_hook(partial(_split, long_text.window), with_kwargs=True, prepend=True)
    model.register_forward_hook(_pool, with_kwargs=True)


def reads_windows(model: nn.Module) -> bool:
    """Whether a classifier reads rows of windows."""
    return any(getattr(hook, "func", None) is _split for hook in model._forward_pre_hooks.values())


def _split(
    max_length: int, model: "PreTrainedModel", arguments: tuple[Any, ...], keywords: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """Before the forward pass: a row for each window. Batches of single windows go through as they are.

    Raises:
        ModelError: for a longer batch in any other form than token ids with their mask.
    """
    ids, mask = keywords.get("input_ids"), keywords.get("attention_mask")
    if ids is None or ids.ndim != 2 or ids.shape[1] <= max_length:
        return None
    mask = torch.ones_like(ids) if mask is None else mask
    if arguments or mask.shape != ids.shape or not bool(mask[:, 0].all()):
        raise ModelError(
            f"a text of {ids.shape[1]:,} tokens is read in windows of {max_length:,}, for which this batch has the wrong form. Pass "
            "input_ids and attention_mask by name, padded on the right"
        )
    rows, windows = len(ids), -(-ids.shape[1] // max_length)
    behind = (0, windows * max_length - ids.shape[1])
    tensors = {name: keywords[name] for name in ("input_ids", "token_type_ids") if keywords.get(name) is not None}
    tensors["attention_mask"] = mask
    split = {
        name: functional.pad(
            values, behind, value=int(model.config.pad_token_id or 0) if name == "input_ids" else 0
        ).view(rows * windows, max_length)
        for name, values in tensors.items()
    }
    real = split["attention_mask"].any(dim=1)
    owners = torch.arange(rows, device=ids.device).repeat_interleave(windows)[real]
    further = {_OWNERS: owners, _LABELS: keywords.get("labels"), "labels": None}
    keywords = {name: value for name, value in keywords.items() if name != LENGTHS}
    return arguments, {**keywords, **{name: values[real] for name, values in split.items()}, **further}


def _pool(model: Any, _: tuple[Any, ...], keywords: dict[str, Any], output: Any) -> Any:
    """After the forward pass: the mean of the logits of each text, and their loss."""
    owners, labels = keywords.get(_OWNERS), keywords.get(_LABELS)
    if owners is None:
        return None
    rows = int(owners[-1]) + 1
    counts = torch.bincount(owners, minlength=rows)
    sums = torch.zeros((rows, output.logits.shape[1]), dtype=torch.float32, device=output.logits.device)
    output.logits = sums.index_add(0, owners, output.logits.float()) / counts[:, None]
    if labels is not None:
        output.loss = _LOSSES[str(model.config.problem_type)](output.logits, labels)
    return output
