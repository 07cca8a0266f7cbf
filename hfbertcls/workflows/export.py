"""`export_onnx()`: a classifier for other runtimes, and the loss of accuracy on real text."""

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hfbertcls.data.checks import require_labelled_texts
from hfbertcls.data.dataset import TextDataset
from hfbertcls.data.long_text import LongText
from hfbertcls.data.sources import Data
from hfbertcls.data.texts import texts_of
from hfbertcls.data.tokenization import TokenizedSplit, tokenize_split, tokenize_texts
from hfbertcls.environment import local_path
from hfbertcls.errors import ConfigurationError, ModelError, OutputDirectoryError, listing
from hfbertcls.evaluation.intervals import paired_proportion_interval
from hfbertcls.evaluation.report_sections import ExportFacts
from hfbertcls.files import files_below, hashes_of, regular_file, sha256_of
from hfbertcls.inference.held_out import rows_to_measure
from hfbertcls.inference.remembered import read_as_trained_on
from hfbertcls.inference.training_texts import count_training_texts
from hfbertcls.modeling.engine import score
from hfbertcls.modeling.lengths import reading_length
from hfbertcls.modeling.loading import ModelSource, load_config, load_for_inference, load_tokenizer
from hfbertcls.modeling.onnx_graph import (
    TOKENS_PER_BATCH,
    OnnxClassifier,
    require_onnx,
    save_graph,
    to_int8,
    to_onnx,
)
from hfbertcls.modeling.predictions import require_finite
from hfbertcls.modeling.text_fields import reads_pairs
from hfbertcls.option_names import as_callers_type_it
from hfbertcls.progress import Log, silent, work
from hfbertcls.repository.model_repository import rewrite_report
from hfbertcls.repository.output_directory import OutputDirectory
from hfbertcls.repository.stated_files import EXPORT, REPORT, earlier_files, read_report, stated_files
from hfbertcls.tasks.known import task_of_config
from hfbertcls.workflows.evaluate import task_of_model


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FOLDER = "onnx"
"""The folder and the file names that optimum and transformers.js expect."""
FILES = {"fp32": "model.onnx", "int8": "model_quantized.onnx"}
LEAST_AGREEMENT = {"fp32": 0.995, "int8": 0.95}
"""Least proportion of rows with the label of the original; below it, nothing is written."""
MOST_CHANGE = {"fp32": 0.01, "int8": 0.2}
"""Most that numbers may change (`relative` of `Task.changes`); MiniLM on stsb changes by 0.09 with int8."""
_MUCH_CHANGE = 0.12
_MOST_DIFFERENCE = 1e-2
"""Of a logit, between an fp32 graph and the original: both compute in fp32, in another order."""
_LITTLE_AGREEMENT = 0.985
_MADE_UP_TEXTS = 256
_ROUNDS = 3


@dataclass(frozen=True)
class Agreement:
    """How an export compares with the original, in fp32, on the same rows.

    Args:
        split: of the data; None if there were none, and random token ids were compared instead.
        rows: how many.
        same_label: fraction of the rows with the same prediction (0 to 1); numbers are the same within 5 % of the standard
            deviation of the original's.
        largest_difference: of a logit; of predicted numbers, as a fraction of the largest one if that is above 1.
        accuracy, original_accuracy, f1_macro, original_f1_macro: None without labels.
        accuracy_difference: to the original (`value`), with its 95 % interval (`low`, `high`); None without labels.
        texts_per_second, original_texts_per_second: on this machine, in the same length-grouped batches, alternating;
            the median of three rounds.
        metrics, original_metrics: all metrics of numbers; empty for labels.
        changes: of numbers (`Task.changes`); empty for labels.
    """

    split: str | None
    rows: int
    same_label: float
    largest_difference: float
    accuracy: float | None
    original_accuracy: float | None
    f1_macro: float | None
    original_f1_macro: float | None
    accuracy_difference: Mapping[str, float] | None
    texts_per_second: float
    original_texts_per_second: float
    metrics: Mapping[str, float] = field(default_factory=dict)
    original_metrics: Mapping[str, float] = field(default_factory=dict)
    changes: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Exported:
    """One file of an export.

    Args:
        file: relative to the directory, with `/`.
        precision: `fp32` or `int8`.
        bytes: its size; `original_bytes` is that of the weights.
        sha256: of its bytes.
        agreement: with the original.
    """

    file: str
    precision: str
    bytes: int
    original_bytes: int | None
    sha256: str
    agreement: Agreement


