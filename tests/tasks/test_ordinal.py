"""Ordered labels: where their order comes from, and metrics of ranks."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from transformers import BertConfig

from hfbertcls import load_text_dataset
from hfbertcls.errors import ConfigurationError
from hfbertcls.modeling.heads import describe_task
from hfbertcls.tasks.known import task_of_config
from hfbertcls.tasks.ordinal import ORDERED, Ordinal
from hfbertcls.tasks.single_label import SingleLabel


def write(path, labels, rows=400):
    path.write_text("text,label\n" + "".join(f"text {row},{labels[row % len(labels)]}\n" for row in range(rows)))
    return str(path)


@pytest.mark.parametrize(
    ("labels", "order"),
    [(["10", "9", "1"], ("1", "9", "10")), (["0.5", "-1", "10.0"], ("-1", "0.5", "10.0"))],
)
def test_numbers_are_ordered_by_value(tmp_path, labels, order):
    data = load_text_dataset(write(tmp_path / "a.csv", labels), task="ordinal")
    assert data.task == Ordinal(order)


def test_words_need_a_declared_order(tmp_path):
    path = write(tmp_path / "a.csv", ["bad", "fair", "good"])
    with pytest.raises(
        ConfigurationError, match="needs the order of the labels, and 'bad', 'fair', 'good' is no number. Name all"
    ):
        load_text_dataset(path, task="ordinal")
    data = load_text_dataset(path, task="ordinal", labels=["bad", "fair", "good"])
    assert data.task == Ordinal(("bad", "fair", "good"))


def test_without_a_request_labels_have_no_order(tmp_path):
    assert type(load_text_dataset(write(tmp_path / "a.csv", ["1", "2"])).task) is SingleLabel


def test_the_configuration_says_that_labels_are_ordered_until_another_task_is_trained():
    config, task = BertConfig(), Ordinal(("1", "2", "3"))
    describe_task(config, task)
    assert config.problem_type == "single_label_classification"
    assert vars(config)[ORDERED] is True
    assert task_of_config(config) == task
    describe_task(config, SingleLabel(("a", "b")))
    assert ORDERED not in vars(config)
    assert type(task_of_config(config)) is SingleLabel


@pytest.mark.parametrize("labels", [2, 5])
def test_the_metrics_of_ranks_are_those_of_their_definition(labels):
    generator = np.random.default_rng(labels)
    task = Ordinal(tuple(map(str, range(labels))))
    gold = generator.integers(0, labels, 300)
    predicted = np.clip(gold + generator.integers(-2, 3, 300), 0, labels - 1)
    metrics = task.answer_metrics(gold, predicted)
    assert metrics["quadratic_kappa"] == pytest.approx(cohen_kappa_score(gold, predicted, weights="quadratic"))
    assert metrics["rank_mae"] == pytest.approx(np.abs(gold - predicted).mean())
    assert metrics["off_by_one"] == pytest.approx((np.abs(gold - predicted) <= 1).mean())
    (counted,) = task.count(gold, predicted)
    tables = generator.multinomial(300, counted.counts / 300, size=3)
    for table, kappa in zip(tables, counted.metrics_of(tables)["quadratic_kappa"], strict=True):
        some = np.repeat(counted.gold, table), np.repeat(counted.predicted, table)
        assert kappa == pytest.approx(cohen_kappa_score(*some, weights="quadratic"))


def test_equal_ranks_have_no_agreement_beyond_chance():
    task = Ordinal(("1", "2"))
    assert task.answer_metrics(np.array([1, 1]), np.array([1, 1]))["quadratic_kappa"] == 0
    assert task.answer_metrics(np.array([0, 1]), np.array([1, 1]))["quadratic_kappa"] == 0


def test_the_keys_of_metrics_are_in_the_order_of_the_computed_ones():
    for labels in (("1", "2"), ("1", "2", "3")):
        task = Ordinal(labels)
        logits = np.eye(len(labels), dtype=np.float32)[[0, 1, 0, 1]]
        assert set(task.compute_metrics(np.array([0, 1, 1, 0]), logits)) == set(task.metric_keys)
