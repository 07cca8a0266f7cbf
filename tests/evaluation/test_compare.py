"""Paired comparison: the test is exact, the interval covers, the verdict follows from both."""

import numpy as np
import pytest
from statsmodels.stats.contingency_tables import mcnemar

from hfbertcls.evaluation.compare import (
    Contender,
    Difference,
    compare_predictions,
    mcnemar_exact,
    rows_needed,
    verdict,
)
from hfbertcls.evaluation.intervals import paired_proportion_interval
from hfbertcls.tasks.single_label import SingleLabel


def pair(rows=500, num_labels=4, skill_a=2.0, skill_b=2.0, seed=0):
    """Two classifiers whose mistakes are partly the same."""
    generator = np.random.default_rng(seed)
    task = SingleLabel(tuple(f"label {number}" for number in range(num_labels)))
    gold = generator.integers(0, num_labels, rows)
    common = generator.normal(size=(rows, num_labels))
    logits = []
    for skill in (skill_a, skill_b):
        own = common + 0.7 * generator.normal(size=(rows, num_labels))
        own[np.arange(rows), gold] += skill
        logits.append(Contender(task, own.astype(np.float32)))
    return gold, *logits


def test_mcnemar_equals_statsmodels_on_a_thousand_tables():
    generator = np.random.default_rng(0)
    for _ in range(1_000):
        both, only_a, only_b, neither = generator.integers(0, generator.choice([3, 20, 400]), 4)
        expected = mcnemar([[both, only_a], [only_b, neither]], exact=True).pvalue
        assert mcnemar_exact(int(only_a), int(only_b)) == pytest.approx(expected, rel=1e-9)


def test_no_disagreement_is_no_surprise():
    assert mcnemar_exact(0, 0) == 1.0


def test_the_metrics_of_both_stand_beside_their_difference():
    gold, a, b = pair(skill_b=2.5)
    comparison = compare_predictions(gold, a, b)
    scores_a, scores_b = (one.task.compute_metrics(gold, one.logits) for one in (a, b))
    for name, row in comparison.metrics.items():
        assert (row.a, row.b) == (scores_a[name], scores_b[name])
        assert row.difference == row.b - row.a
    for name in ("accuracy", "f1_macro", "f1_weighted", "mcc", "log_loss"):
        row = comparison.metrics[name]
        assert row.low < row.difference < row.high
    assert comparison.only_b_right - comparison.only_a_right == round(comparison.metrics["accuracy"].difference * 500)
    label = comparison.per_label["label 2"]
    assert label["support"] == (gold == 2).sum()
    assert label["low"] <= label["difference"] <= label["high"]


def test_swapping_the_two_turns_every_sign():
    gold, a, b = pair(skill_b=2.6)
    there, back = compare_predictions(gold, a, b), compare_predictions(gold, b, a)
    assert there.p_value == back.p_value
    assert there.rows_needed == back.rows_needed
    assert there.verdict.startswith("B is better by")
    assert back.verdict.startswith("A is better by")
    forth, again = there.metrics["accuracy"], back.metrics["accuracy"]
    assert forth.difference == -again.difference
    assert (forth.low, forth.high) == pytest.approx((-again.high, -again.low), abs=0.006)


def test_a_classifier_does_not_differ_from_itself():
    gold, a, _ = pair()
    comparison = compare_predictions(gold, a, a)
    assert (comparison.p_value, comparison.rows_needed) == (1.0, None)
    assert comparison.verdict == (
        "this test split cannot tell them apart (B minus A: +0.0 points, -0.6 to 0.6); they are equally often right"
    )


def test_equal_skill_differs_in_at_most_one_of_twenty_and_the_interval_covers():
    verdicts, covered = [], []
    for seed in range(150):
        comparison = compare_predictions(*pair(300, seed=seed))
        verdicts.append("is better" in comparison.verdict)
        covered.append(comparison.metrics["accuracy"].low <= 0 <= comparison.metrics["accuracy"].high)
    assert np.mean(verdicts) <= 0.05
    assert np.mean(covered) >= 0.92


