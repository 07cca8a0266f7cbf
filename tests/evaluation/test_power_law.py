"""A planted power law is recovered, and the gain of twice the rows follows from it."""

import numpy as np
import pytest

from hfbertcls.evaluation.power_law import curve_point, fit_learning_curve
from hfbertcls.evaluation.report_evaluation import Metric
from hfbertcls.evaluation.report_training import CurvePoint


def planted(measured=100_000, a=2.0, b=0.35, seed=0):
    generator = np.random.default_rng(seed)
    rows = [500, 1_000, 2_000, 4_000]
    return [curve_point(n, measured - int(generator.binomial(measured, a * n**-b)), measured) for n in rows]


def test_a_planted_law_is_recovered():
    curve = fit_learning_curve("test", planted())
    assert curve.fit.to_dict() == pytest.approx({"a": 2.0, "b": 0.35}, rel=0.08)
    assert curve.twice.rows == 8_000
    assert curve.twice.gain == pytest.approx(2.0 * (4_000**-0.35 - 8_000**-0.35), rel=0.05)
    assert curve == fit_learning_curve("test", planted())


def test_the_interval_of_the_gain_covers_it():
    true = 2.0 * (4_000**-0.35 - 8_000**-0.35)
    gains = [fit_learning_curve("test", planted(1_000, seed=seed)).twice for seed in range(200)]
    assert np.mean([entry.low <= true <= entry.high for entry in gains]) >= 0.9


def test_more_rows_that_do_not_help_promise_nothing():
    points = [curve_point(rows, 800, 1_000) for rows in (500, 1_000, 2_000, 4_000)]
    twice = fit_learning_curve("test", points).twice
    assert twice.gain == 0
    assert twice.low == 0 < twice.high < 0.03


def test_accuracy_that_falls_promises_nothing():
    points = [
        curve_point(rows, right, 1_000) for rows, right in ((500, 900), (1_000, 850), (2_000, 800), (4_000, 700))
    ]
    assert fit_learning_curve("test", points).twice.gain == 0


def test_points_without_a_mistake_give_a_law():
    curve = fit_learning_curve("test", [curve_point(rows, 100, 100) for rows in (500, 1_000, 2_000, 4_000)])
    assert 0 <= curve.twice.gain < 0.01


def planted_errors(noise, seed=0, stated=None):
    """Errors of 2 * rows^-0.35 with a relative noise, and intervals that state it, or less."""
    generator = np.random.default_rng(seed)
    points = []
    for rows in (500, 1_000, 2_000, 4_000):
        error = 2.0 * rows**-0.35 * float(np.exp(noise * generator.standard_normal()))
        bounds = (error * float(np.exp(side * 1.96 * (stated or noise))) for side in (-1, 1))
        points.append(CurvePoint(rows=rows, measured=1_000, error=Metric(error, *bounds)))
    return points


def test_a_planted_law_of_errors_is_recovered():
    curve = fit_learning_curve("test", planted_errors(0.001), "rmse")
    assert (curve.metric, curve.points[0].right) == ("rmse", None)
    assert curve.fit.to_dict() == pytest.approx({"a": 2.0, "b": 0.35}, rel=0.05)
    assert curve.twice.gain == pytest.approx(2.0 * (4_000**-0.35 - 8_000**-0.35), rel=0.05)
    assert curve == fit_learning_curve("test", planted_errors(0.001), "rmse")


def test_the_interval_of_the_gain_in_error_covers_it():
    true = 2.0 * (4_000**-0.35 - 8_000**-0.35)
    gains = [fit_learning_curve("test", planted_errors(0.03, seed), "rmse").twice for seed in range(200)]
    assert 0.9 <= np.mean([entry.low <= true <= entry.high for entry in gains]) <= 0.99


def test_trainings_that_differ_more_than_their_intervals_say_widen_that_of_the_gain():
    true = 2.0 * (4_000**-0.35 - 8_000**-0.35)
    gains = [fit_learning_curve("test", planted_errors(0.05, seed, 0.01), "rmse").twice for seed in range(200)]
    assert np.mean([entry.low <= true <= entry.high for entry in gains]) >= 0.7


def test_an_imprecise_point_weighs_less():
    points = planted_errors(0.001)
    far = CurvePoint(rows=500, measured=10, error=Metric(0.5, 0.01, 20.0))
    assert fit_learning_curve("test", [far, *points[1:]], "rmse").fit.b == pytest.approx(0.35, abs=0.01)


def test_errors_of_zero_or_without_spread_give_a_law():
    zero = [CurvePoint(rows=rows, measured=5, error=Metric(0.0, 0.0, 0.0)) for rows in (10, 20, 40)]
    assert fit_learning_curve("test", zero, "rmse").twice.gain == 0
    from_zero = [CurvePoint(rows=rows, measured=5, error=Metric(1.0, 0.0, 2.0)) for rows in (10, 20, 40)]
    assert np.isfinite(fit_learning_curve("test", from_zero, "rmse").twice.high)
