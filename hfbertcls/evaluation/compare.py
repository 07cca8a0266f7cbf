"""Two classifiers on the same rows: is one better, or is the difference within sampling error?"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil, floor, log10, sqrt
from typing import Any

import numpy as np

from hfbertcls.evaluation.intervals import LEVEL, paired_proportion_interval
from hfbertcls.evaluation.resampling import bca, joined, resampled_tables, tables_without_one_row
from hfbertcls.tasks.calibration_error import NORMAL_QUANTILE
from hfbertcls.tasks.counted import Counts
from hfbertcls.tasks.probabilities import Answers, Floats, Logits
from hfbertcls.tasks.task import Task


_SIGNIFICANCE = 1 - LEVEL
_QUANTILE_OF_POWER = 0.8416212335729143  # at 80 %


@dataclass(frozen=True)
class Difference:
    """A metric of both, and B less A with the ends of its 95 % interval; None where it is not defined."""

    a: float | None
    b: float | None
    difference: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Comparison:
    """Two classifiers on the same rows."""

    rows: int
    metrics: Mapping[str, Difference]
    per_label: Mapping[str, Mapping[str, Any]]
    """F1 of both with the difference, the rows (`support`) and Holm's adjusted p-value of McNemar's test on them."""
    only_a_right: int
    only_b_right: int
    p_value: float
    """Of McNemar's exact test: how surprising the difference were if both were equally often right.

    Where answers are numbers, the one that is nearer counts as right.
    """
    rows_needed: int | None
    """Rows that would show a difference as large as this in four of five samples; None if there is none, and where
    the verdict is not on accuracy."""
    verdict: str
    wins: str = ""
    """How often only one of the two is right, and the p-value, in words."""

    def as_dict(self) -> dict[str, Any]:
        """As `comparison.json` holds it."""
        return asdict(self)


@dataclass(frozen=True)
class Contender:
    """One of the two classifiers, by its logits.

    Args:
        task: how its logits become answers.
        logits: of shape `(n, num_outputs)`.
    """

    task: Task
    logits: Logits

    @property
    def predicted(self) -> Answers:
        """The predicted answers."""
        return self.task.decide(self.logits)

    def in_order(self, ids: Sequence[int]) -> "Contender":
        """The same with the labels in another order, by their ids."""
        return Contender(self.task.in_order(ids), self.logits[:, list(ids)])


def compare_predictions(gold: Answers, a: Contender, b: Contender, seed: int = 0) -> Comparison:
    """Compare two classifiers by their logits for the same rows.

    The verdict is on the metric that `Task.judged_by` names.

    Args:
        gold: the gold answers.
        a: one of them.
        b: the other one, with the labels in the same order.
        seed: of the resampling.
    """
    task, by_a, by_b = a.task, a.predicted, b.predicted
    only_a, only_b = (int(won.sum()) for won in task.wins(gold, by_a, by_b))
    metrics, f1_bounds = _differences(gold, a, b, (only_a, only_b), seed)
    p_value = mcnemar_exact(only_a, only_b)
    by_accuracy = task.judged_by == "accuracy"
    needed = rows_needed(only_a, only_b, len(gold)) if by_accuracy else None
    return Comparison(
        rows=len(gold),
        metrics=metrics,
        per_label=_per_label(task, gold, by_a, by_b, f1_bounds),
        only_a_right=only_a,
        only_b_right=only_b,
        p_value=p_value,
        rows_needed=needed,
        verdict=verdict(metrics["accuracy"], p_value, needed)
        if by_accuracy
        else verdict_on_metric(task, metrics[task.judged_by]),
        wins=task.wins_in_words.format(only_a, only_b, p_value),
    )


def mcnemar_exact(only_a_right: int, only_b_right: int) -> float:
    """Two-sided p-value of McNemar's exact test, over the rows on which only one of the two is right."""
    from scipy.stats import binomtest  # noqa: PLC0415  (takes a second)

    disagreements = only_a_right + only_b_right
    return float(binomtest(only_a_right, disagreements).pvalue) if disagreements else 1.0


def rows_needed(only_a_right: int, only_b_right: int, rows: int) -> int | None:
    """Rows with which McNemar's test finds a difference of this size with a probability of 80 %, at the 5 % level.

    Connor, Biometrics 43 (1987) 207-211. Rounded to two digits, upwards.
    """
    difference = abs(only_b_right - only_a_right) / rows
    disagreeing = (only_a_right + only_b_right) / rows
    if difference == 0:
        return None
    spread = NORMAL_QUANTILE * sqrt(disagreeing) + _QUANTILE_OF_POWER * sqrt(max(0.0, disagreeing - difference**2))
    needed = (spread / difference) ** 2
    unit = int(10 ** max(0, floor(log10(needed)) - 1))
    return ceil(needed / unit) * unit


