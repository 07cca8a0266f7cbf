"""Where fine-tuning begins, and whether it ends better than it began."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hfbertcls.errors import ModelError
from hfbertcls.evaluation.baselines import LinearProbe
from hfbertcls.evaluation.report_training import Phase
from hfbertcls.modeling.engine import head_inputs, score
from hfbertcls.modeling.loading import load_for_training
from hfbertcls.modeling.predictions import finite_rows
from hfbertcls.progress import Log
from hfbertcls.tasks.probabilities import Logits
from hfbertcls.training.contrastive import ContrastiveRecipe, choose_contrast, contrast
from hfbertcls.training.frozen_start import FrozenStart, begin_from, fill_head
from hfbertcls.training.options import TrainingOptions
from hfbertcls.training.recipe import choose_learning_rate


if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from hfbertcls.training.arguments import TextClassificationTrainingArguments
    from hfbertcls.workflows.reporting import RunInput


@dataclass(frozen=True)
class Start:
    """The model before fine-tuning.

    Args:
        model: to be fine-tuned.
        notes: on how it was made, for a person.
        validation: its logits of the validation split; None where its head is random, or was trained before.
        weights: returns its weights, where there is `validation`.
        phases: of training that came before.
    """

    model: "PreTrainedModel"
    notes: tuple[str, ...]
    validation: Logits | None = None
    weights: "Callable[[], Mapping[str, torch.Tensor]]" = dict
    phases: tuple[Phase, ...] = ()


def load_start(
    inputs: "RunInput", options: TrainingOptions, arguments: "TextClassificationTrainingArguments", log: Log
) -> Start:
    """Load the encoder with a trained head, or a linear model on the frozen encoder, or a random head.

    With few rows, a contrastive phase follows the linear model, which is then fitted again.

    Args:
        inputs: of the run.
        options: of the run.
        arguments: of its trainer.
        log: called with each line of progress, for a person.

    Raises:
        ModelError: as `load_for_training`, and if the tokenizer does not fit the model.
    """
    loaded = load_for_training(inputs.source, inputs.task, arguments.seed, _priors(inputs))
    model: Any = loaded.model
    num_embeddings = int(model.get_input_embeddings().num_embeddings)
    largest = max(split.largest_id for split in inputs.tokenized.values())
    if largest >= num_embeddings:
        raise ModelError(
            f"the tokenizer of {inputs.source.public_name!r} gives token ids up to {largest:,}, but the model has only {num_embeddings:,} "
            "embeddings. Tokenizer and weights do not match"
        )
    frozen = inputs.frozen if options.recipe == "auto" and loaded.new_parameters else None
    notes = loaded.notes + ((frozen.note,) if frozen is not None and frozen.note else ())
    for note in notes:
        log(f"  note: {note}")
    if frozen is None:
        return Start(model, notes)
    begin_from(model, frozen)
    log(f"Start: linear probe on the frozen encoder ({'mean' if frozen.pooling == 'mean' else 'first-token'} pooling)")
    validation = frozen.logits["validation"]
    recipe = choose_contrast(model, inputs.tokenized["train"], choose_learning_rate(model.num_parameters()))
    if recipe is None:
        return Start(model, notes, validation, partial(_loaded_again, inputs, frozen, arguments.seed))
    validation, phases = _contrasted(model, inputs, recipe, arguments, log)
    weights = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
    return Start(model, notes, validation, lambda: weights, phases)


def _loaded_again(inputs: "RunInput", frozen: FrozenStart, seed: int) -> "Mapping[str, torch.Tensor]":
    """The weights of a start without a phase; they are not held in memory while the model is fine-tuned."""
    model: Any = load_for_training(inputs.source, inputs.task, seed).model
    begin_from(model, frozen)
    weights: Mapping[str, torch.Tensor] = model.state_dict()
    return weights


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
    if start.validation is None or best is None:
        return None
    split, logits = inputs.tokenized["validation"], start.validation
    gold = split.gold
    task = split.labelled_task.fit_decision(gold, logits)
    values = {**task.compute_metrics(gold, logits), "loss": float(task.row_losses(gold, logits).mean())}
    value = values.get(metric)
    if value is None or value == best or (value > best) != more_is_better:
        return None
    return value


def _contrasted(
    model: Any,
    inputs: "RunInput",
    recipe: ContrastiveRecipe,
    arguments: "TextClassificationTrainingArguments",
    log: Log,
) -> tuple[Logits, tuple[Phase, ...]]:
    """Train by contrast and fit the head again; returns the logits of the validation split, and the phase."""
    train, tokenizer = inputs.tokenized["train"], inputs.tokenizer
    log(f"Contrastive phase: {recipe.steps} steps; the linear probe is refitted afterwards")
    trained = copy.deepcopy(model)  # (it is made padding-free, which the model may not become)
    trained.to(arguments.device)
    seconds = contrast(trained, tokenizer, train, recipe, arguments.seed, in_bf16=arguments.bf16)
    vectors = head_inputs(trained, tokenizer, train)
    if not finite_rows(vectors).all():
        raise ModelError(
            "the contrastive phase ended with vectors that are no numbers. Pass --precision fp32, or --recipe plain"
        )
    fill_head(trained, LinearProbe(inputs.task, vectors, train.gold))
    model.load_state_dict(trained.state_dict())
    phase = Phase(name="contrastive", steps=recipe.steps, learning_rate=recipe.learning_rate, seconds=seconds)
    return score(trained, tokenizer, inputs.tokenized["validation"]), (phase,)


def _priors(inputs: "RunInput") -> "npt.NDArray[np.float64] | None":
    """The class priors with which a new head begins."""
    train = inputs.data.splits["train"]
    support = np.array(list(train.label_counts(inputs.task.labels).values()), dtype=np.int64)
    return inputs.task.initial_probabilities(support, len(train))
