"""The verdict on the baselines: paired, in one or two sentences."""

from dataclasses import replace

import numpy as np
import pytest

from hfbertcls.evaluation.against_baselines import compare_with_baselines, verdict_on_baselines
from hfbertcls.modeling.predictions import Predictions
from hfbertcls.tasks.multi_label import MultiLabel
from hfbertcls.tasks.ordinal import Ordinal
from hfbertcls.tasks.single_label import SingleLabel


def predictions(right, baseline_right, gold=None):
    """Of a model and TF-IDF that are right on some rows, beside the majority."""
    gold = np.arange(len(right)) % 2 if gold is None else gold
    predicted = np.where(right, gold, 1 - gold)
    baselines = {
        "majority": np.zeros(len(right), dtype=np.int64),
        "tfidf_logreg": np.where(baseline_right, gold, 1 - gold),
    }
    logits = np.eye(2, dtype=np.float32)[predicted]
    return Predictions(SingleLabel(("no", "yes")), np.arange(len(gold)), gold, logits, baselines=baselines)


def verdict_of(split):
    verdict = verdict_on_baselines(split, compare_with_baselines(split, {}))
    return verdict.to_dict()


def test_a_model_that_wins_is_better():
    rows = np.arange(400)
    assert verdict_of(predictions(rows % 10 > 0, rows % 4 > 0)) == {
        "code": "better",
        "sentence": "Better than TF-IDF + logistic regression by 15.0 points of accuracy (95 % interval 10.2 to 19.6)",
    }


def test_a_model_that_loses_is_worse():
    rows = np.arange(400)
    verdict = verdict_of(predictions(rows % 4 > 0, rows % 10 > 0))
    assert verdict["code"] == "worse"
    assert verdict["sentence"] == (
        "Worse than TF-IDF + logistic regression by 15.0 points of accuracy (95 % interval 10.2 to 19.6)"
    )


def test_few_rows_are_undecided():
    rows = np.arange(40)
    verdict = verdict_of(predictions(rows % 10 > 0, rows % 9 > 0))
    assert verdict["code"] == "undecided"
    assert verdict["sentence"].startswith(
        "Not shown to be better than TF-IDF + logistic regression: +2.5 points of accuracy"
    )


def test_mcnemars_exact_test_decides_as_in_compare():
    """Five rows right alone, none wrong alone: Bonett and Price's interval ends above 0, and p is 0.0625."""
    right = np.ones(45, dtype=bool)
    verdict = verdict_of(predictions(right, np.arange(45) >= 5))
    assert verdict["code"] == "undecided"
    assert verdict["sentence"].endswith(
        "+11.1 points of accuracy (95 % interval +0.0 to +21.2; McNemar's exact test: p = 0.062)"
    )
    assert verdict_of(predictions(np.arange(45) >= 5, right))["code"] == "undecided"
    assert verdict_of(predictions(right, np.arange(45) >= 6))["code"] == "better"


def test_a_model_that_predicts_one_label_for_every_text_is_constant():
    gold = np.array([0, 1, 1, 1] * 10)
    verdict = verdict_of(predictions(gold == 1, gold >= 0, gold))
    assert verdict["code"] == "constant"
    assert verdict["sentence"].startswith(
        "Every text gets the label 'yes'. Worse than TF-IDF + logistic regression by 25.0"
    )


def test_a_model_below_the_most_frequent_label_says_so_first():
    gold = np.array([0, 0, 1] * 50)
    right = np.arange(150) % 20 > 7
    verdict = verdict_of(predictions(right, np.arange(150) % 10 > 2, gold))
    assert verdict["sentence"].startswith(
        "Accuracy is worse than always predicting the most frequent label (0.573 against 0.667). "
    )
    assert "TF-IDF + logistic regression" in verdict["sentence"]


def test_without_baselines_only_a_constant_answer_has_a_verdict():
    gold = np.array([0, 1, 1, 1] * 10)
    constant = replace(predictions(gold == 1, gold >= 0, gold), baselines={})
    assert compare_with_baselines(constant, {}) is None
    assert verdict_on_baselines(constant, None).sentence == "Every text gets the label 'yes'"
    assert verdict_on_baselines(replace(predictions(gold > 9, gold >= 0), baselines={}), None) is None


@pytest.mark.parametrize(
    ("answer", "sentence"), [([0, 0], "No text gets a label"), ([1, 0], "Every text gets the same labels: 'no'")]
)
def test_a_multi_label_task_is_judged_by_macro_f1(answer, sentence):
    generator = np.random.default_rng(0)
    gold = (generator.random((200, 2)) < 0.5).astype(np.int8)
    logits = np.where(np.tile(answer, (200, 1)) == 1, 3.0, -3.0).astype(np.float32)
    baselines = {"majority": np.tile(np.int8([1, 1]), (200, 1)), "tfidf_logreg": gold}
    task = MultiLabel(("no", "yes"), (0.5, 0.5))
    split = Predictions(task, np.arange(200), gold, logits, baselines=baselines)
    assert verdict_of(split)["sentence"].startswith(f"{sentence}. Worse than TF-IDF + logistic regression by ")
    assert "points of macro F1" in verdict_of(split)["sentence"]


def test_ordered_labels_are_judged_by_kappa():
    generator = np.random.default_rng(0)
    gold = generator.integers(0, 5, 300)
    near, far = (np.clip(gold + generator.choice([-step, 0, step], 300), 0, 4) for step in (1, 3))
    logits = np.eye(5, dtype=np.float32)[near]
    baselines = {"majority": np.zeros(300, dtype=np.int64), "tfidf_logreg": far}
    split = Predictions(Ordinal(tuple("12345")), np.arange(300), gold, logits, baselines=baselines)
    assert verdict_of(split)["code"] == "better"
    assert " quadratic kappa (95 % interval 0." in verdict_of(split)["sentence"]
    difference = compare_with_baselines(split, {})["tfidf_logreg"].difference
    kappas = [Ordinal(tuple("12345")).answer_metrics(gold, answers)["quadratic_kappa"] for answers in (near, far)]
    assert difference.metric == "quadratic_kappa"
    assert difference.value == pytest.approx(kappas[0] - kappas[1])
