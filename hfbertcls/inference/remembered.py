"""The training data according to a model's report: columns, separator, labels, and rows."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hfbertcls.data.columns import obvious_texts
from hfbertcls.data.dataset import TextDataset, TextSplit
from hfbertcls.data.loading import data_to_measure, load_text_dataset
from hfbertcls.data.readers.layout import Layout
from hfbertcls.data.readers.list_cells import holds_vectors
from hfbertcls.data.sources import Data, open_source
from hfbertcls.errors import DatasetError, listing
from hfbertcls.evaluation.report_sections import TaskFacts
from hfbertcls.inference.model_files import predicted_rows, report_of
from hfbertcls.modeling.loading import ModelSource, load_config
from hfbertcls.modeling.text_fields import reads_pairs


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
        require_texts_for(sources, dataset)
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
    if task is not None and not {"text_column", "text_pair_column"} & {*remembered, *arguments}:
        _require_both_texts(task, columns, source.name)
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
    data = load_text_dataset(
        source, quoting=layout.quoting, header=layout.header, make_splits=False, **remembered | arguments
    )
    require_texts_for(sources, data)
    return data


def _require_both_texts(task: TaskFacts, columns: set[str], source: str) -> None:
    """Check that there are two texts where a model was trained on pairs, and no column is named."""
    if task.text_pair_column is None or None not in obvious_texts(sorted(columns)):
        return
    trained_on = listing([str(task.text_column), task.text_pair_column])
    raise DatasetError(
        f"the model was trained on pairs of texts (the columns {trained_on}), and {source} has the columns {listing(sorted(columns))}. "
        "Name those of both texts with --text-column and --text-pair-column"
    )


def _columns_in(task: TaskFacts, columns: set[str]) -> dict[str, Any]:
    """The columns of training that a file has, too, by their argument of `load_text_dataset`."""
    labels = task.label_column
    named = {"label_column": list(labels) if isinstance(labels, tuple) else labels}
    if {task.text_column, task.text_pair_column} - {None} <= columns:  # (both texts of a pair, or neither)
        named |= {"text_column": task.text_column, "text_pair_column": task.text_pair_column}
    return {
        key: value
        for key, value in named.items()
        if value and {*([value] if isinstance(value, str) else value)} <= columns
    }


def text_columns_in(source: ModelSource, columns: Sequence[str]) -> tuple[str | None, str | None]:
    """The columns of the texts, and for pairs of the second ones, that a model was trained on; None if not in a file."""
    report = report_of(source)
    if report is None or not {report.task.text_column, report.task.text_pair_column} - {None} <= set(columns):
        return None, None
    return report.task.text_column, report.task.text_pair_column


def texts_read_by(source: ModelSource) -> int | None:
    """How many texts of a row a model reads: 1, or 2 of pairs; None where neither its files nor its report tell."""
    report = report_of(source)
    if report is not None and report.task.text_column is not None:
        return 1 if report.task.text_pair_column is None else 2
    return 2 if reads_pairs(load_config(source)) else None


def require_texts_for(sources: Sequence[ModelSource], data: TextDataset) -> None:
    """Check that rows have as many texts as models read.

    Raises:
        DatasetError: if a model of pairs gets single texts, or the reverse.
    """
    for source in sources:
        texts = texts_read_by(source)
        if texts is None or texts == len(data.text_columns):
            continue
        if texts == 1:
            raise DatasetError(
                f"{source.public_name!r} reads one text a row, and the rows of {data.source} are pairs ({listing(data.text_columns)}). "
                f"Name another model, or read one of the two texts, such as with --text-column {data.text_column!r} alone"
            )
        raise DatasetError(
            f"{source.public_name!r} reads pairs of texts, and {data.source} was read with one text a row ({data.text_column!r}). "
            "Name the columns of both with --text-column and --text-pair-column"
        )


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
