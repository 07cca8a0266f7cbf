"""The metrics of predicted labels are those of scikit-learn, to the last bit."""

import warnings

import numpy as np
import pytest
from sklearn import metrics

from hfbertcls.tasks.multi_label import MultiLabel
from hfbertcls.tasks.single_label import SingleLabel


NAMES = ("precision", "recall", "f1", "support")


def labels_of(count):
    return tuple(map(str, range(count)))


def by_label(gold, predicted, count):
    table = metrics.precision_recall_fscore_support(gold, predicted, labels=np.arange(count), zero_division=0)
    return [dict(zip(NAMES, values, strict=True)) for values in np.transpose(table).tolist()]


@pytest.mark.parametrize("seed", range(30))
def test_single_label_scores_equal_scikit_learn(seed):
    generator = np.random.default_rng(seed)
    count, rows = int(generator.integers(2, 40)), int(generator.integers(1, 400))
    gold = generator.choice(count, rows, p=generator.dirichlet(np.full(count, 0.5)))
    predicted = np.where(generator.random(rows) < 0.5, gold, generator.integers(0, count, rows))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # (where only one label occurs)
        correlation = metrics.matthews_corrcoef(gold, predicted)
    task = SingleLabel(labels_of(count))
    assert task.answer_metrics(gold, predicted) == {
        "accuracy": metrics.accuracy_score(gold, predicted),
        "f1_macro": metrics.f1_score(gold, predicted, average="macro", zero_division=0),
        "f1_weighted": metrics.f1_score(gold, predicted, average="weighted", zero_division=0),
        "mcc": correlation,
    }
    assert task.per_label(gold, predicted) == by_label(gold, predicted, count)


@pytest.mark.parametrize("seed", range(30))
def test_multi_label_scores_equal_scikit_learn(seed):
    generator = np.random.default_rng(seed)
    count, rows = int(generator.integers(2, 40)), int(generator.integers(2, 400))
    gold = (generator.random((rows, count)) < 0.4 * generator.random(count)).astype(np.int8)
    predicted = np.where(generator.random((rows, count)) < 0.8, gold, 1 - gold).astype(np.int8)
    gold[0, -1] = 1
    gold[:, : count // 3] = predicted[:, : count // 3] = 0
    task = MultiLabel(labels_of(count))
    assert task.answer_metrics(gold, predicted) == {
        "accuracy": metrics.accuracy_score(gold, predicted),
        **{
            f"f1_{how}": metrics.f1_score(gold, predicted, average=how, zero_division=np.nan)
            for how in ("macro", "micro", "weighted")
        },
        "hamming_loss": metrics.hamming_loss(gold, predicted),
    }
    assert task.per_label(gold, predicted) == by_label(gold, predicted, count)