def export_onnx(
    model: str | ModelSource,
    output_dir: str | Path | None = None,
    *,
    dataset: Data | TextDataset | None = None,
    split: str | None = None,
    int8: bool = False,
    overwrite: bool = False,
    log: Log = silent,
) -> list[Exported]:
    """Write a classifier as ONNX, and measure its agreement with the original on real text.

    ```python
    >>> (exported,) = export_onnx("my-model", dataset="reviews")  # doctest: +SKIP
    >>> exported.file, exported.agreement.same_label  # doctest: +SKIP
    ('onnx/model.onnx', 1.0)
    ```

    Args:
        model: a Hub id, a directory, or a `ModelSource`.
        output_dir: gets `onnx/`, the configuration, the tokenizer and `export.json`. None adds `onnx/` to a directory
            that hfbertcls wrote: its report and card state the export, and a push includes it.
        dataset: what `load_text_dataset` takes, or its result; None compares random token ids: this measures how exact
            the graph is, not the loss of accuracy.
        split: which split; by default test, else validation, else the only one.
        int8: also write a graph with 8-bit weights.
        overwrite: replace an earlier export.
        log: called with each line of progress, for a person.

    Returns:
        what was written, fp32 first.

    Raises:
        MissingAssetError: if ONNX Runtime or an exporter is not installed.
        ConfigurationError: if `output_dir` is needed.
        DatasetError: if the data cannot be used.
        ModelError: if the model cannot be exported, or the graph does not agree with it; nothing is written then.
        OutputDirectoryError: if an export is there already.
    """
    require_onnx()
    source = model if isinstance(model, ModelSource) else ModelSource(model)
    config = load_config(source)
    adds = output_dir is None or (source.is_local and local_path(output_dir).resolve() == source.path.resolve())
    if adds and not (source.is_local and (source.path / "report.json").is_file()):
        raise ConfigurationError(
            f"{source.public_name!r} is no directory that hfbertcls wrote, so the export needs a place of its own. Pass "
            "--output-dir"
        )
    directory = OutputDirectory(Path(source.path if output_dir is None else output_dir))
    _check_place(directory, adds=adds, overwrite=overwrite)
    data = None if dataset is None else read_as_trained_on([source], dataset, split)
    loaded: Any = load_for_inference(source)
    if LongText.of_config(config).mode == "windows":
        raise ConfigurationError(
            f"{source.public_name!r} reads long texts in windows, and an ONNX graph answers one window. Serve it with load_pipeline(), or "
            "train it with --long-text head-tail"
        )
    tokenizer = load_tokenizer(source)
    rows = _rows_of(data, split, loaded, source, tokenizer, reading_length(tokenizer, config), log)

    log("Exporting to ONNX ...")
    programs = {"fp32": to_onnx(loaded, tokenizer)}
    if int8:
        programs["int8"] = to_int8(programs["fp32"])
    with directory.claimed():
        staging = directory.staging / FOLDER
        staging.mkdir(parents=True)
        weights = source.path / "model.safetensors" if source.is_local else None
        exported = []
        for precision, program in programs.items():
            path = staging / FILES[precision]
            save_graph(program, path)
            log(f"Comparing {precision} with the original on {len(rows.tokenized.num_tokens):,} texts ...")
            agreement = _compared(path, loaded, tokenizer, rows)
            _require_agreement(agreement, precision)
            original = weights.stat().st_size if weights is not None and weights.is_file() else None
            exported.append(
                Exported(f"{FOLDER}/{path.name}", precision, path.stat().st_size, original, sha256_of(path), agreement)
            )
        if not adds:
            loaded.config.save_pretrained(str(directory.staging))
            tokenizer.save_pretrained(str(directory.staging))
            hashes = hashes_of(directory.staging, files_below(directory.staging))
            (directory.staging / EXPORT).write_text(_as_json(exported, hashes), encoding="utf-8")
            directory.clear(log)
        directory.publish(log)
        if adds:
            _state(directory, exported)
    return exported


