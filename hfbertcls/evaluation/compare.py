"""Two classifiers on the same rows: is one better, or would another sample of rows say the opposite?"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil, floor, log10, sqrt
from typing import Any

import numpy as np

from hfbertcls.evaluation.intervals import LEVEL, paired_share_interval
from hfbertcls.evaluation.resampling import (
    CountedLabelSets,
    CountedRows,
    bca,
    count_kinds,
    joined,
    resampled_tables,
    tables_without_one_row,
)
from hfbertcls.evaluation.scores import (
    Floats,
    Ids,
    Logits,
    classification_scores,
    is_right,
    per_label_scores,
    row_log_losses,
)
from hfbertcls.modeling.predictions import Thresholds, predict_labels


_SIGNIFICANCE = 1 - LEVEL
_QUANTILE = 1.959963984540054  # of the standard normal distribution at 97.5 %
_QUANTILE_OF_POWER = 0.8416212335729143  # at 80 %


@dataclass(frozen=True)
class Difference:
    """A figure of both, and B less A with the ends of its 95 % interval; None where it is not defined."""

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
    """Of McNemar's exact test: how surprising the difference were if both were equally often right."""
    rows_needed: int | None
    """Rows that would show a difference as large as this in four of five samples; None if there is none, and where a row can
    have several labels."""
    verdict: str

    def as_dict(self) -> dict[str, Any]:
        """As `comparison.json` holds it."""
        return asdict(self)


@dataclass(frozen=True)
class Contender:
    """What one of the two said of the rows.

    Args:
        logits: of shape `(n, num_labels)`.
        thresholds: where a row can have several labels, the scores from which each is given, of shape `(num_labels,)`.
    """

    logits: Logits
    thresholds: Thresholds | None = None

    @property
    def predicted(self) -> Ids:
        """Ids of shape `(n,)`, or the labels of each row, of shape `(n, num_labels)`."""
        return predict_labels(self.logits, self.thresholds)

    def in_order(self, labels: Sequence[int]) -> "Contender":
        """The same with the labels in another order, given by their ids."""
        thresholds = None if self.thresholds is None else self.thresholds[list(labels)]
        return Contender(self.logits[:, list(labels)], thresholds)


def compare_predictions(
    gold: Ids, a: Contender, b: Contender, label_names: Sequence[str], seed: int = 0
) -> Comparison:
    """Compare two classifiers by their logits for the same rows.

    Where a row can have several labels, one is right that gives exactly these; as that is rare, the verdict is on macro F1.

    Args:
        gold: ids of shape `(n,)`, or the labels of each row, of shape `(n, num_labels)`.
        a: what one said.
        b: what the other said, in the same order of labels.
        label_names: the labels, in the order of their ids.
        seed: of the resampling.
    """
    by_a, by_b = a.predicted, b.predicted
    right_a, right_b = is_right(gold, by_a), is_right(gold, by_b)
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    metrics, f1_bounds = _differences(gold, a, b, (only_a, only_b), seed)
    p_value = mcnemar_exact(only_a, only_b)
    several = gold.ndim == 2
    needed = None if several else rows_needed(only_a, only_b, len(gold))
    return Comparison(
        rows=len(gold),
        metrics=metrics,
        per_label=_per_label(gold, by_a, by_b, label_names, f1_bounds),
        only_a_right=only_a,
        only_b_right=only_b,
        p_value=p_value,
        rows_needed=needed,
        verdict=verdict_on_f1(metrics["f1_macro"]) if several else verdict(metrics["accuracy"], p_value, needed),
    )


def mcnemar_exact(only_a_right: int, only_b_right: int) -> float:
    """Two-sided p-value of McNemar's exact test: the rows on which one alone is right fall to either by a fair coin."""
    from scipy.stats import binom  # noqa: PLC0415  (takes a second)

    fewer = min(only_a_right, only_b_right)
    return min(1.0, 2 * float(binom.cdf(fewer, only_a_right + only_b_right, 0.5)))


