"""Regression: one number a text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hfbertcls.errors import ModelError
from hfbertcls.tasks.cells import Column, are_numbers
from hfbertcls.tasks.influence import influence_of_pearson, influence_of_spearman, pearson_and_variance_without_each
from hfbertcls.tasks.probabilities import Answers, Floats, Logits
from hfbertcls.tasks.task import Task


if TYPE_CHECKING:
    import torch


TARGET_SCALE = "hfbertcls_target_mean_and_scale"
"""The key of `config.json` of a checkpoint whose logits are standardized: they times the second, plus the first."""


@dataclass(frozen=True)
class Regression(Task):
    """One number a text. Answers are float64 of shape `(n,)`.

    A finished model has the number itself as its logit. While it is trained, its logits are standardized: `mean` and
    `scale` are then those of the training targets.

    Args:
        labels: none.
        mean: what is added to a logit that was multiplied by `scale`.
        scale: above 0.
    """

    name = "regression"
    problem_type = "regression"
    kind = column_kind = "a number"
    cells = pa.float64()
    is_requested = True
    has_labels = False
    smooths_labels = False
    states_probabilities = False
    judged_in_points = False
    headline = curve_metric = "rmse"
    judged_by = "mae"
    key_metrics = ("rmse", "mae")
    metric_names: ClassVar = {
        "pearson": "Pearson correlation",
        "spearman": "Spearman correlation",
        "mae": "Mean absolute error",
        "rmse": "RMSE",
        "r2": "R²",
    }
    lower_is_better = frozenset({"mae", "rmse"})
    baseline_names: ClassVar = {
        "mean": "always predicting the mean",
        "tfidf_ridge": "TF-IDF + ridge regression",
        "frozen_ridge": "frozen encoder + ridge regression",
    }
    slice_metrics = ("mae", "rmse")
    slice_test = "Kruskal-Wallis test"
    interval_methods: ClassVar = {
        "pearson": "fisher",
        "spearman": "fisher",
        "mae": "errors",
        "rmse": "root",
        "r2": "unexplained",
    }
    too_narrow_below: ClassVar = {"rmse": 100, "r2": 100}
    answer_columns = ("prediction",)
    num_outputs = 1

    mean: float = 0.0
    scale: float = 1.0

    @classmethod
    def fits(cls, columns: Sequence[Column]) -> bool:
        """Never: numbers may be classes, so the task must be requested."""
        return False

    @classmethod
    def accepts(cls, columns: Sequence[Column]) -> bool:
        return all(are_numbers(column) for column in columns)

    config_keys = (TARGET_SCALE,)

    @classmethod
    def from_config(cls, labels: Sequence[str], config: Any) -> Self:
        """The task of a model; its logits are standardized if the configuration states mean and scale.

        Raises:
            ModelError: if these are no numbers, or the scale is not above 0.
        """
        values = vars(config).get(TARGET_SCALE)
        if values is None:
            return cls(())
        if not (
            isinstance(values, list)
            and len(values) == 2
            and all(type(one) in (int, float) and isfinite(one) for one in values)
            and values[1] > 0
        ):
            raise ModelError(
                f"{TARGET_SCALE} in config.json is {values!r}. Expected a number and a number above 0; correct it, or train "
                "the model again"
            )
        return cls((), *map(float, values))

    @property
    def config_values(self) -> dict[str, Any]:
        return {} if (self.mean, self.scale) == (0.0, 1.0) else {TARGET_SCALE: [self.mean, self.scale]}

    def configure(self, config: Any) -> None:
        super().configure(config)
        vars(config).pop(TARGET_SCALE, None)

    def while_trained_on(self, gold: Answers, *, has_bias: bool = True) -> Self:
        """With mean and standard deviation of the targets; without a bias, only with the root of their mean square."""
        mean = float(gold.mean()) if has_bias else 0.0
        return type(self)((), mean, float(np.sqrt(((gold - mean) ** 2).mean())) or 1.0)

    @property
    def output_scale(self) -> tuple[float, float]:
        return self.scale, self.mean

    def summary(self, *, are_pairs: bool = False) -> str:
        return f"Predicts a number from a {'pair of texts' if are_pairs else 'text'}"

    def encode(self, column: Column) -> Answers:
        return column.cast(pa.float64()).to_numpy(zero_copy_only=False) if len(column) else np.zeros(0)

    def decode(self, answers: Answers) -> list[Any]:
        numbers: list[Any] = np.asarray(answers, dtype=np.float64).tolist()
        return numbers

    def shown(self, answers: Answers) -> list[str]:
        return [f"{answer:.4g}" for answer in answers.tolist()]

    def loss_labels(self, answers: Answers) -> pa.Array:
        return pa.array(answers, pa.float64())

    def from_loss_labels(self, labels: Any) -> Answers:
        return np.asarray(labels, dtype=np.float64)

    def support(self, answers: Answers) -> npt.NDArray[np.int64]:
        return np.zeros(0, dtype=np.int64)

    def probabilities(self, logits: Logits) -> Floats:
        return logits.astype(np.float64) * self.scale + self.mean

    def decide(self, logits: Logits) -> Answers:
        """The number itself; in training, on the scale of the targets."""
        return self.probabilities(logits)[:, 0]

    def loss(self, logits: "torch.Tensor", labels: "torch.Tensor") -> "torch.Tensor":
        """The mean squared error of standardized numbers."""
        import torch  # noqa: PLC0415  (takes seconds)

        targets = (labels.double() - self.mean) / self.scale
        return torch.nn.functional.mse_loss(logits[:, 0].float(), targets.float())

    def row_losses(self, gold: Answers, logits: Logits) -> Floats:
        """The squared error of each standardized number."""
        return np.asarray(((self.decide(logits) - gold) / self.scale) ** 2)

    def metric_in_sentence(self, metric: str) -> str:
        return "mean absolute error" if metric == "mae" else self.metric_names[metric]

    def answer_metrics(self, gold: Answers, predicted: Answers) -> dict[str, float]:
        """All metrics that are defined: no correlation with a constant, no R² of a constant target."""
        from scipy import stats  # noqa: PLC0415  (takes a second)

        errors = predicted - gold
        squared, spread = float((errors**2).mean()), float(gold.var())
        metrics = {"mae": float(np.abs(errors).mean()), "rmse": squared**0.5}
        if spread > 0:
            metrics["r2"] = 1 - squared / spread
        if _varies(gold) and _varies(predicted):
            metrics["pearson"] = float(stats.pearsonr(gold, predicted).statistic)
            metrics["spearman"] = float(stats.spearmanr(gold, predicted).statistic)
        return metrics

    def _compute_metrics(self, gold: Answers, logits: Logits) -> dict[str, float | None]:
        defined = self.answer_metrics(gold, self.decide(logits))
        return {name: defined.get(name) for name in self.metric_names}

    def influences(self, gold: Answers, predicted: Answers) -> Mapping[str, Floats]:
        defined = self.answer_metrics(gold, predicted)
        errors = predicted - gold
        influences = {"mae": np.abs(errors) - defined["mae"]}
        if defined["rmse"] > 0:
            influences["rmse"] = (errors**2 - defined["rmse"] ** 2) / (2 * defined["rmse"])
        else:
            influences["rmse"] = np.zeros(len(gold))
        if "r2" in defined:
            spread = gold.var()
            influences["r2"] = (1 - defined["r2"]) * (gold - gold.mean()) ** 2 / spread - errors**2 / spread
        if "pearson" in defined:
            influences["pearson"] = influence_of_pearson(gold, predicted)
            influences["spearman"] = influence_of_spearman(gold, predicted)
        return influences

    def without_each_row(self, gold: Answers, predicted: Answers) -> Mapping[str, Floats]:
        pearson, spread = pearson_and_variance_without_each(gold, predicted)
        squared = (predicted - gold) ** 2
        with np.errstate(divide="ignore", invalid="ignore"):  # (of one row nothing is left)
            return {"pearson": pearson, "r2": 1 - (squared.sum() - squared) / (len(gold) - 1) / spread}

    def is_right(self, gold: Answers, predicted: Answers) -> npt.NDArray[np.bool_]:
        """Whether the numbers are the same, but for rounding."""
        return np.isclose(gold, predicted, rtol=1e-5, atol=1e-8)

    def is_about_same(self, one: Answers, other: Answers) -> npt.NDArray[np.bool_]:
        """Whether numbers differ by at most 5 % of the standard deviation of the first ones."""
        return np.asarray(np.abs(one - other) <= 0.05 * one.std() + 1e-5 * np.abs(one))

    def changes(self, before: Answers, after: Answers) -> Mapping[str, float]:
        moved = np.abs(after - before)
        relative = float(np.sqrt((moved**2).mean())) / (float(before.std()) or max(1.0, float(np.abs(before).max())))
        return {"largest": float(moved.max()), "mean": float(moved.mean()), "relative": relative}

    wins_in_words = "Nearer to the number: A on {:,} rows, B on {:,}; sign test: p = {:.2g}"

    def wins(self, gold: Answers, by_a: Answers, by_b: Answers) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        away_a, away_b = np.abs(gold - by_a), np.abs(gold - by_b)
        return away_a < away_b, away_b < away_a

    def constant_answer(self, answer: Any) -> str:
        return f"Every text gets the number {answer:.4g}"

    def constant_baseline(self, gold: Answers) -> Answers:
        return np.asarray(np.float64(gold.mean()))

    def linear_model(self, gold: Answers, c: float = 10.0) -> Any:
        from hfbertcls.tasks.ridge import CrossValidatedRidge  # noqa: PLC0415  (loads scikit-learn)

        return CrossValidatedRidge()

    def linear_logits(self, model: Any, features: Any) -> Logits:
        predicted = np.asarray(model.predict(features), dtype=np.float64)
        return ((predicted - self.mean) / self.scale).astype(np.float32)[:, None]

    def linear_weights(self, model: Any) -> tuple[Floats, Floats]:
        return model.coef_[None] / self.scale, np.array([(model.intercept_ - self.mean) / self.scale])

    def answer_table(self, logits: Logits, abstain_below: float) -> dict[str, pa.Array]:
        """The numbers, with no more digits than single precision has."""
        shortest = [float(str(number)) for number in self.decide(logits).astype(np.float32)]
        return {"prediction": pa.array(shortest, pa.float64())}


def _varies(numbers: Answers) -> bool:
    """Whether numbers differ by more than rounding, so that a correlation with them has a meaning."""
    return len(numbers) > 1 and float(np.ptp(numbers)) > 1e-9 * max(1e-30, float(np.abs(numbers).max()))
