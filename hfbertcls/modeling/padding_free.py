"""Running a classifier without arithmetic on padding: the texts of a batch are laid end to end.

Embeddings, projections and feed-forward layers see real tokens only; attention stays within each text; the head reads
each text's first token, or the mean of its tokens. The model keeps its class, its weights and its signature, and still
takes padded batches; a hook removes the padding. So any trainer, pipeline or script runs faster without changes, with
the same results.
"""

import weakref
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from hfbertcls.modeling.attention import bucketed_attention, rounded_up
from hfbertcls.modeling.dropout import FastDropout
from hfbertcls.modeling.first_token import compute_all_tokens, compute_first_tokens_only
from hfbertcls.modeling.flash_attention import flash_attention, flash_attention_serves
from hfbertcls.modeling.layout import LENGTHS, TextLayout, layout_of, layout_of_batch
from hfbertcls.modeling.lengths import POSITIONS_AFTER_PADDING
from hfbertcls.modeling.pooling import own_layers
from hfbertcls.modeling.trial import in_evaluation, trial_inputs


if TYPE_CHECKING:
    from transformers import PreTrainedModel


ATTENTION = "hfbertcls_padding_free"
"""The name under which transformers knows our attention function."""

_PACKABLE = ("bert", "camembert", "distilbert", "electra", "modernbert", "roberta", "xlm-roberta")
_OF_ITS_OWN = {
    "mpnet": "its attention has a position bias of its own",
    "deberta": "its attention has a position bias of its own",
    "deberta-v2": "its attention has a position bias of its own",
}
_SHORT = 128
"""Tokens up to which plain products are as fast on a CPU as PyTorch's fused kernel."""
_LONGEST_IN_PLAIN_PRODUCTS = 1_024
"""Tokens above which the scores of a text are not held in memory where the fused kernel can do without."""
_LITTLE_PADDING = 1.25
"""Positions of the padded batch to real tokens, up to which the fused kernel may compute the padding as well."""
TOLERANCE = 1e-4
"""Largest difference of a logit, in fp32, that leaving padding out may make on the trial texts."""
_FAILED: weakref.WeakKeyDictionary[nn.Module, str] = weakref.WeakKeyDictionary()
"""Models whose trial failed, and why; it is not repeated."""


def enable_padding_free(model: "PreTrainedModel") -> str | None:
    """Make a classifier leave out padding, after a trial that the results are the same.

    Its dropout layers are replaced by `FastDropout`. Nothing of this is saved with the model.

    ```python
    >>> from transformers import AutoModelForSequenceClassification
    >>> model = AutoModelForSequenceClassification.from_pretrained("my-model")
    >>> print(enable_padding_free(model))
    None
    ```

    Args:
        model: of one of transformers' own `...ForSequenceClassification` classes.

    Returns:
        why not, in words; None if padding is left out from here on.
    """
    if is_padding_free(model):
        return None
    reason = _obstacle(model) or _FAILED.get(model)
    if reason is not None:
        return reason
    before = _trial(model)
    earlier = str(model.config._attn_implementation)
    model.set_attn_implementation(ATTENTION)
    handles = [
        model.register_forward_pre_hook(_leave_out_padding, with_kwargs=True),
        model.base_model.register_forward_pre_hook(_build_no_mask, with_kwargs=True),
        model.base_model.register_forward_hook(_take_what_is_read, with_kwargs=True),
    ]
    appended = own_layers(model.config) < model.config.num_hidden_layers
    if appended:
        compute_first_tokens_only(model)
    difference = float((_trial(model) - before).abs().max())
    if not difference <= TOLERANCE:
        for handle in handles:
            handle.remove()
        if appended:
            compute_all_tokens(model)
        model.set_attn_implementation(earlier)
        _FAILED[model] = f"on trial texts its logits are {difference:.2g} away from those with padding"
        return _FAILED[model]
    _replace_dropout(model)
    return None


def is_padding_free(model: nn.Module) -> bool:
    """Whether `enable_padding_free` was successful on this model."""
    return getattr(getattr(model, "config", None), "_attn_implementation", None) == ATTENTION


def _obstacle(model: "PreTrainedModel") -> str | None:
    kind = str(model.config.model_type)
    if kind in _OF_ITS_OWN:
        return _OF_ITS_OWN[kind]
    is_of_transformers = type(model).__module__.startswith("transformers.models.")
    if (
        kind not in _PACKABLE
        or not is_of_transformers
        or not type(model).__name__.endswith("ForSequenceClassification")
    ):
        return f"it has not been tried with {type(model).__name__} ({kind})"
    if getattr(model.config, "is_decoder", False):
        return "it is a decoder, whose attention looks back only"
    return None


