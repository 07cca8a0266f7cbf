"""Measuring any classifier on labelled text."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hfbertcls.data.checks import require_labelled_texts
from hfbertcls.data.dataset import LabelSchema, TextDataset, TextSplit
from hfbertcls.data.description import Say, describe_dataset, silent
from hfbertcls.data.loading import load_text_dataset
from hfbertcls.data.tokenization import tokenize_split
from hfbertcls.environment import describe_environment, public_command
from hfbertcls.errors import DatasetError, ModelError, did_you_mean, listing
from hfbertcls.evaluation.baselines import Baselines
from hfbertcls.evaluation.report import Report, split_facts, split_figures
from hfbertcls.evaluation.scores import is_right
from hfbertcls.inference.held_out import choose_split, rows_to_measure
from hfbertcls.inference.remembered import read_as_trained_on
from hfbertcls.modeling.engine import score
from hfbertcls.modeling.heads import MULTI_LABEL, THRESHOLDS, temperature_of, thresholds_of
from hfbertcls.modeling.loading import ModelSource, load_for_inference, load_tokenizer, reading_length
from hfbertcls.modeling.predictions import Predictions
from hfbertcls.sharing.model_repository import data_facts, model_facts, task_facts, write_plots, write_predictions
from hfbertcls.sharing.output_directory import OutputDirectory
from hfbertcls.sharing.verify import Verification


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
    data = dataset if isinstance(dataset, TextDataset) else read_as_trained_on([source], dataset)
    require_labelled_texts(data)
    name, rows = rows_to_measure(data, split, [source], say)
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
    predictions = Predictions(
        data.splits[name].rows, gold, logits, schema.names, tokenized.num_tokens, slices, thresholds
    )
    baselines = None
    if name != "train" and "train" in data.splits:
        train = schema.encode_column(data.splits["train"].table.column("label"))
        baselines = Baselines(data.splits["train"].texts, train).scores(data.splits[name].texts, gold)
    digest = hashlib.sha256(predictions.to_parquet()).hexdigest()
    facts = split_facts(data.splits[name], data, tokenized.truncated_rows, tokenized.unknown_share)
    report = Report(
        task=task_facts(data, schema, tokenized.max_length, thresholds),
        model=model_facts(source, loaded, Path(source.name).expanduser() / "model.safetensors"),
        data=data_facts(data, {name: facts}),
        evaluation={name: split_figures(predictions, digest, baselines, temperature_of(loaded.config))},
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


LOGIT_TOLERANCE = 1e-3
"""Largest difference of a logit that other hardware, batches and versions may make in fp32."""


def rescore(directory: str, dataset: str, revision: str | None = None, say: Say = silent) -> Verification:
    """Run a shared model again on the texts it was evaluated on, and compare its logits with those in `predictions/`.

    Args:
        directory: a model repository that hfbertcls wrote: a directory, or a Hub id.
        dataset: the texts; rows are found by their number in the source.
        revision: of a Hub id.
        say: gets each line of what is done, for a person.

    Raises:
        ModelError: if the model or its predictions cannot be read.
        DatasetError: if the data cannot be read.
    """
    folder = Path(directory).expanduser()
    if not folder.is_dir():
        from huggingface_hub import snapshot_download  # noqa: PLC0415

        folder = Path(snapshot_download(directory, revision=revision))
    report = Report.from_json((folder / "report.json").read_text(encoding="utf-8"))
    source, task = ModelSource(str(folder)), report.task
    data = load_text_dataset(
        dataset,
        text_column=task["text_column"],
        label_column=task.get("label_column"),
        label_separator=task.get("label_separator"),
        labels=task["labels"],
        make_splits=False,
    )
    model, tokenizer = load_for_inference(source), load_tokenizer(source)
    differences: list[str] = []
    notes: list[str] = []
    for name in report.evaluation:
        path = folder / "predictions" / f"{name}.parquet"
        if not path.is_file():
            notes.append(f"the {name} split cannot be compared: predictions/{name}.parquet is not there")
            continue
        shared = Predictions.from_parquet(path.read_bytes(), task["labels"], task.get("thresholds"))
        split = _rows_of(data, name, report.data["splits"][name].get("sha256"), shared.rows)
        if split is None:
            differences.append(f"predictions/{name}.parquet: {data.source} does not have the rows that it speaks of")
            continue
        say(f"Scoring the {len(split):,} rows of {name} again ...")
        schema = LabelSchema(tuple(task["labels"]), declared=True)
        tokenized = tokenize_split(split, tokenizer, task["max_length"], schema)
        wrong = np.flatnonzero(~is_right(tokenized.gold, shared.gold))
        if len(wrong):
            differences.append(
                f"predictions/{name}.parquet: {len(wrong):,} gold labels are not those of {data.source}"
            )
        gap = np.abs(score(model, tokenizer, tokenized) - shared.logits).max(initial=0.0)
        if not gap <= LOGIT_TOLERANCE:
            differences.append(
                f"predictions/{name}.parquet: the model gives other logits (up to {gap:.3g} away; {LOGIT_TOLERANCE:g} is "
                "tolerated)"
            )
        else:
            notes.append(f"{name}: {len(split):,} rows scored again, logits within {gap:.2g}")
    return Verification(tuple(differences), tuple(notes))


def _rows_of(data: TextDataset, name: str, sha256: str | None, rows: npt.NDArray[np.int64]) -> TextSplit | None:
    """The rows of a split, by their numbers in the source that has the hash (or the name)."""
    candidates = [split for split in data.splits.values() if sha256 is not None and split.sha256 == sha256]
    split = next(iter(candidates), data.splits.get(name))
    if split is None:
        return None
    position_of = {int(row): position for position, row in enumerate(split.rows)}
    if not all(int(row) in position_of for row in rows):
        return None
    return split.take(name, np.array([position_of[int(row)] for row in rows], dtype=np.int64))


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
