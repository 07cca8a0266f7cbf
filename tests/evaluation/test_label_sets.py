"""Metrics of a multi-label task: those of scikit-learn, and of each resample."""

import warnings

import numpy as np
import pytest
from sklearn import metrics

from hfbertcls.evaluation.compare import Contender, compare_predictions
from hfbertcls.evaluation.intervals import score_with_intervals
from hfbertcls.evaluation.slices import slice_metrics
from hfbertcls.tasks.calibration_error import calibration_error_interval, expected_calibration_error, reliability
from hfbertcls.tasks.counted import count_label_sets
from hfbertcls.tasks.multi_label import MultiLabel
from hfbertcls.tasks.probabilities import sigmoid


TASK = MultiLabel(("p", "q", "r", "s"), (0.5, 0.3, 0.2, 0.4))


def answers(rows=400, seed=0, skill=2.0):
    generator = np.random.default_rng(seed)
    gold = (generator.random((rows, 4)) < (0.5, 0.3, 0.1, 0.2)).astype(np.int8)
    logits = generator.normal(size=gold.shape) + skill * gold - skill / 2 - 0.5
    return gold, logits.astype(np.float32)


def test_the_metrics_are_those_of_scikit_learn():
    gold, logits = answers()
    predicted = TASK.decide(logits)
    np.testing.assert_array_equal(predicted, sigmoid(logits) >= [0.5, 0.3, 0.2, 0.4])
    scores = TASK.compute_metrics(gold, logits)
    assert tuple(scores) == TASK.metric_keys == tuple(MultiLabel.metric_names)
    assert TASK.metric_keys == ("accuracy", "f1_macro", "f1_micro", "f1_weighted", "hamming_loss", "log_loss", "ece")
    assert scores["accuracy"] == metrics.accuracy_score(gold, predicted) == TASK.is_right(gold, predicted).mean()
    assert scores["hamming_loss"] == metrics.hamming_loss(gold, predicted)
    for average in ("macro", "micro", "weighted"):
        assert scores[f"f1_{average}"] == pytest.approx(metrics.f1_score(gold, predicted, average=average))
    expected = np.mean([metrics.log_loss(gold[:, label], sigmoid(logits)[:, label]) for label in range(4)])
    assert scores["log_loss"] == pytest.approx(expected, rel=1e-9)
    for label, row in enumerate(TASK.per_label(gold, predicted)):
        assert row["f1"] == pytest.approx(metrics.f1_score(gold[:, label], predicted[:, label]))
        assert row["support"] == gold[:, label].sum()


