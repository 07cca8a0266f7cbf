"""What a model's report says of the data that it was trained on: columns, separator, labels, and which rows they were."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hfbertcls.data.dataset import TextDataset, TextSplit
from hfbertcls.data.loading import load_text_dataset
from hfbertcls.data.sources import Source, open_source
from hfbertcls.inference.held_out import report_in
from hfbertcls.modeling.loading import ModelSource


def read_as_trained_on(sources: Sequence[ModelSource], dataset: str | Source, **named: Any) -> TextDataset:
    """Read data to measure models on, with the columns that the first of them was trained on where the data have them.

    Args:
        sources: the models.
        dataset: what `load_text_dataset` takes.
        **named: further arguments of it, which win; None where nothing is named.
    """
    source = dataset if isinstance(dataset, Source) else open_source(dataset)
    task = next((report.task for one in sources if (report := report_in(one)) is not None), {})
    columns = set.intersection(*(set(raw.table.column_names) for raw in source.tables.values()))
    known = {
        key: task[key]
        for key in ("text_column", "text_pair_column", "label_column")
        if isinstance(task.get(key), str) and task[key] in columns
    }
    if "label_column" in known and named.get("label_column") in (None, known["label_column"]):
        known |= {"label_separator": task.get("label_separator")}
        if task.get("type") == "multi_label" and _holds_vectors(source, known["label_column"]):
            known |= {"labels": task["labels"]}
    wanted = {key: value for key, value in named.items() if value is not None}
    return load_text_dataset(source, make_splits=False, **known | wanted)


def text_column_in(source: ModelSource, columns: Sequence[str]) -> str | None:
    """The column of the texts that a model was trained on, if a file has it."""
    report = report_in(source)
    column = None if report is None else report.task.get("text_column")
    return column if isinstance(column, str) and column in columns else None


def rows_trained_on(source: ModelSource, data: TextDataset) -> TextSplit | None:
    """The rows of a single file from which training cut its validation and test splits; None if it is not that file."""
    report = report_in(source)
    stated = {} if report is None else report.data.get("splits", {})
    if len(data.splits) != 1 or report is None:
        return None
    (rows,) = data.splits.values()
    cut = [name for name in ("validation", "test") if name in stated]
    paths = [source.path / "predictions" / f"{name}.parquet" for name in cut]
    same = all(stated.get(name, {}).get("sha256") == rows.sha256 for name in ("train", *cut))
    if rows.sha256 is None or not cut or not same or not all(path.is_file() for path in paths):
        return None
    held_out = [pq.read_table(path, columns=["row"]).column("row").to_numpy() for path in paths]
    return rows.take("train", np.flatnonzero(~np.isin(rows.rows, np.concatenate(held_out))))


def _holds_vectors(source: Source, column: str) -> bool:
    kinds = [raw.table.column(column).type for raw in source.tables.values()]
    return all(pa.types.is_list(kind) and pa.types.is_integer(kind.value_type) for kind in kinds)
