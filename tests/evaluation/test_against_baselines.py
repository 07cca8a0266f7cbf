"""The verdict against the baselines: one sentence, paired, that names what to try where the model does not win."""

from dataclasses import replace

import numpy as np
import pytest

from hfbertcls.evaluation.against_baselines import compare_with_baselines, verdict_on_baselines
from hfbertcls.modeling.predictions import Predictions
from hfbertcls.tasks.multi_label import MultiLabel
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


def verdict_of(found):
    verdict = verdict_on_baselines(found, compare_with_baselines(found, {}))
    return verdict.to_dict()


def test_a_model_that_wins_is_said_to_win():
    rows = np.arange(400)
    assert verdict_of(predictions(rows % 10 > 0, rows % 4 > 0)) == {
        "code": "better",
        "sentence": "Better than TF-IDF + logistic regression by 15.0 points of accuracy (95 % interval 10.2 to 19.6)",
    }


def test_a_model_that_loses_is_told_with_what_to_try():
    rows = np.arange(400)
    found = verdict_of(predictions(rows % 4 > 0, rows % 10 > 0))
    assert found["code"] == "worse"
    assert found["sentence"] == (
        "Worse than TF-IDF + logistic regression by 15.0 points of accuracy (95 % interval 10.2 to 19.6). "
        "Try more epochs, a higher learning rate, more rows or another encoder"
    )


def test_few_rows_cannot_tell():
    rows = np.arange(40)
    found = verdict_of(predictions(rows % 10 > 0, rows % 9 > 0))
    assert found["code"] == "undecided"
    assert found["sentence"].startswith(
        "Not shown to be better than TF-IDF + logistic regression: +2.5 points of accuracy"
    )


def test_a_model_that_gives_every_text_the_same_label_is_told():
    gold = np.array([0, 1, 1, 1] * 10)
    found = verdict_of(predictions(gold == 1, gold >= 0, gold))
    assert found["code"] == "constant"
    assert found["sentence"].startswith(
        "Every text gets the label 'yes'. Worse than TF-IDF + logistic regression by 25.0"
    )


def test_without_baselines_only_a_constant_answer_is_told():
    gold = np.array([0, 1, 1, 1] * 10)
    constant = replace(predictions(gold == 1, gold >= 0, gold), baselines={})
    assert compare_with_baselines(constant, {}) is None
    assert verdict_on_baselines(constant, None).sentence.startswith("Every text gets the label 'yes'. Try more epochs")
    assert verdict_on_baselines(replace(predictions(gold > 9, gold >= 0), baselines={}), None) is None


@pytest.mark.parametrize(
    ("answer", "told"), [([0, 0], "No text gets a label"), ([1, 0], "Every text gets the same labels: 'no'")]
)
def test_a_multi_label_task_is_judged_by_macro_f1(answer, told):
    generator = np.random.default_rng(0)
    gold = (generator.random((200, 2)) < 0.5).astype(np.int8)
    logits = np.where(np.tile(answer, (200, 1)) == 1, 3.0, -3.0).astype(np.float32)
    baselines = {"majority": np.tile(np.int8([1, 1]), (200, 1)), "tfidf_logreg": gold}
    task = MultiLabel(("no", "yes"), (0.5, 0.5))
    found = Predictions(task, np.arange(200), gold, logits, baselines=baselines)
    assert verdict_of(found)["sentence"].startswith(f"{told}. Worse than TF-IDF + logistic regression by ")
    assert "points of macro F1" in verdict_of(found)["sentence"]
