"""Where a classifier is weak: metrics by the length of the text or by a column of the data."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from hfbertcls.evaluation.intervals import answer_intervals
from hfbertcls.evaluation.report_evaluation import Metric, Slice, Slices
from hfbertcls.modeling.predictions import Predictions
from hfbertcls.tasks.probabilities import Answers, Floats
from hfbertcls.tasks.task import Task


FEWEST_ROWS = 30
"""A slice of fewer rows gets no metrics: their intervals would be too wide."""


def slices_of(predictions: Predictions) -> dict[str, Slices]:
    """Metrics by length of the text and by slice column, where the predictions have these."""
    slices: dict[str, Slices] = {}
    if not predictions.task.slice_metrics:
        return slices
    if predictions.tokens is not None and len(predictions):
        names, members = by_length(predictions.tokens)
        slices["by_length"] = slice_metrics(predictions.task, predictions.gold, predictions.predicted, names, members)
    if predictions.slices is not None and len(predictions):
        names = tuple(sorted(set(predictions.slices)))
        ids = {name: index for index, name in enumerate(names)}
        members = np.array([ids[name] for name in predictions.slices], dtype=np.int64)
        slices["by_column"] = slice_metrics(predictions.task, predictions.gold, predictions.predicted, names, members)
    return slices


def by_length(tokens: npt.NDArray[np.int64]) -> tuple[tuple[str, ...], Answers]:
    """Names of up to four slices, divided at the quartiles of the lengths, and the slice of each row.

    Args:
        tokens: of each text, of shape `(n,)`.
    """
    ends = np.unique(np.quantile(tokens, [0.25, 0.5, 0.75], method="lower")).tolist()
    ends = [end for end in ends if end < tokens.max()]
    if not ends:
        return (f"{int(tokens[0]):,} tokens",), np.zeros(len(tokens), dtype=np.int64)
    between = [
        f"{start + 1:,} to {end:,} tokens" if start + 1 < end else f"{end:,} tokens" for start, end in pairwise(ends)
    ]
    names = (f"up to {ends[0]:,} tokens", *between, f"more than {ends[-1]:,} tokens")
    return names, np.searchsorted(np.asarray(ends), tokens).astype(np.int64)


def slice_metrics(task: Task, gold: Answers, predicted: Answers, names: Sequence[str], members: Answers) -> Slices:
    """The `slice_metrics` of each slice with 95 % intervals, the weakest one, and whether they differ at all.

    Args:
        task: of the answers.
        gold: the gold answers.
        predicted: the predicted answers.
        names: of the slices.
        members: the slice of each row, of shape `(n,)`.

    Returns:
        Each slice with its metrics (None under 30 rows; no macro F1 where a slice lacks a label), the name of that
        with the lowest accuracy, and the p-value of the chi-square test that all have the same accuracy; for numbers,
        the largest mean error, and the Kruskal-Wallis test on the errors. The last two are None where there are not
        two slices with metrics, or all have the same value.
    """
    entries = []
    for index, name in enumerate(names):
        rows = members == index
        metrics = _metrics(task, gold, predicted, rows)
        entries.append(Slice(name=name, rows=int(rows.sum()), metrics=metrics))
    compared = task.slice_metrics[0]
    measured = {one.name: (value.value, one.rows) for one in entries if (value := one.metrics[compared]) is not None}
    values = {name: value for name, (value, _) in measured.items() if value is not None}
    if len(set(values.values())) < 2:
        return Slices(slices=tuple(entries), worst=None, p_value=None)
    sign = -1.0 if compared in task.lower_is_better else 1.0
    worst = min(values, key=lambda name: sign * values[name])
    influence = task.influences(gold, predicted).get(compared)
    if influence is None:
        rows = np.array([measured[name][1] for name in values])
        p_value = _chi_square(np.array(list(values.values())), rows)
    else:
        p_value = _kruskal_wallis([influence[members == names.index(name)] for name in values])
    return Slices(slices=tuple(entries), worst=worst, p_value=p_value)


def _metrics(
    task: Task, gold: Answers, predicted: Answers, rows: npt.NDArray[np.bool_]
) -> Mapping[str, Metric | None]:
    """Accuracy and macro F1 of some rows; no macro F1 where they lack a label, whose F1 would count as 0."""
    inside, answers = gold[rows], predicted[rows]
    metrics: dict[str, Metric | None] = dict.fromkeys(task.slice_metrics)
    if len(inside) < FEWEST_ROWS:
        return metrics
    values = task.answer_metrics(inside, answers)
    bounds = answer_intervals(task, values, inside, answers)
    complete = bool(((task.support(inside) > 0) == (task.support(gold) > 0)).all())
    names = task.slice_metrics if complete or not task.has_labels else task.slice_metrics[:1]
    return metrics | {name: Metric(values[name], *bounds[name]) for name in names}


def _kruskal_wallis(groups: Sequence[Floats]) -> float:
    """P-value of the test that the numbers of all groups have the same distribution."""
    from scipy.stats import kruskal  # noqa: PLC0415  (takes a second)

    return float(kruskal(*groups).pvalue)


def _chi_square(accuracies: Floats, rows: npt.NDArray[np.int64]) -> float:
    """P-value of Pearson's test that the slices have the same accuracy."""
    from scipy.stats import chi2_contingency  # noqa: PLC0415  (takes a second)

    right = np.round(accuracies * rows)
    if right.sum() in (0, rows.sum()):
        return 1.0
    return float(chi2_contingency([right, rows - right], correction=False).pvalue)
