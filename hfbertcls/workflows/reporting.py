"""The report of a training run: the metrics of the written weights, and the facts of their training."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from hfbertcls.data.dataset import TextDataset, TextSplit
from hfbertcls.data.fingerprints import known_texts
from hfbertcls.data.texts import TEXT_FIELDS, fields_of
from hfbertcls.data.tokenization import TokenizedSplit, tokenize_split
from hfbertcls.environment import describe_environment, directory_name
from hfbertcls.evaluation.adjustment import Shift
from hfbertcls.evaluation.against_baselines import FittedOn
from hfbertcls.evaluation.baselines import Baselines
from hfbertcls.evaluation.report import Report
from hfbertcls.evaluation.report_evaluation import CROSS_VALIDATION, Evaluation, shown_first, split_of
from hfbertcls.evaluation.report_sections import DoctorFacts, Example
from hfbertcls.evaluation.report_training import TrainingFacts
from hfbertcls.evaluation.splits import evaluate_split, split_facts
from hfbertcls.inference.pipelines import pipeline_of
from hfbertcls.inference.training_texts import recorded_texts
from hfbertcls.modeling.engine import score, turn_to_bf16
from hfbertcls.modeling.heads import shift_of, temperature_of
from hfbertcls.modeling.loading import LoadedClassifier, ModelSource, load_for_training
from hfbertcls.modeling.pooling import Pooling
from hfbertcls.modeling.predictions import Predictions, require_finite
from hfbertcls.modeling.stated_pooling import stated_pooling
from hfbertcls.repository import plots
from hfbertcls.repository.model_repository import (
    card_facts,
    data_facts,
    model_facts,
    task_facts,
    usage_of,
    with_fitted_decision,
    write_plots,
    write_predictions,
)
from hfbertcls.repository.output_directory import OutputDirectory
from hfbertcls.tasks.task import Task
from hfbertcls.training.calibrating import Staged
from hfbertcls.training.callbacks.metric_logging import FILE_NAME, read_events
from hfbertcls.training.frozen_start import FrozenStart, frozen_start
from hfbertcls.training.precision import choose_precision
from hfbertcls.workflows.procedure import OutOfFold


if TYPE_CHECKING:
    import numpy.typing as npt
    import torch
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class RunInput:
    """What a run begins with, read, examined and tokenized."""

    source: ModelSource
    """The encoder."""
    data: TextDataset
    task: Task
    tokenizer: "PreTrainedTokenizerBase"
    tokenized: Mapping[str, TokenizedSplit]
    """The splits as token ids."""
    doctor: DoctorFacts
    """The findings in the data, for the key of that name."""
    pooling: Pooling | None
    """What the head is to read; None if that is to be found out."""
    device: "torch.device"

    def load(self, seed: int, priors: "npt.ArrayLike | None" = None) -> LoadedClassifier:
        """The classifier before training; see `load_for_training`."""
        return load_for_training(self.source, self.task, seed, priors, self.tokenized["train"].long_text)

    @cached_property
    def frozen(self) -> FrozenStart | None:
        """The linear model on vectors of the encoder before training, computed once for all seeds."""
        loaded = self.load(seed=0)
        pooling = self.pooling or stated_pooling(self.source)
        pooling = pooling if loaded.new_parameters else "first"
        return frozen_start(loaded, self.tokenizer, self.tokenized, self.data.splits, pooling, self.device)


def report_on_training(
    inputs: RunInput,
    directory: OutputDirectory,
    staged: Staged,
    training: Callable[[], TrainingFacts],
    card: Mapping[str, Any],
    publish_examples: int,
    seed: int,
    command: str,
    out_of_fold: OutOfFold | None = None,
) -> Report:
    """Score the staged weights, and write predictions and plots beside them.

    The report is not written yet: the caller may add facts first.

    Args:
        inputs: what the run began with.
        directory: with the model in `directory.staging`.
        staged: this model, loaded.
        training: gives the `training` of the report; called after scoring, so that its times and memory include
            scoring.
        card: facts for the card that only the author knows.
        publish_examples: how many rows may stand on the card, with their texts.
        seed: of the draw of these rows.
        command: what to print under "reproduce".
        out_of_fold: the predictions of cross-validation, where there is no validation split.
    """
    data, task, tokenized, staging = inputs.data, inputs.task, inputs.tokenized, directory.staging
    model, tokenizer = staged.model, staged.tokenizer
    baselines = Baselines(task, data.splits["train"].texts, tokenized["train"].gold)
    of_encoder = {} if inputs.frozen is None else inputs.frozen.baselines
    fitted_on = baselines.fitted_on | {key: one.fitted_on for key, one in of_encoder.items()}
    evaluation: dict[str, Evaluation] = {}
    predictions: dict[str, Predictions] = {}
    temperature, adjusted = temperature_of(model.config), shift_of(model.config)
    shift: Shift | None = None
    long_text = tokenized["train"].long_text
    names = [name for name in (CROSS_VALIDATION, "validation", "test") if split_of(name) in data.splits]
    if out_of_fold is None:
        names.remove(CROSS_VALIDATION)
    for name in names:
        split, tokens = data.splits[split_of(name)], tokenized[split_of(name)]
        folds, fitted = None, cast("Mapping[str, FittedOn]", fitted_on)
        if name == CROSS_VALIDATION and out_of_fold is not None:
            logits = out_of_fold.logits if temperature is None else out_of_fold.logits / np.asarray(temperature)
            logits, folds = logits.astype(np.float32), out_of_fold.folds
            beside, fitted = dict(out_of_fold.baselines), out_of_fold.fitted_on
        else:
            known = staged.validation if name == "validation" else None
            logits = score(model, tokenizer, tokens) if known is None else known
            beside = baselines.predict(split.texts)
            beside |= {key: one.answers(name) for key, one in of_encoder.items()}
        require_finite(logits, split.name, split.rows)
        if name == names[0] and adjusted is not None:
            shift = Shift.fitted(adjusted, task, tokens.gold, logits, temperature)
        if name == names[0]:
            task = with_fitted_decision(task, staging, model, tokens.gold, logits)
        slices = split.values(data.slice_column) if data.slice_column is not None else None
        truncated = None
        if name == names[-1] != CROSS_VALIDATION and long_text.mode != "truncate":
            truncated = task.decide(score(model, tokenizer, tokenize_split(split, tokenizer, tokens.max_length)))
        predictions[name] = Predictions(
            task, split.rows, tokens.gold, logits, tokens.num_tokens, slices, beside, folds, truncated
        )
        digest = write_predictions(staging, name, predictions[name])
        evaluation[name] = evaluate_split(predictions[name], digest, fitted, temperature, names[0], shift)
        if (fingerprints := recorded_texts(inputs.source)) is not None and name != CROSS_VALIDATION:
            evaluation[name] = replace(evaluation[name], trained_on=known_texts(fingerprints, split))
    are_pairs = data.text_pair_column is not None
    answers = usage_of(pipeline_of(model, tokenizer), card, are_pairs=are_pairs)
    held_out = next((name for name in names if name != CROSS_VALIDATION), None)
    if held_out is not None and choose_precision("auto", use_cpu=model.device.type == "cpu").name == "bf16":
        rough = score(turn_to_bf16(model), tokenizer, tokenized[held_out])  # (last: the weights are rounded now)
        same = task.is_about_same(predictions[held_out].predicted, task.decide(rough))
        evaluation[held_out] = replace(evaluation[held_out], bf16_agreement=float(same.mean()))
    facts = {
        name: split_facts(split, data, tokenized[name].truncated_rows, tokenized[name].unknown_share)
        for name, split in data.splits.items()
    }
    facts_of_training = training()
    shown = shown_first(evaluation)
    examples = _examples(data.splits[split_of(shown)], predictions[shown], publish_examples, seed)
    report = Report(
        task=task_facts(data, task, tokenized["train"], str(tokenizer.truncation_side)),
        model=model_facts(inputs.source, model, staging / "model.safetensors"),
        data=data_facts(data, facts, inputs.doctor),
        evaluation=evaluation,
        training=facts_of_training,
        card=card_facts(card, directory_name(directory.path), answers, examples, are_pairs=are_pairs),
        environment=describe_environment(),
        command=command,
    )
    curves = {}
    if facts_of_training.steps:
        events, chosen = read_events(directory.path / FILE_NAME), facts_of_training.best_step
        curves["learning_curves"] = plots.learning_curves_plot(events, facts_of_training.selection_metric, chosen)
    write_plots(staging, report, predictions[shown], curves)
    return report


def _examples(split: TextSplit, predictions: Predictions, count: int, seed: int) -> list[Example]:
    """Rows drawn from a split (seeded), for the card, only on request."""
    drawn = np.sort(np.random.default_rng(seed).permutation(len(split))[:count])
    texts = [[_shortened(text) for text in field] for field in fields_of(split.take(split.name, drawn).texts)]
    labels, predicted = (predictions.task.shown(answers) for answers in (predictions.gold, predictions.predicted))
    return [
        Example(
            row=int(split.rows[position]),
            **dict(zip(TEXT_FIELDS, row, strict=False)),
            label=labels[position],
            prediction=predicted[position],
        )
        for position, row in zip(drawn, zip(*texts, strict=True), strict=True)
    ]


def _shortened(text: str) -> str:
    return text if len(text) <= 300 else f"{text[:299]}…"