def rows_needed(only_a_right: int, only_b_right: int, rows: int) -> int | None:
    """Rows with which McNemar's test finds a difference of this size with a probability of 80 %, at the 5 % level.

    Connor, Biometrics 43 (1987) 207-211. Rounded to two digits, upwards.
    """
    difference = abs(only_b_right - only_a_right) / rows
    disagreeing = (only_a_right + only_b_right) / rows
    if difference == 0:
        return None
    spread = _QUANTILE * sqrt(disagreeing) + _QUANTILE_OF_POWER * sqrt(max(0.0, disagreeing - difference**2))
    needed = (spread / difference) ** 2
    unit = int(10 ** max(0, floor(log10(needed)) - 1))
    return ceil(needed / unit) * unit


def verdict(accuracy: Difference, p_value: float, needed: int | None) -> str:
    """One sentence: who is better and by how much, or that these rows cannot tell."""
    points = [100 * value for value in (accuracy.difference, accuracy.low, accuracy.high) if value is not None]
    difference, low, high = points
    if p_value < _SIGNIFICANCE and low > 0:
        return f"B is better by {difference:.1f} points, 95 % interval {low:.1f} to {high:.1f}"
    if p_value < _SIGNIFICANCE and high < 0:
        return f"A is better by {-difference:.1f} points, 95 % interval {-high:.1f} to {-low:.1f}"
    would = "they are equally often right" if needed is None else f"about {needed:,} rows would"
    return f"this test split cannot tell them apart ({difference:+.1f} points, {low:.1f} to {high:.1f}); {would}"


def verdict_on_f1(f1: Difference) -> str:
    """The same where rows can have several labels: by the interval of the difference in macro F1."""
    difference, low, high = (100 * value for value in (f1.difference, f1.low, f1.high) if value is not None)
    if low > 0:
        return f"B is better by {difference:.1f} points of macro F1, 95 % interval {low:.1f} to {high:.1f}"
    if high < 0:
        return f"A is better by {-difference:.1f} points of macro F1, 95 % interval {-high:.1f} to {-low:.1f}"
    return f"this test split cannot tell them apart ({difference:+.1f} points of macro F1, {low:.1f} to {high:.1f})"


def f1_macro_difference(gold: Ids, by_a: Ids, by_b: Ids, num_labels: int, seed: int = 0) -> tuple[float, float, float]:
    """Macro F1 of B less that of A on the same rows, with the ends of its 95 % BCa interval.

    Args:
        gold: ids of shape `(n,)`, or the labels of each row, of shape `(n, num_labels)`.
        by_a: the same as A predicts.
        by_b: the same as B predicts.
        num_labels: how many labels there are.
        seed: of the resampling.
    """
    rows_a, rows_b = count_pairs(gold, by_a, by_b, num_labels)

    def gaps(tables: Any) -> dict[str, Floats]:
        return {"gap": rows_b.scores(tables)["f1_macro"] - rows_a.scores(tables)["f1_macro"]}

    counts = rows_a.counts
    gap = float(gaps(counts[None])["gap"][0])
    if len(gold) == 1:
        return gap, gap, gap
    draws = joined(map(gaps, resampled_tables(counts, 4 * num_labels, seed)))["gap"]
    left_out = joined(map(gaps, tables_without_one_row(counts, 4 * num_labels)))["gap"]
    return gap, *_count_bounds(gap, draws, left_out, counts)


