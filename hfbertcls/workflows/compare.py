"""Comparing two classifiers, or a classifier with TF-IDF, on the same labelled text."""

import csv
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hfbertcls.data.checks import require_labelled_texts
from hfbertcls.data.dataset import TextDataset, TextSplit
from hfbertcls.data.long_text import LongText
from hfbertcls.data.sources import Data
from hfbertcls.data.texts import fields_of
from hfbertcls.data.tokenization import tokenize_split
from hfbertcls.errors import ConfigurationError, DatasetError, ModelError, listing
from hfbertcls.evaluation.baselines import TfidfBaseline
from hfbertcls.evaluation.compare import Comparison, Contender, compare_predictions
from hfbertcls.evaluation.report import Report
from hfbertcls.evaluation.training_noise import sentence_on_training
from hfbertcls.files import sha256_of
from hfbertcls.inference.held_out import rows_to_measure
from hfbertcls.inference.model_files import report_of
from hfbertcls.inference.remembered import read_as_trained_on, rows_trained_on
from hfbertcls.inference.training_texts import count_training_texts
from hfbertcls.modeling.engine import score
from hfbertcls.modeling.lengths import reading_length
from hfbertcls.modeling.loading import ModelSource, load_config, load_to_score, load_tokenizer
from hfbertcls.modeling.predictions import require_finite
from hfbertcls.progress import Log, silent
from hfbertcls.repository.output_directory import OutputDirectory
from hfbertcls.tasks.probabilities import Answers
from hfbertcls.tasks.task import Task
from hfbertcls.workflows.evaluate import task_of_model


TFIDF = "tfidf"
_ROWS_TO_WARM_UP = 16


@dataclass(frozen=True)
class Contestant:
    """One of the two: what it is, how large and how fast."""

    name: str
    revision: str | None
    num_parameters: int
    rows_per_second: float
    """From texts to scores on this machine, with tokenization, without loading."""
    trained_on: int | None = None
    """The number of compared rows whose text is in its training data; None if unknown."""