@dataclass(frozen=True)
class _Rows:
    tokenized: TokenizedSplit
    gold: npt.NDArray[Any] | None
    split: str | None


def _rows_of(
    data: TextDataset | None,
    split: str | None,
    model: Any,
    source: ModelSource,
    tokenizer: "PreTrainedTokenizerBase",
    max_length: int,
    log: Log,
) -> _Rows:
    if data is None:
        generator = np.random.default_rng(0)
        sizes = generator.integers(1, max_length, _MADE_UP_TEXTS)
        ids = [generator.integers(0, int(model.config.vocab_size), size) for size in sizes]
        texts = [str(tokenizer.decode(row)) for row in ids]
        pairs = texts_of([texts, texts[::-1]]) if reads_pairs(model.config) else texts
        return _Rows(tokenize_texts(pairs, tokenizer, max_length), None, None)
    require_labelled_texts(data)
    name, chosen = rows_to_measure(data, split, [source], log)
    count_training_texts(source, chosen, log)
    task, long_text = task_of_model(model, source, data), LongText.of_config(model.config)
    tokenized = tokenize_split(chosen, tokenizer, max_length, task, long_text)
    return _Rows(tokenized, tokenized.gold, name)


@work("Comparing with the original")
def _compared(path: Path, model: Any, tokenizer: "PreTrainedTokenizerBase", rows: _Rows) -> Agreement:
    graph = OnnxClassifier(path)
    results, seconds = _timed_in_turn(
        lambda: score(model, tokenizer, rows.tokenized, tokens_per_batch=TOKENS_PER_BATCH),
        lambda: graph.score(tokenizer, rows.tokenized),
    )
    expected, actual = results
    require_finite(expected, rows.split or "the made-up texts")
    task = task_of_config(model.config)
    if task is None:
        raise ModelError(
            f"the problem_type {model.config.problem_type!r} has no answers to compare. Name a classifier of labels"
        )
    answers, actual_answers = task.decide(expected), task.decide(actual)
    scores: dict[str, float | None] = {}
    difference = None
    if rows.gold is not None and task.has_labels:
        before, after = task.is_right(rows.gold, answers), task.is_right(rows.gold, actual_answers)
        lost, won = int((before & ~after).sum()), int((after & ~before).sum())
        low, high = paired_proportion_interval(lost, won, len(rows.gold))
        difference = {"value": (won - lost) / len(rows.gold), "low": low, "high": high}
    of_numbers: list[dict[str, float]] = []
    for prefix, predicted in (("", actual_answers), ("original_", answers)):
        metrics = task.answer_metrics(rows.gold, predicted) if rows.gold is not None else {}
        scores |= {f"{prefix}{name}": metrics.get(name) for name in ("accuracy", "f1_macro")}
        of_numbers.append({} if task.has_labels else metrics)
    unit = 1.0 if task.has_labels else max(1.0, float(np.abs(expected).max(initial=0.0)))
    return Agreement(
        split=rows.split,
        rows=len(expected),
        same_label=float(task.is_about_same(answers, actual_answers).mean()),
        largest_difference=float(np.abs(expected - actual).max()) / unit,
        accuracy=scores["accuracy"],
        original_accuracy=scores["original_accuracy"],
        f1_macro=scores["f1_macro"],
        original_f1_macro=scores["original_f1_macro"],
        accuracy_difference=difference,
        texts_per_second=len(actual) / seconds[1],
        original_texts_per_second=len(expected) / seconds[0],
        metrics=of_numbers[0],
        original_metrics=of_numbers[1],
        changes=task.changes(answers, actual_answers),
    )


@work("Measuring the speed")
def _timed_in_turn(
    *contenders: Callable[[], npt.NDArray[np.float32]],
) -> tuple[list[npt.NDArray[np.float32]], list[float]]:
    """The results and the median seconds of each; they alternate, so that a busy machine slows all alike."""
    seconds: list[list[float]] = []
    for _ in range(_ROUNDS):
        results, taken = [], []
        for compute in contenders:
            began = time.perf_counter()
            results.append(compute())
            taken.append(time.perf_counter() - began)
        seconds.append(taken)
    return results, [float(value) for value in np.median(seconds, axis=0)]