def verdict(accuracy: Difference, p_value: float, needed: int | None) -> str:
    """One sentence: which one is better and by how much, or that these rows do not show it."""
    points = [100 * value for value in (accuracy.difference, accuracy.low, accuracy.high) if value is not None]
    difference, low, high = points
    if p_value < _SIGNIFICANCE and low > 0:
        return f"B is better by {difference:.1f} points, 95 % interval {low:.1f} to {high:.1f}"
    if p_value < _SIGNIFICANCE and high < 0:
        return f"A is better by {-difference:.1f} points, 95 % interval {-high:.1f} to {-low:.1f}"
    would = "they are equally often right" if needed is None else f"about {needed:,} rows would be needed"
    return f"this test split cannot tell them apart (B minus A: {difference:+.1f} points, {low:.1f} to {high:.1f}); {would}"


def verdict_on_metric(task: Task, measured: Difference) -> str:
    """The same by the interval of the difference in the metric that judges."""
    scale, places, unit = (100, 1, "points of ") if task.judged_in_points else (1, 3, "")
    unit += task.metric_in_sentence(task.judged_by)
    values = (measured.difference, measured.low, measured.high)
    difference, low, high = (scale * value for value in values if value is not None)
    if low <= 0 <= high:
        return f"this test split cannot tell them apart (B minus A: {difference:+.{places}f} {unit}, {low:.{places}f} to {high:.{places}f})"
    better = "B" if (low > 0) != (task.judged_by in task.lower_is_better) else "A"
    ends = sorted((abs(low), abs(high)))
    interval = f"{ends[0]:.{places}f} to {ends[1]:.{places}f}"
    return f"{better} is better by {abs(difference):.{places}f} {unit}, 95 % interval {interval}"


def metric_difference(
    task: Task, gold: Answers, by_a: Answers, by_b: Answers, seed: int = 0
) -> tuple[float, float, float]:
    """The metric that judges, of B less that of A on the same rows, with the ends of its 95 % BCa interval.

    Args:
        task: of the answers.
        gold: the gold answers.
        by_a: what A predicts.
        by_b: what B predicts.
        seed: of the resampling.
    """
    if influences_a := task.influences(gold, by_a):
        influence = task.influences(gold, by_b)[task.judged_by] - influences_a[task.judged_by]
        value_a, value_b = (task.answer_metrics(gold, one)[task.judged_by] for one in (by_a, by_b))
        return value_b - value_a, *influence_bounds(value_b - value_a, influence)
    rows_a, rows_b = task.count(gold, by_a, by_b)

    def gaps(tables: Any) -> dict[str, Floats]:
        return {"gap": rows_b.metrics_of(tables)[task.judged_by] - rows_a.metrics_of(tables)[task.judged_by]}

    counts, width = rows_a.counts, 4 * task.num_outputs
    gap = float(gaps(counts[None])["gap"][0])
    if len(gold) == 1:
        return gap, gap, gap
    draws = joined(map(gaps, resampled_tables(counts, width, seed)))["gap"]
    left_out = joined(map(gaps, tables_without_one_row(counts, width)))["gap"]
    return gap, *_count_bounds(gap, draws, left_out, counts)


def _differences(
    gold: Answers, a: Contender, b: Contender, disagreements: tuple[int, int], seed: int
) -> tuple[dict[str, Difference], tuple[Floats, Floats]]:
    """Metrics of both with the interval of their difference; and the bounds of that of each label's F1.

    The interval is Bonett and Price's for accuracy, BCa for the other metrics that follow from counts, and a
    percentile interval for log loss and each label. The calibration error and the ranking metrics have a difference
    without an interval.
    """
    task = a.task
    if task.influences(gold, a.predicted):
        return _differences_by_influence(gold, a, b), (np.zeros(0), np.zeros(0))
    rows_a, rows_b = task.count(gold, a.predicted, b.predicted)
    counts, width = rows_a.counts, 4 * task.num_outputs

    def gaps(tables: Any) -> dict[str, Floats]:
        scores_a, scores_b = rows_a.metrics_of(tables), rows_b.metrics_of(tables)
        return {name: scores_b[name] - scores_a[name] for name in scores_a}

    def with_labels(tables: Any) -> dict[str, Floats]:
        return {**gaps(tables), "f1": rows_b.f1_by_label(tables) - rows_a.f1_by_label(tables)}

    draws = joined(map(with_labels, resampled_tables(counts, width, seed)))
    left_out = joined(map(gaps, tables_without_one_row(counts, width))) if len(gold) > 1 else {}
    values_a, values_b = (one.task.compute_metrics(gold, one.logits) for one in (a, b))
    differences = {}
    for name, value_a in values_a.items():
        value_b = values_b[name]
        if value_a is None or value_b is None:
            differences[name] = Difference(value_a, value_b, None, None, None)
            continue
        gap = value_b - value_a
        low, high = (gap, gap) if len(gold) == 1 else (None, None)
        method = task.interval_methods.get(name)
        if method == "wilson":
            low, high = paired_proportion_interval(*disagreements, len(gold))
        elif name in left_out:
            low, high = _count_bounds(gap, draws[name], left_out[name], counts)
        elif method == "mean":
            low, high = _mean_bounds(task.row_losses(gold, b.logits) - task.row_losses(gold, a.logits), seed)
        differences[name] = Difference(value_a, value_b, gap, low, high)
    ends = np.nanquantile(np.nan_to_num(draws["f1"]), [_SIGNIFICANCE / 2, 1 - _SIGNIFICANCE / 2], axis=0)
    same_everywhere = ends[0] == ends[1]
    for label in np.flatnonzero(same_everywhere):
        ends[:, label] += paired_proportion_interval(0, 0, max(1, int(task.has(gold, int(label)).sum())))
    return differences, (ends[0], ends[1])


