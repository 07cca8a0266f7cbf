"""A task that this file alone knows: trained, reported, verified and put on a card, by the package as it is.

Its answers are counts (how many stars, how many replies): no labels, no probabilities, a loss and metrics of its own.
"""

import json
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pytest

from hfbertcls.cli import main
from hfbertcls.evaluation.report import Report
from hfbertcls.modeling.predictions import Predictions
from hfbertcls.repository.verify import verify_directory
from hfbertcls.tasks.cells import are_quantities
from hfbertcls.tasks.known import TASKS
from hfbertcls.tasks.task import Task


class CountedPairs:
    """Rows as their own kinds, for the bootstrap."""

    def __init__(self, gold, predicted):
        self.counts = np.ones(len(gold), dtype=np.int64)
        self._errors = np.abs(gold - predicted)

    def metrics_of(self, tables):
        rows = tables.sum(axis=1)
        return {
            "mae": (tables * self._errors).sum(axis=1) / rows,
            "rmse": np.sqrt((tables * self._errors**2).sum(axis=1) / rows),
        }


class Rate(Task):
    """A number above 0 for each text. The logit is its logarithm; answers are float64 of shape `(n,)`."""

    name = "rate"
    problem_type = "regression"
    kind = column_kind = "a number above 0"
    cells = pa.float64()
    has_labels = False
    smooths_labels = False
    states_probabilities = False
    judged_in_points = False
    headline = judged_by = "mae"
    key_metrics = ("mae", "rmse")
    metric_names: ClassVar = {"mae": "Mean absolute error", "rmse": "RMSE", "deviance": "Mean Poisson deviance"}
    lower_is_better = frozenset(metric_names)
    baseline_names: ClassVar = {"mean": "always predicting the mean", "tfidf_poisson": "TF-IDF + Poisson regression"}
    interval_methods: ClassVar = {"deviance": "mean"}
    answer_columns = ("prediction",)
    num_outputs = 1

    def summary(self, *, are_pairs=False):
        return f"Predicts a rate from a {'pair of texts' if are_pairs else 'text'}"

    @classmethod
    def fits(cls, columns):
        return are_quantities(columns)

    accepts = fits

    @classmethod
    def from_config(cls, labels, config):
        return cls(())

    def encode(self, column):
        return column.cast(pa.float64()).to_numpy()

    def decode(self, answers):
        return answers.tolist()

    def shown(self, answers):
        return [f"{answer:.2f}" for answer in answers]

    def loss_labels(self, answers):
        return pa.array(answers, pa.float32())

    def from_loss_labels(self, labels):
        return np.asarray(labels, dtype=np.float64)

    def support(self, answers):
        return np.zeros(0, dtype=np.int64)

    def probabilities(self, logits):
        return np.exp(logits.astype(np.float64))

    def decide(self, logits):
        return np.exp(logits[:, 0].astype(np.float64))

    def loss(self, logits, labels):
        import torch

        return torch.nn.functional.poisson_nll_loss(logits[:, 0], labels)

    def row_losses(self, gold, logits):
        expected = self.decide(logits)
        return 2 * (gold * np.log(gold / expected) - gold + expected)

    def answer_metrics(self, gold, predicted):
        errors = np.abs(gold - predicted)
        return {"mae": float(errors.mean()), "rmse": float(np.sqrt((errors**2).mean()))}

    def _compute_metrics(self, gold, logits):
        deviance = float(self.row_losses(gold, logits).mean())
        return {**self.answer_metrics(gold, self.decide(logits)), "deviance": deviance}

    def is_right(self, gold, predicted):
        return np.isclose(gold, predicted)

    def count(self, gold, *predicted):
        return [CountedPairs(gold, one) for one in predicted]

    def constant_baseline(self, gold):
        return np.float64(gold.mean())

    def linear_model(self, gold, c=10.0):
        from sklearn.linear_model import PoissonRegressor

        return PoissonRegressor(alpha=1e-4)

    def linear_logits(self, model, features):
        return np.log(model.predict(features)).astype(np.float32)[:, None]

    def answer_table(self, logits, abstain_below):
        return {"prediction": pa.array(self.decide(logits), pa.float64())}