def _differences(
    gold: Ids, a: Contender, b: Contender, disagreements: tuple[int, int], seed: int
) -> tuple[dict[str, Difference], tuple[Floats, Floats]]:
    """Headline figures of both with the interval of their difference; and the bounds of that of each label's F1.

    The interval is Bonett and Price's for accuracy, BCa for the other figures that follow from counts, and of percentiles
    for log loss and each label. The calibration error and the ranking figures have a difference without an interval.
    """
    num_labels = a.logits.shape[1]
    rows_a, rows_b = count_pairs(gold, a.predicted, b.predicted, num_labels)
    counts = rows_a.counts

    def gaps(tables: Any) -> dict[str, Floats]:
        scores_a, scores_b = rows_a.scores(tables), rows_b.scores(tables)
        return {name: scores_b[name] - scores_a[name] for name in scores_a}

    def with_labels(tables: Any) -> dict[str, Floats]:
        return {**gaps(tables), "f1": rows_b.f1_by_label(tables) - rows_a.f1_by_label(tables)}

    draws = joined(map(with_labels, resampled_tables(counts, 4 * num_labels, seed)))
    left_out = joined(map(gaps, tables_without_one_row(counts, 4 * num_labels))) if len(gold) > 1 else {}
    values_a, values_b = (classification_scores(gold, one.logits, one.thresholds) for one in (a, b))
    differences = {}
    for name, value_a in values_a.items():
        value_b = values_b[name]
        if value_a is None or value_b is None:
            differences[name] = Difference(value_a, value_b, None, None, None)
            continue
        gap = value_b - value_a
        low, high = (gap, gap) if len(gold) == 1 else (None, None)
        if name == "accuracy":
            low, high = paired_share_interval(*disagreements, len(gold))
        elif name in left_out:
            low, high = _count_bounds(gap, draws[name], left_out[name], counts)
        elif name == "log_loss":
            low, high = _mean_bounds(row_log_losses(gold, b.logits) - row_log_losses(gold, a.logits), seed)
        differences[name] = Difference(value_a, value_b, gap, low, high)
    ends = np.nanquantile(np.nan_to_num(draws["f1"]), [_SIGNIFICANCE / 2, 1 - _SIGNIFICANCE / 2], axis=0)
    same_everywhere = ends[0] == ends[1]
    for label in np.flatnonzero(same_everywhere):
        rows = max(1, int((gold == label).sum() if gold.ndim == 1 else gold[:, label].sum()))
        ends[:, label] += paired_share_interval(0, 0, rows)
    return differences, (ends[0], ends[1])


def _count_bounds(gap: float, draws: Floats, left_out: Floats, counts: Ids) -> tuple[float, float]:
    """The BCa interval of a difference; where every resample has the same, that of a proportion of as many rows."""
    low, high = bca(gap, draws, left_out, counts, LEVEL)
    if low < high:
        return low, high
    below, above = paired_share_interval(0, 0, int(counts.sum()))  # (rows on which both answer alike are no certainty)
    return gap + below, gap + above


def count_pairs(
    gold: Ids, by_a: Ids, by_b: Ids, num_labels: int
) -> tuple[CountedRows, CountedRows] | tuple[CountedLabelSets, CountedLabelSets]:
    """The rows of both, counted by what both say, so that a resample of one is that of the other."""
    if gold.ndim == 2:
        counts, (gold, by_a, by_b) = count_kinds(gold, by_a, by_b)
        return CountedLabelSets(counts, gold, by_a), CountedLabelSets(counts, gold, by_b)
    kinds, found = np.unique((gold * num_labels + by_a) * num_labels + by_b, return_counts=True)
    counts, labels = found.astype(np.int64), kinds // num_labels**2
    return (
        CountedRows(counts, labels, kinds // num_labels % num_labels, num_labels),
        CountedRows(counts, labels, kinds % num_labels, num_labels),
    )


def _mean_bounds(values: Floats, seed: int, resamples: int = 2_000) -> tuple[float, float]:
    """Percentile interval of a mean, over resamples of the rows."""
    generator = np.random.default_rng(seed)
    means = [values[generator.integers(0, len(values), len(values))].mean() for _ in range(resamples)]
    low, high = np.quantile(means, [_SIGNIFICANCE / 2, 1 - _SIGNIFICANCE / 2])
    return float(low), float(high)


def _per_label(
    gold: Ids, by_a: Ids, by_b: Ids, names: Sequence[str], bounds: tuple[Floats, Floats]
) -> dict[str, dict[str, Any]]:
    scores_a, scores_b = (per_label_scores(gold, predicted, len(names)) for predicted in (by_a, by_b))
    p_values = []
    for label in range(len(names)):
        has_it, by_a_too, by_b_too = (
            answers == label if answers.ndim == 1 else answers[:, label] == 1 for answers in (gold, by_a, by_b)
        )
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
            names, scores_a, scores_b, *bounds, _holm(p_values), strict=True
        )
    }


def _holm(p_values: Sequence[float]) -> list[float]:
    """P-values of several tests, so that one of them is below 5 % by chance in 5 % of cases (Holm 1979)."""
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty(len(p_values))
    factors = np.arange(len(p_values), 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(np.asarray(p_values)[order] * factors))
    return adjusted.tolist()
