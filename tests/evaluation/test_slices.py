"""Slices: divided at quartiles or by column, measured with intervals, and the weakest one."""

import numpy as np
import pytest
from scipy.stats import chi2_contingency
from sklearn import metrics

from hfbertcls.evaluation.slices import by_length, slice_metrics, slices_of
from hfbertcls.modeling.predictions import Predictions
from hfbertcls.tasks.single_label import SingleLabel


TWO = SingleLabel(("x", "y"))
THREE = SingleLabel(("x", "y", "z"))


def planted(rows=2_000, weak=0.6, strong=0.9, seed=0):
    """Rows of three slices, of which the second is answered worse."""
    generator = np.random.default_rng(seed)
    gold, members = generator.integers(0, 3, rows), generator.integers(0, 3, rows)
    right = generator.random(rows) < np.where(members == 1, weak, strong)
    return gold, np.where(right, gold, (gold + 1) % 3), members


def test_the_weak_slice_is_the_worst_and_its_metrics_are_those_of_its_rows():
    gold, predicted, members = planted()
    result = slice_metrics(THREE, gold, predicted, ("a", "b", "c"), members)
    assert (result.worst, result.p_value < 1e-10) == ("b", True)
    for index, entry in enumerate(result.slices):
        rows = members == index
        assert entry.rows == rows.sum()
        accuracy, f1 = entry.metrics["accuracy"], entry.metrics["f1_macro"]
        assert accuracy.value == (gold[rows] == predicted[rows]).mean()
        assert f1.value == pytest.approx(metrics.f1_score(gold[rows], predicted[rows], average="macro"))
        assert accuracy.low < accuracy.value < accuracy.high
        assert f1.low < f1.value < f1.high


def test_the_test_equals_scipy_and_raises_few_false_alarms():
    p_values = []
    for seed in range(100):
        gold, predicted, members = planted(weak=0.8, strong=0.8, seed=seed)
        p_value = slice_metrics(THREE, gold, predicted, ("a", "b", "c"), members).p_value
        right = np.bincount(members[gold == predicted], minlength=3)
        table = [right, np.bincount(members, minlength=3) - right]
        assert p_value == pytest.approx(chi2_contingency(table, correction=False).pvalue)
        p_values.append(p_value)
    assert np.mean(np.array(p_values) < 0.05) <= 0.1


def test_a_slice_of_few_rows_has_no_metrics_and_is_never_the_worst():
    gold = np.zeros(100, dtype=np.int64)
    predicted, members = gold.copy(), np.repeat([0, 1, 2], [29, 30, 41])
    predicted[:29] = 1
    predicted[30] = 1
    result = slice_metrics(TWO, gold, predicted, ("few", "enough", "more"), members)
    assert result.slices[0].to_dict() == {"name": "few", "rows": 29, "accuracy": None, "f1_macro": None}
    assert result.worst == "enough"


def test_one_slice_with_metrics_is_no_worst():
    gold = np.zeros(50, dtype=np.int64)
    result = slice_metrics(TWO, gold, gold, ("few", "enough"), np.repeat([0, 1], [5, 45]))
    assert (result.worst, result.p_value) == (None, None)


@pytest.mark.parametrize(
    ("tokens", "names", "members"),
    [
        ([4, 1, 2, 3], ("up to 1 tokens", "2 tokens", "3 tokens", "more than 3 tokens"), [3, 0, 1, 2]),
        ([5, 5, 5, 5, 9], ("up to 5 tokens", "more than 5 tokens"), [0, 0, 0, 0, 1]),
        ([7, 7, 7], ("7 tokens",), [0, 0, 0]),
        (
            [1_000, 10, 2_000, 3_000, 20, 40, 30, 5_000],
            ("up to 20 tokens", "21 to 40 tokens", "41 to 2,000 tokens", "more than 2,000 tokens"),
            [2, 0, 2, 3, 0, 1, 1, 3],
        ),
    ],
)
def test_lengths_are_divided_at_their_quartiles(tokens, names, members):
    result = by_length(np.array(tokens))
    assert result[0] == names
    assert result[1].tolist() == members


def test_columns_come_in_the_order_of_their_names_and_survive_the_file():
    predictions = Predictions(
        task=TWO,
        rows=np.arange(80),
        gold=np.zeros(80, dtype=np.int64),
        logits=np.tile(np.float32([1, 0]), (80, 1)),
        tokens=np.arange(80),
        slices=("web", "app") * 40,
    )
    read = Predictions.from_parquet(predictions.to_parquet(), TWO)
    assert slices_of(read) == slices_of(predictions)
    assert [entry.name for entry in slices_of(read)["by_column"].slices] == ["app", "web"]
    assert [entry.rows for entry in slices_of(read)["by_length"].slices] == [20, 20, 20, 20]


def test_predictions_without_lengths_have_no_slices():
    assert slices_of(Predictions(TWO, np.arange(1), np.array([0]), np.float32([[1, 0]]))) == {}


def test_where_all_slices_have_the_same_accuracy_none_is_the_worst():
    gold = np.zeros(80, dtype=np.int64)
    result = slice_metrics(TWO, gold, gold, ("a", "b"), np.repeat([0, 1], 40))
    assert (result.worst, result.p_value) == (None, None)
    assert [entry.metrics["accuracy"].value for entry in result.slices] == [1.0, 1.0]


def test_macro_f1_is_not_taken_over_labels_that_a_slice_does_not_have():
    gold = np.array([0, 1] * 50)
    members = np.where(gold == 0, 0, 1)
    members[:40] = 2
    predicted = gold.copy()
    predicted[60:70] = 1 - gold[60:70]
    result = slice_metrics(TWO, gold, predicted, ("only the first", "only the second", "both"), members).slices
    assert [entry.metrics["f1_macro"] is None for entry in result] == [True, True, False]
    assert all(entry.metrics["accuracy"] is not None for entry in result)
