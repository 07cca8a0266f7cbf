"""A few texts on which a change of a model is tried before it is kept."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import nn


if TYPE_CHECKING:
    from transformers import PreTrainedModel


@contextlib.contextmanager
def in_evaluation(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside of the block; afterwards every module has its earlier mode."""
    training = [module for module in model.modules() if module.training]
    model.train(False)
    try:
        yield
    finally:
        for module in training:
            module.training = True


def trial_inputs(model: "PreTrainedModel") -> dict[str, torch.Tensor]:
    """Four padded texts of up to 7 tokens, or longer than a window; any ids, the same ones each time.

    Returns:
        `input_ids`, `attention_mask` and, where the model tells two segments apart, `token_type_ids`; int64 of shape
        `(4, length)`, on the device of the model.
    """
    longest = 7 + int(getattr(model.config, "sliding_window", None) or 0)
    lengths = torch.tensor([longest, 1, 4, longest])
    places = torch.arange(longest)
    mask = (places < lengths[:, None]).long()
    embeddings: Any = model.get_input_embeddings()
    vocabulary = int(embeddings.num_embeddings)
    padding = model.config.pad_token_id or 0
    ids = (torch.arange(4 * longest).view(4, longest) * 7 + 11) % vocabulary
    ids = torch.where(ids == padding, (padding + 1) % vocabulary, ids)
    ids = torch.where(mask.bool(), ids, padding)
    inputs = {"input_ids": ids, "attention_mask": mask}
    if int(getattr(model.config, "type_vocab_size", None) or 0) > 1:
        inputs["token_type_ids"] = (places >= 3) * mask
    return {name: values.to(model.device) for name, values in inputs.items()}
