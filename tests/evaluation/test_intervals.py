import numpy as np
import pytest
from sklearn import metrics

from hfbertcls.evaluation.intervals import Interval, _Ranking, score_with_intervals


def sample(num_labels, rows=200, seed=0):
    generator = np.random.default_rng(seed)
    gold = generator.integers(0, num_labels, rows)
    logits = generator.normal(size=(rows, num_labels)).astype(np.float32)
    logits[np.arange(rows), gold] += 1.5
    return gold, logits


@pytest.mark.parametrize("num_labels", [2, 3, 20])
def test_intervals_contain_the_value(num_labels):
    for interval in score_with_intervals(*sample(num_labels)).values():
        assert interval.low < interval.value < interval.high
        assert interval.high - interval.low < 0.5


def test_intervals_repeat_with_a_seed_and_follow_it():
    assert score_with_intervals(*sample(2), seed=1) == score_with_intervals(*sample(2), seed=1)
    assert score_with_intervals(*sample(2), seed=1) != score_with_intervals(*sample(2), seed=2)


def test_intervals_do_not_depend_on_how_rows_are_held_in_memory(monkeypatch):
    whole = score_with_intervals(*sample(3))
    monkeypatch.setattr("hfbertcls.evaluation.intervals._CELLS_PER_CHUNK", 200 * 77)
    assert score_with_intervals(*sample(3)) == whole


def test_more_rows_give_narrower_intervals():
    few, many = (score_with_intervals(*sample(2, rows))["accuracy"] for rows in (100, 1_600))
    assert (few.high - few.low) == pytest.approx(4 * (many.high - many.low), rel=0.35)


def test_accuracy_interval_agrees_with_the_binomial_one():
    gold, logits = sample(2, 1_000)
    interval = score_with_intervals(gold, logits)["accuracy"]
    half = 1.96 * np.sqrt(interval.value * (1 - interval.value) / 1_000)
    assert (interval.high - interval.low) / 2 == pytest.approx(half, rel=0.1)


def test_ranking_figures_that_are_not_defined_have_no_interval():
    gold = np.zeros(20, dtype=np.int64)
    found = score_with_intervals(gold, sample(2, 20)[1])
    assert found["roc_auc"] == found["average_precision"] == Interval(None, None, None)
    assert found["accuracy"].value is not None


def test_one_row_is_enough():
    found = score_with_intervals(np.array([1]), np.array([[0.0, 3.0]], dtype=np.float32))
    assert found["accuracy"] == Interval(1.0, 1.0, 1.0)


@pytest.mark.parametrize("decimals", [6, 1, 0], ids=["distinct", "some ties", "many ties"])
def test_ranking_of_resamples_equals_scikit_learn(decimals):
    gold, logits = sample(2, 60)
    logits = np.round(logits, decimals)
    margin = logits[:, 1].astype(np.float64) - logits[:, 0]
    rows = np.random.default_rng(0).integers(0, 60, (20, 60), dtype=np.int32)
    found = _Ranking.of(gold, logits).scores(rows)
    for index, drawn in enumerate(rows):
        assert found["roc_auc"][index] == pytest.approx(metrics.roc_auc_score(gold[drawn], margin[drawn]))
        expected = metrics.average_precision_score(gold[drawn], margin[drawn])
        assert found["average_precision"][index] == pytest.approx(expected)


def test_ranking_of_a_resample_without_one_label_is_not_a_number():
    gold, logits = np.array([0, 1]), np.array([[0, 1], [1, 0]], dtype=np.float32)
    found = _Ranking.of(gold, logits).scores(np.array([[0, 0], [1, 1], [0, 1]], dtype=np.int32))
    assert np.isnan(found["roc_auc"]).tolist() == [True, True, False]
    assert np.isnan(found["average_precision"]).tolist() == [True, True, False]
