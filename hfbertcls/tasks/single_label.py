"""Single-label classification: exactly one label a text."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hfbertcls.tasks.calibration_error import expected_calibration_error
from hfbertcls.tasks.cells import Column, are_quantities, holds_lists, ids_of
from hfbertcls.tasks.counted import CountedRows, count_rows
from hfbertcls.tasks.probabilities import Answers, Floats, Logits, softmax
from hfbertcls.tasks.task import Task, Temperature
from hfbertcls.tasks.temperature import of_softmax
from hfbertcls.tasks.weighting import balanced, softmax_losses


if TYPE_CHECKING:
    import torch


_LEAST_LOG_PROBABILITY = float(np.log(1e-6))
"""Of a label that the training rows of a baseline lack."""


class SingleLabel(Task):
    """Exactly one label a text. An answer is the id of a label: answers are int64 of shape `(n,)`."""

    name = "single_label"
    problem_type = "single_label_classification"
    kind = column_kind = "one label"
    cells = pa.string()
    metric_names: ClassVar = {
        "accuracy": "Accuracy",
        "f1_macro": "Macro F1",
        "f1_weighted": "Weighted F1",
        "mcc": "Matthews correlation",
        "log_loss": "Log loss",
        "ece": "Expected calibration error",
        "roc_auc": "ROC-AUC",
        "average_precision": "Average precision",
    }
    slice_metrics = ("accuracy", "f1_macro")
    activation = "Softmax"
    is_one_label = abstains = weighs_labels = True
    why_no_prior = ""
    interval_methods: ClassVar = {
        "accuracy": "wilson",
        "log_loss": "mean",
        "ece": "calibration",
        "roc_auc": "ranking",
        "average_precision": "ranking",
    }
    answer_columns = ("prediction", "score", "scores", "abstained")

    @classmethod
    def fits(cls, columns: Sequence[Column]) -> bool:
        return cls.accepts(columns) and not are_quantities(columns)

    @classmethod
    def accepts(cls, columns: Sequence[Column]) -> bool:
        return not any(holds_lists(column) for column in columns)

    @classmethod
    def as_cells(cls, column: Column) -> Column:
        """As the labels stand in the source; decimal numbers as Python writes them."""
        if pa.types.is_floating(column.type):
            return pa.chunked_array([pa.array([repr(value) for value in column.to_pylist()], pa.string())])
        return super().as_cells(column)

    @classmethod
    def is_of_config(cls, problem_type: str | None, config: Mapping[str, Any]) -> bool:
        """None as well: transformers takes a configuration without one as single-label."""
        return problem_type in (None, cls.problem_type)

    @classmethod
    def from_config(cls, labels: Sequence[str], config: Any) -> Self:
        return cls(tuple(labels))

    def encode(self, column: Column) -> Answers:
        return ids_of(column.to_pylist(), self.labels)

    def decode(self, answers: Answers) -> list[Any]:
        cells: list[Any] = np.array(self.labels, dtype=object)[answers].tolist()
        return cells

    def shown(self, answers: Answers) -> list[str]:
        return self.decode(answers)

    def loss_labels(self, answers: Answers) -> pa.Array:
        return pa.array(answers)

    def from_loss_labels(self, labels: Any) -> Answers:
        return np.asarray(labels).astype(np.int64)

    def has(self, answers: Answers, label: int) -> npt.NDArray[np.bool_]:
        return np.asarray(answers == label)

    def probabilities(self, logits: Logits) -> Floats:
        return softmax(logits)

    def decide(self, logits: Logits) -> Answers:
        """The likeliest label; of equal logits the first one, as in `pipeline()`."""
        return np.asarray(logits.argmax(axis=1).astype(np.int64))

    def fit_temperature(self, gold: Answers, logits: Logits) -> Temperature | None:
        return of_softmax(gold, logits.astype(np.float64))

    def balanced_weights(self, gold: Answers) -> Floats:
        return balanced(self.support(gold))

    def label_losses(
        self,
        logits: "torch.Tensor",
        labels: "torch.Tensor",
        weights: "torch.Tensor | None",
        gamma: float,
        smooth: float,
    ) -> "tuple[torch.Tensor, torch.Tensor]":
        return softmax_losses(logits, labels, weights, gamma, smooth)

    def row_losses(self, gold: Answers, logits: Logits) -> Floats:
        """Negative natural logarithm of the probability of the gold label."""
        shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
        losses: Floats = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(gold)), gold]
        return losses

    def total_loss(self, gold: Answers, logits: Logits) -> tuple[float, Floats]:
        gradient = softmax(logits)
        gradient[np.arange(len(gold)), gold] -= 1
        return float(self.row_losses(gold, logits).sum()), gradient

    @property
    def metric_keys(self) -> tuple[str, ...]:
        """ROC-AUC and average precision, of two labels only, take the second one as the positive one."""
        names = tuple(self.metric_names)
        return names if len(self.labels) == 2 else names[:-2]

    def answer_metrics(self, gold: Answers, predicted: Answers) -> dict[str, float]:
        """By scikit-learn. F1 averages are over the labels that occur in gold or predictions."""
        from sklearn import metrics  # noqa: PLC0415  (takes a second)

        one_label = len(np.union1d(gold, predicted)) == 1  # no correlation: scikit-learn says 0 too, but warns
        return {
            "accuracy": float(metrics.accuracy_score(gold, predicted)),
            "f1_macro": float(metrics.f1_score(gold, predicted, average="macro", zero_division=0)),
            "f1_weighted": float(metrics.f1_score(gold, predicted, average="weighted", zero_division=0)),
            "mcc": 0.0 if one_label else float(metrics.matthews_corrcoef(gold, predicted)),
        }

    def _compute_metrics(self, gold: Answers, logits: Logits) -> dict[str, float | None]:
        """All metrics. Those of ranking are None if one of the two labels does not occur."""
        from sklearn import metrics  # noqa: PLC0415  (takes a second)

        scores: dict[str, float | None] = {
            **self.answer_metrics(gold, self.decide(logits)),
            "log_loss": float(self.row_losses(gold, logits).mean()),
            "ece": expected_calibration_error(*self.statements(gold, softmax(logits))),
        }
        if len(self.labels) == 2:
            both = 0 < int(gold.sum()) < len(gold)
            margin = logits[:, 1].astype(np.float64) - logits[:, 0]
            scores["roc_auc"] = float(metrics.roc_auc_score(gold, margin)) if both else None
            scores["average_precision"] = float(metrics.average_precision_score(gold, margin)) if both else None
        return scores

    def is_right(self, gold: Answers, predicted: Answers) -> npt.NDArray[np.bool_]:
        return np.equal(gold, predicted)

    def count(self, gold: Answers, *predicted: Answers) -> Sequence[CountedRows]:
        return count_rows(len(self.labels), gold, *predicted)

    def per_label(self, gold: Answers, predicted: Answers) -> list[dict[str, Any]]:
        return metrics_by_label(gold, predicted, len(self.labels))

    def confusion_matrix(self, gold: Answers, predicted: Answers) -> list[list[int]] | None:
        size = len(self.labels)
        counts: list[list[int]] = np.bincount(gold * size + predicted, minlength=size**2).reshape(size, size).tolist()
        return counts

    def statements(self, gold: Answers, probabilities: Floats) -> tuple[Floats, Answers]:
        """A row states how likely its predicted label is."""
        right = probabilities.argmax(axis=1) == gold
        return probabilities.max(axis=1)[:, None], right[:, None]

    def confidence(self, logits: Logits) -> Floats:
        return np.asarray(softmax(logits).max(axis=1))

    def constant_answer(self, answer: Any) -> str:
        return f"Every text gets the label {answer!r}"

    def constant_baseline(self, gold: Answers) -> Answers:
        """The most frequent label; of equally frequent ones, the first."""
        return np.asarray(np.bincount(gold).argmax())

    def linear_model(self, gold: Answers, c: float = 10.0) -> Any:
        return _regression(gold, c, None)

    def weighted_linear_model(self, gold: Answers, c: float, weights: Floats) -> Any:
        """The weights are scaled to a mean of 1 over the rows, so that the regularization stays what it is."""
        scaled = weights / weights[gold].mean()
        return _regression(gold, c, {int(label): float(scaled[label]) for label in np.unique(gold)})

    def linear_logits(self, model: Any, features: Any) -> Logits:
        logits = np.full((len(features), len(self.labels)), _LEAST_LOG_PROBABILITY, dtype=np.float32)
        logits[:, model.classes_] = np.maximum(model.predict_log_proba(features), _LEAST_LOG_PROBABILITY)
        return logits

    def linear_weights(self, model: Any) -> tuple[Floats, Floats]:
        """A label that the training rows lack gets a bias that makes it improbable."""
        coefficients = np.atleast_2d(getattr(model, "coef_", np.zeros((1, model.n_features_in_))))
        intercepts = np.atleast_1d(getattr(model, "intercept_", 0.0)).astype(np.float64)
        if len(model.classes_) == 2:  # (one row of scikit-learn stands for the difference of two logits)
            coefficients, intercepts = (np.concatenate([-one, one]) / 2 for one in (coefficients, intercepts))
        weights = np.zeros((len(self.labels), coefficients.shape[1]))
        biases = np.full(len(self.labels), intercepts.min() + _LEAST_LOG_PROBABILITY)
        weights[model.classes_], biases[model.classes_] = coefficients, intercepts
        return weights, biases

    def answer_table(self, logits: Logits, abstain_below: float) -> dict[str, pa.Array]:
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
        scores = shifted / shifted.sum(axis=1, keepdims=True)
        highest = scores.max(axis=1)
        abstained = highest < abstain_below
        return {
            "prediction": pa.array(self.decode(scores.argmax(axis=1)), pa.string(), mask=abstained),
            "score": pa.array(highest, pa.float32()),
            "scores": pa.array(list(scores), pa.list_(pa.float32())),
            "abstained": pa.array(abstained),
        }


def _regression(gold: Answers, c: float, class_weight: dict[int, float] | None) -> Any:
    from sklearn.dummy import DummyClassifier  # noqa: PLC0415  (takes a second)
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415

    if len(np.unique(gold)) == 1:
        return DummyClassifier()  # (no regression can be fitted to rows of one label)
    return LogisticRegression(C=c, max_iter=1_000, class_weight=class_weight)


def metrics_by_label(gold: Answers, predicted: Answers, num_labels: int) -> list[dict[str, Any]]:
    """Precision, recall, F1 and support (rows with the label) of each label, in label order."""
    from sklearn import metrics  # noqa: PLC0415  (takes a second)

    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        gold, predicted, labels=np.arange(num_labels), zero_division=0
    )
    return [
        {"precision": float(p), "recall": float(r), "f1": float(f), "support": int(s)}
        for p, r, f, s in zip(precision, recall, f1, support, strict=True)
    ]