def _require_agreement(agreement: Agreement, precision: str) -> None:
    if precision == "fp32" and not agreement.largest_difference <= _MOST_DIFFERENCE:
        raise ModelError(
            f"the ONNX graph gives logits that differ from the original's by up to {agreement.largest_difference:.2g} on "
            f"{agreement.rows:,} texts; at most {_MOST_DIFFERENCE:g} was expected. Nothing was written. Try another version of "
            "torch or onnxruntime"
        )
    if agreement.split is None:
        return
    remedy = "Export without --quantize" if precision == "int8" else "Try another version of torch or onnxruntime"
    if agreement.changes:
        if not agreement.changes["relative"] <= MOST_CHANGE[precision]:
            raise ModelError(
                f"the numbers of the {precision} graph differ from the original's by {agreement.changes['relative']:.2g} standard "
                f"deviations on the {agreement.rows:,} rows of {agreement.split}; at most {MOST_CHANGE[precision]:g} were expected. "
                f"Nothing was written. {remedy}"
            )
        return
    least = LEAST_AGREEMENT[precision]
    if agreement.same_label < least:
        raise ModelError(
            f"the {precision} graph gives the answer of the original on {agreement.same_label:.1%} of the {agreement.rows:,} rows "
            f"of {agreement.split}; at least {least:.1%} was expected. Nothing was written. {remedy}"
        )


def doubts_of(exported: Exported) -> str | None:
    """A warning about an export, if there is one."""
    agreement = exported.agreement
    if agreement.split is None:
        return as_callers_type_it(
            "random token ids were compared: pass --dataset to learn how far the numbers change"
            if agreement.changes
            else "random token ids were compared: pass --dataset to learn how many predictions change"
        )
    if agreement.changes:
        relative = agreement.changes["relative"]
        much = f"the numbers change by {relative:.2g} standard deviations with {exported.precision}: look whether that is worth it"
        return much if relative > _MUCH_CHANGE else None
    if agreement.same_label < _LITTLE_AGREEMENT:
        return f"{1 - agreement.same_label:.1%} of the predictions change with {exported.precision}: look whether that is worth it"
    return None


def _check_place(directory: OutputDirectory, *, adds: bool, overwrite: bool) -> None:
    """Check that an export would not overwrite other files.

    Raises:
        OutputDirectoryError: if an export exists without `overwrite`, or files of others do.
    """
    name = directory.path.name
    if not adds:
        if (directory.path / REPORT).is_file():
            raise OutputDirectoryError(
                f"{name!r} holds another model, and an export of its own would replace its configuration. Name another "
                "--output-dir"
            )
        directory.check(overwrite=overwrite)
        return
    there = [f"{FOLDER}/{file}" for file in FILES.values() if os.path.lexists(directory.path / FOLDER / file)]
    if there and not overwrite:
        raise OutputDirectoryError(f"{name!r} holds an export already ({FOLDER}/). Pass --overwrite to replace it")
    stated_hashes = earlier_files(directory.path)
    foreign = [
        file
        for file in there
        if (path := regular_file(directory.path, file)) is None or sha256_of(path) != stated_hashes.get(file)
    ]
    if foreign:
        raise OutputDirectoryError(
            f"no export of hfbertcls wrote {listing(foreign)} of {name!r}, so it is not replaced. Move it elsewhere, or name "
            "another --output-dir"
        )


def _as_json(exported: list[Exported], hashes: Mapping[str, str]) -> str:
    files = [asdict(one) for one in exported]
    return json.dumps({"schema_version": 1, "files": files, "files_sha256": hashes}, indent=2) + "\n"


def _state(directory: OutputDirectory, exported: list[Exported]) -> None:
    """State the export in the report and the card of a directory; it replaces an earlier export."""
    report = read_report(directory.path)
    exports = tuple(ExportFacts.from_dict(asdict(one)) for one in exported)
    added = [one.file for one in exported]
    earlier = [name for name in stated_files(report) if name.startswith(f"{FOLDER}/") and name not in added]
    for name in earlier:
        (directory.path / name).unlink(missing_ok=True)
    rewrite_report(
        directory.path, replace(report, model=replace(report.model, exports=exports)), added=added, removed=earlier
    )
