"""Mean pooling inside an ordinary classifier: one more layer, whose first token is the mean of the text's tokens.

transformers' classifiers read the first token. Many encoders were trained to be read by the mean of their tokens. The
keys of the appended layer are zero, so its first token attends to all tokens alike. Its value and output matrices are
16 times the identity, so that the LayerNorm behind them forgets the residual. Its second feed-forward matrix is zero.
The dense layer of the head is the identity where its activation is nearly linear. So the last linear layer receives
LayerNorm(mean), and the saved model is an ordinary one with one layer more.

How far the first token, and what the last linear layer receives, are from LayerNorm(mean): root mean square over eight
texts of 2 to 30 tokens, random weights, vectors of 256 values (`tests/modeling/test_pooling.py` keeps limits).

| architecture | first token | last linear layer | activation of the head |
|:--|--:|--:|:--|
| BERT | 0.0007 | 0.0009 | tanh |
| RoBERTa | 0.0009 | 0.0010 | tanh |
| CamemBERT, XLM-RoBERTa | 0.0008 | 0.0009 | tanh |
| ELECTRA | 0.0006 | 0.025 | GELU: its curvature at 0, which loses nothing |
| DistilBERT | 0.0017 | 0.0017 | ReLU, shifted by 4 |
| DeBERTa-v2 | 0.0028 | 0.027 | GELU |
| MPNet, position bias of 0.02 | 0.0032 | 0.0032 | tanh |

MPNet adds its position bias to the scores of every layer; a strong one makes a weighted mean, and the trial refuses it.
"""

import copy
from typing import TYPE_CHECKING, Any, Literal, cast

from hfbertcls.errors import ModelError
from hfbertcls.modeling.layer_parts import PARTS, layers_of


if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn
    from transformers import PreTrainedModel

    from hfbertcls.modeling.layer_parts import LayerParts


Pooling = Literal["first", "mean"]
POOLING = "hfbertcls_pooling"
"""The key of `config.json` that is "mean" if the encoder's last layer is the appended one."""
TOLERANCE = 0.05
"""Largest relative difference from LayerNorm(mean), as a root mean square over a trial text, with which it is kept."""
_MULTIPLE = 16.0
"""On the diagonals of the value and the output matrix. Their product outweighs the residual; fp16 holds it."""
_SMALL = 0.02
"""Weight of the last LayerNorm, where tanh and GELU are nearly linear."""
_SHIFT = 4.0
"""Bias before a ReLU, which then passes all values above -4 as they are. bf16 rounds it along with them, so a larger one
costs precision there."""
_OF_ITS_OWN = {
    "albert": "its layers share their weights, so none can be appended",
    "deberta": "its attention adds position terms to the scores that zero keys do not remove",
}


def pooling_of(config: Any) -> Pooling:
    """What the head of a classifier with this configuration reads: the first token, or the mean of all tokens.

    ```python
    >>> pooling_of(AutoConfig.from_pretrained("google-bert/bert-base-uncased"))
    'first'
    ```

    Args:
        config (`PreTrainedConfig`): of a classifier.

    Raises:
        ModelError: if the configuration states an invalid value.
    """
    return "mean" if _is_appended(config) or _reads_mean(config) else "first"


def own_layers(config: Any) -> int:
    """How many layers the encoder has of its own, an appended one not counted.

    Args:
        config (`PreTrainedConfig`): of a classifier or an encoder.

    Raises:
        ModelError: if the configuration states an invalid value.
    """
    return int(config.num_hidden_layers) - int(_is_appended(config))


def _is_appended(config: Any) -> bool:
    value = vars(config).get(POOLING)
    if value not in (None, "mean"):
        raise ModelError(
            f"{POOLING} in config.json is {value!r}. Expected 'mean', or no such key; correct it, or train the model again"
        )
    return value is not None


def _reads_mean(config: Any) -> bool:
    return bool(config.model_type == "modernbert" and config.classifier_pooling == "mean")


def append_mean_pooling(model: "PreTrainedModel") -> str | None:
    """Let the head of a classifier read the mean of all tokens, by one more layer in its encoder.

    The dense layer of its head is overwritten. The random values come from PyTorch's generator. A trial on four texts
    must give LayerNorm(mean) up to `TOLERANCE`; else the model is restored. ModernBERT can read the mean without such
    a layer, and is told to. Call it before `enable_padding_free`.

    ```python
    >>> from transformers import AutoModelForSequenceClassification
    >>> model = AutoModelForSequenceClassification.from_pretrained("sentence-transformers/all-MiniLM-L6-v2")
    >>> print(append_mean_pooling(model), model.config.num_hidden_layers)
    None 7
    ```

    Args:
        model (`PreTrainedModel`): of one of transformers' own `...ForSequenceClassification` classes; changed in place.
            One that reads the mean already stays as it is.

    Returns:
        why its head reads the first token, in words; None if it reads the mean.

    Raises:
        ModelError: if its configuration states an invalid value.
    """
    if pooling_of(model.config) == "mean":
        return None
    reason = _obstacle(model)
    if reason is not None:
        return reason
    if model.config.model_type == "modernbert":
        model.config.classifier_pooling = "mean"
        return None
    undo = _append(model, PARTS[model.config.model_type])
    difference = _difference(model)
    if difference <= TOLERANCE:
        return None
    undo()
    return (
        f"on trial texts the appended layer is {difference:.2g} away from the mean of the tokens, relative to its size"
    )