def _differences_by_influence(gold: Answers, a: Contender, b: Contender) -> dict[str, Difference]:
    """Metrics of both with the interval of their difference, by the influence of each row."""
    values_a, values_b = (one.task.compute_metrics(gold, one.logits) for one in (a, b))
    influences_a, influences_b = (one.task.influences(gold, one.predicted) for one in (a, b))
    differences = {}
    for name, value_a in values_a.items():
        value_b = values_b[name]
        if value_a is None or value_b is None:
            differences[name] = Difference(value_a, value_b, None, None, None)
        else:
            bounds = influence_bounds(value_b - value_a, influences_b[name] - influences_a[name])
            differences[name] = Difference(value_a, value_b, value_b - value_a, *bounds)
    return differences


def influence_bounds(gap: float, influence: Floats) -> tuple[float, float]:
    """The 95 % interval of a difference by the difference of the influences of each row, with Student's t."""
    from scipy.stats import t  # noqa: PLC0415  (takes a second)

    rows = len(influence)
    if rows < 2:
        return gap, gap
    reach = float(t.ppf((1 + LEVEL) / 2, rows - 1)) * float(influence.std(ddof=1)) / sqrt(rows)
    return gap - reach, gap + reach


def _count_bounds(gap: float, draws: Floats, left_out: Floats, counts: Counts) -> tuple[float, float]:
    """The BCa interval of a difference; where every resample has the same, that of a proportion of as many rows."""
    low, high = bca(gap, draws, left_out, counts, LEVEL)
    if low < high:
        return low, high
    below, above = paired_proportion_interval(
        0, 0, int(counts.sum())
    )  # (rows on which both answer alike are no certainty)
    return gap + below, gap + above


def _mean_bounds(values: Floats, seed: int, resamples: int = 2_000) -> tuple[float, float]:
    """Percentile interval of a mean, over resamples of the rows."""
    generator = np.random.default_rng(seed)
    means = [values[generator.integers(0, len(values), len(values))].mean() for _ in range(resamples)]
    low, high = np.quantile(means, [_SIGNIFICANCE / 2, 1 - _SIGNIFICANCE / 2])
    return float(low), float(high)


def _per_label(
    task: Task, gold: Answers, by_a: Answers, by_b: Answers, bounds: tuple[Floats, Floats]
) -> dict[str, dict[str, Any]]:
    scores_a, scores_b = (task.per_label(gold, predicted) for predicted in (by_a, by_b))
    p_values = []
    for label in range(len(task.labels)):
        has_it, by_a_too, by_b_too = (task.has(answers, label) for answers in (gold, by_a, by_b))
        right_a, right_b = by_a_too[has_it], by_b_too[has_it]
        p_values.append(mcnemar_exact(int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())))
    return {
        name: {
            "support": one["support"],
            "f1_a": one["f1"],
            "f1_b": other["f1"],
            "difference": other["f1"] - one["f1"],
            "low": float(low),
            "high": float(high),
            "p_value": p_value,
        }
        for name, one, other, low, high, p_value in zip(
            task.labels, scores_a, scores_b, *bounds, _holm(p_values), strict=True
        )
    }


def _holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for multiple tests (Holm 1979): any one of them is below 5 % by chance in 5 % of cases."""
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty(len(p_values))
    factors = np.arange(len(p_values), 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(np.asarray(p_values)[order] * factors))
    return adjusted.tolist()
