"""Multi-label classification: any number of labels a text, or none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hfbertcls.errors import ModelError
from hfbertcls.tasks.calibration_error import expected_calibration_error
from hfbertcls.tasks.cells import Column, holds_lists, ids_of
from hfbertcls.tasks.counted import CountedLabelSets, count_label_sets
from hfbertcls.tasks.probabilities import Answers, Floats, Logits, sigmoid
from hfbertcls.tasks.single_label import metrics_by_label
from hfbertcls.tasks.task import Task, Temperature
from hfbertcls.tasks.temperature import FEWEST_ROWS, of_sigmoid
from hfbertcls.tasks.thresholds import fit_thresholds
from hfbertcls.tasks.weighting import balanced_positives, sigmoid_losses


if TYPE_CHECKING:
    import torch


THRESHOLDS = "hfbertcls_thresholds"
"""The key of `config.json` with the decision threshold of each label."""
_LEAST_PROBABILITY = 1e-6
_LARGEST_LOGIT = float(-np.log(_LEAST_PROBABILITY))


@dataclass(frozen=True)
class MultiLabel(Task):
    """Any number of labels a text, or none. Answers are int8 of shape `(n, num_labels)`, 1 for each label of a row.

    Args:
        labels: in the order of their ids.
        thresholds: the decision threshold of each label, in label order; None: 0.5 for each.
    """

    name = "multi_label"
    problem_type = "multi_label_classification"
    kind = "any number of labels"
    column_kind = "lists of labels"
    baseline_names: ClassVar = {**Task.baseline_names, "majority": "always predicting the most frequent set of labels"}
    cells = pa.list_(pa.string())
    # MiniLM was better with 1.6e-4 than with 8e-5 and not worse than with 3e-4 (benchmarks/RESULTS.md). BERT-base was
    # published with 5e-5 (Demszky et al., "GoEmotions", ACL 2020).
    learning_rate_factor = 2.0
    smooths_labels = False
    weighs_labels = True
    why_no_prior = "the decision threshold of each label is fitted to its scores, so another prior changes no answer"
    judged_by = "f1_macro"  # (hardly any row gets exactly its labels)
    metric_names: ClassVar = {
        "accuracy": "Accuracy (all labels right)",
        "f1_macro": "Macro F1",
        "f1_micro": "Micro F1",
        "f1_weighted": "Weighted F1",
        "hamming_loss": "Hamming loss",
        "log_loss": "Log loss",
        "ece": "Expected calibration error",
    }
    lower_is_better = frozenset({"hamming_loss", "log_loss", "ece"})
    slice_metrics = ("accuracy", "f1_macro")
    key_metrics = ("accuracy", "f1_macro", "f1_micro")
    activation = "Sigmoid"
    fits_decision = answers_are_lists = True
    config_keys = (THRESHOLDS,)
    interval_methods: ClassVar = {"accuracy": "wilson", "log_loss": "mean", "ece": "calibration"}
    answer_columns = ("prediction", "scores")

    thresholds: tuple[float, ...] | None = None

    @classmethod
    def fits(cls, columns: Sequence[Column]) -> bool:
        return all(holds_lists(column) for column in columns)

    @classmethod
    def accepts(cls, columns: Sequence[Column]) -> bool:
        return cls.fits(columns)

    @classmethod
    def from_report(cls, section: Mapping[str, Any]) -> Self:
        thresholds = section.get("thresholds")
        return cls(tuple(section["labels"]), None if thresholds is None else tuple(float(one) for one in thresholds))

    @classmethod
    def from_config(cls, labels: Sequence[str], config: Any) -> Self:
        thresholds = vars(config).get(THRESHOLDS)
        if thresholds is None:
            return cls(tuple(labels), (0.5,) * len(labels))
        fits = isinstance(thresholds, list) and len(thresholds) == len(labels)
        if not fits or not all(type(one) in (float, int) and 0 <= one <= 1 for one in thresholds):
            raise ModelError(
                f"{THRESHOLDS} in config.json is {thresholds!r}. Expected a list of {len(labels)} numbers from 0 to 1, one for each "
                "label; without the key each decision threshold is 0.5"
            )
        return cls(tuple(labels), tuple(float(one) for one in thresholds))

    @classmethod
    def fault_in_report(cls, section: Mapping[str, Any]) -> str | None:
        thresholds = section.get("thresholds")
        fits = isinstance(thresholds, list) and all(type(one) in (float, int) for one in thresholds)
        if thresholds is not None and not (fits and len(thresholds) == len(section["labels"])):
            return "task.thresholds must be one number for each label of a multi-label task"
        return None

    def summary(self, *, are_pairs: bool = False) -> str:
        return f"Gives a {'pair of texts' if are_pairs else 'text'} any of {len(self.labels):,} labels, or none"

    def in_order(self, ids: Sequence[int]) -> Self:
        thresholds = None if self.thresholds is None else tuple(self.thresholds[index] for index in ids)
        return replace(super().in_order(ids), thresholds=thresholds)

    def configure(self, config: Any) -> None:
        super().configure(config)
        vars(config).pop(THRESHOLDS, None)

    def uncalibrated(self, temperature: Temperature) -> Self:
        if self.thresholds is None:
            return self
        thresholds = np.asarray(self.thresholds)
        with np.errstate(divide="ignore"):  # (thresholds of 0 and 1 stay what they are)
            logits = np.log(thresholds) - np.log1p(-thresholds)
        return replace(self, thresholds=tuple(sigmoid(logits * np.asarray(temperature)).tolist()))

    @property
    def config_values(self) -> dict[str, Any]:
        return {} if self.thresholds is None else {THRESHOLDS: list(self.thresholds)}

    @property
    def report_values(self) -> dict[str, Any]:
        return {} if self.thresholds is None else {"thresholds": list(self.thresholds)}

    def encode(self, column: Column) -> Answers:
        answers = np.zeros((len(column), len(self.labels)), dtype=np.int8)
        names = pc.list_flatten(column).to_pylist()
        answers[pc.list_parent_indices(column).to_numpy(), ids_of(names, self.labels)] = 1
        return answers

    def decode(self, answers: Answers) -> list[Any]:
        labels = np.array(self.labels, dtype=object)
        return [labels[np.flatnonzero(row)].tolist() for row in answers]

    def shown(self, answers: Answers) -> list[str]:
        return ["; ".join(names) or "(none)" for names in self.decode(answers)]

    def loss_labels(self, answers: Answers) -> pa.Array:
        offsets = np.arange(len(answers) + 1, dtype=np.int32) * answers.shape[1]
        return pa.ListArray.from_arrays(offsets, answers.ravel().astype(np.float32))

    def from_loss_labels(self, labels: Any) -> Answers:
        if isinstance(labels, pa.ChunkedArray | pa.Array):
            labels = pc.list_flatten(labels).to_numpy().reshape(len(labels), -1)
        return np.asarray(labels).astype(np.int8)

    def has(self, answers: Answers, label: int) -> npt.NDArray[np.bool_]:
        return np.asarray(answers[:, label] == 1)

    def support(self, answers: Answers) -> npt.NDArray[np.int64]:
        return np.asarray(answers.sum(axis=0, dtype=np.int64))

    def probabilities(self, logits: Logits) -> Floats:
        return sigmoid(logits)

    def decide(self, logits: Logits) -> Answers:
        thresholds = np.full(len(self.labels), 0.5) if self.thresholds is None else np.asarray(self.thresholds)
        return np.asarray((sigmoid(logits) >= thresholds).astype(np.int8))

    def fit_decision(self, gold: Answers, logits: Logits) -> Self:
        return replace(self, thresholds=tuple(fit_thresholds(gold, logits).tolist()))

    def with_threshold(self, threshold: float) -> Self:
        return replace(self, thresholds=(threshold,) * len(self.labels))

    def fit_temperature(self, gold: Answers, logits: Logits) -> Temperature | None:
        """One temperature for each label; a common one for labels with fewer than 30 positive or negative rows."""
        if not logits.any():
            return None
        shared = of_sigmoid(gold.ravel(), logits.ravel().astype(np.float64))
        counts = gold.sum(axis=0)
        return [
            of_sigmoid(gold[:, label], logits[:, label].astype(np.float64))
            if FEWEST_ROWS <= counts[label] <= len(gold) - FEWEST_ROWS
            else shared
            for label in range(logits.shape[1])
        ]

    def initial_probabilities(self, support: npt.NDArray[np.int64], rows: int) -> Floats | None:
        """The class priors by Laplace's rule, never quite 0 or 1 (Lin et al., ICCV 2017, section 3.3)."""
        return np.asarray((support + 1) / (rows + 2))

    def balanced_weights(self, gold: Answers) -> Floats:
        """Of the rows that have a label; the others weigh 1."""
        return balanced_positives(self.support(gold), len(gold))

    def label_losses(
        self,
        logits: "torch.Tensor",
        labels: "torch.Tensor",
        weights: "torch.Tensor | None",
        gamma: float,
        smooth: float,
    ) -> "tuple[torch.Tensor, torch.Tensor]":
        """`smooth` is 0: labels that do not exclude each other are not smoothed."""
        return sigmoid_losses(logits, labels, weights, gamma)

    def row_losses(self, gold: Answers, logits: Logits) -> Floats:
        """Mean binary cross-entropy over all labels."""
        # -log(sigmoid(x)) is log(1 + exp(-x)); for an absent label the sign of x changes.
        of_labels: Floats = np.logaddexp(0.0, np.where(gold == 1, -1.0, 1.0) * logits.astype(np.float64))
        return np.asarray(of_labels.mean(axis=1))

    def total_loss(self, gold: Answers, logits: Logits) -> tuple[float, Floats]:
        loss = len(self.labels) * float(self.row_losses(gold, logits).sum())
        return loss, np.asarray(self.probabilities(logits) - gold)

    def answer_metrics(self, gold: Answers, predicted: Answers) -> dict[str, float]:
        """By scikit-learn; F1 averages are over the labels that occur in gold or predictions."""
        from sklearn import metrics  # noqa: PLC0415  (takes a second)

        averages = ("macro", "micro", "weighted")
        anywhere = bool(gold.any() or predicted.any())
        f1 = {
            f"f1_{average}": float(metrics.f1_score(gold, predicted, average=average, zero_division=np.nan))
            if anywhere
            else 0.0
            for average in averages
        }
        if anywhere and not gold.any():  # (no rows to weigh by)
            f1["f1_weighted"] = 0.0
        return {
            "accuracy": float(metrics.accuracy_score(gold, predicted)),
            **f1,
            "hamming_loss": float(metrics.hamming_loss(gold, predicted)),
        }

    def _compute_metrics(self, gold: Answers, logits: Logits) -> dict[str, float | None]:
        return {
            **self.answer_metrics(gold, self.decide(logits)),
            "log_loss": float(self.row_losses(gold, logits).mean()),
            "ece": expected_calibration_error(*self.statements(gold, sigmoid(logits))),
        }

    def is_right(self, gold: Answers, predicted: Answers) -> npt.NDArray[np.bool_]:
        return np.asarray(np.equal(gold, predicted).all(axis=1))

    def count(self, gold: Answers, *predicted: Answers) -> Sequence[CountedLabelSets]:
        return count_label_sets(gold, *predicted)

    def per_label(self, gold: Answers, predicted: Answers) -> list[dict[str, Any]]:
        return metrics_by_label(gold, predicted, len(self.labels))

    def statements(self, gold: Answers, probabilities: Floats) -> tuple[Floats, Answers]:
        """The probability of each label, and whether the row has it."""
        return probabilities, gold

    def confidence(self, logits: Logits) -> Floats:
        """The confidence of the least confident decision on a label."""
        scores = sigmoid(logits)
        return np.asarray(np.where(self.decide(logits) == 1, scores, 1 - scores).min(axis=1))

    def constant_answer(self, answer: Any) -> str:
        return f"Every text gets the same labels: {', '.join(map(repr, answer))}" if answer else "No text gets a label"

    def constant_baseline(self, gold: Answers) -> Answers:
        """The most frequent set of labels; the first of those that tie."""
        sets, counts = np.unique(gold, axis=0, return_counts=True)
        return np.asarray(sets[counts.argmax()])

    def linear_model(self, gold: Answers, c: float = 10.0) -> Any:
        from sklearn.linear_model import LogisticRegression  # noqa: PLC0415  (takes a second)
        from sklearn.multiclass import OneVsRestClassifier  # noqa: PLC0415

        return OneVsRestClassifier(LogisticRegression(C=c, solver="liblinear"))

    def weighted_linear_model(self, gold: Answers, c: float, weights: Floats) -> Any:
        return _WeightedOneVsRest(c, weights)

    def linear_logits(self, model: Any, features: Any) -> Logits:
        probabilities = np.clip(model.predict_proba(features), _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
        odds: Floats = probabilities / (1 - probabilities)
        return np.log(odds).astype(np.float32)

    def linear_weights(self, model: Any) -> tuple[Floats, Floats]:
        """A label that no training row has, or that each has, gets a bias alone."""
        width = next((one.coef_.shape[1] for one in model.estimators_ if hasattr(one, "coef_")), model.n_features_in_)
        weights, biases = np.zeros((len(self.labels), width)), np.zeros(len(self.labels))
        for label, regression in enumerate(model.estimators_):
            if hasattr(regression, "coef_"):
                weights[label], biases[label] = regression.coef_[0], regression.intercept_[0]
            else:
                biases[label] = _LARGEST_LOGIT if regression.predict(np.zeros((1, width)))[0] else -_LARGEST_LOGIT
        return weights, biases

    def answer_table(self, logits: Logits, abstain_below: float) -> dict[str, pa.Array]:
        """The predicted labels, highest score first, and the score of every label."""
        predicted = self.decide(logits).astype(np.bool_)
        orders = np.argsort(-logits, axis=1, kind="stable")  # (of equal scores the first label stands first)
        labels = np.array(self.labels, dtype=object)
        answers = [labels[order[row[order]]].tolist() for order, row in zip(orders, predicted, strict=True)]
        return {
            "prediction": pa.array(answers, pa.list_(pa.string())),
            "scores": pa.array(list(sigmoid(logits)), pa.list_(pa.float32())),
        }


class _WeightedOneVsRest:
    """scikit-learn's `OneVsRestClassifier` with a weight of its own for the positive rows of each label."""

    def __init__(self, c: float, weights: Floats) -> None:
        self._c, self._weights = c, weights

    def fit(self, features: Any, answers: Answers) -> None:
        """Fit one regression for each label; a constant answer where all rows are the same."""
        from sklearn.dummy import DummyClassifier  # noqa: PLC0415  (takes a second)
        from sklearn.linear_model import LogisticRegression  # noqa: PLC0415

        self.estimators_ = []
        for column, weight in zip(answers.T, self._weights, strict=True):
            by_class = {0: 1.0, 1: float(weight)}
            regression = LogisticRegression(C=self._c, solver="liblinear", class_weight=by_class)
            is_mixed = 0 < column.sum() < len(column)
            self.estimators_.append((regression if is_mixed else DummyClassifier()).fit(features, column))
        self.n_features_in_ = features.shape[1]