def _obstacle(model: "PreTrainedModel") -> str | None:
    config: Any = model.config
    kind, name = str(config.model_type), type(model).__name__
    if kind in _OF_ITS_OWN:
        return _OF_ITS_OWN[kind]
    is_of_transformers = type(model).__module__.startswith("transformers.models.")
    if kind not in {*PARTS, "modernbert"} or not is_of_transformers or not name.endswith("ForSequenceClassification"):
        return f"it has not been tried with {name} ({kind})"
    if getattr(config, "is_decoder", False) or getattr(config, "add_cross_attention", False):
        return "it is a decoder, whose tokens do not all see each other"
    if kind == "modernbert":
        return None
    if _activation(config) not in ("gelu", "relu", "tanh"):
        return f"its head has the activation {_activation(config)}, with which it has not been tried"
    parts, last = PARTS[kind], layers_of(model)[-1]
    dense: list[Any] = [
        last.get_submodule(parts.value),
        last.get_submodule(parts.output),
        model.get_submodule(parts.head),
    ]
    if any(tuple(one.weight.shape) != (config.hidden_size, config.hidden_size) for one in dense):
        return "its attention or its head is not as wide as its vectors"
    return None


def _activation(config: Any) -> str:
    """The activation behind the dense layer of the head."""
    if config.model_type == "deberta-v2":
        return str(config.pooler_hidden_act)
    return {"distilbert": "relu", "electra": "gelu"}.get(config.model_type, "tanh")


def _append(model: "PreTrainedModel", parts: "LayerParts") -> "Callable[[], None]":
    """Append the layer, make the dense layer of the head the identity; returns what takes both back."""
    import torch  # noqa: PLC0415  (takes seconds)

    config: Any = model.config
    layers, dense = layers_of(model), model.get_submodule(parts.head)
    earlier = {name: value.detach().clone() for name, value in dense.state_dict().items()}
    is_relu = _activation(config) == "relu"
    layers.append(_pooling_layer(model, parts, 1.0 if is_relu else _SMALL))
    config.num_hidden_layers += 1
    setattr(config, POOLING, "mean")
    with torch.no_grad():
        _fill(dense, diagonal=1.0, bias=_SHIFT if is_relu else 0.0)
    dropout = _switch_dropout_off(model) if is_relu else None

    def undo() -> None:
        del layers[-1]
        config.num_hidden_layers -= 1
        delattr(config, POOLING)
        dense.load_state_dict(earlier)
        if dropout is not None:
            config.seq_classif_dropout, cast("Any", model).dropout.p = dropout

    return undo


def _switch_dropout_off(model: Any) -> tuple[float, float]:
    """Behind a shifted ReLU, dropout would be mostly noise of the shift; returns the earlier values of both places."""
    earlier = (model.config.seq_classif_dropout, model.dropout.p)
    model.config.seq_classif_dropout = model.dropout.p = 0.0
    return earlier


def _pooling_layer(model: "PreTrainedModel", parts: "LayerParts", last_weight: float) -> "nn.Module":
    """A layer of the model's own class, whose first token is LayerNorm(mean of the tokens) times `last_weight`."""
    import torch  # noqa: PLC0415  (takes seconds)

    layers, config = layers_of(model), model.config
    layer: Any = copy.deepcopy(layers[-1], {id(config): config})  # (one configuration for all, as transformers has it)
    for module in layer.modules():
        if hasattr(module, "layer_idx"):
            module.layer_idx = len(layers)
    layer.requires_grad_(True)
    with torch.no_grad():
        for name in (parts.query, parts.up):
            torch.nn.init.normal_(layer.get_submodule(name).weight, std=float(config.initializer_range))
            torch.nn.init.zeros_(layer.get_submodule(name).bias)
        for name, module in layer.named_modules():
            if name in (parts.key, parts.positions, parts.down):
                _fill(module)
        for name in (parts.value, parts.output):
            _fill(layer.get_submodule(name), diagonal=_MULTIPLE)
        for name, weight in ((parts.norm, 1.0), (parts.last_norm, last_weight)):
            torch.nn.init.constant_(layer.get_submodule(name).weight, weight)
            torch.nn.init.zeros_(layer.get_submodule(name).bias)
    result: nn.Module = layer
    return result


def _fill(linear: Any, diagonal: float = 0.0, bias: float = 0.0) -> None:
    """Let a linear layer be a multiple of the identity and a bias."""
    linear.weight.zero_()
    if diagonal:
        linear.weight.fill_diagonal_(diagonal)
    linear.bias.fill_(bias)


def _difference(model: "PreTrainedModel") -> float:
    """How far the first token is from LayerNorm(mean), relative to its size; the largest of the trial texts."""
    import torch  # noqa: PLC0415  (takes seconds)

    from hfbertcls.modeling.trial import in_evaluation, trial_inputs  # noqa: PLC0415

    layer: Any = layers_of(model)[-1]
    norm = layer.get_submodule(PARTS[model.config.model_type].last_norm)
    before: list[torch.Tensor] = []
    handle = layer.register_forward_pre_hook(lambda _, arguments: before.append(arguments[0]))
    inputs = trial_inputs(model)
    try:
        with in_evaluation(model), torch.no_grad():
            states = model.base_model(**inputs)[0]
    finally:
        handle.remove()
    weights = inputs["attention_mask"].unsqueeze(-1).to(torch.float32)
    mean = (before[0].float() * weights).sum(dim=1) / weights.sum(dim=1)
    wanted = torch.nn.functional.layer_norm(mean, mean.shape[-1:], eps=norm.eps)
    actual = states[:, 0].float() / norm.weight.detach().float()
    return float(((actual - wanted).square().mean(dim=1) / wanted.square().mean(dim=1)).sqrt().max())
