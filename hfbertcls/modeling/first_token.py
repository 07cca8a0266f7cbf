"""A last layer of which only the first token of each text is read, so that no other row of it is computed.

The attention of one query needs no projection of all tokens: with `W` the key matrix of a head, `q . (W x)` is
`(q W) . x`, and the mean of `V x` over the tokens is `V` times the mean of `x`. This holds for any weights. Both take a
few products of vectors for each text and head, where the projections take a matrix for each token.
"""

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from hfbertcls.modeling.attention import rounded_up
from hfbertcls.modeling.layer_parts import PARTS, layers_of


if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from hfbertcls.modeling.layer_parts import LayerParts


def compute_first_tokens_only(model: "PreTrainedModel") -> None:
    """Let the last layer of a padding-free model return one row a text; padded batches go through it as before.

    Args:
        model: of one of the architectures in `PARTS`; `compute_all_tokens` takes it back. Nothing of it is saved.
    """
    layer: Any = layers_of(model)[-1]
    layer.first_token_kind = str(model.config.model_type)
    layer.first_token_heads = int(model.config.num_attention_heads)
    # Bound to the layer, so that a copy of the model computes with the weights of the copy; it can be pickled.
    layer.forward = partial(_forward, layer)


def compute_all_tokens(model: "PreTrainedModel") -> None:
    """Take back what `compute_first_tokens_only` did."""
    layer: Any = layers_of(model)[-1]
    del layer.forward, layer.first_token_kind, layer.first_token_heads


def _forward(
    layer: Any, hidden_states: torch.Tensor, attention_mask: torch.Tensor | None = None, *rest: Any, **keywords: Any
) -> torch.Tensor:
    """The forward pass of the layer: of shape `(1, texts, hidden)` without padding, else as its class has it."""
    parts, boundaries = PARTS[layer.first_token_kind], keywords.get("cu_seq_lens_q")
    used = (layer.get_submodule(name) for name in (parts.query, parts.key, parts.value))
    # (An adapter in place of a linear layer, or hooks on it, are not to be passed by.)
    if boundaries is None or any(type(one) is not nn.Linear or one._forward_hooks for one in used):
        result: torch.Tensor = type(layer).forward(layer, hidden_states, attention_mask, *rest, **keywords)
        return result
    tokens = hidden_states[0]
    first = tokens.index_select(0, boundaries[:-1])
    context = _attention(layer, parts, tokens, first, boundaries, int(keywords["max_length_q"]))
    states = layer.get_submodule(parts.output)(context)[None]
    if layer.first_token_kind == "distilbert":
        states = layer.sa_layer_norm(states + first)
        return layer.output_layer_norm(layer.ffn(states) + states)  # type: ignore[no-any-return]
    output = layer.attention.output
    states = output.LayerNorm(output.dropout(states) + first)
    return layer.output(layer.intermediate(states), states)  # type: ignore[no-any-return]


def _attention(
    layer: Any, parts: "LayerParts", tokens: torch.Tensor, first: torch.Tensor, boundaries: torch.Tensor, longest: int
) -> torch.Tensor:
    """What the first token of each text attends to.

    Args:
        layer: the last layer.
        parts: what its parts are called.
        tokens: of shape `(tokens, hidden)`, text after text.
        first: the first token of each text, of shape `(texts, hidden)`.
        boundaries: where each text begins, and the end, of shape `(texts + 1,)`.
        longest: tokens of the longest text.

    Returns:
        the values of all heads side by side, of shape `(texts, hidden)`.
    """
    query, key, value, dropout = (
        layer.get_submodule(name) for name in (parts.query, parts.key, parts.value, parts.dropout)
    )
    texts = len(first)
    heads = int(layer.first_token_heads)
    size = query.weight.shape[0] // heads
    asked = query(first).view(texts, heads, size).transpose(0, 1)  # (heads, texts, size)
    # (The bias of the keys adds the same to all scores of a query. It is there for its gradient, which is zero.)
    offset = torch.matmul(asked, key.bias.view(heads, size, 1)).transpose(0, 1)  # (texts, heads, 1)
    asked = torch.matmul(asked, key.weight.view(heads, size, -1)).transpose(0, 1)  # (texts, heads, hidden)
    lengths = boundaries.diff()
    places = torch.arange(rounded_up(longest) if tokens.device.type == "cpu" else longest, device=tokens.device)
    real = places < lengths[:, None]
    padded = tokens.index_select(0, (boundaries[:-1, None] + places * real).flatten().long())
    padded = padded.view(texts, len(places), -1)
    scores = (torch.matmul(asked, padded.transpose(1, 2)) + offset).float() * size**-0.5
    weights = dropout(torch.softmax(scores.masked_fill(~real[:, None], float("-inf")), dim=-1)).to(padded.dtype)
    means = torch.matmul(weights, padded).transpose(0, 1)  # (heads, texts, hidden)
    context = torch.matmul(means, value.weight.view(heads, size, -1).transpose(1, 2))
    context = context + value.bias.view(heads, 1, size) * weights.sum(dim=-1).transpose(0, 1)[..., None]
    result: torch.Tensor = context.transpose(0, 1).reshape(texts, heads * size)
    return result
