"""The rows to measure a model on: rows that it was not trained on."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hfbertcls.data.dataset import TextDataset, TextSplit
from hfbertcls.errors import ConfigurationError, DatasetError, did_you_mean, listing
from hfbertcls.evaluation.report_sections import SplitFacts
from hfbertcls.inference.model_files import predicted_rows, report_of
from hfbertcls.modeling.loading import ModelSource
from hfbertcls.progress import Log


def rows_to_measure(
    data: TextDataset, requested: str | None, sources: Sequence[ModelSource], log: Log
) -> tuple[str, TextSplit]:
    """The split to measure on, and its rows without training rows, as far as the reports of the models tell.

    Of a file whose splits were held out of train, only held-out rows are evaluated. A file that was trained on as a
    whole counts as the train split.

    Args:
        data: what was read.
        requested: a split; the train split is returned unchanged.
        sources: the models.
        log: gets a line on rows that are left out.

    Raises:
        ConfigurationError: if there is no such split.
        DatasetError: if no row is left, or held-out rows cannot be determined.
    """
    name = choose_split(data, requested)
    rows = data.splits[name]
    if requested == "train":
        return name, rows
    for source in sources:
        report = report_of(source)
        report_splits = {} if report is None else report.data.splits
        if not _is_of(rows, report_splits.get("train")):
            continue
        held_out = [key for key in ("test", "validation") if _is_of(rows, report_splits.get(key))]
        if not held_out:
            log(
                f"  note: {source.public_name} was trained on these rows, so metrics on them do not measure how it does on new texts"
            )
            name, rows = "train", replace(rows, name="train")
            continue
        name = held_out[0]
        rows = _held_out_rows(source, name, rows, data.source)
        log(
            f"  note: {source.public_name} was trained on rows of {data.source}. Only the {len(rows):,} rows of its {name} split are "
            "evaluated"
        )
    return name, rows


def _is_of(rows: TextSplit, facts: SplitFacts | None) -> bool:
    """Whether a split of a report comes from the rows: from the same file, or from the same rows in another form."""
    if facts is None:
        return False
    hashes = ((rows.sha256, facts.sha256), (rows.rows_sha256, facts.rows_sha256))
    return any(own is not None and own == other for own, other in hashes)


def _held_out_rows(source: ModelSource, name: str, rows: TextSplit, data_source: str) -> TextSplit:
    numbers = predicted_rows(source, name)
    if numbers is None:
        raise DatasetError(
            f"{source.public_name} was trained on {data_source}, and predictions/{name}.parquet, which lists the held-out rows, is "
            "missing. Pass rows that it was not trained on"
        )
    kept = np.flatnonzero(np.isin(rows.rows, numbers))
    if len(kept) == 0:
        raise DatasetError(
            f"each row of {data_source} was used to train one of the models. Pass rows that they were not trained on"
        )
    return rows.take(name, kept)


def choose_split(data: TextDataset, requested: str | None) -> str:
    """The split to measure on: the requested one, else test, else validation, else train.

    Raises:
        ConfigurationError: if there is no such split.
    """
    if requested is not None and requested not in data.splits:
        raise ConfigurationError(
            f"{data.source} has no split {requested!r}{did_you_mean(requested, data.splits)}; "
            f"it has {listing(data.splits)}. Correct --split"
        )
    return requested or next(name for name in ("test", "validation", "train") if name in data.splits)
