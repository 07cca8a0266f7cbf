"""Where fine-tuning begins, and whether it ends better than it began."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hfbertcls.data.dataset import TextDataset
from hfbertcls.data.tokenization import TokenizedSplit
from hfbertcls.errors import ModelError, listing
from hfbertcls.evaluation.baselines import LinearProbe, Vectors
from hfbertcls.evaluation.report_training import Phase
from hfbertcls.modeling.engine import head_inputs, score
from hfbertcls.modeling.heads import output_layer_name, rescale_outputs, standardize
from hfbertcls.modeling.loading import ModelSource, load_for_training
from hfbertcls.modeling.predictions import finite_rows
from hfbertcls.progress import Log, work
from hfbertcls.tasks.label_numbers import LabelNumbers
from hfbertcls.tasks.probabilities import Logits
from hfbertcls.tasks.task import Task
from hfbertcls.training.adjusting import require_adjustable
from hfbertcls.training.contrastive import choose_contrast, contrast
from hfbertcls.training.distilling import choose_distillation, distill
from hfbertcls.training.frozen_start import FrozenStart, begin_from, fill_head, rows_of_probe
from hfbertcls.training.losses import class_weights
from hfbertcls.training.new_rows import begin_new_rows
from hfbertcls.training.options import TrainingOptions
from hfbertcls.training.phases import PhaseRecipe
from hfbertcls.training.recipe import choose_learning_rate


if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from hfbertcls.training.arguments import TextClassificationTrainingArguments
    from hfbertcls.workflows.reporting import RunInput


@dataclass(frozen=True)
class Start:
    """The model before fine-tuning.

    Args:
        model: to be fine-tuned.
        notes: on how it was made, for a person.
        task: what its logits mean while it is trained.
        validation: its logits of the validation split; None where its head is random, or was trained before.
        weights: returns its weights, where there is `validation`.
        phases: of training that came before.
    """

    model: "PreTrainedModel"
    notes: tuple[str, ...]
    task: Task
    validation: Logits | None = None
    weights: "Callable[[], Mapping[str, torch.Tensor]]" = dict
    phases: tuple[Phase, ...] = ()


def starts_from_probe(source: ModelSource, data: TextDataset) -> bool:
    """Whether a model starts from a linear probe: all of its head is new, and it ends in a linear layer."""
    task = data.task
    if task is None or len(task.baseline_names) < 3:
        return False
    loaded = load_for_training(source, task, seed=0)
    return bool(loaded.new_parameters) and output_layer_name(loaded.model) is not None


def begin(
    inputs: "RunInput", options: TrainingOptions, arguments: "TextClassificationTrainingArguments", log: Log
) -> "tuple[PreTrainedModel, tuple[str, ...], FrozenStart | None]":
    """Load the encoder with a trained head, or a linear model on the frozen encoder, or a random head.

    Args:
        inputs: of the run.
        options: of the run.
        arguments: of its trainer.
        log: called with each line of progress, for a person.

    Returns:
        The model, notes for a person, and the linear model if the head is one.

    Raises:
        ModelError: as `load_for_training`, and if the tokenizer does not fit the model.
    """
    loaded = inputs.load(arguments.seed, _priors(inputs))
    model: Any = loaded.model
    num_embeddings = int(model.get_input_embeddings().num_embeddings)
    largest = max(split.largest_id for split in inputs.tokenized.values())
    if largest >= num_embeddings:
        raise ModelError(
            f"the tokenizer of {inputs.source.public_name!r} gives token ids up to {largest:,}, but the model has only {num_embeddings:,} "
            "embeddings. Tokenizer and weights do not match"
        )
    types = int(getattr(model.config, "type_vocab_size", None) or 0)  # (0: the model does not read them)
    if 0 < types <= max(split.largest_token_type for split in inputs.tokenized.values()):
        raise ModelError(
            f"the tokenizer of {inputs.source.public_name!r} gives the second text of a pair token type 1, but the model knows only "
            f"{types}. Remove token_type_ids from model_input_names in its tokenizer_config.json"
        )
    frozen = inputs.frozen if options.recipe == "auto" and loaded.new_parameters else None
    if options.recipe == "auto" and loaded.new_rows:
        train, labels = inputs.tokenized["train"], [inputs.task.labels[row] for row in loaded.new_rows]
        if begin_new_rows(model, inputs.tokenizer, train, loaded.new_rows, arguments.device):
            log(f"Start: the trained head, with a linear probe for the new labels {listing(labels, 4)}")
    notes = loaded.notes + ((frozen.note,) if frozen is not None and frozen.note else ())
    if options.prior is not None:
        require_adjustable(model)
    for note in notes:
        log(f"  note: {note}")
    if frozen is None and loaded.new_parameters and output_layer_name(model) is not None:
        answers = inputs.tokenized["train"].gold
        rescale_outputs(model, *inputs.task.while_trained_on(answers).output_scale)
    if frozen is not None:
        frozen = replace(frozen, weighted=_weighted_probe(inputs, frozen, options))
        begin_from(model, frozen, arguments.seed)
        pooling = "mean" if frozen.pooling == "mean" else "first-token"
        log(f"Start: linear probe on the frozen encoder ({pooling} pooling)")
    return model, notes, frozen


def load_start(
    inputs: "RunInput", options: TrainingOptions, arguments: "TextClassificationTrainingArguments", log: Log
) -> Start:
    """Where fine-tuning begins: `begin`, and the phases that come after; the linear model is then refitted.

    With pairs that may be a distillation, with few rows a contrastive phase.

    Args:
        inputs: of the run, with a validation split.
        options: of the run.
        arguments: of its trainer.
        log: called with each line of progress, for a person.

    Raises:
        ModelError: as `begin`.
    """
    loaded, notes, frozen = begin(inputs, options, arguments, log)
    model: Any = loaded
    done = None if frozen is None else distilled(model, inputs, frozen, arguments, options, log)
    distillation = None if done is None else done[0]
    task = standardize(model, inputs.task, inputs.tokenized["train"].gold)
    if frozen is None:
        return Start(model, notes, task)
    recipe = choose_contrast(model, inputs.tokenized["train"], choose_learning_rate(model.num_parameters()))
    if recipe is None:
        if frozen.weighted is None and distillation is None:
            factor, offset = task.output_scale
            validation = ((frozen.logits["validation"] - offset) / factor).astype(np.float32)
        else:
            model.to(arguments.device)
            validation = score(model, inputs.tokenizer, inputs.tokenized["validation"])
        if distillation is None:
            return Start(model, notes, task, validation, partial(_loaded_again, inputs, frozen, arguments.seed))
        return Start(model, notes, task, validation, _kept(model), (distillation,))
    recipe = recipe.at_most(arguments.max_steps)
    log(f"Contrastive phase: {recipe.steps} steps; the linear probe is refitted afterwards")
    with work("Contrastive phase", recipe.steps, "steps") as advance:
        one = contrasted(
            model,
            inputs.tokenizer,
            inputs.tokenized["train"],
            recipe,
            arguments.seed,
            advance,
            options.class_weights,
            device=arguments.device,
            in_bf16=arguments.bf16,
        )
    model.load_state_dict(one.model.state_dict())
    validation = score(one.model, inputs.tokenizer, inputs.tokenized["validation"])
    phases = (one.phase,) if distillation is None else (distillation, one.phase)
    return Start(model, notes, task, validation, _kept(model), phases)


def distilled(
    model: "PreTrainedModel",
    inputs: "RunInput",
    frozen: FrozenStart,
    arguments: "TextClassificationTrainingArguments",
    options: TrainingOptions,
    log: Log,
) -> tuple[Phase, Vectors] | None:
    """Train a classifier of pairs to compare two texts, if its encoder does that better with each text alone.

    Args:
        model: whose head is the linear model of `frozen`; changed in place, with that linear model fitted again.
        inputs: of the run.
        frozen: the linear models on its vectors.
        arguments: of its trainer.
        options: of the run.
        log: called with each line of progress, for a person.

    Returns:
        What was done, and the vectors of the training rows afterwards; None if there was nothing to do.
    """
    train = inputs.tokenized["train"]
    learning_rate = choose_learning_rate(model.num_parameters())
    recipe = choose_distillation(model, frozen, train, learning_rate) if options.recipe == "auto" else None
    if recipe is None:
        return None
    recipe = recipe.at_most(arguments.max_steps)
    log(
        f"Distillation: {recipe.steps} steps on pairs of the training texts. The encoder compares two texts better when it "
        "encodes each alone, and learns to do so when it reads them together"
    )
    net: Any = model
    net.to(arguments.device)
    with work("Distillation", recipe.steps, "steps") as advance:
        seconds = distill(
            model,
            inputs.tokenizer,
            train,
            inputs.data.splits["train"],
            frozen,
            recipe,
            arguments.seed,
            advance,
            in_bf16=arguments.bf16,
        )
    _, vectors = refit(model, inputs.tokenizer, train, options.class_weights)
    phase = Phase(name="distillation", steps=recipe.steps, learning_rate=recipe.learning_rate, seconds=seconds)
    return phase, vectors


def refit(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", rows: TokenizedSplit, weights: LabelNumbers
) -> tuple[LinearProbe, Vectors]:
    """Let the last layer be a linear model on the vectors that it receives now; at most 10,000 rows fit it.

    Args:
        model: after a phase; changed in place.
        tokenizer: of the model.
        rows: to fit it on.
        weights: the option `--class-weights`.

    Returns:
        The linear model and the vectors.

    Raises:
        ModelError: if the vectors are not finite.
    """
    rows = rows.take(rows_of_probe(rows))
    vectors = head_inputs(model, tokenizer, rows)
    if not finite_rows(vectors).all():
        raise ModelError(
            "training before fine-tuning ended with vectors that are no numbers. Pass --precision fp32, or --recipe plain"
        )
    task, gold = rows.labelled_task, rows.gold
    probe = LinearProbe(task, vectors, gold, class_weights(weights, task, gold))
    fill_head(model, probe)
    return probe, vectors


def _kept(model: "PreTrainedModel") -> "Callable[[], Mapping[str, torch.Tensor]]":
    """Returns the weights that a model has now."""
    weights = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
    return lambda: weights


def _weighted_probe(inputs: "RunInput", frozen: FrozenStart, options: TrainingOptions) -> LinearProbe | None:
    """The linear model with the class weights of the options; None without them, where the baseline serves."""
    train = inputs.tokenized["train"]
    gold = train.gold
    weights = class_weights(options.class_weights, inputs.task, gold)
    if weights is None:
        return None
    return LinearProbe(inputs.task, frozen.vectors, gold[rows_of_probe(train)], weights)


def _loaded_again(inputs: "RunInput", frozen: FrozenStart, seed: int) -> "Mapping[str, torch.Tensor]":
    """The weights of a start without a phase; they are not held in memory while the model is fine-tuned."""
    model: Any = inputs.load(seed).model
    begin_from(model, frozen, seed)
    standardize(model, inputs.task, inputs.tokenized["train"].gold)
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
    task = start.task.fit_decision(gold, logits)
    values = {**task.compute_metrics(gold, logits), "loss": float(task.row_losses(gold, logits).mean())}
    value = values.get(metric)
    if value is None or value == best or (value > best) != more_is_better:
        return None
    return value


@dataclass(frozen=True)
class Contrasted:
    """A classifier after the contrastive phase.

    Args:
        model: padding-free where it can be, on the device of the run.
        probe: the linear model in its head.
        phase: for the report.
    """

    model: Any
    probe: LinearProbe
    phase: Phase


def contrasted(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    rows: TokenizedSplit,
    recipe: PhaseRecipe,
    seed: int,
    advance: Callable[[int], None],
    weights: LabelNumbers,
    *,
    device: "torch.device",
    in_bf16: bool,
) -> Contrasted:
    """A copy of a classifier, trained by contrast on some rows, with its linear probe fitted again.

    Args:
        model: to begin with. It is not changed.
        tokenizer: of the model.
        rows: to train on.
        recipe: how long and how fast.
        seed: of the run.
        advance: called with the number of finished steps.
        weights: the option `--class-weights`, for the linear probe.
        device: where to train.
        in_bf16: whether to compute in bf16.

    Raises:
        ModelError: if the vectors are not finite afterwards.
    """
    trained: Any = copy.deepcopy(model)
    trained.to(device)
    seconds = contrast(trained, tokenizer, rows, recipe, seed, advance, in_bf16=in_bf16)
    probe, _ = refit(trained, tokenizer, rows, weights)
    phase = Phase(name="contrastive", steps=recipe.steps, learning_rate=recipe.learning_rate, seconds=seconds)
    return Contrasted(trained, probe, phase)


def _priors(inputs: "RunInput") -> "npt.NDArray[np.float64] | None":
    """The class priors with which a new head begins."""
    train = inputs.data.splits["train"]
    support = np.array(list(train.label_counts(inputs.task.labels).values()), dtype=np.int64)
    return inputs.task.initial_probabilities(support, len(train))
