"""How a classifier's error falls with the number of training rows, and the gain of twice as many."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hfbertcls.evaluation.intervals import wilson_interval
from hfbertcls.evaluation.report_evaluation import Metric
from hfbertcls.evaluation.report_training import CurvePoint, Gain, LearningCurve, PowerLaw


_DRAWS = 1_000
Floats = npt.NDArray[np.float64]


def curve_point(rows: int, right: int, measured: int) -> CurvePoint:
    """The accuracy with its 95 % interval (Wilson) of a training on `rows` rows; see `CurvePoint`."""
    accuracy = Metric(right / measured, *wilson_interval(right, measured))
    return CurvePoint(rows=rows, right=right, measured=measured, accuracy=accuracy)


def fit_learning_curve(split: str, points: Sequence[CurvePoint]) -> LearningCurve:
    """The points, the power law through them, and the accuracy that it predicts for twice the rows of the last point.

    The law is error = a * rows^-b (Hestness et al., arXiv:1712.00409), a straight line in logarithms, fitted with the
    inverse binomial variance of each error as weight. The interval of the gain is that of 1,000 laws, fitted to
    errors resampled about the law with a seed. It assumes that the law holds beyond the last point.

    Args:
        split: that was measured.
        points: at least two, with different numbers of training rows, fewest first.
    """
    rows = np.array([point.rows for point in points], dtype=np.float64)
    measured = np.array([point.measured for point in points])
    wrong = measured - np.array([point.right for point in points])
    law = _fit(rows, wrong[None], measured)
    expected = _error(law, rows)[0]
    generator = np.random.default_rng(0)
    drawn = generator.binomial(measured, np.clip(expected, 0.0, 1.0), size=(_DRAWS, len(points)))
    last, twice = rows[-1:], 2 * rows[-1:]
    redrawn = _fit(rows, drawn, measured)
    gains = (_error(redrawn, last) - _error(redrawn, twice))[:, 0]
    gain = float((_error(law, last) - _error(law, twice))[0, 0])
    low, high = np.quantile(gains, [0.025, 0.975])
    return LearningCurve(
        split=split,
        points=tuple(points),
        fit=PowerLaw(a=float(np.exp(law[0, 0])), b=float(law[0, 1])),
        twice=Gain(rows=2 * points[-1].rows, gain=gain, low=min(gain, float(low)), high=max(gain, float(high))),
    )


def _fit(rows: Floats, wrong: npt.NDArray[np.int64], measured: npt.NDArray[np.int64]) -> Floats:
    """Logarithm of a, and b (at least 0), of shape `(draws, 2)`; the counts `wrong` are of shape `(draws, points)`."""
    error = (wrong + 0.5) / (measured + 1)
    weight = measured * error / (1 - error)
    place = np.log(rows)
    total = weight.sum(axis=1)
    mean_place, mean_error = ((weight * values).sum(axis=1) / total for values in (place, np.log(error)))
    away = place - mean_place[:, None]
    slope = (weight * away * (np.log(error) - mean_error[:, None])).sum(axis=1) / (weight * away**2).sum(axis=1)
    power = np.maximum(-slope, 0.0)
    return np.column_stack([mean_error + power * mean_place, power])


def _error(law: Floats, rows: Floats) -> Floats:
    """Errors of shape `(draws, points)`."""
    error: Floats = np.exp(law[:, :1] - law[:, 1:] * np.log(rows))
    return error
