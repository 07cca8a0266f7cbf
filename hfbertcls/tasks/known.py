"""The tasks, and how one is made: from data, from a configuration, or from a report."""

from collections.abc import Iterable, Mapping
from typing import Any

from hfbertcls.errors import DatasetError, ModelError, listing
from hfbertcls.tasks.cells import Column, holds_lists
from hfbertcls.tasks.multi_label import MultiLabel
from hfbertcls.tasks.ordinal import Ordinal
from hfbertcls.tasks.regression import Regression
from hfbertcls.tasks.single_label import SingleLabel
from hfbertcls.tasks.task import Task


TASKS: dict[str, type[Task]] = {kind.name: kind for kind in (SingleLabel, MultiLabel, Regression, Ordinal)}
"""By name, as `--task` and `task.type` of a report call them."""


def all_metrics() -> tuple[str, ...]:
    """The metrics of all tasks."""
    return tuple(dict.fromkeys(name for kind in TASKS.values() for name in kind.metric_names))


def metric_names(metrics: Iterable[str]) -> Mapping[str, str]:
    """The display name of each metric of the task that has all of these."""
    names = set(metrics)
    return next(kind.metric_names for kind in TASKS.values() if names <= set(kind.metric_names))


def is_lower_better(metric: str) -> bool:
    """Whether a lower value of a metric is the better one."""
    return any(metric in kind.lower_is_better for kind in TASKS.values())


def kind_of_data(columns: Mapping[str, Column], requested: str | None, label_column: str) -> type[Task] | None:
    """The kind of task of the labels of a data set; None for numbers that no task predicts.

    Args:
        columns: the labels of each split.
        requested: the name of a task; None lets the labels decide.
        label_column: what the column is called, for messages.

    Raises:
        DatasetError: if the requested task does not fit the labels, or the splits differ in their kind.
    """
    with_lists = [name for name, column in columns.items() if holds_lists(column)]
    if with_lists and len(with_lists) < len(columns):
        raise DatasetError(
            f"the column {label_column!r} holds lists of labels in the split {listing(with_lists)}, "
            "but one label for each row in another. Write it the same way in every file"
        )
    of_splits = list(columns.values())
    if requested is None:
        return next((kind for kind in TASKS.values() if kind.fits(of_splits)), None)
    kind = TASKS.get(requested)
    if kind is None or not kind.accepts(of_splits):
        shape = (
            "lists of labels"
            if with_lists
            else "one label for each row. If a cell holds more than one, pass --label-separator"
        )
        raise DatasetError(f"--task {requested} does not fit: the column {label_column!r} holds {shape}")
    return kind


def task_of_config(config: Any) -> Task | None:
    """The task of a model by its configuration; None if it is another one, such as regression of several numbers.

    Without a `problem_type` transformers takes a model of one output for regression, so does this.

    Raises:
        ModelError: if it states something that does not fit.
    """
    problem_type = config.problem_type or ("regression" if config.num_labels == 1 else None)
    kinds = reversed(TASKS.values())
    kind = next((kind for kind in kinds if kind.is_of_config(problem_type, vars(config))), None)
    names: dict[Any, str] = {**(config.id2label or {})}
    if kind is None or (not kind.has_labels and len(names) != 1):
        return None
    return kind.from_config([str(names[index]) for index in sorted(names)], config)


def task_of_report(section: Mapping[str, Any]) -> Task:
    """The task that the section `task` of a report describes.

    Raises:
        ModelError: if it is one of a newer release.
    """
    kind = TASKS.get(section["type"])
    if kind is None:
        raise ModelError(
            f"the report is about a task {section['type']!r}; this release has {listing(TASKS)}. Update hfbertcls"
        )
    return kind.from_report(section)
