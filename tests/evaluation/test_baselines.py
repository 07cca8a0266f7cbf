import numpy as np
import pytest
from sklearn import metrics

from hfbertcls.evaluation import baselines
from hfbertcls.evaluation.baselines import TfidfBaseline, majority_baseline


def test_majority_answers_the_most_frequent_training_label():
    gold = np.array([0, 1, 1, 2])
    expected = np.full(4, 2)
    assert majority_baseline(np.array([2, 2, 0]), gold) == {
        "accuracy": 0.25,
        "f1_macro": pytest.approx(metrics.f1_score(gold, expected, average="macro", zero_division=0)),
    }


def test_the_first_of_equally_frequent_labels_wins():
    assert majority_baseline(np.array([1, 0, 1, 0]), np.array([0, 0]))["accuracy"] == 1.0


@pytest.mark.parametrize(
    ("good", "bad", "analyzer"),
    [
        ("a really good film", "a really bad film", "word"),
        ("这部电影非常好看值得推荐", "这部电影非常难看浪费时间", "char"),
        ("! ! !", "? ? ?", "char"),
    ],
)
def test_word_counts_learn_the_label(good, bad, analyzer):
    baseline = TfidfBaseline([good, bad] * 10, np.array([1, 0] * 10))
    assert baseline.scores([bad, good], np.array([0, 1])) == {
        "accuracy": 1.0,
        "f1_macro": 1.0,
        "train_rows": 20,
        "analyzer": analyzer,
    }


def test_of_many_rows_a_seeded_part_is_drawn(monkeypatch):
    monkeypatch.setattr(baselines, "MAX_TRAIN_ROWS", 50)
    texts = [f"word{number} {'good' if number % 2 else 'bad'}" for number in range(200)]
    labels = np.arange(200) % 2
    first, again = (TfidfBaseline(texts, labels, seed=3).scores(texts, labels) for _ in range(2))
    assert first == again
    assert first["train_rows"] == 50
