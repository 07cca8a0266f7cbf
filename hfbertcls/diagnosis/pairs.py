"""Pairs of texts: in the other order, of two equal texts, and with labels that the second text alone tells."""

from collections.abc import Iterator
from itertools import combinations_with_replacement

import numpy as np
import numpy.typing as npt

from hfbertcls.data.dataset import SPLIT_NAMES, TextDataset, TextSplit
from hfbertcls.data.duplicates import row_codes
from hfbertcls.diagnosis.findings import Finding, percent
from hfbertcls.diagnosis.repeats import LEAKAGE_LIMIT
from hfbertcls.evaluation.baselines import Baselines
from hfbertcls.tasks.task import Task


_MOST_ROWS = 10_000
"""Training rows on which the linear models are fitted, and rows that they answer."""
_FEWEST_ROWS = 50
_HELD_OUT = 0.2
_NEARLY = 0.8
"""Part of what the words of both texts gain over the most frequent label, from which on the second text alone does
nearly as well."""
_LEAST_GAIN = 0.05
Positions = npt.NDArray[np.int64]


def pair_findings(data: TextDataset) -> Iterator[Finding]:
    """Pairs that stand in the other order in another row, and pairs of two equal texts."""
    if data.text_pair_column is None:
        return
    names = [name for name in SPLIT_NAMES if name in data.splits]
    for first, second in combinations_with_replacement(names, 2):
        yield from _swapped(data, first, second)
    for name in names:
        split = data.splits[name]
        equal = np.flatnonzero(row_codes(split, ["text"]) == row_codes(split, ["text_pair"]))
        if len(equal):
            yield Finding(
                "equal_texts",
                "info",
                f"{_rows_of(len(equal), split)} {_verb(len(equal), 'is a pair', 'are pairs')} of two equal texts; the first is in "
                f"{_place(split, equal[0])}",
            )


def _swapped(data: TextDataset, one: str, other: str) -> Iterator[Finding]:
    """The pairs of the second split that are in the first one in the other order."""
    first, second = data.splits[one], data.splits[other]
    codes = row_codes(first, first.text_fields)
    reversed_codes = row_codes(second, second.text_fields[::-1])
    is_swapped = np.isin(reversed_codes, codes) & (reversed_codes != row_codes(second, second.text_fields))
    rows = np.flatnonzero(is_swapped)
    if not len(rows):
        return
    order = np.argsort(codes, kind="stable")
    partners = order[np.searchsorted(codes[order], reversed_codes[rows])]
    differs = row_codes(second, ["label"])[rows] != row_codes(first, ["label"])[partners]
    where = "another row" if first is second else first.name
    is_leakage = first is not second and first.name == "train" and len(rows) > LEAKAGE_LIMIT * len(second)
    fact = (
        f"{_rows_of(len(rows), second)} {_verb(len(rows), 'is', 'are')} in {where} with the two texts in the other order, "
        f"such as {_place(second, rows[0])} to {_place(first, partners[0])}"
    )
    if differs.any():
        example = int(differs.argmax())
        fact += (
            f"; {int(differs.sum()):,} of them with another {data.answer_noun}, such as {_place(second, rows[example])} to "
            f"{_place(first, partners[example])}"
        )
    advice = "If the order has no meaning, remove them from one of the two" if is_leakage else ""
    yield Finding("swapped_pairs", "warning" if is_leakage else "info", fact, advice)


def second_text_findings(data: TextDataset) -> Iterator[Finding]:
    """How well the words of the second text alone tell the label: artefacts of how second texts were written.

    Logistic regression on TF-IDF weights is fitted on at most 10,000 training rows. It answers the first of these that has
    at least 50 rows: the validation split, the test split, a fifth of the training rows, which is held out for that.
    Where none has so many, there is no finding.
    """
    task = data.task
    if data.text_pair_column is None or task is None or not task.has_labels:
        return
    train, measured, name = _rows_to_fit_and_measure(data)
    if len(measured) < _FEWEST_ROWS or len(np.unique(task.encode(train.label_cells), axis=0)) < 2:
        return
    constant, both, second = _proportions_right(task, train, measured)
    gain, gain_of_second = both - constant, second - constant
    noise = 2 * np.sqrt(second * (1 - second) / len(measured))
    is_artefact = gain_of_second >= max(_LEAST_GAIN, noise, _NEARLY * gain)
    fact = (
        f"words of the second text alone tell the label of {_percent(second)} of {len(measured):,} {name} rows (TF-IDF + "
        f"logistic regression), words of both texts that of {_percent(both)}, and the most frequent label is right for "
        f"{_percent(constant)}"
    )
    yield Finding(
        "second_text_alone",
        "warning" if is_artefact else "info",
        fact,
        "The labels can be guessed without the first text, so a model may learn not to compare the two. Look how the second "
        "texts were written"
        if is_artefact
        else "",
    )


def _rows_to_fit_and_measure(data: TextDataset) -> tuple[TextSplit, TextSplit, str]:
    train = data.splits["train"]
    shuffled = np.random.default_rng(0).permutation(len(train)).astype(np.int64)
    names = (name for name in ("validation", "test") if len(data.splits.get(name, ())) >= _FEWEST_ROWS)
    name = next(names, None)
    if name is None:
        held_out = round(_HELD_OUT * len(train))
        return _some(train, shuffled[held_out:]), _some(train, shuffled[:held_out]), "held-out"
    other = data.splits[name]
    return (
        _some(train, shuffled),
        _some(other, np.random.default_rng(0).permutation(len(other)).astype(np.int64)),
        name,
    )


def _some(split: TextSplit, positions: Positions) -> TextSplit:
    """At most 10,000 of the rows at the positions, in order."""
    return split.take(split.name, np.sort(positions[:_MOST_ROWS]))


def _proportions_right(task: Task, train: TextSplit, measured: TextSplit) -> tuple[float, float, float]:
    """The proportion of right answers of the constant baseline, of the words of both texts, and of the second text."""
    baselines = Baselines(task, train.texts, task.encode(train.label_cells))
    gold = task.encode(measured.label_cells)
    right = [float(task.is_right(gold, answers).mean()) for answers in baselines.predict(measured.texts).values()]
    constant, both, second = right
    return constant, both, second


def _rows_of(count: int, split: TextSplit) -> str:
    return f"{count:,} of the {len(split):,} rows of {split.name} ({percent(count, len(split))})"


def _verb(count: int, singular: str, plural: str) -> str:
    return singular if count == 1 else plural


def _percent(proportion: float) -> str:
    return f"{100 * proportion:.1f} %"


def _place(split: TextSplit, position: int) -> str:
    return split.place(int(split.rows[position]))
