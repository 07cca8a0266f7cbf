"""Measuring any classifier on labelled text."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hfbertcls.data.checks import require_labelled_texts
from hfbertcls.data.dataset import LabelSchema, TextDataset
from hfbertcls.data.description import Say, describe_dataset, silent
from hfbertcls.data.sources import Data
from hfbertcls.data.tokenization import tokenize_split
from hfbertcls.environment import describe_environment, public_command
from hfbertcls.errors import DatasetError, ModelError, did_you_mean, listing
from hfbertcls.evaluation.baselines import Baselines
from hfbertcls.evaluation.report import Report, split_facts, split_figures
from hfbertcls.inference.held_out import choose_split, rows_to_measure
from hfbertcls.inference.remembered import read_as_trained_on
from hfbertcls.inference.training_texts import count_training_texts
from hfbertcls.modeling.engine import score
from hfbertcls.modeling.heads import MULTI_LABEL, THRESHOLDS, temperature_of, thresholds_of
from hfbertcls.modeling.loading import ModelSource, load_for_inference, load_tokenizer, reading_length
from hfbertcls.modeling.predictions import Predictions, require_finite
from hfbertcls.sharing.model_repository import data_facts, model_facts, task_facts, write_plots, write_predictions
from hfbertcls.sharing.output_directory import OutputDirectory
from hfbertcls.sharing.stated_files import REPORT, files_below, hashes_of, with_hashes


if TYPE_CHECKING:
    from transformers import PreTrainedModel


def evaluate_model(
    model: str | ModelSource,
    dataset: Data | TextDataset,
    split: str | None = None,
    output_dir: str | Path | None = None,
    command: str | None = None,
    say: Say = silent,
) -> Report:
    """Evaluate any trained classifier on labelled text, in fp32.

    Args:
        model: a Hub id, a directory, or a `ModelSource`.
        dataset: what `load_text_dataset` takes, or its result.
        split: which split; by default test, else validation, else the only one.
        output_dir: where to write `report.json`, `predictions/` and `plots/`; None writes nothing.
        command: what the report states; None takes the command line of this process.
        say: gets each line of what is done, for a person.

    Raises:
        DatasetError: if a label of the data is none of the model's.
        ModelError: if the model is no trained classifier.
    """
    source = model if isinstance(model, ModelSource) else ModelSource(model)
    data = read_as_trained_on([source], dataset, split)
    require_labelled_texts(data)
    name, rows = rows_to_measure(data, split, [source], say)
    trained_on = count_training_texts(source, rows, say)
    tokenizer = load_tokenizer(source)
    loaded = load_for_inference(source)
    schema = schema_of(loaded, source, data)
    others = {key: value for key, value in data.splits.items() if key not in (name, choose_split(data, split))}
    data = replace(data, schema=schema, splits={**others, name: rows})
    describe_dataset(data, say)
    tokenized = tokenize_split(data.splits[name], tokenizer, reading_length(tokenizer, loaded.config), schema)
    gold, thresholds = tokenized.gold, thresholds_of(loaded.config)
    slices = data.splits[name].values(data.slice_column) if data.slice_column is not None else None
    logits = score(loaded, tokenizer, tokenized)
    require_finite(logits, name, data.splits[name].rows)
    beside, fitted_on = {}, {}
    if name != "train" and "train" in data.splits:
        train = schema.encode_column(data.splits["train"].table.column("label"))
        baselines = Baselines(data.splits["train"].texts, train)
        beside, fitted_on = baselines.predict(data.splits[name].texts, len(schema)), baselines.facts
    predictions = Predictions(
        data.splits[name].rows, gold, logits, schema.names, tokenized.num_tokens, slices, thresholds, beside
    )
    digest = hashlib.sha256(predictions.to_parquet()).hexdigest()
    facts = split_facts(data.splits[name], data, tokenized.truncated_rows, tokenized.unknown_share)
    figures = split_figures(predictions, digest, fitted_on, temperature_of(loaded.config))
    report = Report(
        task=task_facts(data, schema, tokenized.max_length, thresholds, str(tokenizer.truncation_side)),
        model=model_facts(source, loaded, source.path / "model.safetensors"),
        data=data_facts(data, {name: facts}),
        evaluation={name: {**figures, "trained_on": trained_on}},
        card={},
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
            report = with_hashes(report, {**report.model["files_sha256"], **plots})
            (directory.staging / REPORT).write_text(report.to_json(), encoding="utf-8")
            directory.publish(say)
    return report


def schema_of(model: "PreTrainedModel", source: ModelSource, data: TextDataset) -> LabelSchema:
    """The labels of the model, which must cover those of the data, as many a text as the model gives.

    Raises:
        DatasetError: if they do not.
        ModelError: if the model has another number of outputs than label names.
    """
    id2label: dict[Any, str] = {**(model.config.id2label or {})}
    schema = LabelSchema(tuple(str(id2label[index]) for index in sorted(id2label)), declared=True)
    if model.config.num_labels != len(schema):
        raise ModelError(f"{source.public_name!r} has {model.config.num_labels} outputs but {len(schema)} label names")
    gives_several = model.config.problem_type == MULTI_LABEL
    if gives_several != (data.task == "multi_label"):
        raise DatasetError(
            f"{source.public_name!r} gives a text {'any number of labels' if gives_several else 'one label'}, but "
            f"{data.source} has {'one label' if gives_several else 'lists of labels'} in {data.label_column!r}. Name data of "
            f"the same kind{_forgotten_kind(model)}"
        )
    unknown = [name for name in (data.schema.names if data.schema else ()) if name not in schema.label2id]
    if unknown:
        raise DatasetError(
            f"{data.source} has labels that {source.public_name!r} does not know: {listing(unknown)}"
            f"{did_you_mean(unknown[0], schema.names)}. The model's labels are {listing(schema.names)}. "
            "Rename the labels in the data to those of the model"
        )
    return schema


def _forgotten_kind(model: "PreTrainedModel") -> str:
    """What a model of several labels lacks that was saved without saying so."""
    if not hasattr(model.config, THRESHOLDS) or model.config.problem_type == MULTI_LABEL:
        return ""
    return (
        f" (config.json has {THRESHOLDS}, but no problem_type {MULTI_LABEL!r}: if it gives several labels, add that)"
    )