def test_scores_of_very_large_logits_are_finite():
    gold, logits = np.int8([[1, 0], [0, 1]]), np.float32([[2000, -2000], [2000, -2000]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sigmoid(logits).tolist() == [[1, 0], [1, 0]]
        assert MultiLabel(("a", "b")).row_losses(gold, logits).tolist() == [0, 2000]


@pytest.mark.parametrize("seed", range(3))
def test_the_metrics_of_a_resample_are_those_of_its_rows(seed):
    gold, logits = answers(rows=60, seed=seed)
    predicted = TASK.decide(logits)
    (rows,) = count_label_sets(gold, predicted)
    table = np.random.default_rng(seed).multinomial(60, rows.counts / 60)
    drawn = np.repeat(np.arange(len(table)), table)
    expected = TASK.answer_metrics(rows.gold[drawn], rows.predicted[drawn])
    scores = rows.metrics_of(table[None])
    assert {name: value[0] for name, value in scores.items()} == pytest.approx(expected)
    by_label = [row["f1"] for row in TASK.per_label(rows.gold[drawn], rows.predicted[drawn])]
    assert np.nan_to_num(rows.f1_by_label(table[None])[0]) == pytest.approx(by_label)


def test_labels_that_occur_nowhere_do_not_count_in_the_average():
    gold, predicted = np.int8([[1, 0, 0], [0, 0, 1]]), np.int8([[1, 0, 0], [0, 0, 0]])
    assert MultiLabel(("a", "b", "c")).answer_metrics(gold, predicted)["f1_macro"] == pytest.approx(0.5)
    (rows,) = count_label_sets(gold, predicted)
    assert rows.metrics_of(rows.counts[None])["f1_macro"][0] == pytest.approx(0.5)


def test_rows_without_any_label_have_metrics_too():
    task, nothing = MultiLabel(("a", "b", "c")), np.zeros((5, 3), dtype=np.int8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert task.answer_metrics(nothing, nothing) == {
            "accuracy": 1.0, "f1_macro": 0.0, "f1_micro": 0.0, "f1_weighted": 0.0, "hamming_loss": 0.0,
        }  # fmt: skip
        one_given = nothing.copy()
        one_given[0, 0] = 1
        assert task.answer_metrics(nothing, one_given)["f1_weighted"] == 0.0
        (rows,) = count_label_sets(nothing, one_given)
        assert rows.metrics_of(rows.counts[None])["f1_weighted"][0] == 0.0


def test_kinds_are_counted_with_their_labels():
    one, other = np.int8([[1, 0], [0, 1], [1, 0], [1, 0]]), np.int8([[0, 0], [1, 1], [0, 0], [0, 1]])
    (counted,) = count_label_sets(one, other)
    kinds = zip(counted.gold.tolist(), counted.predicted.tolist(), counted.counts.tolist(), strict=True)
    assert {(tuple(a), tuple(b)): count for a, b, count in kinds} == {
        ((1, 0), (0, 0)): 2,
        ((0, 1), (1, 1)): 1,
        ((1, 0), (0, 1)): 1,
    }


def test_every_interval_contains_its_metric_and_shrinks_with_the_rows():
    few, many = (score_with_intervals(TASK, *answers(rows=rows, seed=1)) for rows in (200, 5_000))
    for name, interval in few.items():
        assert interval.low <= interval.value <= interval.high, name
        assert many[name].high - many[name].low < interval.high - interval.low, name


def test_in_simulation_the_intervals_cover():
    """The metrics of 200,000 rows lie within the intervals of 300 in about 95 of 100 samples."""
    truth = TASK.compute_metrics(*answers(rows=200_000, seed=99))
    covered = dict.fromkeys(truth, 0)
    for seed in range(120):
        for name, interval in score_with_intervals(TASK, *answers(rows=300, seed=seed)).items():
            covered[name] += interval.low <= truth[name] <= interval.high
    assert {name: count for name, count in covered.items() if not 108 <= count <= 120} == {}


def test_reliability_is_that_of_every_score():
    gold, logits = answers()
    bins = reliability(*TASK.statements(gold, sigmoid(logits)))
    assert bins.count.sum() == gold.size
    assert (bins.count * bins.accuracy).sum() == pytest.approx(gold.sum())
    assert (bins.count * bins.confidence).sum() == pytest.approx(sigmoid(logits).sum())


def test_slices_have_their_own_metrics():
    gold, logits = answers()
    predicted, members = TASK.decide(logits), np.repeat([0, 1], 200)
    first, second = slice_metrics(TASK, gold, predicted, ("a", "b"), members).slices
    assert first.metrics["accuracy"].value == metrics.accuracy_score(gold[:200], predicted[:200])
    assert second.metrics["f1_macro"].value == pytest.approx(
        metrics.f1_score(gold[200:], predicted[200:], average="macro")
    )


def test_two_classifiers_are_compared_by_the_rows_on_which_all_labels_are_right():
    (gold, a), (_, b) = answers(rows=1_500, skill=2.0), answers(rows=1_500, skill=3.5)
    b_task = MultiLabel(TASK.labels, TASK.thresholds[::-1])
    comparison = compare_predictions(gold, Contender(TASK, a), Contender(b_task, b))
    right_a = TASK.is_right(gold, TASK.decide(a))
    right_b = TASK.is_right(gold, b_task.decide(b))
    assert (comparison.only_a_right, comparison.only_b_right) == (
        (right_a & ~right_b).sum(),
        (right_b & ~right_a).sum(),
    )
    gap = comparison.metrics["f1_macro"]
    assert comparison.verdict == (
        f"B is better by {100 * gap.difference:.1f} points of macro F1, 95 % interval {100 * gap.low:.1f} to {100 * gap.high:.1f}"
    )
    for name, expected in b_task.compute_metrics(gold, b).items():
        assert comparison.metrics[name].b == expected
    for name in ("accuracy", "f1_macro", "f1_micro", "f1_weighted", "hamming_loss", "log_loss"):
        row = comparison.metrics[name]
        assert row.low < row.difference < row.high, name
    assert comparison.per_label["r"]["support"] == gold[:, 2].sum()
    same = compare_predictions(gold, Contender(TASK, a), Contender(TASK, a))
    assert (same.p_value, same.metrics["f1_macro"].difference, same.rows_needed) == (1.0, 0.0, None)
    assert same.verdict.startswith("this test split cannot tell them apart (B minus A: +0.0 points of macro F1")


@pytest.mark.parametrize("factor", [1.0, 1.5])
def test_the_calibration_error_covers_though_the_labels_of_a_row_depend_on_each_other(factor):
    """Every row has all of its twelve labels, or hardly one: the scores count like a twelfth of their number."""

    task = MultiLabel(tuple(map(str, range(12))))

    def drawn(rows, seed):
        generator = np.random.default_rng(seed)
        logits = np.repeat(2 * generator.normal(size=(rows, 1)), 12, axis=1) + 0.1 * generator.normal(size=(rows, 12))
        gold = (generator.random((rows, 1)) < sigmoid(logits)).astype(np.int8)
        return task.statements(gold, sigmoid(factor * logits))

    true = 0.0 if factor == 1 else expected_calibration_error(*drawn(100_000, 99))
    ends = [calibration_error_interval(*drawn(300, seed)) for seed in range(100)]
    assert sum(low <= true <= high for low, high in ends) >= 90
    assert np.mean([high - low for low, high in ends]) < 0.12
