"""Selective prediction: thresholds for a target accuracy, and accuracy by coverage."""

import numpy as np
import pytest

from hfbertcls.evaluation.abstaining import accuracy_by_coverage, threshold_for_accuracy
from hfbertcls.tasks.probabilities import softmax
from hfbertcls.tasks.single_label import SingleLabel


TASK = SingleLabel(("right", "wrong"))


def calibrated(rows, seed=0):
    """Two labels, right as often as the score."""
    generator = np.random.default_rng(seed)
    score = generator.uniform(0.5, 1.0, rows)
    gold = (generator.random(rows) >= score).astype(np.int64)
    return gold, np.column_stack([np.log(score), np.log(1 - score)]).astype(np.float32)


@pytest.mark.parametrize("target", [0.8, 0.9, 0.95])
def test_the_target_is_reached_on_other_rows(target):
    chosen = threshold_for_accuracy(TASK, *calibrated(20_000), target)
    gold, logits = calibrated(20_000, seed=1)
    answered = softmax(logits).max(axis=1) >= chosen.score
    assert (logits.argmax(axis=1) == gold)[answered].mean() == pytest.approx(target, abs=0.015)
    assert answered.mean() == pytest.approx(chosen.coverage, abs=0.02)
    assert chosen.coverage == pytest.approx(4 - 4 * target, abs=0.05)  # (mean of the scores above it is the target)


def test_a_target_that_is_reached_anyhow_answers_everything():
    gold, logits = calibrated(1_000)
    chosen = threshold_for_accuracy(TASK, gold, logits, 0.5)
    assert (chosen.coverage, chosen.score) == (1.0, float(softmax(logits).max(axis=1).min()))


def test_a_target_out_of_reach_has_no_threshold():
    gold, logits = calibrated(1_000)
    assert threshold_for_accuracy(TASK, 1 - gold, logits, 0.99) is None
    assert (
        threshold_for_accuracy(TASK, np.zeros(29, dtype=np.int64), np.tile(np.float32([1, 0]), (29, 1)), 0.5) is None
    )


def test_equal_scores_are_answered_together():
    """Forty rows of one score, the first thirty of them right: no threshold can keep the thirty."""
    gold = np.repeat([0, 1], [30, 10])
    logits = np.tile(np.float32([1, 0]), (40, 1))
    assert threshold_for_accuracy(TASK, gold, logits, 0.9) is None
    assert threshold_for_accuracy(TASK, gold, logits, 0.75).coverage == 1.0


def test_fewer_answers_are_better_ones():
    gold, logits = calibrated(5_000)
    rows = accuracy_by_coverage(TASK, gold, logits)
    assert [row.coverage for row in rows] == [1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5]
    assert rows[0].accuracy.value == (logits.argmax(axis=1) == gold).mean()
    accuracies = [row.accuracy.value for row in rows]
    assert accuracies == sorted(accuracies)
    for row in rows:
        answered = softmax(logits).max(axis=1) >= row.score
        assert answered.sum() == row.rows
        assert row.accuracy.low < row.accuracy.value < row.accuracy.high


def test_few_rows_claim_nothing():
    assert accuracy_by_coverage(TASK, *calibrated(29)) == ()
    assert [row.rows for row in accuracy_by_coverage(TASK, *calibrated(40))] == [40, 38, 36, 32]
