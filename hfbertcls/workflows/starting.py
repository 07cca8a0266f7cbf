"""Where a training begins, and whether it ends better than it began."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hfbertcls.errors import ModelError
from hfbertcls.modeling.loading import load_for_training
from hfbertcls.progress import Log
from hfbertcls.training.frozen_start import FrozenStart, begin_from
from hfbertcls.training.options import TrainingOptions


if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from hfbertcls.workflows.reporting import RunInput


@dataclass(frozen=True)
class Start:
    """The model before training.

    Args:
        model: to be trained.
        notes: on how it was made, for a person.
        frozen: the linear model in its head; None where its head is new or was trained before.
    """

    model: "PreTrainedModel"
    notes: tuple[str, ...]
    frozen: FrozenStart | None


def load_start(inputs: "RunInput", options: TrainingOptions, seed: int, log: Log) -> Start:
    """Load the encoder with a head: a trained one, or a linear model on the frozen encoder, or a random one.

    Raises:
        ModelError: as `load_for_training`, and if the tokenizer does not fit the model.
    """
    loaded = load_for_training(inputs.source, inputs.task, seed, _priors(inputs))
    model: Any = loaded.model
    num_embeddings = int(model.get_input_embeddings().num_embeddings)
    largest = max(split.largest_id for split in inputs.tokenized.values())
    if largest >= num_embeddings:
        raise ModelError(
            f"the tokenizer of {inputs.source.public_name!r} gives token ids up to {largest:,}, but the model has only {num_embeddings:,} "
            "embeddings. Tokenizer and weights do not match"
        )
    frozen = inputs.frozen if options.recipe == "auto" and loaded.new_parameters else None
    notes = loaded.notes
    if frozen is not None:
        begin_from(model, frozen)
        notes += (frozen.note,) if frozen.note else ()
    for note in notes:
        log(f"  note: {note}")
    if frozen is not None:
        read = "the mean of the tokens" if frozen.pooling == "mean" else "the first token"
        log(f"Start: a linear model on the frozen encoder, which reads {read} of a text")
    return Start(model, notes, frozen)


def better_start(
    start: Start, inputs: "RunInput", metric: str, best: float | None, *, more_is_better: bool
) -> float | None:
    """The metric of the start on validation if no checkpoint is as good; else None.

    Args:
        start: of the training.
        inputs: of the run.
        metric: that chooses the checkpoint.
        best: its value at the best checkpoint; None if there was no evaluation.
        more_is_better: whether a higher value of the metric is better.
    """
    if start.frozen is None or best is None:
        return None
    validation = inputs.tokenized["validation"]
    gold, logits = validation.gold, start.frozen.logits["validation"]
    task = validation.labelled_task.fit_decision(gold, logits)
    values = {**task.compute_metrics(gold, logits), "loss": float(task.row_losses(gold, logits).mean())}
    value = values.get(metric)
    if value is None or value == best or (value > best) != more_is_better:
        return None
    return value


def _priors(inputs: "RunInput") -> "npt.NDArray[np.float64] | None":
    """The class priors with which a new head begins."""
    train = inputs.data.splits["train"]
    support = np.array(list(train.label_counts(inputs.task.labels).values()), dtype=np.int64)
    return inputs.task.initial_probabilities(support, len(train))
