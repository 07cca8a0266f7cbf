import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hfbertcls.evaluation.metrics import classification_scores, probability_scores
from hfbertcls.evaluation.metrics.classification_scores import ClassificationScores
from hfbertcls.evaluation.metrics.probability_scores import ProbabilityScores
from hfbertcls.tasks.single_label import SingleLabel


TASK = SingleLabel(("no", "yes"))
GENERATOR = np.random.default_rng(0)
GOLD = GENERATOR.integers(0, 2, 50)
LOGITS = GENERATOR.normal(size=(50, 2)).astype(np.float32)
PREDICTED = LOGITS.argmax(axis=1)


@pytest.fixture
def metric(tmp_path):
    return ClassificationScores(cache_dir=str(tmp_path))


def test_label_metric_equals_that_of_the_task(metric):
    assert metric.compute(predictions=PREDICTED, references=GOLD) == TASK.answer_metrics(GOLD, PREDICTED)


def test_label_metric_takes_batches_and_single_rows(metric):
    metric.add_batch(predictions=PREDICTED[:40].tolist(), references=GOLD[:40].tolist())
    for prediction, reference in zip(PREDICTED[40:], GOLD[40:], strict=True):
        metric.add(prediction=int(prediction), reference=int(reference))
    assert metric.compute() == TASK.answer_metrics(GOLD, PREDICTED)


def test_probability_metric_equals_that_of_the_task(tmp_path):
    scores = ProbabilityScores(cache_dir=str(tmp_path)).compute(predictions=LOGITS, references=GOLD)
    names = ("log_loss", "ece", "roc_auc", "average_precision")
    assert scores == pytest.approx({name: TASK.compute_metrics(GOLD, LOGITS)[name] for name in names})


@pytest.mark.parametrize("wrong", [[0.9, 0.1], ["0", "1"], [True, False]])
def test_predictions_that_are_no_ids_are_rejected(metric, wrong):
    with pytest.raises(ValueError, match=r"predictions must be label ids \(integers\), got .*\. Pass the ids"):
        metric.compute(predictions=wrong, references=[1, 0])
    with pytest.raises(ValueError, match=r"prediction must be label ids \(integers\), got .*\. Pass the ids"):
        metric.add(prediction=wrong[0], reference=1)


def test_references_that_are_no_ids_are_rejected(metric):
    with pytest.raises(ValueError, match=r"references must be label ids \(integers\), got float64\. Pass the ids"):
        metric.compute(predictions=[1, 0], references=[0.9, 0.1])


def test_modules_load_by_path_without_a_network(tmp_path):
    script = """
import json, sys, evaluate
labels, probabilities = (evaluate.load(path) for path in sys.argv[1:])
print(json.dumps([
    labels.compute(predictions=[0, 1, 1, 0], references=[0, 1, 0, 0]),
    probabilities.compute(predictions=[[1.0, 0.0], [0.0, 1.0]], references=[0, 1]),
]))
"""
    paths = [str(Path(module.__file__)) for module in (classification_scores, probability_scores)]
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "HF_EVALUATE_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script, *paths], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    labels, probabilities = json.loads(done.stdout.splitlines()[-1])
    assert labels["accuracy"] == 0.75
    assert probabilities["roc_auc"] == 1.0