@dataclass(frozen=True)
class ModelComparison:
    """Two contestants on the same rows of a split."""

    a: Contestant
    b: Contestant
    source: str
    split: str
    comparison: Comparison
    training: str | None = None
    """A comparison of the recipes, by the reports of the two; None without reports."""

    def __repr__(self) -> str:
        metrics = ", ".join(
            f"{name} {row.a:.3f} and {row.b:.3f}"
            for name, row in list(self.comparison.metrics.items())[:2]
            if row.a is not None and row.b is not None
        )
        return (
            f"{type(self).__name__}(A: {self.a.name!r}, B: {self.b.name!r}; {self.comparison.rows:,} rows of {self.split} of "
            f"{self.source!r}; {metrics};\n{self.comparison.verdict})"
        )

    def to_json(self) -> str:
        """The text of `comparison.json`."""
        values = asdict(self)
        values |= values.pop("comparison")
        return json.dumps({"schema_version": 1, **values}, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def compare_models(
    a: str | ModelSource,
    b: str | ModelSource,
    dataset: Data | TextDataset,
    split: str | None = None,
    output_dir: str | Path | None = None,
    log: Log = silent,
) -> ModelComparison:
    """Compare two classifiers on the same rows, with a significance test.

    ```python
    >>> comparison = compare_models("my-model", "tfidf", "reviews")
    >>> comparison.comparison.rows
    64
    >>> comparison.comparison.verdict
    '...'
    ```

    Args:
        a: a directory, a Hub id (`user/name` or `user/name@revision`), a `ModelSource`, or `tfidf`: a linear model
            on TF-IDF weights, fitted on the train split of the data.
        b: the same.
        dataset: what `load_text_dataset` takes, or its result.
        split: which split; by default test, else validation, else the only one.
        output_dir: where to write `comparison.json` and `disagreements.csv`; None writes nothing.
        log: called with each line of progress, for a person.

    Raises:
        ConfigurationError: if both are `tfidf`.
        DatasetError: if the data have no train split for `tfidf`, or labels that a model does not know.
        ModelError: if one is no trained classifier, or the two have different labels.
    """
    if a == TFIDF and b == TFIDF:
        raise ConfigurationError("tfidf cannot be compared with itself. Name a model as A or B")
    directory = None if output_dir is None else OutputDirectory(Path(output_dir))
    if directory is not None:
        directory.check(overwrite=False)
    sources = [source_of(spec) for spec in (a, b) if spec != TFIDF]
    data = read_as_trained_on(sources, dataset, split)
    require_labelled_texts(data)
    name, rows = rows_to_measure(data, split, sources, log)
    train = data.splits.get("train") or rows_trained_on(sources[0], data)
    if TFIDF in (a, b) and name == "train" and rows is not data.splits.get("train"):
        raise DatasetError(
            f"every row of {data.source} trained {sources[0].public_name}, so none is left to compare it with tfidf on. Pass "
            "a folder with these rows as train and others as test"
        )
    if TFIDF in (a, b) and (train is None or name == "train"):
        raise DatasetError(
            f"tfidf is fitted on the train split and compared on another one; {data.source} has {listing(data.splits)}. "
            "Name a folder with train and test files"
        )
    scored = {spec: _scored(source_of(spec), data, rows, log) for spec in (a, b) if spec != TFIDF}
    task = scored[a if a != TFIDF else b][1].task
    if TFIDF in (a, b) and train is not None:
        scored[TFIDF] = _scored_by_words(train, rows, task, log)
    (one, answers_a), (other, answers_b) = scored[a], scored[b]
    labels_b = answers_b.task.labels
    if answers_b.task.name != task.name:
        raise ModelError(
            f"{one.name!r} gives a text {task.kind}, and {other.name!r} {answers_b.task.kind}. Compare models of the same kind"
        )
    if set(labels_b) != set(task.labels):
        raise ModelError(
            f"{one.name!r} and {other.name!r} have different labels: {listing(task.labels)} and {listing(labels_b)}. "
            "Compare models of the same labels"
        )
    if task.has_labels:
        answers_b = answers_b.in_order([labels_b.index(label) for label in task.labels])
    gold = task.encode(rows.label_cells)
    compared = compare_predictions(gold, answers_a, answers_b)
    judged = task.judged_by
    about_training = sentence_on_training(
        _report_of(a), _report_of(b), compared.metrics[judged].difference, judged, in_points=task.judged_in_points
    )
    result = ModelComparison(one, other, data.source, name, compared, about_training)
    if directory is not None:
        with directory.claimed():
            directory.staging.mkdir(parents=True, exist_ok=True)
            (directory.staging / "comparison.json").write_text(result.to_json(), encoding="utf-8")
            _write_disagreements(directory.staging / "disagreements.csv", rows, gold, answers_a, answers_b)
            directory.publish(log)
    return result


_Scored = tuple[Contestant, Contender]


def source_of(spec: str | ModelSource) -> ModelSource:
    """A model by its name, with the revision that may follow an id on the Hub."""
    if isinstance(spec, ModelSource):
        return spec
    source = ModelSource(spec)
    name, at, revision = spec.rpartition("@")
    return source if source.is_local or not at else ModelSource(name, revision)


def _report_of(spec: str | ModelSource) -> Report | None:
    """The report in the directory of a model, if it matches the weights."""
    source = source_of(spec)
    weights = source.path / "model.safetensors"
    if spec == TFIDF or not weights.is_file():
        return None
    report = report_of(source)
    return report if report is not None and report.model.weights_sha256 == sha256_of(weights) else None


def _scored(source: ModelSource, data: TextDataset, rows: TextSplit, log: Log) -> _Scored:
    config = load_config(source)
    log(f"Scoring {len(rows):,} rows with {source.public_name} ...")
    model: Any = load_to_score(source)
    tokenizer = load_tokenizer(source)
    task = task_of_model(model, source, data)
    max_length = reading_length(tokenizer, config)
    long_text = LongText.of_config(config)
    few = rows.take(rows.name, np.arange(min(_ROWS_TO_WARM_UP, len(rows))))
    score(model, tokenizer, tokenize_split(few, tokenizer, max_length, long_text=long_text))
    began = time.perf_counter()
    logits = score(model, tokenizer, tokenize_split(rows, tokenizer, max_length, long_text=long_text))
    seconds = time.perf_counter() - began
    require_finite(logits, rows.name, rows.rows)
    speed = len(rows) / max(seconds, 1e-9)
    trained_on = count_training_texts(source, rows, log)
    contestant = Contestant(source.public_name, source.revision, int(model.num_parameters()), speed, trained_on)
    return contestant, Contender(task, logits)


def _scored_by_words(train: TextSplit, rows: TextSplit, task: Task, log: Log) -> _Scored:
    kind = list(task.baseline_names.values())[1]
    log(f"Fitting {kind} on {len(train):,} rows ...")
    baseline = TfidfBaseline(task, train.texts, task.encode(train.label_cells))
    baseline.logits(rows.texts[:_ROWS_TO_WARM_UP])
    began = time.perf_counter()
    logits = baseline.logits(rows.texts)
    speed = len(rows) / max(time.perf_counter() - began, 1e-9)
    name = f"{kind}, fitted on {baseline.train_rows:,} rows"
    return Contestant(name, None, baseline.num_parameters, speed), Contender(baseline.task, logits)


def _write_disagreements(path: Path, rows: TextSplit, gold: Answers, a: Contender, b: Contender) -> None:
    """Write the rows with different answers: the most confident disagreements first, or the numbers that differ most."""
    task, by_a, by_b = a.task, a.predicted, b.predicted
    sure_a, sure_b = (one.task.confidence(one.logits) if task.has_labels else None for one in (a, b))
    weight = np.abs(by_a - by_b) if sure_a is None or sure_b is None else np.minimum(sure_a, sure_b)
    better_a, better_b = task.wins(gold, by_a, by_b)
    positions = np.flatnonzero(~task.is_right(by_a, by_b))
    texts, numbers = list(zip(*fields_of(rows.texts), strict=True)), rows.rows
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["row", "label", "a", "score_a", "b", "score_b", "right", *rows.text_fields])
        for position in positions[np.argsort(-weight[positions], kind="stable")]:
            one_row = slice(position, position + 1)
            label, by_one, by_other = (task.shown(answers[one_row])[0] for answers in (gold, by_a, by_b))
            right = "a" if better_a[position] else "b" if better_b[position] else "neither"
            scores = tuple("" if sure is None else f"{sure[position]:.4f}" for sure in (sure_a, sure_b))
            writer.writerow(
                [numbers[position], label, by_one, scores[0], by_other, scores[1], right, *texts[position]]
            )
