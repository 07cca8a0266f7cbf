"""The training run, as types: what `training` of `report.json` holds."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from hfbertcls.evaluation.json_form import Count, Rows, Section, further_keys, optional, optional_mapping
from hfbertcls.evaluation.report_evaluation import Metric


Values = Mapping[str, float | None]
"""A number for each metric; None where one is not defined."""


@dataclass(frozen=True, kw_only=True)
class SeedRun(Section):
    """The metrics of a run with another seed."""

    seed: Count
    best_step: Count | None
    evaluation: Mapping[str, Values] = further_keys()
    """The metrics of each split."""


@dataclass(frozen=True, kw_only=True)
class Spread(Section):
    """Mean and standard deviation (with n - 1) of a metric over the runs."""

    mean: float
    sd: float


@dataclass(frozen=True, kw_only=True)
class Average(Section):
    """The validation metric of an average of runs, and whether the average is shipped."""

    method: str
    seeds: tuple[Count, ...]
    metric: str
    validation: float | None
    best_run: float | None
    best_seed: Count
    shipped: bool


@dataclass(frozen=True, kw_only=True)
class Seeds(Section):
    """The same training from other seeds."""

    chosen: Count | None
    metric: str
    runs: tuple[SeedRun, ...]
    summary: Mapping[str, Mapping[str, Spread | None]]
    average: Average | None = optional()


@dataclass(frozen=True, kw_only=True)
class CurvePoint(Section):
    """A training on some of the rows, and its metric on one split: an accuracy, or the error of numbers."""

    rows: Rows
    """Training rows."""
    right: Count | None = optional()
    """How many of the measured rows were answered right; not for numbers."""
    measured: Rows
    """Rows of the split that was measured."""
    accuracy: Metric | None = optional()
    error: Metric | None = optional()
    """Instead of `right` and `accuracy`, for numbers: the metric that `LearningCurve.metric` names."""

    @property
    def shown(self) -> Metric:
        """The metric of the curve, with its interval.

        Raises:
            ValueError: if there is none, which no report has that can be read.
        """
        shown = self.accuracy or self.error
        if shown is None:
            raise ValueError("this point of a learning curve has no metric")
        return shown


@dataclass(frozen=True, kw_only=True)
class PowerLaw(Section):
    """Error = a * rows^-b."""

    a: float
    b: float


@dataclass(frozen=True, kw_only=True)
class Gain(Section):
    """How much better the metric becomes with twice the rows, by a power law: never below 0."""

    rows: Count
    gain: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class LearningCurve(Section):
    """A metric over the number of training rows."""

    split: str
    metric: str = optional("accuracy")
    points: tuple[CurvePoint, ...]
    fit: PowerLaw
    twice: Gain


@dataclass(frozen=True, kw_only=True)
class Phase(Section):
    """A phase of training before the steps of the classifier itself."""

    name: str
    steps: Count
    learning_rate: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class TrainingFacts(Section):
    """The training run: steps, time, speed, options and arguments."""

    best_step: Count | None
    steps: Count
    planned_steps: Count | None = optional()
    epochs: float | None
    seconds: float
    wall_seconds: float | None = optional()
    examples_per_second: float | None = optional()
    tokens_per_second: float | None = optional()
    padding_fraction: float | None = optional()
    flop_utilisation: float | None = optional()
    peak_flops_per_second: float | None = optional()
    peak_memory_bytes: float | None = optional()
    seed: Count | None
    selection_metric: str | None
    selection_value: float | None
    hyperparameters: Mapping[str, Any]
    arguments: Mapping[str, Any]
    options: Mapping[str, Any] = optional_mapping()
    notes: tuple[str, ...] = optional(())
    phases: tuple[Phase, ...] = optional(())
    seeds: Seeds | None = optional()
    learning_curve: LearningCurve | None = optional()

    @property
    def unseeded(self) -> "TrainingFacts":
        """The facts without the seed, wherever it stands in them."""
        hyperparameters, arguments, options = (
            {key: value for key, value in values.items() if key != "seed"}
            for values in (self.hyperparameters, self.arguments, self.options)
        )
        return replace(self, seed=None, hyperparameters=hyperparameters, arguments=arguments, options=options)
