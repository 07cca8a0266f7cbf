"""95 % intervals of all metrics of a split, each by the method with the right coverage in `benchmarks/coverage.py`."""

from collections.abc import Mapping
from math import sqrt, tanh

import numpy as np

from hfbertcls.evaluation.ranking import resampled_rankings
from hfbertcls.evaluation.report_evaluation import Metric
from hfbertcls.evaluation.resampling import NUM_RESAMPLES, Bounds, count_intervals
from hfbertcls.tasks.calibration_error import NORMAL_QUANTILE, calibration_error_interval
from hfbertcls.tasks.probabilities import Answers, Floats, Logits
from hfbertcls.tasks.task import Task


LEVEL = 0.95
_AGREEMENTS = ("mcc", "quadratic_kappa")
"""Metrics from -1 to 1 that are 0 for answers by chance."""


def score_with_intervals(task: Task, gold: Answers, logits: Logits, seed: int = 0) -> dict[str, Metric]:
    """Every metric of a task with its interval, by the method that `Task.interval_methods` names.

    Accuracy has Wilson's interval, log loss that of Hall for a skewed mean, the calibration error one by inverting a
    test. The other metrics have bootstrap intervals over 2,000 resamples of the rows, seeded: percentiles for ROC-AUC
    and average precision, BCa for those that follow from the answers.

    Args:
        task: of the answers.
        gold: the gold answers.
        logits: of shape `(n, num_outputs)`.
        seed: of the resampling.

    Raises:
        ValueError: if there is no row.
    """
    values, methods = task.compute_metrics(gold, logits), task.interval_methods
    bounds = answer_intervals(task, values, gold, task.decide(logits), seed)
    rankings = [name for name, method in methods.items() if method == "ranking" and values.get(name) is not None]
    draws = resampled_rankings(gold, logits, NUM_RESAMPLES, seed) if rankings else {}
    for name in rankings:
        finite = draws[name][np.isfinite(draws[name])]
        low, high = np.quantile(finite, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        bounds[name] = _never_certain(values[name] or 0.0, float(low), float(high), len(gold))
    for name, method in methods.items():
        if method == "mean":
            bounds[name] = mean_interval(task.row_losses(gold, logits))
        elif method == "calibration":
            bounds[name] = calibration_error_interval(*task.statements(gold, task.probabilities(logits)))
    return {
        name: Metric(None, None, None) if value is None else Metric(value, *bounds[name])
        for name, value in values.items()
    }


def answer_intervals(
    task: Task, values: Mapping[str, float | None], gold: Answers, predicted: Answers, seed: int = 0
) -> Bounds:
    """The intervals of all metrics that follow from the answers: Wilson's of accuracy, BCa of the others.

    Where every resample has the same perfect or worst value, the bootstrap has no spread. The interval is then that of
    a proportion of as many rows; for an agreement of 0, as of a constant answer, that of a correlation of 0 (Fisher).

    Args:
        task: of the answers.
        values: the metrics (`Task.answer_metrics`), and maybe others.
        gold: the gold answers.
        predicted: the predicted answers.
        seed: of the resampling.
    """
    if influences := task.influences(gold, predicted):
        without = task.without_each_row(gold, predicted)
        return {
            name: influence_interval(values[name] or 0.0, influence, task.interval_methods[name], without.get(name))
            for name, influence in influences.items()
        }
    intervals = count_intervals(task, gold, predicted, LEVEL, seed)
    bounds = dict(intervals)
    if task.has_labels:  # (whose metrics go from 0 to 1)
        bounds = {
            name: _never_certain(values[name] or 0.0, low, high, len(gold)) for name, (low, high) in intervals.items()
        }
    for name, method in task.interval_methods.items():
        if method == "wilson":
            bounds[name] = wilson_interval(int(task.is_right(gold, predicted).sum()), len(gold))
    for name in _AGREEMENTS:
        if values.get(name) == 0:  # (the middle of its scale, not its end)
            low, high = intervals[name]
            bounds[name] = (low, high) if low < high else _no_correlation(len(gold))
    return bounds


def _no_correlation(rows: int) -> tuple[float, float]:
    reach = tanh(NORMAL_QUANTILE / sqrt(rows - 3)) if rows > 3 else 1.0
    return -reach, reach


def _never_certain(value: float, low: float, high: float, rows: int) -> tuple[float, float]:
    return wilson_interval(round(value * rows), rows) if low == high and value in (0.0, 1.0) else (low, high)


def influence_interval(
    value: float, influence: Floats, method: str, without: Floats | None = None
) -> tuple[float, float]:
    """Ends of the 95 % interval of a metric by the influence of each row, on a scale where it is about normal.

    With few rows influences are too small, because those that move a metric most also move its spread. So the jackknife
    (Tukey, Ann. Math. Stat. 29, 1958) takes the metric without each row where it is known, on the same scale.

    Args:
        value: of the metric.
        influence: of each row, of shape `(n,)`, with a mean of 0.
        method: `fisher` takes the inverse hyperbolic tangent (correlations), `errors` the interval of a mean, `root` the
            root of that of a mean square, `unexplained` the logarithm of one less the metric.
        without: the metric without each row, of shape `(n,)`; not used where one is not defined.
    """
    rows = len(influence)
    if method == "errors":
        return mean_interval(influence + value)
    from scipy.stats import t  # noqa: PLC0415  (takes a second)

    if method == "root":
        quantile = float(t.ppf((1 + LEVEL) / 2, max(1, rows - 1)))
        low, high = mean_interval(2 * value * influence + value**2, quantile)
        return min(value, sqrt(low)), max(value, sqrt(high))
    if rows < 4 or abs(value) >= 1:
        return (value, value) if method == "unexplained" else (min(value, -1.0), max(value, 1.0))
    slope = 1 / (1 - value) if method == "unexplained" else 1 / (1 - value**2)
    error = float(influence.std(ddof=1)) * slope / sqrt(rows)
    if without is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            scaled = np.log(1 - without) if method == "unexplained" else np.arctanh(without)
        if np.isfinite(scaled).all():
            error = float(scaled.std()) * sqrt(rows - 1)
    reach = float(t.ppf((1 + LEVEL) / 2, rows - 2)) * error
    if method == "unexplained":
        return 1 - (1 - value) * float(np.exp(reach)), 1 - (1 - value) * float(np.exp(-reach))
    return float(np.tanh(np.arctanh(value) - reach)), float(np.tanh(np.arctanh(value) + reach))


def wilson_interval(hits: int, rows: int) -> tuple[float, float]:
    """Ends of the 95 % interval of a proportion (Wilson, J. Am. Stat. Assoc. 22, 1927); never beyond 0 and 1."""
    from scipy.stats import binomtest  # noqa: PLC0415  (takes a second)

    interval = binomtest(hits, rows).proportion_ci(LEVEL, "wilson")
    return min(hits / rows, float(interval.low)), max(hits / rows, float(interval.high))


def paired_proportion_interval(only_first: int, only_second: int, rows: int) -> tuple[float, float]:
    """Ends of the 95 % interval of the difference of two proportions of the same rows, second less first.

    A row is added to each kind of disagreement (Bonett and Price, J. Educ. Behav. Stat. 37, 2012), so that rows
    without any do not prove that there is no difference.

    Args:
        only_first: rows that count for the first proportion alone.
        only_second: rows that count for the second proportion alone.
        rows: all of them.
    """
    first, second = (only_first + 1) / (rows + 2), (only_second + 1) / (rows + 2)
    half = NORMAL_QUANTILE * sqrt((first + second - (second - first) ** 2) / (rows + 2))
    difference = (only_second - only_first) / rows
    return min(difference, max(-1.0, second - first - half)), max(difference, min(1.0, second - first + half))


def mean_interval(values: Floats, quantile: float = NORMAL_QUANTILE) -> tuple[float, float]:
    """Ends of the 95 % interval of a mean of skewed values that are never below 0, such as losses.

    Student's t is transformed so that the skewness leaves it (Hall, J. R. Stat. Soc. B 54, 1992).

    Args:
        values: of shape `(n,)`.
        quantile: of the distribution of the transformed value, at 97.5 %.
    """
    mean, rows = float(values.mean()), len(values)
    deviation = float(values.std(ddof=1)) if rows > 1 else 0.0
    if deviation == 0:
        return mean, mean
    skewness = float(((values - mean) ** 3).mean()) / deviation**3 / sqrt(rows)

    def transformed_back(place: float) -> float:
        shifted = place - skewness / 6
        return 3 / skewness * float(np.cbrt(1 + skewness * shifted) - 1) if abs(skewness) > 1e-9 else place

    low, high = (mean - transformed_back(side * quantile) * deviation / sqrt(rows) for side in (1, -1))
    return max(0.0, min(mean, low)), max(mean, high)
