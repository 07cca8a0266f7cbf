"""The report of a training run: the metrics of the written weights, and the facts of their training."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from hfbertcls.data.dataset import TextDataset, TextSplit
from hfbertcls.data.tokenization import TokenizedSplit
from hfbertcls.environment import describe_environment, directory_name
from hfbertcls.evaluation.baselines import Baselines
from hfbertcls.evaluation.report import Report
from hfbertcls.evaluation.report_sections import DoctorFacts, Example
from hfbertcls.evaluation.report_training import TrainingFacts
from hfbertcls.evaluation.splits import evaluate_split, split_facts
from hfbertcls.inference.pipelines import pipeline_of
from hfbertcls.modeling.engine import score, turn_to_bf16
from hfbertcls.modeling.heads import temperature_of
from hfbertcls.modeling.loading import ModelSource, load_for_training
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


if TYPE_CHECKING:
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

    @cached_property
    def frozen(self) -> FrozenStart | None:
        """The linear model on vectors of the encoder before training, computed once for all seeds."""
        loaded = load_for_training(self.source, self.task, seed=0)
        pooling = self.pooling or stated_pooling(self.source)
        return frozen_start(
            loaded, self.tokenizer, self.tokenized, pooling if loaded.new_parameters else "first", self.device
        )


def report_on_training(
    inputs: RunInput,
    directory: OutputDirectory,
    staged: Staged,
    training: Callable[[], TrainingFacts],
    card: Mapping[str, Any],
    publish_examples: int,
    seed: int,
    command: str,
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
    """
    data, task, tokenized, staging = inputs.data, inputs.task, inputs.tokenized, directory.staging
    model, tokenizer = staged.model, staged.tokenizer
    gold = {name: split.gold for name, split in tokenized.items()}
    baselines = Baselines(task, data.splits["train"].texts, gold["train"])
    frozen = inputs.frozen
    fitted_on = baselines.fitted_on | ({} if frozen is None else {frozen.key: frozen.fitted_on})
    evaluation, predicted = {}, {}
    for name in [name for name in ("validation", "test") if name in data.splits]:
        validation_logits = staged.validation if name == "validation" else None
        logits = score(model, tokenizer, tokenized[name]) if validation_logits is None else validation_logits
        require_finite(logits, name, data.splits[name].rows)
        if name == "validation":
            task = with_fitted_decision(task, staging, model, gold[name], logits)
        slices = data.splits[name].values(data.slice_column) if data.slice_column is not None else None
        tokens = tokenized[name].num_tokens
        beside = baselines.predict(data.splits[name].texts)
        if frozen is not None:
            beside[frozen.key] = frozen.answers(name)
        predictions = Predictions(task, data.splits[name].rows, gold[name], logits, tokens, slices, beside)
        digest = write_predictions(staging, name, predictions)
        evaluation[name] = evaluate_split(predictions, digest, fitted_on, temperature_of(model.config))
        predicted[name] = predictions.predicted
    answers = usage_of(pipeline_of(model, tokenizer), card)
    if choose_precision("auto", use_cpu=model.device.type == "cpu").name == "bf16":
        rough = score(turn_to_bf16(model), tokenizer, tokenized["validation"])  # (last: the weights are rounded now)
        same = task.is_right(predicted["validation"], task.decide(rough))
        evaluation["validation"] = replace(evaluation["validation"], bf16_agreement=float(same.mean()))
    facts = {
        name: split_facts(split, data, tokenized[name].truncated_rows, tokenized[name].unknown_share)
        for name, split in data.splits.items()
    }
    facts_of_training = training()
    examples = _examples(data.splits[name], predictions, publish_examples, seed)
    report = Report(
        task=task_facts(data, task, tokenized["train"].max_length, str(tokenizer.truncation_side)),
        model=model_facts(inputs.source, model, staging / "model.safetensors"),
        data=data_facts(data, facts, inputs.doctor),
        evaluation=evaluation,
        training=facts_of_training,
        card=card_facts(card, directory_name(directory.path), answers, examples),
        environment=describe_environment(),
        command=command,
    )
    events = read_events(directory.path / FILE_NAME)
    curves = plots.learning_curves_plot(events, facts_of_training.selection_metric, facts_of_training.best_step)
    write_plots(staging, report, predictions, {"learning_curves": curves})
    return report


def _examples(split: TextSplit, predictions: Predictions, count: int, seed: int) -> list[Example]:
    """Rows drawn from a split (seeded), for the card, only on request."""
    drawn = np.sort(np.random.default_rng(seed).permutation(len(split))[:count])
    texts = split.texts
    labels, predicted = (predictions.task.shown(answers) for answers in (predictions.gold, predictions.predicted))
    return [
        Example(
            row=int(split.rows[position]),
            text=texts[position] if len(texts[position]) <= 300 else f"{texts[position][:299]}…",
            label=labels[position],
            prediction=predicted[position],
        )
        for position in drawn
    ]
