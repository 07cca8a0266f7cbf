import numpy as np
import pytest
from sklearn import metrics

from hfbertcls.evaluation.intervals import mean_interval, score_with_intervals, wilson_interval
from hfbertcls.evaluation.ranking import Ranking
from hfbertcls.evaluation.report_evaluation import Metric
from hfbertcls.evaluation.resampling import bca, tables_without_one_row
from hfbertcls.tasks.counted import count_rows
from hfbertcls.tasks.ordinal import Ordinal
from hfbertcls.tasks.single_label import SingleLabel


def task_of(num_labels):
    return SingleLabel(tuple(map(str, range(num_labels))))


def sample(num_labels, rows=200, seed=0):
    generator = np.random.default_rng(seed)
    gold = generator.integers(0, num_labels, rows)
    logits = generator.normal(size=(rows, num_labels)).astype(np.float32)
    logits[np.arange(rows), gold] += 1.5
    return gold, logits


@pytest.mark.parametrize("num_labels", [2, 3, 20])
def test_intervals_contain_the_value(num_labels):
    for interval in score_with_intervals(task_of(num_labels), *sample(num_labels)).values():
        assert 0 <= interval.low <= interval.value < interval.high
        assert interval.high - interval.low < 0.5


def test_intervals_repeat_with_a_seed_and_follow_it():
    assert score_with_intervals(task_of(2), *sample(2), seed=1) == score_with_intervals(task_of(2), *sample(2), seed=1)
    assert score_with_intervals(task_of(2), *sample(2), seed=1) != score_with_intervals(task_of(2), *sample(2), seed=2)


def test_intervals_do_not_depend_on_how_rows_are_held_in_memory(monkeypatch):
    whole = score_with_intervals(task_of(2), *sample(2))
    monkeypatch.setattr("hfbertcls.evaluation.ranking._CELLS_PER_CHUNK", 200 * 77)
    monkeypatch.setattr("hfbertcls.evaluation.resampling._CELLS_PER_CHUNK", 4 * 77)
    assert score_with_intervals(task_of(2), *sample(2)) == whole


def test_more_rows_give_narrower_intervals():
    few, many = (score_with_intervals(task_of(2), *sample(2, rows))["accuracy"] for rows in (100, 1_600))
    assert (few.high - few.low) == pytest.approx(4 * (many.high - many.low), rel=0.35)


def test_accuracy_interval_agrees_with_the_binomial_one():
    gold, logits = sample(2, 1_000)
    interval = score_with_intervals(task_of(2), gold, logits)["accuracy"]
    half = 1.96 * np.sqrt(interval.value * (1 - interval.value) / 1_000)
    assert (interval.high - interval.low) / 2 == pytest.approx(half, rel=0.1)


def test_ranking_metrics_that_are_not_defined_have_no_interval():
    gold = np.zeros(20, dtype=np.int64)
    scores = score_with_intervals(task_of(2), gold, sample(2, 20)[1])
    assert scores["roc_auc"] == scores["average_precision"] == Metric(None, None, None)
    assert scores["accuracy"].value is not None


def test_one_row_is_enough():
    scores = score_with_intervals(task_of(2), np.array([1]), np.array([[0.0, 3.0]], dtype=np.float32))
    assert scores["accuracy"] == Metric(1.0, pytest.approx(0.2065, abs=1e-4), 1.0)
    assert scores["f1_macro"] == scores["accuracy"]


@pytest.mark.parametrize(("rows", "reach"), [(3, 1.0), (100, 0.196), (10_000, 0.0196)])
def test_a_constant_answer_does_not_prove_that_there_is_no_correlation(rows, reach):
    gold, logits = np.arange(rows) % 3, np.tile(np.float32([2, 1, 0]), (rows, 1))
    scores = score_with_intervals(Ordinal(tuple("abc")), gold, logits)
    for name in ("mcc", "quadratic_kappa"):
        assert scores[name] == Metric(0.0, pytest.approx(-reach, rel=0.03), pytest.approx(reach, rel=0.03))


@pytest.mark.parametrize("decimals", [6, 1, 0], ids=["distinct", "some ties", "many ties"])
def test_ranking_of_resamples_equals_scikit_learn(decimals):
    gold, logits = sample(2, 60)
    logits = np.round(logits, decimals)
    margin = logits[:, 1].astype(np.float64) - logits[:, 0]
    rows = np.random.default_rng(0).integers(0, 60, (20, 60), dtype=np.int32)
    scores = Ranking.of(gold, logits).metrics_of(rows)
    for index, drawn in enumerate(rows):
        assert scores["roc_auc"][index] == pytest.approx(metrics.roc_auc_score(gold[drawn], margin[drawn]))
        expected = metrics.average_precision_score(gold[drawn], margin[drawn])
        assert scores["average_precision"][index] == pytest.approx(expected)


