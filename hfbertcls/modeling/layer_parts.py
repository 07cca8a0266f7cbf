"""What the parts of an encoder's layers are called in the architectures that can get a layer appended."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class LayerParts:
    """The parts of one layer, by the names of their modules, and where the layers and the dense layer of the head are.

    Args:
        layers: the list of layers, in the encoder.
        head: the dense layer between the first token and the last linear layer, in the classifier.
        query, key, value, output: the projections of the attention, in the layer.
        dropout: of the attention weights.
        positions: projections of relative positions to keys; they are zero where the keys are.
        norm: the first LayerNorm.
        up, down: the feed-forward matrices.
        last_norm: the second LayerNorm.
    """

    layers: str
    head: str
    query: str
    key: str
    value: str
    output: str
    dropout: str
    norm: str
    up: str
    down: str
    last_norm: str
    positions: str | None = None


_BERT = LayerParts(
    layers="encoder.layer",
    head="bert.pooler.dense",
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    output="attention.output.dense",
    dropout="attention.self.dropout",
    norm="attention.output.LayerNorm",
    up="intermediate.dense",
    down="output.dense",
    last_norm="output.LayerNorm",
)
_ROBERTA = LayerParts(**{**vars(_BERT), "head": "classifier.dense"})
_DEBERTA = LayerParts(
    **{
        **vars(_BERT),
        "head": "pooler.dense",
        "query": "attention.self.query_proj",
        "key": "attention.self.key_proj",
        "value": "attention.self.value_proj",
        "positions": "attention.self.pos_key_proj",
    }
)
_MPNET = LayerParts(
    **{
        **vars(_ROBERTA),
        "query": "attention.attn.q",
        "key": "attention.attn.k",
        "value": "attention.attn.v",
        "output": "attention.attn.o",
        "dropout": "attention.attn.dropout",
        "norm": "attention.LayerNorm",
    }
)
_DISTILBERT = LayerParts(
    layers="transformer.layer",
    head="pre_classifier",
    query="attention.q_lin",
    key="attention.k_lin",
    value="attention.v_lin",
    output="attention.out_lin",
    dropout="attention.dropout",
    norm="sa_layer_norm",
    up="ffn.lin1",
    down="ffn.lin2",
    last_norm="output_layer_norm",
)
PARTS = {
    "bert": _BERT,
    "camembert": _ROBERTA,
    "deberta-v2": _DEBERTA,
    "distilbert": _DISTILBERT,
    "electra": _ROBERTA,
    "mpnet": _MPNET,
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
}
"""By `model_type`."""


def layers_of(model: "PreTrainedModel") -> "nn.ModuleList":
    """The layers of a classifier's encoder, of one of the architectures in `PARTS`."""
    layers: Any = model.base_model.get_submodule(PARTS[str(model.config.model_type)].layers)
    result: nn.ModuleList = layers
    return result
