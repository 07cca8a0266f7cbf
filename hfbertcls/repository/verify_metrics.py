"""Every metric of a report that follows from its predictions files, computed again."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from math import isclose
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from pyarrow import ArrowException

from hfbertcls.errors import HfBertClsError, shorten
from hfbertcls.evaluation.adjustment import Shift, logit_shift
from hfbertcls.evaluation.json_form import as_json
from hfbertcls.evaluation.power_law import curve_point, fit_learning_curve, point_of
from hfbertcls.evaluation.repeats import compare_average, summary_of_runs
from hfbertcls.evaluation.report import Report
from hfbertcls.evaluation.report_evaluation import Evaluation, decided_on, split_of
from hfbertcls.evaluation.splits import evaluate_split
from hfbertcls.evaluation.temperature import fit_temperature
from hfbertcls.modeling.predictions import Predictions
from hfbertcls.repository.verify_files import temperature_in


TOLERANCE = 1e-6  # relative; other versions of numpy may sum in another order
_FITTING_TOLERANCE = 1e-3  # relative; the logits are rounded to fp32 and the temperature to five digits
_MADE_FROM = ("train_rows", "analyzer", "pooling")
"""What a baseline was fitted on; it follows from the data, not from the predictions."""


@dataclass
class Derived:
    """The result of deriving the metrics of a report again."""

    differences: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    """What could not be derived."""
    values: int = 0
    """How many values were derived."""

    def check(self, stated: Any, derived: Any, place: str, tolerance: float = TOLERANCE) -> None:
        """Compare a stated value with the derived one, sections key by key, and count the values."""
        stated, derived = as_json(stated), as_json(derived)
        self.values += sum(1 for _ in _leaves(derived))
        self.differences += compare(stated, derived, place, tolerance)


def derive_metrics(folder: Path, report: Report) -> Derived:
    """Derive the metrics of every split that has predictions, and what follows from them."""
    result = Derived()
    read: dict[str, Predictions] = {}
    for name, entry in report.evaluation.items():
        path = folder / "predictions" / f"{name}.parquet"
        if not path.is_file():
            result.missing.append(f"the metrics of {name}: predictions/{name}.parquet is not there")
        elif (predictions := _read(path, name, report, result)) is not None:
            read[name] = predictions
            _check_split(predictions, name, entry, report, result)
    _check_rows(read, report, result)
    _check_examples(read, report, result)
    _check_seeds(report, result)
    _check_curve(report, result)
    return result


def _read(path: Path, name: str, report: Report, result: Derived) -> Predictions | None:
    """The predictions of a split, as many as it has rows."""
    place = f"predictions/{name}.parquet"
    rows = report.data.splits[split_of(name)].rows
    try:
        stored = pq.ParquetFile(path).metadata.num_rows  # (before anything is unpacked)
        if stored != rows:
            result.differences.append(f"{place}: it has {stored:,} rows, the {split_of(name)} split has {rows:,}")
            return None
        data = path.read_bytes()
        predictions = Predictions.from_parquet(data, report.resolved_task)
        if not predictions.agree_with(data):
            result.differences.append(f"{place}: its predictions do not follow from its logits")
    except (HfBertClsError, OSError, ValueError, ArrowException) as err:
        result.differences.append(f"{place}: it cannot be read ({shorten(str(err), 200)})")
        return None
    return predictions


def _check_split(predictions: Predictions, name: str, entry: Evaluation, report: Report, result: Derived) -> None:
    """Every metric of a split, and what was fitted on it."""
    place = f"report.json: evaluation.{name}"
    temperature = temperature_in(entry)
    baselines = {
        key: {fact: value for fact in _MADE_FROM if (value := getattr(one, fact)) is not None}
        for key, one in (entry.baselines or {}).items()
    }
    fitted_on = decided_on(report.evaluation)
    shift = _shift(predictions, name, entry, report, result)
    derived = evaluate_split(predictions, entry.predictions_sha256, baselines, temperature, fitted_on or name, shift)
    provable = replace(entry, bf16_agreement=None, trained_on=None, extra={})
    result.check(provable, derived, place)
    counts = {label: row.support for label, row in derived.per_label.items()}
    split = split_of(name)
    result.check(report.data.splits[split].label_counts, counts, f"report.json: data.splits.{split}.label_counts")
    if temperature is not None and name == fitted_on:
        before = (predictions.logits * np.asarray(temperature)).astype(np.float32)
        fitted = fit_temperature(predictions.task, predictions.gold, before)
        result.check(temperature, fitted, f"{place}.calibration.temperature", _FITTING_TOLERANCE)
    if name == fitted_on:
        fitted_task = predictions.task.fit_decision(predictions.gold, predictions.logits)
        for key, value in fitted_task.report_values.items():
            result.check(report.task.extra.get(key), value, f"report.json: task.{key}")


def _shift(predictions: Predictions, name: str, entry: Evaluation, report: Report, result: Derived) -> Shift | None:
    """The shift for other class priors, which follows from the options and the training rows."""
    stated, training = entry.adjustment, report.training
    prior = None if training is None else training.options.get("prior")
    place = f"report.json: evaluation.{name}.adjustment"
    if stated is None:
        if prior is not None:
            result.differences.append(f"{place} is missing, though training.options states a prior")
        return None
    shift = Shift(tuple(stated.shift.values()), stated.temperature_before)
    if training is None or prior is None:
        result.differences.append(f"{place} is there, though training.options states no prior")
        return shift
    labels = report.task.labels
    support = np.array([report.data.splits["train"].label_counts[label] for label in labels], dtype=np.int64)
    try:
        derived = logit_shift(prior, training.options.get("class_weights", "none"), labels, support)
    except (HfBertClsError, TypeError, ValueError) as err:
        result.differences.append(f"{place}.shift: training.options.prior cannot be read ({shorten(str(err), 200)})")
        return shift
    result.check(list(stated.shift.values()), derived.tolist(), f"{place}.shift")
    if name == decided_on(report.evaluation):
        temperature = temperature_in(entry)
        fitted = Shift.fitted(shift.of_labels, predictions.task, predictions.gold, predictions.logits, temperature)
        before = f"{place}.temperature_before"
        result.check(stated.temperature_before, fitted.temperature_before, before, _FITTING_TOLERANCE)
    return shift


def _check_rows(read: Mapping[str, Predictions], report: Report, result: Derived) -> None:
    """No row of one source is in two splits."""
    for one, other in combinations(read, 2):
        sources = [report.data.splits[split_of(name)].sha256 for name in (one, other)]
        shared = np.intersect1d(read[one].rows, read[other].rows)
        if sources[0] is not None and sources[0] == sources[1] and len(shared):
            result.differences.append(
                f"predictions: {len(shared):,} rows of one source are in both {one} and {other}, the first is row {shared[0]:,}"
            )


def _check_examples(read: Mapping[str, Predictions], report: Report, result: Derived) -> None:
    """Label and prediction of the rows on the card."""
    examples, name = report.card.examples, report.shown_split
    if not examples or name not in read:
        return
    predictions = read[name]
    position = {int(row): index for index, row in enumerate(predictions.rows)}
    labels, predicted = (predictions.task.shown(answers) for answers in (predictions.gold, predictions.predicted))
    for index, example in enumerate(examples):
        place = f"report.json: card.examples[{index}]"
        at = position.get(example.row)
        if at is None:
            result.differences.append(f"{place} is no row of predictions/{name}.parquet")
            continue
        answers = {"label": example.label, "prediction": example.prediction}
        result.check(answers, {"label": labels[at], "prediction": predicted[at]}, place)


def _check_seeds(report: Report, result: Derived) -> None:
    """Mean and deviation over the runs, and the choice of the shipped run or average."""
    seeds = None if report.training is None else report.training.seeds
    if seeds is None:
        return
    place = "report.json: training.seeds"
    splits = list(report.evaluation)
    for run in seeds.runs:
        if run.seed == seeds.chosen:
            for split in splits:
                metrics = report.evaluation[split].metrics
                values = {name: metrics[name].value for name in run.evaluation[split]}
                result.check(run.evaluation[split], values, f"{place}.runs, seed {run.seed}, {split}")
    derived = summary_of_runs(seeds.runs, splits, list(seeds.runs[0].evaluation[splits[0]]))
    result.check(seeds.summary, derived, f"{place}.summary")
    average = seeds.average
    if average is not None:
        value = (
            report.evaluation["validation"].metrics[average.metric].value if average.shipped else average.validation
        )
        compared = compare_average(average.method, average.seeds, average.metric, seeds.runs, value)
        result.check(average, compared, f"{place}.average")
        chosen = None if average.shipped else compared.best_seed
        result.check(seeds.chosen, chosen, f"{place}.chosen")
    elif seeds.chosen not in [run.seed for run in seeds.runs]:
        result.differences.append(f"{place}.chosen states {shorten(str(seeds.chosen))}, which is the seed of no run")


def _check_curve(report: Report, result: Derived) -> None:
    """The law through the points of a learning curve, the last of which is that of the shipped weights."""
    curve = None if report.training is None else report.training.learning_curve
    if curve is None:
        return
    points = [
        point if point.right is None else curve_point(point.rows, point.right, point.measured)
        for point in curve.points
    ]
    place = "report.json: training.learning_curve"
    result.check(curve.metric, report.resolved_task.curve_metric, f"{place}.metric")
    result.check(curve, fit_learning_curve(curve.split, points, curve.metric), place)
    last = curve.points[-1]
    result.check(last, point_of(last.rows, report.evaluation[curve.split], curve.metric), f"{place}.points[-1]")


def compare(stated: Any, derived: Any, place: str, tolerance: float = TOLERANCE) -> list[str]:
    """Name each value that differs, by its path; `tolerance` is relative."""
    if isinstance(stated, Mapping) and isinstance(derived, Mapping):
        keys = list(dict.fromkeys([*stated, *derived]))
        return [
            line for key in keys for line in compare(stated.get(key), derived.get(key), f"{place}.{key}", tolerance)
        ]
    if isinstance(stated, list) and isinstance(derived, list) and len(stated) == len(derived):
        pairs = enumerate(zip(stated, derived, strict=True))
        return [line for index, (one, other) in pairs for line in compare(one, other, f"{place}[{index}]", tolerance)]
    if isinstance(stated, float | int) and isinstance(derived, float | int) and not isinstance(stated, bool):
        same = isclose(stated, derived, rel_tol=tolerance, abs_tol=1e-9)
    else:
        same = stated == derived
    return [] if same else [f"{place} states {shorten(str(stated))}, the files give {shorten(str(derived))}"]


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping | list):
        for entry in value.values() if isinstance(value, Mapping) else value:
            yield from _leaves(entry)
    else:
        yield value