def true_rate(text):
    return float(np.exp(0.5 + 1.2 * ("great" in text) - 0.8 * ("dull" in text)))


@pytest.fixture(scope="module")
def ratings(tmp_path_factory, vocabulary):
    """480, 64 and 64 texts whose rate depends on two words, with noise and decimals."""
    directory = tmp_path_factory.mktemp("data") / "ratings"
    directory.mkdir()
    generator = np.random.default_rng(0)
    for name, rows in {"train": 480, "validation": 64, "test": 64}.items():
        lines = ["text,label"]
        for _ in range(rows):
            words = [*generator.choice(vocabulary, 5), *generator.choice(["great", "dull"], generator.integers(0, 2))]
            text = " ".join(words)
            lines.append(f"{text},{true_rate(text) * generator.gamma(40, 1 / 40):.3f}")
        (directory / f"{name}.csv").write_text("\n".join(lines) + "\n")
    return directory


@pytest.fixture(scope="module")
def task():
    """The registered task; others do not know it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TASKS, Rate.name, Rate)
        yield Rate(())


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_model_dir, ratings, task):
    directory = tmp_path_factory.mktemp("rates") / "rates"
    words = ["train", "--model", str(tiny_model_dir), "--dataset", str(ratings), "--output-dir", str(directory)]
    assert main([*words, "--max-steps", "60", "--learning-rate", "0.003", "--eval-every", "20"]) == 0
    return directory


def test_it_is_inferred_from_the_data_and_trained_with_its_own_loss(trained, task):
    report = Report.from_json((trained / "report.json").read_text())
    assert (report.task.type, report.task.labels) == ("rate", ())
    config = json.loads((trained / "config.json").read_text())
    assert (config["problem_type"], list(config["id2label"].values())) == ("regression", ["LABEL_0"])
    data = (trained / "predictions" / "test.parquet").read_bytes()
    predictions = Predictions.from_parquet(data, task)
    assert predictions.predicted.min() > 0, "a squared loss on logarithms would not give rates"
    assert report.test.mae.value == pytest.approx(np.abs(predictions.gold - predictions.predicted).mean())
    assert report.training.selection_metric == "mae", (
        "the headline metric of the task is the default for model selection"
    )
    assert report.test.mae.value < report.test.baselines["mean"].metrics["mae"] / 2


def test_it_is_reported_with_intervals_and_verified(trained, task):
    report = Report.from_json((trained / "report.json").read_text())
    assert set(report.test.metrics) == {"mae", "rmse", "deviance"}
    for metric in report.test.metrics.values():
        assert metric.low < metric.value < metric.high
    assert report.test.verdict.code in ("better", "undecided", "worse")
    assert (report.test.per_label, report.test.confusion_matrix, report.test.reliability) == ({}, None, ())
    verification = verify_directory(trained)
    assert verification.holds, verification.differences
    values = json.loads((trained / "report.json").read_text())
    values["evaluation"]["test"]["metrics"]["rmse"]["value"] *= 0.9
    changed = Report.from_json(json.dumps(values))
    assert changed.test.rmse.value < report.test.rmse.value


def test_its_card_states_its_metrics_and_no_labels(trained, task):
    card = (trained / "README.md").read_text()
    report = Report.from_json((trained / "report.json").read_text())
    assert "Predicts a rate from a text. Fine-tuned from" in card
    assert f"| Mean absolute error (test, 64 rows) | **{report.test.mae.value:.3f}**" in card
    assert "| Always predicting the mean | mean absolute error " in card
    assert "| RMSE (lower is better) |" in card
    for absent in ("Confusion", "## Labels", "accuracy", "F1", "Per label", "Calibration", "label "):
        assert absent not in card, absent
    assert not Path(trained / "plots" / "reliability.png").exists()


def test_a_changed_metric_is_noticed(trained, task, tmp_path):
    import shutil

    copy = Path(shutil.copytree(trained, tmp_path / "rates"))
    text = (copy / "report.json").read_text()
    value = json.loads(text)["evaluation"]["test"]["metrics"]["rmse"]["value"]
    (copy / "report.json").write_text(text.replace(str(value), str(value * 0.9)))
    assert any("metrics.rmse.value" in line for line in verify_directory(copy).differences)
