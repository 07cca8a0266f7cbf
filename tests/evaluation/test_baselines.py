import numpy as np
import pytest
from sklearn import metrics

from hfbertcls.evaluation import baselines
from hfbertcls.evaluation.baselines import TfidfBaseline, majority_baseline
from hfbertcls.modeling.predictions import predict_labels


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


def several_labels(rows=300, seed=0):
    """Texts whose words say which of three labels they have, with some noise."""
    generator = np.random.default_rng(seed)
    gold = (generator.random((rows, 3)) < (0.5, 0.3, 0.1)).astype(np.int8)
    texts = []
    for row in gold:
        seen = np.where(generator.random(3) < 0.9, row, 0)
        texts.append(
            " ".join(["a", "text", *(word for word, on in zip(("red", "green", "blue"), seen, strict=True) if on)])
        )
    return texts, gold


def test_of_several_labels_the_most_frequent_set_is_the_answer():
    train, gold = np.int8([[1, 1], [1, 1], [1, 0]]), np.int8([[1, 1], [0, 0]])
    found = majority_baseline(train, gold)
    assert found == {"accuracy": 0.5, "f1_macro": pytest.approx(2 / 3)}


def test_words_tell_several_labels_with_thresholds_from_rows_that_the_regressions_did_not_see():
    baseline = TfidfBaseline(*several_labels())
    texts, gold = several_labels(seed=1)
    scores = baseline.scores(texts, gold)
    assert scores["f1_macro"] > 0.85
    assert scores["train_rows"] == 300
    predicted = predict_labels(baseline.logits(texts, 3), baseline.thresholds)
    assert scores["accuracy"] == metrics.accuracy_score(gold, predicted)
    assert baseline.num_parameters > 3


def test_a_label_that_no_training_row_has_is_not_given():
    texts, gold = several_labels()
    gold[:, 2] = 0
    baseline = TfidfBaseline(texts, gold)
    assert np.isfinite(baseline.logits(texts[:5], 3)).all()
    assert predict_labels(baseline.logits(texts, 3), baseline.thresholds)[:, 2].sum() == 0


def test_of_many_rows_with_many_labels_so_many_are_drawn_as_can_be_learnt(monkeypatch):
    monkeypatch.setattr(baselines, "_MAX_ANSWERS", 300)
    assert TfidfBaseline(*several_labels()).train_rows == 100
