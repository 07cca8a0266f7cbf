"""The training data according to a model's report: columns, separator, labels, and rows."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hfbertcls.data.dataset import TextDataset, TextSplit
from hfbertcls.data.loading import data_to_measure, load_text_dataset
from hfbertcls.data.readers.layout import Layout
from hfbertcls.data.readers.list_cells import holds_vectors
from hfbertcls.data.sources import Data, open_source
from hfbertcls.evaluation.report_sections import TaskFacts
from hfbertcls.inference.model_files import predicted_rows, report_of
from hfbertcls.modeling.loading import ModelSource


def read_as_trained_on(
    sources: Sequence[ModelSource], dataset: Data | TextDataset, split: str | None = None, **named: Any
) -> TextDataset:
    """Read data to measure models on, with the columns and labels of the first model's training data.

    Args:
        sources: the models.
        dataset: what `load_text_dataset` takes, or its result.
        split: to be measured; see `data_to_measure`.
        **named: further arguments of `load_text_dataset`, which take precedence; None (`"auto"` for `quoting`) where
            not set.
    """
    if isinstance(dataset, TextDataset):
        return data_to_measure(dataset, split)
    report = next((report for one in sources if (report := report_of(one)) is not None), None)
    task = None if report is None else report.task
    arguments = {key: value for key, value in named.items() if value is not None}
    quoting = arguments.pop("quoting", "auto")
    layout = Layout(
        task.quoting if quoting == "auto" and task is not None else quoting,
        arguments.pop("header", True) and (task is None or task.header),
    )
    source = open_source(dataset, layout)
    columns = set.intersection(*(set(raw.table.column_names) for raw in source.tables.values()))
    remembered = {} if task is None else _columns_in(task, columns)
    if (
        report is not None
        and isinstance(remembered.get("label_column"), str)
        and arguments.get("label_column") in (None, remembered["label_column"])
    ):
        if report.resolved_task.is_requested:
            remembered |= {"task": report.task.type, "labels": list(report.task.labels)}
        remembered |= {"label_separator": report.task.label_separator}
        columns_of_labels = [raw.table.column(remembered["label_column"]) for raw in source.tables.values()]
        if report.resolved_task.answers_are_lists and all(map(holds_vectors, columns_of_labels)):
            remembered |= {"labels": list(report.task.labels)}
    return load_text_dataset(
        source, quoting=layout.quoting, header=layout.header, make_splits=False, **remembered | arguments
    )


def _columns_in(task: TaskFacts, columns: set[str]) -> dict[str, Any]:
    """The columns of training that a file has, too, by their argument of `load_text_dataset`."""
    labels = task.label_column
    named = {
        "text_column": task.text_column,
        "text_pair_column": task.text_pair_column,
        "label_column": list(labels) if isinstance(labels, tuple) else labels,
    }
    return {
        key: value
        for key, value in named.items()
        if value and {*([value] if isinstance(value, str) else value)} <= columns
    }


def text_column_in(source: ModelSource, columns: Sequence[str]) -> str | None:
    """The column of the texts that a model was trained on, if a file has it."""
    report = report_of(source)
    column = None if report is None else report.task.text_column
    return column if column in columns else None


def rows_trained_on(source: ModelSource, data: TextDataset) -> TextSplit | None:
    """The training rows of a file whose validation and test rows were held out; None for any other file."""
    report = report_of(source)
    if len(data.splits) != 1 or report is None:
        return None
    splits = report.data.splits
    (rows,) = data.splits.values()
    cut = [name for name in ("validation", "test") if name in splits]
    same = all(name in splits and splits[name].sha256 == rows.sha256 for name in ("train", *cut))
    if rows.sha256 is None or not cut or not same:
        return None
    held_out = [numbers for name in cut if (numbers := predicted_rows(source, name)) is not None]
    if len(held_out) < len(cut):
        return None
    return rows.take("train", np.flatnonzero(~np.isin(rows.rows, np.concatenate(held_out))))
