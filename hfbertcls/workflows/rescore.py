"""Running a model again on the data of its report, to check what its files alone cannot prove."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from hfbertcls.data.dataset import TextDataset, TextSplit
from hfbertcls.data.duplicates import find_duplicates
from hfbertcls.data.loading import load_text_dataset
from hfbertcls.data.sources import Data
from hfbertcls.data.tokenization import tokenize_split
from hfbertcls.environment import local_path, package_version
from hfbertcls.errors import DatasetError
from hfbertcls.evaluation.baselines import Baselines
from hfbertcls.evaluation.report import Report
from hfbertcls.evaluation.report_evaluation import CROSS_VALIDATION, Evaluation
from hfbertcls.evaluation.splits import split_facts
from hfbertcls.inference.pipelines import load_pipeline
from hfbertcls.modeling.engine import score
from hfbertcls.modeling.loading import ModelSource, load_for_training, load_to_score, load_tokenizer
from hfbertcls.modeling.predictions import Predictions, finite_rows
from hfbertcls.progress import Log, silent
from hfbertcls.repository.model_repository import usage_answers
from hfbertcls.repository.stated_files import read_report
from hfbertcls.repository.verify import FROZEN_BASELINE, TRUNCATED_PREDICTIONS, Verification
from hfbertcls.repository.verify_metrics import Derived
from hfbertcls.tasks.probabilities import Answers
from hfbertcls.tasks.task import Task
from hfbertcls.training.frozen_start import FrozenStart, frozen_start


if TYPE_CHECKING:
    from hfbertcls.modeling.pooling import Pooling

LOGIT_TOLERANCE = 1e-3
"""Tolerance for a logit in fp32 across hardware, batches and versions."""
_SCORE_TOLERANCE = 2e-3
_OTHER_VERSION = 0.005
"""Proportion of the rows that a baseline of another scikit-learn may predict differently."""


def rescore(
    directory: str,
    dataset: Data,
    revision: str | None = None,
    log: Log = silent,
    found: Verification | None = None,
) -> Verification:
    """Run a published model again on the data of its report, and compare the results.

    These are the rows of each split, their labels and counts, the logits, the predictions of the baselines, and the
    output of the example on the card.

    Args:
        directory: a model repository that hfbertcls wrote: a directory, or a Hub id.
        dataset: the data; held-out splits are made again with the seed of the report.
        revision: of a Hub id.
        log: called with each line of progress, for a person.
        found: the result of `verify_directory`, to which this one is added.

    Raises:
        OutputDirectoryError, ModelError: if the model or its report cannot be read.
        DatasetError: if the data cannot be read.
    """
    folder = local_path(directory)
    if not folder.is_dir():
        from huggingface_hub import snapshot_download

        folder = Path(snapshot_download(directory, revision=revision))
    report = read_report(folder)
    data = _data_of(report, dataset)
    source = ModelSource(str(folder))
    model, tokenizer = load_to_score(source), load_tokenizer(source)
    task = report.resolved_task
    run = Derived()
    run.check(report.model.num_parameters, int(model.num_parameters()), "report.json: model.num_parameters")
    has_train = _check_train(report, data, tokenizer, task, run)
    baselines = frozen = None
    if has_train and any(entry.baselines for entry in report.evaluation.values()):
        log("Fitting the baselines again ...")
        train = data.splits["train"]
        baselines = Baselines(task, train.texts, task.encode(train.label_cells))
        frozen = _frozen_again(report, data, tokenizer, task, model.device)
    notes = []
    for name, entry in report.evaluation.items():
        if name == CROSS_VALIDATION:
            notes.append("cross-validation: its models are not here, so its predictions cannot be computed again")
            continue
        path = folder / "predictions" / f"{name}.parquet"
        if not path.is_file():
            run.missing.append(f"the logits of {name}: predictions/{name}.parquet is not there")
            continue
        try:
            shared = Predictions.from_parquet(path.read_bytes(), task)
        except DatasetError as err:
            run.differences.append(f"predictions/{name}.parquet: it cannot be read ({err})")
            continue
        split = _same_rows(data, name, shared, run)
        if split is None:
            continue
        log(f"Scoring the {len(split):,} rows of {name} again ...")
        tokenized = tokenize_split(split, tokenizer, report.task.max_length, task, report.task.reading)
        facts = split_facts(split, replace(data, task=task), tokenized.truncated_rows, tokenized.unknown_share)
        run.check(report.data.splits[name], facts, f"report.json: data.splits.{name}")
        wrong = np.flatnonzero(~task.is_right(tokenized.gold, shared.gold))
        if len(wrong):
            run.differences.append(
                f"predictions/{name}.parquet: {len(wrong):,} gold labels are not those of {data.source}"
            )
        _check_truncated(model, tokenizer, split, report.task.max_length, shared, run)
        logits = score(model, tokenizer, tokenized)
        run.values += shared.logits.size
        finite = finite_rows(logits)
        if not finite.all():
            run.differences.append(
                f"predictions/{name}.parquet: the model gives NaN or infinite logits for {int((~finite).sum()):,} of its "
                f"{len(finite):,} rows"
            )
        gap = float(np.abs(logits[finite] - shared.logits[finite]).max(initial=0.0))
        if gap > LOGIT_TOLERANCE:
            run.differences.append(
                f"predictions/{name}.parquet: the model gives other logits (up to {gap:.3g} away; {LOGIT_TOLERANCE:g} is "
                "tolerated)"
            )
        elif finite.all():
            notes.append(f"{name}: {len(split):,} rows scored again, logits within {gap:.2g}")
        if baselines is not None:
            of_encoder = {} if frozen is None else frozen.baselines
            answers = baselines.predict(split.texts) | {key: one.answers(name) for key, one in of_encoder.items()}
            fitted_on = baselines.fitted_on | {key: one.fitted_on for key, one in of_encoder.items()}
            _check_baselines(answers, fitted_on, shared, entry, name, report, run)
    _check_example(folder, report, run)
    if has_train and set(report.data.splits) <= set(data.splits):
        duplicates = asdict(find_duplicates(data))
        run.check({key: getattr(report.data, key) for key in duplicates}, duplicates, "report.json: data")
    return _joined(found or Verification(()), run, notes, has_train=has_train, has_encoder=frozen is not None)


def _data_of(report: Report, dataset: str) -> TextDataset:
    """The data, read and split as the report states."""
    task, facts = report.task, report.data
    was_cut = facts.split_seed is not None
    columns = task.label_column
    return load_text_dataset(
        dataset,
        text_column=task.text_column,
        text_pair_column=task.text_pair_column,
        label_column=list(columns) if isinstance(columns, tuple) else columns,
        label_separator=task.label_separator,
        task=task.type if report.resolved_task.is_requested else None,
        slice_by=task.slice_column,
        labels=list(task.labels),
        quoting=task.quoting,
        header=task.header,
        make_splits=was_cut,
        cross_validation="off" if CROSS_VALIDATION not in report.evaluation else "auto",
        split_by=facts.split_by if was_cut else None,
        seed=facts.split_seed if facts.split_seed is not None else 42,
    )


def _check_train(report: Report, data: TextDataset, tokenizer: Any, task: Task, run: Derived) -> bool:
    """Whether the train split of the data has the counts and the hash of the report."""
    if "train" not in data.splits or "train" not in report.data.splits:
        return False
    train = data.splits["train"]
    tokenized = tokenize_split(train, tokenizer, report.task.max_length, task, report.task.reading)
    facts = split_facts(train, replace(data, task=task), tokenized.truncated_rows, tokenized.unknown_share)
    probe = Derived()
    probe.check(report.data.splits["train"], facts, "report.json: data.splits.train")
    if probe.differences:
        run.missing.append(
            f"what follows from the train split: the data are not those that the report states ({probe.differences[0]})"
        )
        return False
    run.values += probe.values
    return True


def _same_rows(data: TextDataset, name: str, shared: Predictions, run: Derived) -> TextSplit | None:
    """The rows of a split, if the predictions are of exactly these rows."""
    split = data.splits.get(name) or (next(iter(data.splits.values())) if len(data.splits) == 1 else None)
    place = f"predictions/{name}.parquet"
    if split is None:
        run.missing.append(f"the logits of {name}: {data.source} has no split of that name")
        return None
    there: npt.NDArray[np.int64] = split.rows
    strange, left_out = np.setdiff1d(shared.rows, there), np.setdiff1d(there, shared.rows)
    if len(strange):
        run.differences.append(
            f"{place}: {data.source} does not have {len(strange):,} of these rows; the first is row {strange[0]:,}"
        )
        return None
    if len(left_out):
        run.differences.append(
            f"{place}: it leaves out {len(left_out):,} of the {len(there):,} rows of {data.source}; the first is row "
            f"{left_out[0]:,}"
        )
        return None
    position_of = {int(row): position for position, row in enumerate(there)}
    order = np.array([position_of[int(row)] for row in shared.rows], dtype=np.int64)
    return replace(split.take(name, order), name=name, rows_read=split.rows_read, dropped=split.dropped)


def _frozen_again(report: Report, data: TextDataset, tokenizer: Any, task: Task, device: Any) -> FrozenStart | None:
    """The linear model on the frozen encoder, fitted again; None if the report has none, or the encoder is not here."""
    entries = [one for entry in report.evaluation.values() for one in (entry.baselines or {}).values()]
    pooling = next((one.pooling for one in entries if one.pooling is not None), None)
    if pooling is None or not report.model.base_model_is_hub_id:
        return None
    source = ModelSource(report.model.base_model, report.model.base_revision)
    tokenized = {
        name: tokenize_split(split, tokenizer, report.task.max_length, task, report.task.reading)
        for name, split in data.splits.items()
    }
    loaded = load_for_training(source, task, seed=0, long_text=report.task.reading)
    return frozen_start(loaded, tokenizer, tokenized, data.splits, cast("Pooling", pooling), device)


def _check_truncated(
    model: Any, tokenizer: Any, split: TextSplit, max_length: int, shared: Predictions, run: Derived
) -> None:
    """Compare what the model predicts where long texts are truncated, if the predictions say so."""
    if shared.truncated is None:
        return
    logits = score(model, tokenizer, tokenize_split(split, tokenizer, max_length))
    differing = ~shared.task.is_right(shared.truncated, shared.task.decide(logits))
    run.values += len(differing)
    if differing.any():
        run.differences.append(
            f"predictions/{split.name}.parquet: the model predicts another prediction_truncated for {int(differing.sum()):,} rows"
        )


def _check_baselines(
    answers_by_key: Mapping[str, Answers],
    fitted_on: Mapping[str, Mapping[str, int | str]],
    shared: Predictions,
    entry: Evaluation,
    name: str,
    report: Report,
    run: Derived,
) -> None:
    """Compare the predictions of the baselines, fitted again; another scikit-learn may differ on a few rows."""
    same_version = report.environment.get("scikit_learn") == package_version("scikit-learn")
    for key, answers in answers_by_key.items():
        place = f"predictions/{name}.parquet: baseline_{key}"
        stated_answers = shared.baselines.get(key)
        if stated_answers is None:
            run.differences.append(f"{place} is not there")
            continue
        differing = int((~shared.task.is_right(stated_answers, answers)).sum())
        run.values += len(answers)
        if differing > (0 if same_version else _OTHER_VERSION * len(answers)):
            run.differences.append(
                f"{place}: fitted again, it predicts {differing:,} of {len(answers):,} rows otherwise"
            )
        baseline = (entry.baselines or {}).get(key)
        facts = {fact: getattr(baseline, fact, None) for fact in fitted_on[key]}
        run.check(facts, fitted_on[key], f"report.json: evaluation.{name}.baselines.{key}")


def _check_example(folder: Path, report: Report, run: Derived) -> None:
    """Compare the output of the call on the card."""
    text, stated_output = report.card.usage_text, report.card.usage_output
    if text is None or not stated_output:
        return
    answers = usage_answers(load_pipeline(str(folder)), text, report.card.usage_text_pair)
    run.values += len(answers)
    same = len(stated_output) == len(answers) and all(
        isinstance(one, Mapping)
        and one.get("label") == other["label"]
        and isinstance(one.get("score"), float)
        and abs(one["score"] - other["score"]) <= _SCORE_TOLERANCE
        for one, other in zip(stated_output, answers, strict=False)
    )
    if not same:
        run.differences.append("report.json: card.usage_output is not what the model answers to card.usage_text")


def _joined(
    before: Verification, run: Derived, notes: list[str], *, has_train: bool, has_encoder: bool
) -> Verification:
    unproven = tuple(line for line in before.unproven if line != TRUNCATED_PREDICTIONS)
    if has_encoder:
        unproven = tuple(line for line in unproven if line != FROZEN_BASELINE)
    if has_train and not run.differences:
        unproven = tuple(line for line in unproven if line != "which data it was trained on")
        unproven = (*unproven, "that it was trained on these data")
    return replace(
        before,
        differences=tuple(dict.fromkeys((*before.differences, *run.differences))),
        missing=tuple(dict.fromkeys((*before.missing, *run.missing))),
        values=before.values + run.values,
        unproven=unproven,
        rescored=(*before.rescored, *notes),
    )
