"""Model averaging: the mean of the weights of fine-tuned models."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hfbertcls.errors import ModelError, listing
from hfbertcls.modeling.heads import SHIFT, describe_task, shift_of, undo_calibration
from hfbertcls.modeling.loading import ModelSource, load_for_inference
from hfbertcls.tasks.known import task_of_config


if TYPE_CHECKING:
    from transformers import PreTrainedModel


def average_models(sources: Sequence[ModelSource]) -> "PreTrainedModel":
    """Average the weights of classifiers (Wortsman et al., "Model soups", ICML 2022), without their temperatures.

    The sums are formed in fp64 and rounded to fp32 once, so the order hardly matters. The models are loaded one after
    another.

    Args:
        sources: at least one.

    Returns:
        A model in fp32, in evaluation mode, that holds no temperature and states no thresholds. A shift of the logits
        for other class priors, which is the same in all of them, stays.

    Raises:
        ModelError: if one cannot be loaded, or they differ in labels, in the order of labels, in names or shapes of
            weights, or in an integer buffer, which has no mean.
    """
    import torch  # noqa: PLC0415  (takes seconds)

    sums: dict[str, Any] = {}
    labels: dict[Any, str] = {}
    shifts: list[list[float] | None] = []
    for source in sources:
        model = load_for_inference(source)
        own: dict[Any, str] = {**(model.config.id2label or {})}
        labels = labels or own
        if own != labels:
            raise ModelError(
                f"{sources[0].public_name!r} and {source.public_name!r} cannot be averaged: their labels are {listing(labels.values(), 4)} "
                f"and {listing(own.values(), 4)}, in this order. Average models of the same labels in the same order"
            )
        undo_calibration(model)
        shifts.append(shift_of(model.config))
        if shifts[-1] != shifts[0]:
            raise ModelError(
                f"{sources[0].public_name!r} and {source.public_name!r} cannot be averaged: they are adjusted to other class priors "
                f"({SHIFT} in config.json). Average models of the same --prior"
            )
        state = model.state_dict()
        if not sums:
            sums = {name: value.double() if value.is_floating_point() else value for name, value in state.items()}
            continue
        unlike = sorted(
            name
            for name in sums.keys() | state.keys()
            if name not in sums or name not in state or sums[name].shape != state[name].shape
        )
        if unlike:
            raise ModelError(
                f"{sources[0].public_name!r} and {source.public_name!r} cannot be averaged: {listing(unlike, 3)} "
                "is not in both, or has other shapes. Average models of one encoder with the same labels"
            )
        for name, value in state.items():
            if value.is_floating_point():
                sums[name] += value
            elif not torch.equal(sums[name], value):
                raise ModelError(
                    f"{sources[0].public_name!r} and {source.public_name!r} cannot be averaged: {name!r} holds whole numbers that "
                    "differ, and there is no mean of these. Average models of one encoder"
                )
    if (task := task_of_config(model.config)) is not None:
        describe_task(model.config, task)  # (without the thresholds of one of them)
        if shifts[0] is not None:
            setattr(model.config, SHIFT, shifts[0])
    with torch.no_grad():
        for name, value in model.state_dict().items():
            value.copy_(sums[name] / len(sources) if value.is_floating_point() else sums[name])
    return model
