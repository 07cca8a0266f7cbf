"""The last layer of a classifier, a temperature folded into it, and the scores from which it gives a label."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import numpy.typing as npt

from hfbertcls.errors import ModelError
from hfbertcls.modeling.predictions import sigmoid


if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


TEMPERATURE = "hfbertcls_temperature"
"""The key of `config.json` that holds the temperature which the weights contain; of several labels a text, one for each."""
THRESHOLDS = "hfbertcls_thresholds"
"""The key of `config.json` with the scores from which a classifier of several labels a text gives each label."""
MULTI_LABEL: Final = "multi_label_classification"
"""The `problem_type` of a classifier whose labels do not exclude each other."""


def output_layer_name(model: "PreTrainedModel") -> str | None:
    """The name of the linear layer whose output are the logits; None if there is none.

    It is the last one outside of the encoder with one output for each label: `classifier` in BERT, DistilBERT, DeBERTa
    and ModernBERT, `classifier.out_proj` in RoBERTa, MPNet and ELECTRA.
    """
    import torch  # noqa: PLC0415  (takes seconds)

    encoder = f"{model.base_model_prefix}."
    names = [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
        and module.out_features == model.config.num_labels
        and not name.startswith(encoder)
    ]
    return names[-1] if names else None


def output_layer(model: "PreTrainedModel") -> "torch.nn.Linear":
    """The linear layer whose output are the logits.

    Raises:
        ModelError: if there is none.
    """
    name = output_layer_name(model)
    if name is None:
        raise ModelError(
            f"{type(model).__name__} has no linear layer with {model.config.num_labels} outputs at its end, so no temperature "
            "can be folded into it. Pass --no-calibration"
        )
    return cast("torch.nn.Linear", model.get_submodule(name))


def begin_with(model: "PreTrainedModel", shares: npt.ArrayLike) -> None:
    """Let a head of several labels begin with the given scores (above 0 and below 1), one for each label."""
    import torch  # noqa: PLC0415  (takes seconds)

    bias = output_layer(model).bias
    if bias is not None:
        with torch.no_grad():
            bias.copy_(torch.logit(torch.as_tensor(shares, dtype=torch.float64)))


def temperature_of(config: Any) -> float | list[float] | None:
    """The temperature that the weights of a configuration contain, or that of each label; None if they contain none.

    Raises:
        ModelError: if the configuration states anything else.
    """
    value = vars(config).get(TEMPERATURE)
    if value is None:
        return None
    stated = value if isinstance(value, list) else [value]
    if not stated or not all(type(one) in (float, int) and 0 < one < np.inf for one in stated):
        raise ModelError(
            f"{TEMPERATURE} in config.json is {value!r}. Expected a number above 0, or one for each label; correct it, or train "
            "the model again"
        )
    return [float(one) for one in value] if isinstance(value, list) else float(value)


def thresholds_of(config: Any) -> npt.NDArray[np.float64] | None:
    """The scores (sigmoid of the logit, 0 to 1) from which each label is given, of shape `(num_labels,)`.

    0.5 for each label where the configuration states none. None for a classifier that gives one label a text.

    Raises:
        ModelError: if the configuration states something else than a number from 0 to 1 for each label.
    """
    if config.problem_type != MULTI_LABEL:
        return None
    stated = vars(config).get(THRESHOLDS)
    if stated is None:
        return np.full(config.num_labels, 0.5)
    fits = isinstance(stated, list) and len(stated) == config.num_labels
    if not fits or not all(type(one) in (float, int) and 0 <= one <= 1 for one in stated):
        raise ModelError(
            f"{THRESHOLDS} in config.json is {stated!r}. Expected a list of {config.num_labels} numbers from 0 to 1, one for "
            "each label; without the key each label is given from 0.5 on"
        )
    return np.asarray(stated, dtype=np.float64)


def write_thresholds(directory: Path, thresholds: Sequence[float]) -> None:
    """State in the `config.json` of a saved model from which score on each label is given."""
    path = directory / "config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | {THRESHOLDS: [float(one) for one in thresholds]}
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def fold_temperature(model: "PreTrainedModel", temperature: float | Sequence[float]) -> None:
    """Divide the logits of a model by a temperature, in its weights, and note it in its configuration.

    What loads the model then needs to know nothing of it: softmax (sigmoid, where a text has several labels) gives the
    calibrated scores.

    Args:
        model (`PreTrainedModel`): changed in place.
        temperature (`float | Sequence[float]`): of all labels, or one for each.

    Raises:
        ModelError: if the model has no last linear layer, or holds a temperature already.
    """
    if temperature_of(model.config) is not None:
        raise ModelError("the weights already contain a temperature. Call undo_calibration first")
    _scale(model, np.reciprocal(np.asarray(temperature, dtype=np.float64)))
    setattr(model.config, TEMPERATURE, np.asarray(temperature, dtype=np.float64).tolist())


def undo_calibration(model: "PreTrainedModel") -> None:
    """Take the temperature out of the weights of a calibrated model again: the logits that training ended with.

    Args:
        model (`PreTrainedModel`): changed in place; without a temperature it stays as it is. The logits are those of
            before to the rounding of fp32. Thresholds change with them, so that the same labels are given.
    """
    temperature, thresholds = temperature_of(model.config), thresholds_of(model.config)
    if temperature is None:
        return
    forget_calibration(model.config)
    _scale(model, np.asarray(temperature, dtype=np.float64))
    if thresholds is not None:
        with np.errstate(divide="ignore"):  # (thresholds of 0 and 1 stay what they are)
            logits = np.log(thresholds) - np.log1p(-thresholds)
        setattr(model.config, THRESHOLDS, sigmoid(logits * np.asarray(temperature)).tolist())


def forget_calibration(config: Any) -> None:
    """Remove temperature and thresholds from a configuration whose weights will become others."""
    vars(config).pop(TEMPERATURE, None)
    vars(config).pop(THRESHOLDS, None)


def _scale(model: "PreTrainedModel", factor: npt.ArrayLike) -> None:
    """Multiply the logits: by one factor, or each by its own of shape `(num_labels,)`."""
    import torch  # noqa: PLC0415  (takes seconds)

    layer = output_layer(model)
    with torch.no_grad():
        for parameter in cast(
            Any, layer
        ).parameters():  # (the weight of shape (labels, hidden), the bias of (labels,))
            factors = torch.as_tensor(factor, dtype=torch.float64, device=parameter.device)
            factors = factors.reshape(-1, *[1] * (parameter.ndim - 1)) if factors.ndim else factors
            parameter.copy_((parameter.double() * factors).to(parameter.dtype))
