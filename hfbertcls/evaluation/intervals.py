"""95 % intervals of all figures of a split, each by the method that keeps its promise in `benchmarks/coverage.py`."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

import numpy as np

from hfbertcls.evaluation.calibration import calibration_error_interval
from hfbertcls.evaluation.ranking import resampled_rankings
from hfbertcls.evaluation.resampling import NUM_RESAMPLES, Bounds, count_intervals
from hfbertcls.evaluation.scores import (
    Floats,
    Ids,
    Logits,
    classification_scores,
    is_right,
    probabilities,
    row_log_losses,
)
from hfbertcls.modeling.predictions import Thresholds, predict_labels


LEVEL = 0.95
_QUANTILE = 1.959963984540054  # of the standard normal distribution at 97.5 %


@dataclass(frozen=True)
class Interval:
    """A figure with the ends of its 95 % interval; all None where the figure is not defined."""

    value: float | None
    low: float | None
    high: float | None


def score_with_intervals(
    gold: Ids, logits: Logits, seed: int = 0, thresholds: Thresholds | None = None
) -> dict[str, Interval]:
    """Every headline figure with its interval.

    Accuracy has Wilson's interval, log loss that of Hall for a skewed mean, the calibration error one by inverting a
    test. The other figures have bootstrap intervals over 2,000 resamples of the rows, seeded: BCa for F1 averages and
    correlation (and Hamming loss), percentiles for ROC-AUC and average precision.

    Args:
        gold: ids of shape `(n,)`, or the labels of each row, of shape `(n, num_labels)`.
        logits: of shape `(n, num_labels)`.
        seed: of the resampling.
        thresholds: where a row can have several labels, the scores from which each is given, of shape `(num_labels,)`.
    """
    values = classification_scores(gold, logits, thresholds)
    predicted = predict_labels(logits, thresholds)
    bounds = label_intervals(values, gold, predicted, logits.shape[1], seed)
    bounds["log_loss"] = mean_interval(row_log_losses(gold, logits))
    bounds["ece"] = calibration_error_interval(gold, probabilities(gold, logits))
    if values.get("roc_auc") is not None:
        for name, draws in resampled_rankings(gold, logits, NUM_RESAMPLES, seed).items():
            low, high = np.quantile(draws[np.isfinite(draws)], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
            bounds[name] = _never_certain(values[name] or 0.0, float(low), float(high), len(gold))
    return {
        name: Interval(None, None, None) if value is None else Interval(value, *bounds[name])
        for name, value in values.items()
    }


def label_intervals(
    values: Mapping[str, float | None], gold: Ids, predicted: Ids, num_labels: int, seed: int = 0
) -> Bounds:
    """The intervals of all figures that follow from the predicted labels: Wilson's of accuracy, BCa of the others.

    Where every resample has the same perfect (or worst) figure, the bootstrap says nothing; then the interval is that of a
    share of as many rows.

    Args:
        values: the figures (`label_scores`), and maybe others.
        gold: ids of shape `(n,)`, or the labels of each row, of shape `(n, num_labels)`.
        predicted: the same of what was predicted.
        num_labels: how many labels there are.
        seed: of the resampling.
    """
    found = count_intervals(gold, predicted, num_labels, LEVEL, seed)
    bounds = {name: _never_certain(values[name] or 0.0, low, high, len(gold)) for name, (low, high) in found.items()}
    bounds["accuracy"] = wilson_interval(int(is_right(gold, predicted).sum()), len(gold))
    if values.get("mcc") == 0:  # (the middle of its scale, not its end)
        bounds["mcc"] = found["mcc"]
    return bounds


def _never_certain(value: float, low: float, high: float, rows: int) -> tuple[float, float]:
    return wilson_interval(round(value * rows), rows) if low == high and value in (0.0, 1.0) else (low, high)


def wilson_interval(hits: int, rows: int) -> tuple[float, float]:
    """Ends of the 95 % interval of a share (Wilson, J. Am. Stat. Assoc. 22, 1927); never beyond 0 and 1."""
    share, squared = hits / rows, _QUANTILE**2
    centre = (share + squared / (2 * rows)) / (1 + squared / rows)
    half = _QUANTILE / (1 + squared / rows) * sqrt(share * (1 - share) / rows + squared / (4 * rows**2))
    return min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half))


def paired_share_interval(only_first: int, only_second: int, rows: int) -> tuple[float, float]:
    """Ends of the 95 % interval of the difference of two shares of the same rows, second less first.

    A row is added to each kind of disagreement (Bonett and Price, J. Educ. Behav. Stat. 37, 2012), so that rows without
    any do not prove that there is no difference.

    Args:
        only_first: rows that count for the first share alone.
        only_second: rows that count for the second share alone.
        rows: all of them.
    """
    first, second = (only_first + 1) / (rows + 2), (only_second + 1) / (rows + 2)
    half = _QUANTILE * sqrt((first + second - (second - first) ** 2) / (rows + 2))
    difference = (only_second - only_first) / rows
    return min(difference, max(-1.0, second - first - half)), max(difference, min(1.0, second - first + half))


def mean_interval(values: Floats) -> tuple[float, float]:
    """Ends of the 95 % interval of a mean of skewed values that are never below 0, such as losses.

    Student's t is transformed so that the skewness leaves it (Hall, J. R. Stat. Soc. B 54, 1992).

    Args:
        values: of shape `(n,)`.
    """
    mean, rows = float(values.mean()), len(values)
    deviation = float(values.std(ddof=1)) if rows > 1 else 0.0
    if deviation == 0:
        return mean, mean
    skewness = float(((values - mean) ** 3).mean()) / deviation**3 / sqrt(rows)

    def transformed_back(quantile: float) -> float:
        shifted = quantile - skewness / 6
        return 3 / skewness * float(np.cbrt(1 + skewness * shifted) - 1) if abs(skewness) > 1e-9 else quantile

    low, high = (mean - transformed_back(side * _QUANTILE) * deviation / sqrt(rows) for side in (1, -1))
    return max(0.0, min(mean, low)), max(mean, high)
