"""Measuring any classifier on labelled text."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hfbertcls.data.checks import require_single_label
from hfbertcls.data.dataset import LabelSchema, TextDataset
from hfbertcls.data.description import Say, describe_dataset, silent
from hfbertcls.data.loading import load_text_dataset
from hfbertcls.data.tokenization import tokenize_split
from hfbertcls.environment import describe_environment, public_command
from hfbertcls.errors import ConfigurationError, DatasetError, ModelError, did_you_mean, listing
from hfbertcls.evaluation.baselines import Baselines
from hfbertcls.evaluation.report import Report, split_facts, split_figures
from hfbertcls.modeling.engine import score
from hfbertcls.modeling.loading import ModelSource, find_max_length, load_for_inference, load_tokenizer
from hfbertcls.modeling.predictions import Predictions
from hfbertcls.sharing.model_repository import data_facts, model_facts, task_facts, write_plots, write_predictions
from hfbertcls.sharing.output_directory import OutputDirectory


if TYPE_CHECKING:
    from transformers import PreTrainedModel


def evaluate_model(
    model: str | ModelSource,
    dataset: str | TextDataset,
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
    data = dataset if isinstance(dataset, TextDataset) else load_text_dataset(dataset, make_splits=False)
    require_single_label(data)
    name = _choose_split(data, split)
    tokenizer = load_tokenizer(source)
    loaded = load_for_inference(source)
    schema = _schema_of(loaded, source, data)
    data = replace(data, schema=schema)
    describe_dataset(data, say)
    tokenized = tokenize_split(data.splits[name], tokenizer, find_max_length(tokenizer, loaded.config), schema)
    gold = np.asarray(tokenized.dataset["labels"], dtype=np.int64)
    predictions = Predictions(data.splits[name].rows, gold, score(loaded, tokenizer, tokenized), schema.names)
    baselines = None
    if name != "train" and "train" in data.splits:
        train = schema.encode(data.splits["train"].labels)
        baselines = Baselines(data.splits["train"].texts, train).scores(data.splits[name].texts, gold)
    digest = hashlib.sha256(predictions.to_parquet()).hexdigest()
    facts = split_facts(data.splits[name], data, tokenized.truncated_rows, tokenized.unknown_share)
    report = Report(
        task=task_facts(data, schema, tokenized.max_length),
        model=model_facts(source, loaded, Path(source.name).expanduser() / "model.safetensors"),
        data=data_facts(data, {name: facts}),
        evaluation={name: split_figures(predictions, digest, baselines)},
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
            (directory.staging / "report.json").write_text(report.to_json(), encoding="utf-8")
            directory.publish()
    return report


def _choose_split(data: TextDataset, requested: str | None) -> str:
    if requested is not None and requested not in data.splits:
        raise ConfigurationError(
            f"{data.source} has no split {requested!r}{did_you_mean(requested, data.splits)}; "
            f"it has {listing(data.splits)}. Correct --split"
        )
    return requested or next(name for name in ("test", "validation", "train") if name in data.splits)


def _schema_of(model: "PreTrainedModel", source: ModelSource, data: TextDataset) -> LabelSchema:
    """The labels of the model, which must cover those of the data."""
    id2label: dict[Any, str] = {**(model.config.id2label or {})}
    schema = LabelSchema(tuple(str(id2label[index]) for index in sorted(id2label)), declared=True)
    if model.config.num_labels != len(schema):
        raise ModelError(f"{source.public_name!r} has {model.config.num_labels} outputs but {len(schema)} label names")
    unknown = [name for name in (data.schema.names if data.schema else ()) if name not in schema.label2id]
    if unknown:
        raise DatasetError(
            f"{data.source} has labels that {source.public_name!r} does not know: {listing(unknown)}"
            f"{did_you_mean(unknown[0], schema.names)}. The model's labels are {listing(schema.names)}. "
            "Rename the labels in the data to those of the model"
        )
    return schema
