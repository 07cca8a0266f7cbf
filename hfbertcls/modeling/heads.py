"""The last layer of a classifier, and a temperature folded into it."""

from typing import TYPE_CHECKING, Any, cast

from hfbertcls.errors import ModelError


if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


TEMPERATURE = "hfbertcls_temperature"
"""The key of `config.json` that holds the temperature which the weights contain."""


def output_layer(model: "PreTrainedModel") -> "torch.nn.Linear":
    """The linear layer whose output are the logits.

    It is the last one outside of the encoder with one output for each label: `classifier` in BERT, DistilBERT, DeBERTa
    and ModernBERT, `classifier.out_proj` in RoBERTa, MPNet and ELECTRA.

    Raises:
        ModelError: if there is none.
    """
    import torch  # noqa: PLC0415  (takes seconds)

    encoder = f"{model.base_model_prefix}."
    layers = [
        module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
        and module.out_features == model.config.num_labels
        and not name.startswith(encoder)
    ]
    if not layers:
        raise ModelError(
            f"{type(model).__name__} has no linear layer with {model.config.num_labels} outputs at its end, so no temperature "
            "can be folded into it. Pass --no-calibration"
        )
    return layers[-1]


def temperature_of(config: Any) -> float | None:
    """The temperature that the weights of a configuration contain; None if they contain none."""
    value = vars(config).get(TEMPERATURE)
    return float(value) if value is not None else None


def fold_temperature(model: "PreTrainedModel", temperature: float) -> None:
    """Divide the logits of a model by a temperature, in its weights, and note it in its configuration.

    What loads the model then needs to know nothing of it: softmax gives the calibrated scores.

    Raises:
        ModelError: if the model has no last linear layer, or holds a temperature already.
    """
    earlier = temperature_of(model.config)
    if earlier is not None:
        raise ModelError(f"the weights already contain a temperature of {earlier:g}. Call undo_calibration first")
    _scale(model, 1.0 / temperature)
    setattr(model.config, TEMPERATURE, float(temperature))


def undo_calibration(model: "PreTrainedModel") -> None:
    """Take the temperature out of the weights of a calibrated model again: the logits that training ended with.

    Args:
        model (`PreTrainedModel`): changed in place; without a temperature it stays as it is. The logits are those of
            before to the rounding of fp32.
    """
    temperature = temperature_of(model.config)
    if temperature is not None:
        _scale(model, temperature)
        forget_temperature(model.config)


def forget_temperature(config: Any) -> None:
    """Remove the note of a temperature from a configuration whose weights will become others."""
    vars(config).pop(TEMPERATURE, None)


def _scale(model: "PreTrainedModel", factor: float) -> None:
    import torch  # noqa: PLC0415  (takes seconds)

    layer = output_layer(model)
    with torch.no_grad():
        for parameter in cast(Any, layer).parameters():
            parameter.copy_((parameter.double() * factor).to(parameter.dtype))
