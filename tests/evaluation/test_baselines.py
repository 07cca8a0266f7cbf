from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics

from hfbertcls.data.texts import TextPair
from hfbertcls.evaluation import baselines
from hfbertcls.evaluation.baselines import Baselines, TfidfBaseline
from hfbertcls.tasks.multi_label import MultiLabel
from hfbertcls.tasks.ordinal import Ordinal
from hfbertcls.tasks.regression import Regression
from hfbertcls.tasks.single_label import SingleLabel


TWO = SingleLabel(("bad", "good"))
COLOURS = MultiLabel(("red", "green", "blue"))


def test_majority_is_the_most_frequent_training_label_and_of_equally_frequent_ones_the_first():
    assert SingleLabel(("a", "b", "c")).constant_baseline(np.array([2, 2, 0])) == 2
    assert TWO.constant_baseline(np.array([1, 0, 1, 0])) == 0


def test_both_baselines_predict_every_row_by_name():
    baselines = Baselines(TWO, ["a good film", "a bad film"] * 10 + ["a bad film"], np.array([1, 0] * 10 + [0]))
    predicted = baselines.predict(["bad", "good"])
    assert {name: answers.tolist() for name, answers in predicted.items()} == {
        "majority": [0, 0],
        "tfidf_logreg": [0, 1],
    }
    assert baselines.fitted_on == {"majority": {}, "tfidf_logreg": {"train_rows": 21, "analyzer": "word"}}


def test_pairs_are_two_blocks_of_features_and_the_second_text_alone_is_a_baseline():
    """Which text the word is in decides; the second text alone is the same in all rows."""
    pairs = [TextPair("a good film", "a plain film"), TextPair("a bad film", "a plain film")] * 10
    swapped = [TextPair(second, first) for first, second in pairs]
    gold = np.array([1, 0] * 20)
    both = Baselines(TWO, pairs, gold[:20])
    assert both.predict(pairs[:2])["tfidf_logreg"].tolist() == [1, 0]
    assert len(set(both.predict(pairs)["tfidf_logreg_second_text"].tolist())) == 1
    assert both.fitted_on["tfidf_logreg_second_text"] == {"train_rows": 20, "analyzer": "word"}
    opposite = np.concatenate([gold[:20], 1 - gold[:20]])
    assert TfidfBaseline(TWO, pairs + swapped, opposite).predict([*pairs[:2], *swapped[:2]]).tolist() == [1, 0, 0, 1]
    assert TWO.names_of_baselines["tfidf_logreg_second_text"] == "TF-IDF + logistic regression, second text alone"


@pytest.mark.parametrize("task", [TWO, COLOURS, Regression(()), Ordinal(("1", "2"))])
def test_the_space_has_a_name_for_every_baseline(task):
    names = (Path(__file__).parents[2] / "spaces" / "text-classification" / "about.py").read_text()
    assert [key for key in task.names_of_baselines if f'"{key}": "' not in names] == []


def test_a_text_of_a_pair_without_words_is_counted_by_characters():
    baseline = TfidfBaseline(
        TWO, [TextPair("a plain film", "! !"), TextPair("a plain film", "? ?")] * 10, np.array([1, 0] * 10)
    )
    assert baseline.analyzer == "word and char"
    assert baseline.predict([TextPair("a plain film", "? ?"), TextPair("a plain film", "! !")]).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("good", "bad", "analyzer"),
    [
        ("a really good film", "a really bad film", "word"),
        ("这部电影非常好看值得推荐", "这部电影非常难看浪费时间", "char"),
        ("! ! !", "? ? ?", "char"),
    ],
)
def test_word_counts_learn_the_label(good, bad, analyzer):
    baseline = TfidfBaseline(TWO, [good, bad] * 10, np.array([1, 0] * 10))
    assert baseline.predict([bad, good]).tolist() == [0, 1]
    assert (baseline.train_rows, baseline.analyzer) == (20, analyzer)


def test_of_many_rows_a_seeded_part_is_drawn(monkeypatch):
    monkeypatch.setattr(baselines, "MAX_TRAIN_ROWS", 50)
    texts = [f"word{number} {'good' if number % 2 else 'bad'}" for number in range(200)]
    labels = np.arange(200) % 2
    first, again = (TfidfBaseline(TWO, texts, labels, seed=3) for _ in range(2))
    assert np.array_equal(first.logits(texts), again.logits(texts))
    assert first.train_rows == 50


def multi_label(rows=300, seed=0):
    """Texts of a multi-label task with three labels, whose words depend on the labels, with some noise."""
    generator = np.random.default_rng(seed)
    gold = (generator.random((rows, 3)) < (0.5, 0.3, 0.1)).astype(np.int8)
    texts = []
    for row in gold:
        seen = np.where(generator.random(3) < 0.9, row, 0)
        texts.append(
            " ".join(["a", "text", *(word for word, on in zip(("red", "green", "blue"), seen, strict=True) if on)])
        )
    return texts, gold


def test_the_majority_of_a_multi_label_task_is_its_most_frequent_set():
    assert MultiLabel(("a", "b")).constant_baseline(np.int8([[1, 1], [1, 1], [1, 0]])).tolist() == [1, 1]


def test_tfidf_learns_a_multi_label_task_with_thresholds_from_held_out_rows():
    baseline = TfidfBaseline(COLOURS, *multi_label())
    texts, gold = multi_label(seed=1)
    predicted = baseline.predict(texts)
    assert metrics.f1_score(gold, predicted, average="macro") > 0.85
    assert baseline.train_rows == 300
    assert baseline.num_parameters > 3


def test_a_label_that_no_training_row_has_is_not_predicted():
    texts, gold = multi_label()
    gold[:, 2] = 0
    baseline = TfidfBaseline(COLOURS, texts, gold)
    assert np.isfinite(baseline.logits(texts[:5])).all()
    assert baseline.task.decide(baseline.logits(texts))[:, 2].sum() == 0


def test_rows_times_labels_are_limited(monkeypatch):
    monkeypatch.setattr(baselines, "_MAX_ANSWERS", 300)
    assert TfidfBaseline(COLOURS, *multi_label()).train_rows == 100