def test_ranking_of_a_resample_without_one_label_is_not_a_number():
    gold, logits = np.array([0, 1]), np.array([[0, 1], [1, 0]], dtype=np.float32)
    scores = Ranking.of(gold, logits).metrics_of(np.array([[0, 0], [1, 1], [0, 1]], dtype=np.int32))
    assert np.isnan(scores["roc_auc"]).tolist() == [True, True, False]
    assert np.isnan(scores["average_precision"]).tolist() == [True, True, False]


@pytest.mark.parametrize(("hits", "rows"), [(0, 1), (1, 1), (3, 10), (95, 100), (500, 1_000), (1_000, 1_000)])
def test_wilson_equals_scipy(hits, rows):
    from scipy.stats import binomtest

    expected = binomtest(hits, rows).proportion_ci(method="wilson")
    assert wilson_interval(hits, rows) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_the_mean_of_skewed_losses_is_covered():
    generator = np.random.default_rng(0)
    covered, plain = [], []
    for _ in range(1_000):
        losses = generator.lognormal(sigma=1.2, size=100)
        low, high = mean_interval(losses)
        assert low <= losses.mean() <= high
        half = 1.96 * losses.std(ddof=1) / 10
        covered.append(low <= np.exp(0.72) <= high)
        plain.append(losses.mean() - half <= np.exp(0.72) <= losses.mean() + half)
    assert np.mean(plain) < 0.915 < np.mean(covered)


def test_a_mean_without_spread_is_a_point():
    assert mean_interval(np.full(5, 0.25)) == (0.25, 0.25)


def test_drawn_tables_have_the_metrics_that_scikit_learn_gives_for_their_rows():
    gold, logits = sample(5, 80)
    predicted = logits.argmax(axis=1)
    (rows,) = count_rows(5, gold, predicted)
    pairs = np.unique(gold * 5 + predicted)
    tables = np.random.default_rng(0).multinomial(80, rows.counts / 80, size=10)
    scores = rows.metrics_of(tables)
    for index, table in enumerate(tables):
        drawn = np.repeat(pairs, table)
        expected = task_of(5).answer_metrics(drawn // 5, drawn % 5)
        assert {name: values[index] for name, values in scores.items()} == pytest.approx(expected)


def test_leaving_one_row_out_gives_the_metrics_of_the_others():
    gold, logits = sample(3, 30)
    predicted = logits.argmax(axis=1)
    (rows,) = count_rows(3, gold, predicted)
    scores = np.concatenate([rows.metrics_of(tables)["f1_macro"] for tables in tables_without_one_row(rows.counts, 3)])
    for index, pair in enumerate(np.unique(gold * 3 + predicted)):
        kept = np.delete(np.arange(30), np.flatnonzero(gold * 3 + predicted == pair)[0])
        assert scores[index] == pytest.approx(task_of(3).answer_metrics(gold[kept], predicted[kept])["f1_macro"])


def test_bca_equals_scipy_for_a_mean():
    from scipy.stats import bootstrap

    values = np.random.default_rng(0).lognormal(size=40)
    expected = bootstrap((values,), np.mean, method="BCa", n_resamples=9_999, rng=np.random.default_rng(1))
    generator = np.random.default_rng(2)
    draws = values[generator.integers(0, 40, (9_999, 40))].mean(axis=1)
    left_out = (values.sum() - values) / 39
    bounds = bca(float(values.mean()), draws, left_out, np.ones(40, dtype=np.int64), 0.95)
    interval = expected.confidence_interval
    assert bounds == pytest.approx((interval.low, interval.high), rel=0.02)


@pytest.mark.parametrize("num_labels", [2, 200])
def test_many_rows_and_labels_take_seconds_and_no_memory(num_labels):
    generator = np.random.default_rng(0)
    gold = generator.integers(0, num_labels, 20_000)
    predicted = np.where(generator.random(20_000) < 0.7, gold, generator.integers(0, num_labels, 20_000))
    from hfbertcls.evaluation.resampling import count_intervals

    low, high = count_intervals(task_of(num_labels), gold, predicted, 0.95, 0)["f1_macro"]
    assert 0.6 < low < high < 0.9


@pytest.mark.parametrize("rows", [8, 300])
def test_rows_that_are_all_right_or_all_wrong_make_nothing_certain(rows):
    gold = np.arange(rows) % 2
    for right in (True, False):
        logits = np.eye(2, dtype=np.float32)[gold if right else 1 - gold]
        scores = score_with_intervals(task_of(2), gold, logits)
        for name in ("f1_macro", "f1_weighted", "roc_auc"):
            assert (scores[name].low, scores[name].high) == pytest.approx(
                (scores["accuracy"].low, scores["accuracy"].high), abs=1e-9
            )
            assert scores[name].high - scores[name].low > 0.01
