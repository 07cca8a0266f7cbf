"""The last layer of a classifier, and a temperature folded into it."""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from hfbertcls.errors import ModelError
from hfbertcls.tasks.known import TASKS, task_of_config
from hfbertcls.tasks.probabilities import Answers
from hfbertcls.tasks.task import Task


if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


TEMPERATURE = "hfbertcls_temperature"
"""The key of `config.json` with the temperature that the weights contain: one for all labels, or one for each."""

SHIFT = "hfbertcls_logit_shift"
"""The key of `config.json` with what the bias contains for other class priors, in label order, before the temperature."""


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


@contextlib.contextmanager
def without_output_layer(model: "PreTrainedModel") -> "Iterator[torch.nn.Linear]":
    """Inside of the block the `logits` of a model are what its output layer receives; gives that layer.

    Raises:
        ModelError: if there is none.
    """
    import torch  # noqa: PLC0415  (takes seconds)

    name, layer = str(output_layer_name(model)), output_layer(model)
    model.set_submodule(name, torch.nn.Identity())
    try:
        yield layer
    finally:
        model.set_submodule(name, layer)


def begin_with(model: "PreTrainedModel", priors: npt.ArrayLike) -> None:
    """Let the biases of a head with a sigmoid for each label be those of class priors (above 0 and below 1)."""
    import torch  # noqa: PLC0415  (takes seconds)

    bias = output_layer(model).bias
    if bias is not None:
        with torch.no_grad():
            bias.copy_(torch.logit(torch.as_tensor(priors, dtype=torch.float64)))


def temperature_of(config: Any) -> float | list[float] | None:
    """The temperature that the weights of a configuration contain, or that of each label; None if they contain none.

    Raises:
        ModelError: if the configuration states anything else.
    """
    value = vars(config).get(TEMPERATURE)
    if value is None:
        return None
    temperatures = value if isinstance(value, list) else [value]
    if not temperatures or not all(type(one) in (float, int) and 0 < one < np.inf for one in temperatures):
        raise ModelError(
            f"{TEMPERATURE} in config.json is {value!r}. Expected a number above 0, or one for each label; correct it, or train "
            "the model again"
        )
    return [float(one) for one in value] if isinstance(value, list) else float(value)


def shift_of(config: Any) -> list[float] | None:
    """The shift of the logits for other class priors that the weights contain; None if they contain none.

    Raises:
        ModelError: if the configuration states anything else.
    """
    value = vars(config).get(SHIFT)
    if value is None:
        return None
    fits = isinstance(value, list) and len(value) == config.num_labels
    if not fits or not all(type(one) in (float, int) and np.isfinite(one) for one in value):
        raise ModelError(
            f"{SHIFT} in config.json is {value!r}. Expected a number for each label; correct it, or train the model again"
        )
    return [float(one) for one in value]


def shift_logits(model: "PreTrainedModel", shift: Sequence[float]) -> None:
    """Add a number to the logit of each label, in the bias of the last layer, and note it in the configuration.

    Args:
        model (`PreTrainedModel`): with a bias, without a shift or a temperature; changed in place.
        shift (`Sequence[float]`): in label order.

    Raises:
        ModelError: if the model has no last linear layer, or holds a shift or a temperature already.
    """
    import torch  # noqa: PLC0415  (takes seconds)

    if shift_of(model.config) is not None or temperature_of(model.config) is not None:
        raise ModelError("the weights already contain class priors or a temperature. Train from the encoder again")
    bias = output_layer(model).bias
    with torch.no_grad():
        bias.copy_((bias.double() + torch.as_tensor(shift, dtype=torch.float64, device=bias.device)).to(bias.dtype))
    setattr(model.config, SHIFT, [float(one) for one in shift])


def write_config_values(directory: Path, values: Mapping[str, Any]) -> None:
    """Add values to the `config.json` of a saved model; None removes one."""
    path = directory / "config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | values
    config = {key: value for key, value in config.items() if value is not None or key not in values}
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def fold_temperature(model: "PreTrainedModel", temperature: float | Sequence[float]) -> None:
    """Divide the logits of a model by a temperature, in its weights, and note it in its configuration.

    Plain transformers then computes calibrated probabilities.

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

    ```python
    >>> undo_calibration(TextClassifier.from_pretrained("my-model").pipeline.model)
    ```

    Args:
        model (`PreTrainedModel`): changed in place; without a temperature it stays as it is. The logits equal the
            earlier ones up to fp32 rounding. The decision thresholds change with them, so the answers stay the same.
    """
    temperature, task = temperature_of(model.config), task_of_config(model.config)
    if temperature is None:
        return
    vars(model.config).pop(TEMPERATURE)
    _scale(model, np.asarray(temperature, dtype=np.float64))
    if task is not None:
        vars(model.config).update(task.uncalibrated(temperature).config_values)


def describe_task(config: Any, task: Task) -> None:
    """Let a configuration be one of a classifier of this task that is neither adjusted nor calibrated."""
    for key in (TEMPERATURE, SHIFT, *(key for kind in TASKS.values() for key in kind.config_keys)):
        vars(config).pop(key, None)
    task.configure(config)


def standardize(model: "PreTrainedModel", task: Task, gold: Answers) -> Task:
    """Let a classifier compute on the scale on which its task is trained; its configuration says which one.

    ```python
    >>> standardize(model, Regression(()), np.array([10.0, 30.0]))  # doctest: +SKIP
    Regression(labels=(), mean=20.0, scale=10.0)
    ```

    Args:
        model: whose logits are those of a finished classifier. It is changed in place, unless it has no linear layer
            at its end.
        task: of the finished classifier.
        gold: the answers of the training rows.

    Returns:
        The task of the model from now on.
    """
    if output_layer_name(model) is None:
        return task
    trained = task.while_trained_on(gold, has_bias=output_layer(model).bias is not None)
    factor, offset = trained.output_scale
    rescale_outputs(model, 1 / factor, -offset / factor)
    vars(model.config).update(trained.config_values)
    return trained


def finish_standardized(model: "PreTrainedModel") -> None:
    """Fold what `standardize` did into the weights: the logits are on the scale of the answers again."""
    task = task_of_config(model.config)
    if task is not None and task.output_scale != (1.0, 0.0):
        rescale_outputs(model, *task.output_scale)
        task.configure(model.config)


def rescale_outputs(model: "PreTrainedModel", factor: float, offset: float) -> None:
    """Multiply the logits of a model by a factor and add an offset, in its weights."""
    import torch  # noqa: PLC0415  (takes seconds)

    if (factor, offset) == (1.0, 0.0):
        return
    layer = output_layer(model)
    with torch.no_grad():
        layer.weight.copy_(layer.weight.double() * factor)
        if layer.bias is not None:
            layer.bias.copy_(layer.bias.double() * factor + offset)


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
