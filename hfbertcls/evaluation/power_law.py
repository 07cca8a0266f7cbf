"""How a classifier's error falls with the number of training rows, and what twice as many would bring."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hfbertcls.evaluation.intervals import wilson_interval


_DRAWS = 1_000
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class CurvePoint:
    """A training on some of the rows, measured on the rows of one split."""

    rows: int
    """Training rows."""
    right: int
    measured: int
    """Rows of the split that was measured; `right` of them were answered right."""

    def as_dict(self) -> dict[str, Any]:
        """As the report holds it."""
        low, high = wilson_interval(self.right, self.measured)
        accuracy = {"value": self.right / self.measured, "low": low, "high": high}
        return {"rows": self.rows, "right": self.right, "measured": self.measured, "accuracy": accuracy}


def learning_curve_figures(points: Sequence[CurvePoint]) -> dict[str, Any]:
    """The points, the power law through them, and the accuracy that it gives for twice as many rows as the last has.

    The law is error = a * rows^-b (Hestness et al., arXiv:1712.00409), a straight line in logarithms, fitted with the
    inverse binomial variance of each error as weight. The interval of the gain is that of 1,000 laws fitted to errors
    drawn anew (seeded) about the law; it is silent on whether the law goes on to hold.

    Args:
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
    return {
        "points": [point.as_dict() for point in points],
        "fit": {"a": float(np.exp(law[0, 0])), "b": float(law[0, 1])},
        "twice": {
            "rows": 2 * points[-1].rows,
            "gain": gain,
            "low": min(gain, float(low)),
            "high": max(gain, float(high)),
        },
    }


def _fit(rows: Floats, wrong: npt.NDArray[np.int64], measured: npt.NDArray[np.int64]) -> Floats:
    """Logarithm of a, and b, of shape `(draws, 2)`, for counts of errors of shape `(draws, points)`; b is never below 0."""
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
