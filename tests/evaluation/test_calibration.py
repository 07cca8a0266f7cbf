import numpy as np
import pytest

from hfbertcls.tasks.calibration_error import (
    bin_edges,
    calibration_error_interval,
    expected_calibration_error,
    reliability,
)
from hfbertcls.tasks.single_label import SingleLabel


TASK = SingleLabel(("a", "b"))


def simulate(rows, seed, overconfidence=0.0):
    """Two labels; confidence from 0.6 to 0.9, which is `overconfidence` too high."""
    generator = np.random.default_rng(seed)
    confidence = generator.uniform(0.6, 0.9, rows)
    right = generator.random(rows) < confidence - overconfidence
    return TASK.statements(np.where(right, 0, 1), np.column_stack([confidence, 1 - confidence]))


@pytest.mark.parametrize("num_rows", [1, 2, 14, 15, 16, 1000])
def test_bins_have_equal_mass_and_none_is_empty(num_rows):
    sizes = np.diff(bin_edges(num_rows))
    assert sizes.sum() == num_rows
    assert len(sizes) == min(15, num_rows)
    assert sizes.min() >= 1
    assert sizes.max() - sizes.min() <= 1


def test_bins_hold_mean_confidence_and_fraction_of_right_answers():
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6]])
    bins = reliability(*TASK.statements(np.array([0, 0]), probabilities))
    assert bins.count.tolist() == [1, 1]
    assert bins.confidence.tolist() == [0.6, 0.9]
    assert bins.accuracy.tolist() == [0.0, 1.0]


def test_a_calibrated_model_has_nearly_no_error_and_less_than_the_plain_estimate():
    errors, plain = [], []
    for seed in range(30):
        probabilities, is_so = simulate(10_000, seed)
        bins = reliability(probabilities, is_so)
        errors.append(expected_calibration_error(probabilities, is_so))
        plain.append(np.average(np.abs(bins.confidence - bins.accuracy), weights=bins.count))
    assert np.mean(errors) < 0.01
    assert np.mean(errors) < 0.5 * np.mean(plain)


@pytest.mark.parametrize("gap", [0.05, 0.2])
def test_an_overconfident_model_has_its_true_gap(gap):
    errors = [expected_calibration_error(*simulate(3_000, seed, gap)) for seed in range(20)]
    assert np.mean(errors) == pytest.approx(gap, abs=0.01)


def test_a_gap_that_chance_explains_is_none():
    probabilities, is_so = TASK.statements(np.zeros(10, dtype=np.int64), np.tile([0.95, 0.05], (10, 1)))
    assert expected_calibration_error(probabilities, is_so) == 0
    assert calibration_error_interval(probabilities, is_so)[0] == 0


def test_certain_scores_that_are_wrong_have_the_whole_error():
    probabilities, is_so = TASK.statements(np.zeros(30, dtype=np.int64), np.tile([0.0, 1.0], (30, 1)))
    assert expected_calibration_error(probabilities, is_so) == pytest.approx(1.0)
    assert calibration_error_interval(probabilities, is_so)[1] == pytest.approx(1.0)


@pytest.mark.parametrize("gap", [0.0, 0.05, 0.2])
def test_the_interval_covers_the_true_gap_and_contains_the_estimate(gap):
    covered = []
    for seed in range(200):
        probabilities, is_so = simulate(1_000, seed, gap)
        low, high = calibration_error_interval(probabilities, is_so)
        assert low <= expected_calibration_error(probabilities, is_so) <= high
        covered.append(low <= gap <= high)
    assert np.mean(covered) >= 0.92


def test_few_rows_that_happen_to_fit_do_not_prove_that_there_is_no_error():
    gold = np.zeros(60, dtype=np.int64)
    confidence = np.full(60, 29 / 30)
    right = np.arange(60) % 30 > 0  # two of sixty are wrong, as the scores predict
    probabilities = np.stack(
        [np.where(right, confidence, 1 - confidence), np.where(right, 1 - confidence, confidence)], axis=1
    )
    low, high = calibration_error_interval(*TASK.statements(gold, probabilities))
    assert low == 0.0
    assert 0.01 < high < 0.2