def test_so_many_rows_find_the_difference_in_four_of_five_samples():
    gold, a, b = pair(200_000, skill_b=2.15)
    right_a, right_b = a.predicted == gold, b.predicted == gold
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    needed = rows_needed(only_a, only_b, len(gold))
    significant = []
    for sample in np.random.default_rng(0).integers(0, len(gold), (400, needed)):
        one, other = right_a[sample], right_b[sample]
        significant.append(mcnemar_exact(int((one & ~other).sum()), int((other & ~one).sum())) < 0.05)
    assert np.mean(significant) == pytest.approx(0.8, abs=0.06)


@pytest.mark.parametrize(
    ("difference", "p_value", "needed", "expected"),
    [
        ((0.018, 0.006, 0.030), 0.004, 900, "B is better by 1.8 points, 95 % interval 0.6 to 3.0"),
        ((-0.018, -0.030, -0.006), 0.004, 900, "A is better by 1.8 points, 95 % interval 0.6 to 3.0"),
        (
            (0.004, -0.01, 0.02),
            0.4,
            4_000,
            "apart (B minus A: +0.4 points, -1.0 to 2.0); about 4,000 rows would be needed",
        ),
        (
            (0.018, 0.001, 0.030),
            0.06,
            4_000,
            "apart (B minus A: +1.8 points, 0.1 to 3.0); about 4,000 rows would be needed",
        ),
    ],
)
def test_the_verdict_needs_both_the_test_and_the_interval(difference, p_value, needed, expected):
    value, low, high = difference
    assert verdict(Difference(0.9, 0.9 + value, value, low, high), p_value, needed).endswith(expected)


def test_labels_are_tested_with_regard_to_their_number():
    gold, a, b = pair(600)
    b.logits[gold == 1, 1] += 6
    comparison = compare_predictions(gold, a, b).per_label
    assert comparison["label 1"]["p_value"] < 0.001
    assert min(comparison[name]["p_value"] for name in ("label 0", "label 2", "label 3")) > 0.01


def test_one_row_has_no_interval_and_no_verdict():
    gold, a = np.array([0]), Contender(SingleLabel(("a", "b")), np.float32([[1, 0]]))
    comparison = compare_predictions(gold, a, a.in_order([1, 0]))
    assert comparison.metrics["accuracy"].difference == -1
    assert "cannot tell them apart" in comparison.verdict


@pytest.mark.parametrize(("both_ways", "difference"), [(0.002, 0.0), (0.03, 0.0), (0.03, 0.02), (0.3, 0.05)])
def test_the_interval_of_a_difference_in_accuracy_contains_it_in_95_of_100_samples(both_ways, difference):
    generator = np.random.default_rng(0)
    rows, first, second = 400, both_ways / 2, both_ways / 2 + difference
    draws = generator.multinomial(rows, [first, second, 1 - first - second], 4_000)
    intervals = [paired_proportion_interval(int(one), int(other), rows) for one, other, _ in draws]
    covered = np.mean([low <= difference <= high for low, high in intervals])
    assert 0.94 <= covered <= (1.0 if both_ways < 0.01 else 0.97)


def test_no_disagreement_proves_no_equality():
    low, high = paired_proportion_interval(0, 0, 600)
    assert (low, high) == (pytest.approx(-0.0046, abs=1e-4), pytest.approx(0.0046, abs=1e-4))


def test_rows_on_which_both_answer_alike_are_no_certainty_of_any_metric():
    gold, a, _ = pair()
    comparison = compare_predictions(gold, a, a)
    for metric in ("f1_macro", "f1_weighted", "mcc"):
        assert comparison.metrics[metric].low < 0 < comparison.metrics[metric].high
    for row in comparison.per_label.values():
        assert row["low"] < 0 < row["high"]