def _trial(model: "PreTrainedModel") -> torch.Tensor:
    """Logits of the trial texts, in fp32."""
    with in_evaluation(model), torch.no_grad():
        logits: torch.Tensor = model(**trial_inputs(model)).logits
    return logits.float().cpu()


def _replace_dropout(model: nn.Module) -> None:
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.Dropout:
                faster = FastDropout(child.p, child.inplace)
                faster.training = child.training
                setattr(parent, name, faster)


_PADDED_ONLY = ("inputs_embeds", "position_ids", "output_hidden_states", "output_attentions", "cu_seq_lens_q")


def _leave_out_padding(
    model: "PreTrainedModel", arguments: tuple[Any, ...], keywords: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """Before the forward pass: lay the texts end to end; batches of any other form go through as they are."""
    lengths = keywords.get(LENGTHS)
    padded = {name: value for name, value in keywords.items() if name != LENGTHS}
    ids, mask = padded.get("input_ids"), padded.get("attention_mask")
    if arguments or ids is None or mask is None or mask.shape != ids.shape or ids.ndim != 2:
        return arguments, padded
    if padded.get("return_dict") is False or any(padded.get(name) is not None for name in _PADDED_ONLY):
        return arguments, padded
    layout = layout_of_batch(mask, lengths)
    if layout is None:  # (padding on the left, where the head would read padding, or in between)
        return arguments, padded
    boundaries, longest = layout.boundaries(ids.device), layout.longest
    real = layout.places(ids.shape[1], ids.device)
    behind = computed_tokens(layout.tokens, ids.device.type) - layout.tokens
    free = {
        **padded,
        "input_ids": _laid_out(ids, real, behind, model.config.pad_token_id or 0),
        "position_ids": _laid_out(_positions(model, ids), real, behind),
        "attention_mask": None,  # (with which a head that reads the mean would count the padding)
        "cu_seq_lens_q": boundaries,
        "cu_seq_lens_k": boundaries,
        "max_length_q": longest,
        "max_length_k": longest,
    }
    if padded.get("token_type_ids") is not None:
        free["token_type_ids"] = _laid_out(padded["token_type_ids"], real, behind)
    return arguments, free


def _laid_out(values: torch.Tensor, real: torch.Tensor, behind: int, padding: int = 0) -> torch.Tensor:
    """The values of real tokens, end to end, with so many more behind them; of shape `(1, tokens)`."""
    row = values.flatten().index_select(0, real)
    return (F.pad(row, (0, behind), value=padding) if behind else row)[None]


def computed_tokens(tokens: int, device_type: str) -> int:
    """How many tokens a padding-free batch is computed as: on a CPU a few more than it has (`rounded_up`)."""
    return rounded_up(tokens) if device_type == "cpu" else tokens


def _positions(model: "PreTrainedModel", ids: torch.Tensor) -> torch.Tensor:
    """The positions that the model would use for a padded batch, of shape `(rows, length)`."""
    if model.config.model_type in POSITIONS_AFTER_PADDING:
        padding = int(model.config.pad_token_id or 0)
        no_padding = ids.ne(padding).long()
        return no_padding.cumsum(1) * no_padding + padding
    return torch.arange(ids.shape[1], device=ids.device).expand_as(ids)


def _build_no_mask(
    _: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """Before the encoder: transformers builds no mask if there is one of four dimensions; attention needs none."""
    boundaries = keywords.get("cu_seq_lens_q")
    if boundaries is None:
        return None
    return arguments, {**keywords, "attention_mask": boundaries.new_zeros((1, 1, 1, 1))}


def _take_what_is_read(encoder: Any, _: tuple[Any, ...], keywords: dict[str, Any], output: Any) -> Any:
    """After the encoder: make its output look like a batch of one token each, the one that the head reads."""
    boundaries = keywords.get("cu_seq_lens_q")
    if boundaries is None:
        return output
    states = output.last_hidden_state[0]
    if getattr(encoder.config, "classifier_pooling", "cls") == "mean":
        states = _means(states, boundaries)
    elif len(states) != len(boundaries) - 1:  # (else there is one row a text already)
        states = states.index_select(0, boundaries[:-1])
    output.last_hidden_state = states.unsqueeze(1)
    if output.get("pooler_output") is not None:
        output.pooler_output = encoder.pooler(output.last_hidden_state)
    return output


def _means(states: torch.Tensor, boundaries: torch.Tensor) -> torch.Tensor:
    """The mean over the tokens of each text, of shape `(texts, hidden)`, summed in fp32."""
    lengths = boundaries.diff().long()
    texts = torch.arange(len(lengths), device=states.device)
    texts = torch.repeat_interleave(texts, lengths, output_size=layout_of(boundaries).tokens)
    sums = torch.zeros((len(lengths), states.shape[-1]), dtype=torch.float32, device=states.device)
    sums = sums.index_add(0, texts, states[: len(texts)].float())
    return (sums / lengths[:, None]).to(states.dtype)


def padding_free_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    cu_seq_lens_q: torch.Tensor | None = None,
    max_length_q: int | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Attention within each text; transformers' `sdpa` where the batch is padded.

    On a CPU it is `bucketed_attention`, or PyTorch's fused kernel for long texts of similar length without dropout. On
    CUDA it is `flash_attention`, for bf16 or fp16. Elsewhere the attention alone is padded, with PyTorch's
    `scaled_dot_product_attention`.

    Args:
        module: the attention layer.
        query, key, value: of shape `(1, heads, tokens, size)`.
        attention_mask: only for padded batches.
        dropout: fraction of the attention weights that is dropped.
        scaling: of the scores; None: one over the root of `size`.
        sliding_window: how far a token sees in either direction, itself counted.
        cu_seq_lens_q: where each text begins, and the end, int32 of shape `(texts + 1,)`; None for a padded batch.
        max_length_q: tokens of the longest text.
        **kwargs: for transformers' `sdpa`.

    Returns:
        of shape `(1, tokens, heads, size)`, and None in place of the weights.
    """
    if cu_seq_lens_q is None or max_length_q is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    window = None if sliding_window is None else sliding_window - 1  # (transformers counts the token itself)
    states = [one.squeeze(0).transpose(0, 1) for one in (query, key, value)]  # (the gradient of [0] fills a tensor)
    layout = layout_of(cu_seq_lens_q)
    if query.device.type == "cpu" and _takes_plain_products(dropout, layout):
        output = bucketed_attention(states[0], states[1], states[2], layout.lengths, dropout, scale, window)
    elif flash_attention_serves(query, dropout):
        output = flash_attention(states, layout, dropout, scale, window)
    else:
        output = padded_attention(states, cu_seq_lens_q, dropout, scale, window)
    return output[None], None


def _takes_plain_products(dropout: float, layout: TextLayout) -> bool:
    """Whether `bucketed_attention` is used on a CPU: with dropout, which the fused kernel lacks, or if faster."""
    if dropout > 0 or layout.longest <= _SHORT:
        return True
    padded = layout.longest * len(layout.lengths)
    return layout.longest <= _LONGEST_IN_PLAIN_PRODUCTS and padded > _LITTLE_PADDING * layout.tokens


def padded_attention(
    states: list[torch.Tensor],
    boundaries: torch.Tensor,
    dropout: float,
    scale: float,
    window: int | None,
) -> torch.Tensor:
    """The attention alone on padded rows, on any device.

    Args:
        states: query, key and value, each of shape `(tokens, heads, size)`.
        boundaries: where each text begins, and the end, of shape `(texts + 1,)`.
        dropout: fraction of the attention weights that is dropped.
        scale: of the scores.
        window: how far a token sees in either direction; None: the whole text.

    Returns:
        of shape `(tokens, heads, size)`; zero behind the last text.
    """
    layout, device = layout_of(boundaries), boundaries.device
    rows = torch.stack(states).index_select(1, layout.sources(device))  # (few kernels: a GPU waits for the host here)
    shape = (3, len(layout.lengths), layout.longest, *states[0].shape[1:])
    query, key, value = rows.view(shape).transpose(2, 3).unbind()
    seen = layout.seen(window, device)
    output = F.scaled_dot_product_attention(query, key, value, attn_mask=seen, dropout_p=dropout, scale=scale)
    output = output.transpose(1, 2).flatten(0, 1).index_select(0, layout.places(layout.longest, device))
    behind = len(states[0]) - layout.tokens
    return F.pad(output, (0, 0, 0, 0, 0, behind)) if behind else output


# (When the module is loaded, so that a pickled model finds its attention in another process.)
AttentionInterface.register(ATTENTION, padding_free_attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)
