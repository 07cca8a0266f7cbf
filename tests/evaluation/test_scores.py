import numpy as np
import pytest
from sklearn import metrics

from hfbertcls.evaluation.intervals import score_with_intervals
from hfbertcls.tasks.counted import CountedRows
from hfbertcls.tasks.probabilities import softmax
from hfbertcls.tasks.single_label import SingleLabel


def task_of(num_labels):
    return SingleLabel(tuple(map(str, range(num_labels))))


def sample(num_labels, rows=400, absent=()):
    generator = np.random.default_rng(num_labels)
    present = np.setdiff1d(np.arange(num_labels), absent)
    gold = generator.choice(present, rows)
    logits = generator.normal(size=(rows, num_labels)).astype(np.float32)
    logits[np.arange(rows), gold] += 1.0
    logits[:, list(absent)] = -50.0
    return gold, logits


CASES = [(2, ()), (3, ()), (20, ()), (3, (1,)), (20, (0, 7, 19))]


def of_matrices(matrices):
    num_labels = matrices.shape[1]
    gold, predicted = np.divmod(np.arange(num_labels**2), num_labels)
    tables = matrices.reshape(len(matrices), -1)
    return CountedRows(tables[0], gold, predicted, num_labels).metrics_of(tables)


@pytest.mark.parametrize(("num_labels", "absent"), CASES)
def test_headline_metrics_equal_scikit_learn(num_labels, absent):
    gold, logits = sample(num_labels, absent=absent)
    task, predicted, probabilities = task_of(num_labels), logits.argmax(axis=1), softmax(logits)
    scores = task.compute_metrics(gold, logits)
    expected = {
        "accuracy": metrics.accuracy_score(gold, predicted),
        "f1_macro": metrics.f1_score(gold, predicted, average="macro"),
        "f1_weighted": metrics.f1_score(gold, predicted, average="weighted"),
        "mcc": metrics.matthews_corrcoef(gold, predicted),
        "log_loss": metrics.log_loss(gold, probabilities, labels=np.arange(num_labels)),
    }
    if num_labels == 2:
        expected["roc_auc"] = metrics.roc_auc_score(gold, probabilities[:, 1])
        expected["average_precision"] = metrics.average_precision_score(gold, probabilities[:, 1])
    assert {name: scores[name] for name in expected} == pytest.approx(expected, abs=1e-7)
    assert scores.keys() == expected.keys() | {"ece"}
    assert scores.keys() == set(task.metric_keys)


@pytest.mark.parametrize(("num_labels", "absent"), CASES)
def test_per_label_metrics_and_confusion_matrix_equal_scikit_learn(num_labels, absent):
    gold, logits = sample(num_labels, absent=absent)
    task, predicted, labels = task_of(num_labels), logits.argmax(axis=1), np.arange(num_labels)
    per_label = task.per_label(gold, predicted)
    expected = metrics.precision_recall_fscore_support(gold, predicted, labels=labels, zero_division=0)
    assert [[row[key] for key in ("precision", "recall", "f1", "support")] for row in per_label] == np.transpose(
        expected
    ).tolist()
    matrix = task.confusion_matrix(gold, predicted)
    assert matrix == metrics.confusion_matrix(gold, predicted, labels=labels).tolist()


@pytest.mark.parametrize(("num_labels", "absent"), CASES)
def test_metrics_of_resampled_matrices_equal_scikit_learn(num_labels, absent):
    gold, logits = sample(num_labels, rows=120, absent=absent)
    task, predicted = task_of(num_labels), logits.argmax(axis=1)
    draws = np.random.default_rng(0).integers(0, len(gold), (8, len(gold)))
    matrices = np.stack([task.confusion_matrix(gold[rows], predicted[rows]) for rows in draws])
    scores = of_matrices(matrices)
    for index, rows in enumerate(draws):
        expected = task.answer_metrics(gold[rows], predicted[rows])
        assert {name: values[index] for name, values in scores.items()} == pytest.approx(expected)


def test_matrices_of_one_label_alone_have_no_correlation_and_no_warning():
    scores = of_matrices(np.array([[[5, 0], [0, 0]], [[0, 0], [5, 0]]]))
    assert scores["mcc"].tolist() == [0.0, 0.0]
    assert scores["accuracy"].tolist() == [1.0, 0.0]


def test_probabilities_of_extreme_logits_are_finite():
    logits = np.array([[1e30, -1e30], [-1e4, 1e4]], dtype=np.float32)
    assert softmax(logits).tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert task_of(2).row_losses(np.array([0, 0]), logits).tolist() == [0.0, 2e4]


def test_ranking_metrics_are_none_where_a_label_is_absent():
    scores = task_of(2).compute_metrics(np.zeros(5, dtype=np.int64), np.ones((5, 2), dtype=np.float32))
    assert scores["roc_auc"] is None
    assert scores["average_precision"] is None


def test_one_label_alone_has_no_correlation_and_no_warning():
    assert task_of(2).answer_metrics(np.ones(3, dtype=np.int64), np.ones(3, dtype=np.int64))["mcc"] == 0.0


def test_no_rows_are_rejected():
    with pytest.raises(ValueError, match=r"no rows: metrics of nothing are not defined. Pass at least one row"):
        score_with_intervals(task_of(2), np.zeros(0, dtype=np.int64), np.zeros((0, 2), dtype=np.float32))
