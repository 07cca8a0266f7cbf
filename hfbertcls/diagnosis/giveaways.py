"""Target leakage: a column, or the first or last word of the texts, that predicts the label."""

import itertools
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hfbertcls.data.dataset import TextDataset
from hfbertcls.data.readers.raw import RawTable
from hfbertcls.data.words import SIGNS_OF_RE2
from hfbertcls.diagnosis.findings import Finding


_LEAKAGE = 0.95
"""Fraction of the training rows that a value must predict to count as leakage."""
_FEWEST_ROWS = 30
_WORD = rf"(?P<word>[{SIGNS_OF_RE2}]\p{{M}}*|[^\s{SIGNS_OF_RE2}]+)"
"""In a script without blanks between words, one letter."""
Codes = npt.NDArray[np.int64]


def giveaways(data: TextDataset, tables: Mapping[str | None, RawTable]) -> Iterator[Finding]:
    """Find columns that predict the label, and first or last words that do.

    Args:
        data: single-label data; other data have no such findings.
        tables: the tables that the splits were read from, with all columns.
    """
    train = data.splits["train"]
    if data.task is None or not data.task.is_one_label or len(train) < _FEWEST_ROWS:
        return
    labels = _codes(train.table.column("label").combine_chunks())
    ends = (("first", rf"^\s*{_WORD}"), ("last", rf"{_WORD}\s*$"))
    for field, (word, pattern) in itertools.product(train.text_fields, ends):
        words = pc.struct_field(pc.extract_regex(pc.utf8_lower(train.table.column(field)), pattern), "word")
        proportion = _predicted(_codes(words), labels)
        if proportion is not None:
            yield Finding(
                "giveaway_word",
                "warning",
                f"the {word} word of a {'text' if field == 'text' else 'second text'} tells its label in {100 * proportion:.0f} % of the training rows",
                "If a new text will not begin or end like this, remove it from the data",
            )
    raw = tables["train"] if "train" in tables else tables[None]
    taken = {data.text_column, data.text_pair_column, data.label_column, *data.label_columns}
    for column in [name for name in raw.table.column_names if name not in taken]:
        values = raw.table.column(column)
        if pa.types.is_nested(values.type):
            continue
        rows = values.take(pa.array(train.rows))
        how = "the value" if (proportion := _predicted(_codes(rows), labels)) is not None else "the order"
        proportion = proportion if proportion is not None else _predicted_by_neighbours(rows, labels)
        if proportion is not None:
            yield Finding(
                "giveaway_column",
                "info",
                f"{how} of the column {column!r} tells the label in {100 * proportion:.0f} % of the training rows (it is not "
                "read)",
                "Do not make it part of the texts if it is not known for new ones",
            )


def _codes(values: pa.Array | pa.ChunkedArray) -> Codes:
    """A number for each row, equal for equal values; missing ones are a value too."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    return np.asarray(pc.dictionary_encode(values, null_encoding="encode").indices).astype(np.int64)


def _predicted(values: Codes, labels: Codes) -> float | None:
    """Fraction of the rows whose label follows from the other rows with the same value; None if it is low.

    Each row is predicted without itself, so a value that occurs once (a row number) predicts nothing.
    """
    width = int(labels.max()) + 1
    pairs, of_row, counts = np.unique(values * width + labels, return_inverse=True, return_counts=True)
    value_of = pairs // width
    order = np.lexsort((-counts, value_of))  # the pairs of each value, the most frequent label first
    begins = np.flatnonzero(np.diff(value_of[order], prepend=-1))
    best = counts[order[begins]]
    follows = np.diff(begins, append=len(order)) > 1
    second = np.where(follows, counts[order[np.minimum(begins + 1, len(order) - 1)]], 0)
    number_of_value = np.cumsum(np.diff(value_of, prepend=-1) > 0) - 1
    rivals = np.where(counts == best[number_of_value], second[number_of_value], best[number_of_value])
    is_right = (counts - 1 > rivals) & (counts > 1)
    return _if_leakage(float(is_right[of_row].mean()), labels)


def _predicted_by_neighbours(values: pa.ChunkedArray, labels: Codes) -> float | None:
    """The same for numbers: fraction of the rows with the label of the row before, in the order of the values."""
    try:
        values = values.cast(pa.float64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
    if values.null_count or pc.count_distinct(values).as_py() < len(labels) / 2:
        return None
    ordered = labels[np.argsort(values.to_numpy(), kind="stable")]
    return _if_leakage(float((ordered[1:] == ordered[:-1]).mean()), labels)


def _if_leakage(proportion: float, labels: Codes) -> float | None:
    """The proportion, if it is high and explains at least half of what the most frequent label does not."""
    most = float(np.bincount(labels).max() / len(labels))
    return proportion if proportion >= _LEAKAGE and proportion >= most + (1 - most) / 2 else None
