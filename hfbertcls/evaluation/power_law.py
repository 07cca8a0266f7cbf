"""How an error falls with the number of training rows, and the gain of twice as many."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hfbertcls.evaluation.intervals import wilson_interval
from hfbertcls.evaluation.report_evaluation import Evaluation, Metric
from hfbertcls.evaluation.report_training import CurvePoint, Gain, LearningCurve, PowerLaw
from hfbertcls.tasks.calibration_error import NORMAL_QUANTILE


_DRAWS = 1_000
_LEAST_ERROR, _LEAST_SPREAD = 1e-12, 1e-6
"""In place of 0, so that the logarithm of an error is finite, and one without spread does not weigh everything."""
Floats = npt.NDArray[np.float64]


def curve_point(rows: int, right: int, measured: int) -> CurvePoint:
    """The accuracy with its 95 % interval (Wilson) of a training on `rows` rows; see `CurvePoint`."""
    accuracy = Metric(right / measured, *wilson_interval(right, measured))
    return CurvePoint(rows=rows, right=right, measured=measured, accuracy=accuracy)


def point_of(rows: int, measured: Evaluation, metric: str) -> CurvePoint:
    """The point of a training on `rows` rows, from what was measured.

    Args:
        rows: of the training.
        measured: the split that is measured at every point.
        metric: `accuracy`, or an error that is always defined (`Task.curve_metric`).
    """
    if metric == "accuracy":
        return curve_point(rows, round((measured.accuracy.value or 0.0) * measured.rows), measured.rows)
    return CurvePoint(rows=rows, measured=measured.rows, error=measured.metrics[metric])


def fit_learning_curve(split: str, points: Sequence[CurvePoint], metric: str = "accuracy") -> LearningCurve:
    """The points, the power law through them, and the gain that it predicts for twice the rows of the last point.

    The law is error = a * rows^-b (Hestness et al., arXiv:1712.00409), a straight line in logarithms. The error is one
    less the accuracy, or the metric itself for numbers. Each one weighs by the inverse variance of its logarithm: the
    binomial one, or that of its interval. The interval of the gain is that of 1,000 laws, fitted to errors resampled
    about the law with a seed. It assumes that the law holds beyond the last point.

    Args:
        split: that was measured.
        points: at least two, with different numbers of training rows, fewest first; all with an accuracy or all with an
            error.
        metric: of the points.
    """
    rows = np.array([point.rows for point in points], dtype=np.float64)
    law, redrawn = _laws_of_counts(rows, points) if metric == "accuracy" else _laws_of_errors(rows, points)
    last, twice = rows[-1:], 2 * rows[-1:]
    gains = (_error(redrawn, last) - _error(redrawn, twice))[:, 0]
    gain = float((_error(law, last) - _error(law, twice))[0, 0])
    low, high = np.quantile(gains, [0.025, 0.975])
    return LearningCurve(
        split=split,
        metric=metric,
        points=tuple(points),
        fit=PowerLaw(a=float(np.exp(law[0, 0])), b=float(law[0, 1])),
        twice=Gain(rows=2 * points[-1].rows, gain=gain, low=min(gain, float(low)), high=max(gain, float(high))),
    )


def _laws_of_counts(rows: Floats, points: Sequence[CurvePoint]) -> tuple[Floats, Floats]:
    """The law through proportions of wrong rows, and laws through resampled ones."""
    measured = np.array([point.measured for point in points])
    wrong = measured - np.array([point.right for point in points])

    def fitted(wrong: npt.NDArray[np.int64]) -> Floats:
        error = (wrong + 0.5) / (measured + 1)
        return _fit(rows, np.log(error), measured * error / (1 - error))

    law = fitted(wrong[None])
    expected = np.clip(_error(law, rows)[0], 0.0, 1.0)
    return law, fitted(np.random.default_rng(0).binomial(measured, expected, size=(_DRAWS, len(points))))


def _laws_of_errors(rows: Floats, points: Sequence[CurvePoint]) -> tuple[Floats, Floats]:
    """The law through errors with intervals, and laws through resampled ones.

    Trainings differ by more than the rows that measure them. Where the points are further from the law than their
    intervals let expect, they are resampled with as much spread (Birge, Phys. Rev. 40, 1932).
    """
    bounds = np.array([[point.shown.low, point.shown.value, point.shown.high] for point in points], dtype=np.float64)
    low, error, high = np.log(np.maximum(bounds, _LEAST_ERROR)).T
    # (of a mean square near 0 the lower end may be 0, whose logarithm says nothing)
    width = np.where(bounds[:, 0] > 0, (high - low) / 2, high - error)
    spread = np.maximum(width / NORMAL_QUANTILE, _LEAST_SPREAD)
    law = _fit(rows, error[None], spread[None] ** -2)
    away = (error - np.log(_error(law, rows)[0])) / spread
    spread *= max(1.0, float(np.sqrt((away**2).sum() / max(1, len(points) - 2))))  # (Birge's ratio)
    drawn = np.random.default_rng(0).normal(np.log(_error(law, rows)[0]), spread, size=(_DRAWS, len(points)))
    return law, _fit(rows, drawn, np.broadcast_to(spread**-2, drawn.shape))


def _fit(rows: Floats, error: Floats, weight: Floats) -> Floats:
    """Logarithm of a, and b (at least 0), of shape `(draws, 2)`; logarithms of errors and weights are `(draws, points)`."""
    place = np.log(rows)
    total = weight.sum(axis=1)
    mean_place, mean_error = ((weight * values).sum(axis=1) / total for values in (place, error))
    away = place - mean_place[:, None]
    slope = (weight * away * (error - mean_error[:, None])).sum(axis=1) / (weight * away**2).sum(axis=1)
    power = np.maximum(-slope, 0.0)
    return np.column_stack([mean_error + power * mean_place, power])


def _error(law: Floats, rows: Floats) -> Floats:
    """Errors of shape `(draws, points)`."""
    error: Floats = np.exp(law[:, :1] - law[:, 1:] * np.log(rows))
    return error
