"""A planted temperature is recovered, with the metrics before and after it."""

import numpy as np
import pytest

from hfbertcls.evaluation.temperature import calibration_metrics, fit_temperature
from hfbertcls.tasks.multi_label import MultiLabel
from hfbertcls.tasks.probabilities import sigmoid, softmax
from hfbertcls.tasks.single_label import SingleLabel


def task_of(num_labels, kind=SingleLabel):
    return kind(tuple(map(str, range(num_labels))))


def overconfident(temperature, rows=20_000, num_labels=4, seed=0):
    """Labels drawn by the scores of `logits / temperature`."""
    generator = np.random.default_rng(seed)
    logits = (generator.normal(size=(rows, num_labels)) * 2).astype(np.float32)
    cumulative = softmax(logits).cumsum(axis=1)
    gold = (generator.random((rows, 1)) > cumulative).sum(axis=1).clip(max=num_labels - 1)
    return gold.astype(np.int64), (logits * temperature).astype(np.float32)


@pytest.mark.parametrize("planted", [0.4, 1.0, 1.7, 5.0])
@pytest.mark.parametrize("num_labels", [2, 4, 30])
def test_a_planted_temperature_is_recovered(planted, num_labels):
    gold, logits = overconfident(planted, num_labels=num_labels)
    assert fit_temperature(task_of(num_labels), gold, logits) == pytest.approx(planted, rel=0.05)


def test_it_is_where_the_log_loss_is_smallest():
    gold, logits = overconfident(1.7)
    temperature = fit_temperature(task_of(4), gold, logits)
    best, lower, higher = (
        task_of(4).row_losses(gold, (logits / (temperature * factor)).astype(np.float32)).mean()
        for factor in (1, 0.97, 1.03)
    )
    assert best < min(lower, higher)


@pytest.mark.parametrize("rows", [30, 100, 1_000])
def test_rows_that_are_all_right_ask_for_no_more_confidence_than_laplace_grants(rows):
    logits = np.tile(np.float32([3.0, 0.0]), (rows, 1))
    temperature = fit_temperature(task_of(2), np.zeros(rows, dtype=np.int64), logits)
    assert softmax((logits / temperature).astype(np.float32))[0, 0] == pytest.approx(1 - 1 / (rows + 2), abs=1e-4)


def test_where_nothing_can_be_fitted_there_is_none():
    gold, logits = overconfident(2.0, rows=29)
    assert fit_temperature(task_of(4), gold, logits) is None
    assert fit_temperature(task_of(3), np.zeros(100, dtype=np.int64), np.ones((100, 3), dtype=np.float32)) is None


def test_scores_by_chance_end_at_the_bound():
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(5_000, 3)).astype(np.float32) * 10
    assert fit_temperature(task_of(3), generator.integers(0, 3, 5_000), logits) == pytest.approx(20.0, rel=1e-3)


def test_metrics_before_a_temperature_follow_from_the_logits_after_it():
    gold, logits = overconfident(2.0)
    after = (logits / 2.0).astype(np.float32)
    calibration = calibration_metrics(task_of(4), gold, after, 2.0, "validation")
    assert calibration.log_loss_before == pytest.approx(task_of(4).row_losses(gold, logits).mean(), rel=1e-6)
    assert calibration.log_loss_after == pytest.approx(task_of(4).row_losses(gold, after).mean(), rel=1e-6)
    assert calibration.log_loss_after < calibration.log_loss_before
    assert calibration.ece_after < 0.01 < 0.1 < calibration.ece_before
    assert (calibration.temperature, calibration.fitted_on) == (2.0, "validation")


def multi_label(temperatures, proportions, rows=20_000, seed=0):
    """Each label drawn by the sigmoid of `logits / temperature`, for about a proportion of the rows."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(rows, len(proportions))) * 2 + np.log(
        np.asarray(proportions) / (1 - np.asarray(proportions))
    )
    gold = (generator.random(logits.shape) < sigmoid(logits)).astype(np.int8)
    return gold, (logits * temperatures).astype(np.float32)


def test_each_label_of_a_multi_label_task_has_its_own_temperature():
    planted = [0.4, 1.0, 1.7, 5.0]
    gold, logits = multi_label(planted, [0.5, 0.3, 0.1, 0.2])
    assert fit_temperature(task_of(4, MultiLabel), gold, logits) == pytest.approx(planted, rel=0.05)


def test_labels_with_few_positive_or_negative_rows_have_a_common_temperature():
    gold, logits = multi_label([2.0, 2.0, 2.0], [0.5, 0.5, 0.5], rows=2_000)
    gold[:, 1], gold[:, 2] = 0, 1
    gold[:29, 1], gold[:29, 2] = 1, 0
    first, rare, frequent = fit_temperature(task_of(3, MultiLabel), gold, logits)
    assert rare == frequent != first


def test_multi_label_nothing_is_fitted_to_few_rows_or_logits_that_are_all_zero():
    gold, logits = multi_label([2.0, 2.0], [0.5, 0.5], rows=29)
    assert fit_temperature(task_of(2, MultiLabel), gold, logits) is None
    assert (
        fit_temperature(task_of(2, MultiLabel), np.ones((100, 2), dtype=np.int8), np.zeros((100, 2), dtype=np.float32))
        is None
    )


def test_metrics_before_multi_label_temperatures_follow_from_the_logits_after_them():
    gold, logits = multi_label([2.0, 3.0], [0.5, 0.2])
    task = task_of(2, MultiLabel)
    calibration = calibration_metrics(task, gold, (logits / [2.0, 3.0]).astype(np.float32), [2.0, 3.0], "validation")
    assert calibration.log_loss_before == pytest.approx(task.row_losses(gold, logits).mean(), rel=1e-6)
    assert calibration.log_loss_after < calibration.log_loss_before
    assert calibration.ece_after < 0.01 < calibration.ece_before
    assert calibration.temperature == (2.0, 3.0)
