"""Decision thresholds: no other one has a higher F1 on the rows that they were fitted to."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from hfbertcls.tasks.multi_label import MultiLabel
from hfbertcls.tasks.probabilities import sigmoid
from hfbertcls.tasks.thresholds import fit_thresholds


def answers(rows=120, proportions=(0.5, 0.3, 0.2), seed=0):
    """Labels that a proportion of the rows has, and logits that correlate with them."""
    generator = np.random.default_rng(seed)
    gold = (generator.random((rows, len(proportions))) < proportions).astype(np.int8)
    logits = generator.normal(size=gold.shape) + 1.5 * gold - 1
    return gold, logits.astype(np.float32)


def predicted_labels(logits, thresholds):
    labels = tuple(map(str, range(logits.shape[1])))
    return MultiLabel(labels, tuple(thresholds.tolist())).decide(logits)


@pytest.mark.parametrize("seed", range(5))
def test_no_other_threshold_is_better(seed):
    gold, logits = answers(seed=seed)
    thresholds = fit_thresholds(gold, logits)
    predicted = predicted_labels(logits, thresholds)
    scores = sigmoid(logits)
    for label in range(3):
        best = max(f1_score(gold[:, label], scores[:, label] >= threshold) for threshold in scores[:, label])
        assert f1_score(gold[:, label], predicted[:, label]) == pytest.approx(best, abs=1e-12)
        assert thresholds[label] not in scores[:, label]


def test_it_lies_between_two_scores_and_equal_scores_stay_together():
    logits = np.float32([2.0] * 20 + [1.0] * 20 + [-1.0] * 20)[:, None]
    gold = np.int8([1] * 20 + [1, 0] * 10 + [0] * 20)[:, None]
    (threshold,) = fit_thresholds(gold, logits)
    assert threshold == pytest.approx((sigmoid(np.float32(1)) + sigmoid(np.float32(-1))) / 2, abs=1e-6)


def test_scores_that_differ_in_the_last_digits_only_are_separated():
    logits = np.float32([3e-7, 0.0])[[0] * 10 + [1] * 10][:, None]
    gold = np.int8([1] * 10 + [0] * 10)[:, None]
    np.testing.assert_array_equal(predicted_labels(logits, fit_thresholds(gold, logits)), gold)


def test_a_rare_label_is_predicted_for_as_many_rows_as_have_it():
    gold, logits = answers(rows=200, proportions=(0.5, 0.03, 0.02))
    assert 0 < gold[:, 1:].sum(axis=0).max() < 10
    predicted = predicted_labels(logits, fit_thresholds(gold, logits))
    assert predicted[:, 1:].sum(axis=0).tolist() == gold[:, 1:].sum(axis=0).tolist()


def test_a_temperature_changes_no_answer():
    gold, logits = answers(rows=200, proportions=(0.5, 0.3, 0.02))
    cooler = (logits * [0.3, 2.0, 7.0]).astype(np.float32)
    np.testing.assert_array_equal(
        predicted_labels(logits, fit_thresholds(gold, logits)), predicted_labels(cooler, fit_thresholds(gold, cooler))
    )


def test_where_no_row_has_a_label_it_is_one_half():
    assert fit_thresholds(np.zeros((40, 2), dtype=np.int8), np.ones((40, 2), dtype=np.float32)).tolist() == [0.5, 0.5]
