"""Contradictions in a well-formed report: sections with different splits, labels or metrics."""

import re
from collections.abc import Mapping

from hfbertcls.evaluation.json_form import shown
from hfbertcls.evaluation.report_evaluation import CROSS_VALIDATION, OUT_OF_FOLD, Calibration, Evaluation, split_of
from hfbertcls.evaluation.report_sections import DataFacts, ModelFacts, TaskFacts
from hfbertcls.evaluation.report_training import LearningCurve, Seeds, TrainingFacts
from hfbertcls.tasks.known import TASKS
from hfbertcls.tasks.task import Task


_SPLIT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_FILE_NAME = re.compile(r"(?:(?:plots|onnx)/)?[A-Za-z0-9_][A-Za-z0-9_.+-]*")


def is_repository_path(name: str) -> bool:
    """Whether a further file of a model repository may have this path: nothing outside of it, nothing hidden.

    >>> is_repository_path("plots/reliability.png"), is_repository_path("../notes.txt")
    (True, False)
    """
    return bool(_FILE_NAME.fullmatch(name))


def contradiction(
    task: TaskFacts,
    model: ModelFacts,
    data: DataFacts,
    evaluation: Mapping[str, Evaluation],
    training: TrainingFacts | None,
    files: Mapping[str, str],
) -> str | None:
    """The first contradiction between the sections of a report, beginning with the key; None if there is none."""
    kind, labels = TASKS.get(task.type), list(task.labels)
    if kind is None:
        return f"task.type is {shown(task.type)}; expected {' or '.join(TASKS)}"
    if (kind.has_labels and not labels) or len(set(labels)) != len(labels):
        return "task.labels must be at least one label, none twice"
    if fault := kind.fault_in_report(task.to_dict()):
        return fault
    if not evaluation:
        return "evaluation has no split"
    for name, facts in data.splits.items():
        if not _SPLIT_NAME.fullmatch(name):
            return f"data.splits has the key {shown(name)}; expected the name of a split"
        if set(facts.label_counts) != set(labels):
            return f"data.splits.{name}.label_counts must have the keys of task.labels"
    for place, names in (("model.files_sha256", model.files_sha256), ("files_sha256", files)):
        for name in names:
            if not is_repository_path(name):
                return f"{place} has the key {shown(name)}; expected the path of a file of the repository"
    for name, one in evaluation.items():
        place = f"evaluation.{name if _SPLIT_NAME.fullmatch(name) else shown(name)}"
        if split_of(name) not in data.splits:
            return f"{place} has no counterpart in data.splits"
        if (one.kind == OUT_OF_FOLD) != (name == CROSS_VALIDATION) or (one.kind is None) != (one.folds is None):
            return f"{place}.kind must be {OUT_OF_FOLD}, with a number of folds, for {CROSS_VALIDATION} alone"
        if fault := _of_evaluation(kind, labels, one, place):
            return fault
    if training is None:
        return None
    return _of_runs(training.seeds, evaluation) or _of_curve(training.learning_curve, evaluation)


def _of_evaluation(kind: type[Task], labels: list[str], one: Evaluation, place: str) -> str | None:
    for metric in kind.key_metrics:
        if metric not in one.metrics:
            return f"{place}.metrics.{metric} is missing"
        if None in (one.metrics[metric].value, one.metrics[metric].low, one.metrics[metric].high):
            return f"{place}.metrics.{metric} has null; expected numbers"
        for name, baseline in (one.baselines or {}).items():
            if metric not in baseline.metrics:
                return f"{place}.baselines.{name}.{metric} is missing"
    if list(one.per_label) != labels:
        return f"{place}.per_label must have the keys of task.labels, in this order"
    matrix = one.confusion_matrix
    if (matrix is not None) != kind.is_one_label or (matrix and {len(matrix), *map(len, matrix)} != {len(labels)}):
        return (
            f"{place}.confusion_matrix must have a row and a column for each label, and be null where an answer is not "
            "one label"
        )
    adjustment = one.adjustment
    if adjustment is not None and (missing := set(kind.key_metrics) - set(adjustment.before)):
        return f"{place}.adjustment.before.{min(missing)} is missing"
    if adjustment is not None and not (list(adjustment.shift) == list(adjustment.recall_before) == labels):
        return f"{place}.adjustment.shift and recall_before must have the keys of task.labels, in this order"
    if adjustment is not None and adjustment.prior is not None and list(adjustment.prior) != labels:
        return f"{place}.adjustment.prior must have the keys of task.labels, in this order"
    if one.calibration is not None and not _fits(one.calibration, kind, labels):
        return f"{place}.calibration.temperature must be a number, or one for each label"
    return None


def _fits(calibration: Calibration, kind: type[Task], labels: list[str]) -> bool:
    temperature = calibration.temperature
    return len(temperature) == len(labels) if isinstance(temperature, tuple) else kind.is_one_label


def _of_runs(seeds: Seeds | None, evaluation: Mapping[str, Evaluation]) -> str | None:
    if seeds is None:
        return None
    if "validation" not in evaluation or len(seeds.runs) < 2:
        return "training.seeds needs at least two runs and an evaluation of validation"
    first = seeds.runs[0].evaluation
    for index, run in enumerate(seeds.runs):
        for split, one in evaluation.items():
            values = run.evaluation.get(split)
            if values is None or set(values) != set(first[split]) or not set(values) <= set(one.metrics):
                return f"training.seeds.runs[{index}].{split} must have metrics of evaluation.{split}"
        if seeds.metric not in run.evaluation["validation"]:
            return f"training.seeds.metric is {shown(seeds.metric)}; expected a metric of the runs"
    if seeds.average is not None and seeds.average.metric not in evaluation["validation"].metrics:
        return f"training.seeds.average.metric is {shown(seeds.average.metric)}; expected a metric of validation"
    return None


def _of_curve(curve: LearningCurve | None, evaluation: Mapping[str, Evaluation]) -> str | None:
    if curve is None:
        return None
    if curve.split not in evaluation:
        return f"training.learning_curve.split is {shown(curve.split)}; expected a split of evaluation"
    rows = [point.rows for point in curve.points]
    if len(rows) < 2 or rows != sorted(set(rows)):
        return "training.learning_curve.points must be at least two, with rising numbers of rows"
    if curve.metric not in evaluation[curve.split].metrics:
        return (
            f"training.learning_curve.metric is {shown(curve.metric)}; expected a metric of evaluation.{curve.split}"
        )
    are_counted = curve.metric == "accuracy"
    for point in curve.points:
        if (point.right is not None, point.accuracy is not None, point.error is not None) != (
            are_counted,
            are_counted,
            not are_counted,
        ):
            keys = "right and accuracy" if are_counted else "error alone"
            return f"training.learning_curve.points must have {keys}, because the metric is {curve.metric}"
    if any(point.right > point.measured for point in curve.points if point.right is not None):
        return "training.learning_curve.points must not have more right rows than measured ones"
    return None
