"""The metrics of a split, as types: what `evaluation` of `report.json` holds."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from hfbertcls.evaluation.json_form import Count, Rows, Section, Sha256, further_keys, optional


CROSS_VALIDATION = "cross_validation"
"""The evaluation of training rows by models of the same procedure that were not trained on them."""
OUT_OF_FOLD: Literal["out_of_fold"] = "out_of_fold"
_DECIDED_ON = ("validation", CROSS_VALIDATION)
Temperatures = float | tuple[float, ...]
"""One for all labels; one for each, in label order, where labels do not exclude each other."""


def split_of(evaluation: str) -> str:
    """The split whose rows an evaluation has.

    >>> split_of("test"), split_of("cross_validation")
    ('test', 'train')
    """
    return "train" if evaluation == CROSS_VALIDATION else evaluation


def evaluation_name(evaluation: str, article: str = "the ") -> str:
    """An evaluation in a sentence, or in a heading.

    >>> evaluation_name("test"), evaluation_name("test", article=""), evaluation_name("cross_validation")
    ('the test split', 'test split', 'cross-validation')
    """
    return "cross-validation" if evaluation == CROSS_VALIDATION else f"{article}{evaluation} split"


def shown_first(evaluation: Mapping[str, "Evaluation"]) -> str:
    """The split whose metrics stand first: test, unless cross-validation has more rows than it."""
    if "test" not in evaluation:
        return next(iter(evaluation))
    folds = evaluation.get(CROSS_VALIDATION)
    return "test" if folds is None or folds.rows <= evaluation["test"].rows else CROSS_VALIDATION


def within(evaluation: str) -> str:
    """An evaluation as a place in a sentence.

    >>> within("test"), within("cross_validation")
    ('on the test split', 'in cross-validation')
    """
    return f"{'in' if evaluation == CROSS_VALIDATION else 'on'} {evaluation_name(evaluation)}"


def decided_on(evaluations: Collection[str]) -> str | None:
    """The evaluation on which temperature and decision thresholds were fitted; None if there is none."""
    return next((name for name in _DECIDED_ON if name in evaluations), None)


@dataclass(frozen=True)
class Metric(Section):
    """A metric with the ends of its 95 % interval; all None where it is not defined for the rows.

    >>> Metric(0.91, 0.89, 0.93)
    Metric(value=0.91, low=0.89, high=0.93)
    """

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class LabelMetrics(Section):
    """Precision, recall and F1 of one label, and how many rows have it."""

    precision: float
    recall: float
    f1: float
    support: Count


@dataclass(frozen=True, kw_only=True)
class Bin(Section):
    """Rows (or scores) of similar confidence, and the fraction that is right."""

    rows: Count
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True, kw_only=True)
class Slice(Section):
    """The rows of one slice with their metrics; each None where there are too few rows."""

    name: str
    rows: Count
    metrics: Mapping[str, Metric | None] = further_keys()


@dataclass(frozen=True, kw_only=True)
class Slices(Section):
    """A split by the length of the text or by a column, and whether the slices differ by more than chance."""

    slices: tuple[Slice, ...]
    worst: str | None
    p_value: float | None


@dataclass(frozen=True, kw_only=True)
class Coverage(Section):
    """Accuracy where only the rows with the highest scores are answered."""

    coverage: float
    rows: Count
    score: float
    accuracy: Metric


@dataclass(frozen=True, kw_only=True)
class Calibration(Section):
    """The temperature in the weights, and the metrics before and after it."""

    temperature: Temperatures
    fitted_on: str
    log_loss_before: float | None
    log_loss_after: float | None
    ece_before: float | None
    ece_after: float | None


@dataclass(frozen=True, kw_only=True)
class Adjustment(Section):
    """The shift of the logits for other class priors, and the metrics of the same weights without it."""

    prior: Mapping[str, float] | None = optional()
    """The class priors that the scores are for, where the report has no `training.options`."""
    shift: Mapping[str, float]
    """Of each label, before the temperature."""
    temperature_before: float | None
    """The temperature that fits the logits without the shift; the metrics before are those with it."""
    before: Mapping[str, float]
    recall_before: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Difference(Section):
    """The model less a baseline on the same rows, with the ends of its 95 % interval."""

    metric: str
    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Baseline(Section):
    """The metrics of a baseline, what it was fitted on, and the paired difference to it."""

    metrics: Mapping[str, float] = further_keys()
    train_rows: Count | None = optional()
    analyzer: str | None = optional()
    pooling: str | None = optional()
    difference: Difference | None = optional()


@dataclass(frozen=True, kw_only=True)
class Verdict(Section):
    """Whether the model is better than the best baseline: a code and a sentence."""

    code: str
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Evaluation(Section):
    """Every metric of one split; each is an attribute too (`report.test.accuracy`)."""

    kind: Literal["out_of_fold"] | None = optional()
    """Set where the predictions are those of models that were trained on other rows of the train split."""
    folds: Count | None = optional()
    """How many such models there were."""
    rows: Rows
    predictions_sha256: Sha256
    metrics: Mapping[str, Metric]
    per_label: Mapping[str, LabelMetrics]
    confusion_matrix: tuple[tuple[Count, ...], ...] | None
    reliability: tuple[Bin, ...]
    slices: Mapping[str, Slices]
    abstaining: tuple[Coverage, ...]
    calibration: Calibration | None
    adjustment: Adjustment | None = optional()
    baselines: Mapping[str, Baseline] | None
    truncated: Baseline | None = optional()
    """The same weights where long texts are truncated; None where that is how they are read."""
    verdict: Verdict | None = optional()
    bf16_agreement: float | None = optional()
    trained_on: Count | None = optional()
    """How many of the rows have a text that the model, or the one that training began with, was trained on; None if unknown."""

    def __getattr__(self, name: str) -> Metric:
        metrics: Mapping[str, Metric] = self.__dict__.get("metrics", {})
        if name in metrics:
            return metrics[name]
        raise AttributeError(f"there is no metric {name!r}; there are {', '.join(metrics)}")

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.metrics})

    def __repr__(self) -> str:
        defined = {name: one for name, one in self.metrics.items() if one.value is not None}
        lines = [
            f"  {name}: {one.value:.3f}" + ("" if one.low is None else f" ({one.low:.3f} to {one.high:.3f})")
            for name, one in defined.items()
        ]
        return "\n".join([f"{self.rows:,} rows, with 95 % intervals", *lines])
