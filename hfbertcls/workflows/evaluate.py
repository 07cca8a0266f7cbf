"""Evaluating any classifier on labelled text."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hfbertcls.data.checks import require_labelled_texts
from hfbertcls.data.dataset import TextDataset
from hfbertcls.data.description import describe_dataset
from hfbertcls.data.long_text import LongText
from hfbertcls.data.sources import Data
from hfbertcls.data.tokenization import tokenize_split
from hfbertcls.environment import describe_environment, public_command
from hfbertcls.errors import DatasetError, ModelError, did_you_mean, listing
from hfbertcls.evaluation.adjustment import Shift, target_prior
from hfbertcls.evaluation.baselines import Baselines
from hfbertcls.evaluation.report import Report
from hfbertcls.evaluation.report_evaluation import Adjustment
from hfbertcls.evaluation.report_sections import CardFacts
from hfbertcls.evaluation.splits import evaluate_split, split_facts
from hfbertcls.files import files_below, hashes_of
from hfbertcls.inference.held_out import choose_split, rows_to_measure
from hfbertcls.inference.model_files import report_of
from hfbertcls.inference.remembered import read_as_trained_on
from hfbertcls.inference.training_texts import count_training_texts
from hfbertcls.modeling.engine import score
from hfbertcls.modeling.heads import shift_of, temperature_of
from hfbertcls.modeling.lengths import reading_length
from hfbertcls.modeling.loading import ModelSource, load_to_score, load_tokenizer
from hfbertcls.modeling.predictions import Predictions, require_finite
from hfbertcls.progress import Log, silent
from hfbertcls.repository.model_repository import data_facts, model_facts, task_facts, write_plots, write_predictions
from hfbertcls.repository.output_directory import OutputDirectory
from hfbertcls.repository.stated_files import REPORT, with_hashes
from hfbertcls.tasks.known import TASKS, task_of_config
from hfbertcls.tasks.task import Task


if TYPE_CHECKING:
    from transformers import PreTrainedModel


def evaluate_model(
    model: str | ModelSource,
    dataset: Data | TextDataset,
    split: str | None = None,
    output_dir: str | Path | None = None,
    command: str | None = None,
    log: Log = silent,
) -> Report:
    """Evaluate any trained classifier on labelled text, in fp32.

    Args:
        model: a Hub id, a directory, or a `ModelSource`.
        dataset: what `load_text_dataset` takes, or its result.
        split: which split; by default test, else validation, else the only one.
        output_dir: where to write `report.json`, `predictions/` and `plots/`; None writes nothing.
        command: what the report states; None takes the command line of this process.
        log: called with each line of progress, for a person.

    Raises:
        DatasetError: if the data have a label that the model lacks.
        ModelError: if the model is no trained classifier.
    """
    source = model if isinstance(model, ModelSource) else ModelSource(model)
    data = read_as_trained_on([source], dataset, split)
    require_labelled_texts(data)
    name, rows = rows_to_measure(data, split, [source], log)
    trained_on = count_training_texts(source, rows, log)
    tokenizer = load_tokenizer(source)
    loaded = load_to_score(source)
    task = task_of_model(loaded, source, data)
    others = {key: value for key, value in data.splits.items() if key not in (name, choose_split(data, split))}
    data = replace(data, task=task, splits={**others, name: rows})
    describe_dataset(data, log)
    max_length, long_text = reading_length(tokenizer, loaded.config), LongText.of_config(loaded.config)
    tokenized = tokenize_split(data.splits[name], tokenizer, max_length, task, long_text)
    slices = data.splits[name].values(data.slice_column) if data.slice_column is not None else None
    logits = score(loaded, tokenizer, tokenized)
    require_finite(logits, name, data.splits[name].rows)
    beside, fitted_on = {}, {}
    if name != "train" and "train" in data.splits:
        train = data.splits["train"]
        baselines = Baselines(task, train.texts, task.encode(train.label_cells))
        beside, fitted_on = baselines.predict(data.splits[name].texts), baselines.fitted_on
    predictions = Predictions(
        task, data.splits[name].rows, tokenized.gold, logits, tokenized.num_tokens, slices, beside
    )
    digest = hashlib.sha256(predictions.to_parquet()).hexdigest()
    facts = split_facts(data.splits[name], data, tokenized.truncated_rows, tokenized.unknown_share)
    temperature = temperature_of(loaded.config)
    shift = _shift_of(loaded, source, task)
    metrics = evaluate_split(predictions, digest, fitted_on, temperature, shift=shift)
    report = Report(
        task=task_facts(data, task, tokenized, str(tokenizer.truncation_side)),
        model=model_facts(source, loaded, source.path / "model.safetensors"),
        data=data_facts(data, {name: facts}),
        evaluation={name: replace(metrics, trained_on=trained_on)},
        card=CardFacts(),
        environment=describe_environment(),
        command=command or public_command(),
    )
    if output_dir is not None:
        directory = OutputDirectory(Path(output_dir))
        directory.check(overwrite=False)
        with directory.claimed():
            write_predictions(directory.staging, name, predictions)
            write_plots(directory.staging, report, predictions, {})
            plots = hashes_of(directory.staging, files_below(directory.staging))
            report = with_hashes(report, {**report.model.files_sha256, **plots})
            (directory.staging / REPORT).write_text(report.to_json(), encoding="utf-8")
            directory.publish(log)
    return report


def _shift_of(model: "PreTrainedModel", source: ModelSource, task: Task) -> Shift | None:
    """The shift for other class priors in the weights; None without one.

    What training fitted and was told beside it stands in the report of the model, unless that is of other weights.
    """
    values = shift_of(model.config)
    if values is None:
        return None
    report = report_of(source)
    stated = () if report is None else report.evaluation.values()
    known = next((one.adjustment for one in stated if _states(one.adjustment, values, task)), None)
    if report is None or known is None:
        return Shift(tuple(values))
    prior = None if report.training is None else report.training.options.get("prior")
    return Shift(
        tuple(values),
        None if temperature_of(model.config) is None else known.temperature_before,
        None if prior is None else target_prior(prior, task.labels),
    )


def _states(adjustment: Adjustment | None, values: Sequence[float], task: Task) -> bool:
    """Whether a report is of weights with this shift of the logits."""
    return (
        adjustment is not None
        and tuple(adjustment.shift) == tuple(task.labels)
        and np.allclose(list(adjustment.shift.values()), values)
    )


def task_of_model(model: "PreTrainedModel", source: ModelSource, data: TextDataset) -> Task:
    """The task of the model; its labels must cover those of the data, and both must be of the same kind.

    Raises:
        DatasetError: if they are not.
        ModelError: if the task of the model is unknown, or its outputs and label names differ in number.
    """
    task = task_of_config(model.config)
    if task is None:
        raise ModelError(
            f"{source.public_name!r} has the problem_type {model.config.problem_type!r}, and is no classifier of labels. "
            "Name another model"
        )
    if model.config.num_labels != task.num_outputs:
        raise ModelError(
            f"{source.public_name!r} has {model.config.num_labels} outputs but {task.num_outputs} label names"
        )
    if data.task is not None and task.name != data.task.name:
        raise DatasetError(
            f"{source.public_name!r} gives a text {task.kind}, but {data.source} has {data.task.column_kind} in "
            f"{data.label_column!r}. Name data of the same kind{_forgotten_kind(model, task)}"
        )
    unknown = [name for name in (data.task.labels if data.task else ()) if name not in task.labels]
    if unknown:
        raise DatasetError(
            f"{data.source} has labels that {source.public_name!r} does not know: {listing(unknown)}"
            f"{did_you_mean(unknown[0], task.labels)}. The model's labels are {listing(task.labels)}. "
            "Rename the labels in the data to those of the model"
        )
    return task


def _forgotten_kind(model: "PreTrainedModel", task: Task) -> str:
    """A hint for a model that was saved without its `problem_type`."""
    for kind in TASKS.values():
        for key in kind.config_keys:
            if hasattr(model.config, key) and kind.name != task.name:
                return f" (config.json has {key}, but no problem_type {kind.problem_type!r}: if it gives a text {kind.kind}, add that)"
    return ""
