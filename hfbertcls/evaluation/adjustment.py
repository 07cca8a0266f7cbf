"""Logit adjustment: class priors other than those of the training rows, and what they change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from hfbertcls.evaluation.report_evaluation import Adjustment
from hfbertcls.evaluation.temperature import fit_temperature
from hfbertcls.tasks.calibration_error import expected_calibration_error
from hfbertcls.tasks.label_numbers import LabelNumbers, numbers_in_order
from hfbertcls.tasks.probabilities import Answers, Floats, Logits
from hfbertcls.tasks.task import Task, Temperature
from hfbertcls.tasks.weighting import balanced


def logit_shift(
    prior: LabelNumbers, weights: LabelNumbers, labels: Sequence[str], support: npt.NDArray[np.int64]
) -> Floats:
    """What is added to the logit of each label: log(target prior) - log(training prior), of shape `(num_labels,)`.

    Post-hoc logit adjustment (Menon et al., "Long-tail learning via logit adjustment", ICLR 2021), for any target
    prior instead of the uniform one (Saerens et al., "Adjusting the outputs of a classifier to new a priori
    probabilities", Neural Computation 2002). A loss with class weights trains for the priors that the weighted rows
    have, so these are the training priors then. A label without training rows counts as if it had one.

    >>> logit_shift("uniform", "none", ("ham", "spam"), np.array([80, 20])).round(3)
    array([-0.47 ,  0.916])

    Args:
        prior: uniform, or the target prior of each label.
        weights: the class weights of training: none, balanced, or the number of each label.
        labels: in the order of their ids.
        support: training rows of each label, of shape `(num_labels,)`.
    """
    of_labels = np.ones(len(labels))
    if isinstance(weights, Mapping):
        of_labels = numbers_in_order(weights, labels, "--class-weights")
    elif weights == "balanced":
        of_labels = balanced(support)
    trained_on = np.maximum(support, 1) * of_labels
    target = np.array(list(target_prior(prior, labels).values()))
    return np.asarray(np.log(target) - np.log(trained_on / trained_on.sum()))


def target_prior(prior: LabelNumbers, labels: Sequence[str]) -> dict[str, float]:
    """The class priors that adjusted scores are for; they sum to 1.

    >>> target_prior("uniform", ("ham", "spam"))
    {'ham': 0.5, 'spam': 0.5}

    Args:
        prior: uniform, or the number of each label.
        labels: in the order of their ids.

    Raises:
        ConfigurationError: if a label is missing, or unknown.
    """
    target = numbers_in_order(prior, labels, "--prior") if isinstance(prior, Mapping) else np.ones(len(labels))
    return dict(zip(labels, (target / target.sum()).tolist(), strict=True))


@dataclass(frozen=True)
class Shift:
    """The logit adjustment in the weights.

    Args:
        of_labels: what was added to the logits before they were divided by the temperature.
        temperature_before: the temperature that fits the logits without it; None where there is none, or none is known.
        prior: the target prior of each label, for a report that states no options of training.
    """

    of_labels: tuple[float, ...]
    temperature_before: Temperature | None = None
    prior: Mapping[str, float] | None = None

    @classmethod
    def fitted(
        cls, of_labels: Sequence[float], task: Task, gold: Answers, logits: Logits, temperature: Temperature | None
    ) -> Self:
        """With the temperature that calibration would have fitted on these rows without the adjustment.

        Args:
            of_labels: as above.
            task: of the answers.
            gold: of the rows on which the temperature was fitted.
            logits: of these rows, by the weights as they are.
            temperature: in the weights; None if they are not calibrated.
        """
        shift = cls(tuple(float(one) for one in of_labels))
        if temperature is None:
            return shift
        return cls(shift.of_labels, fit_temperature(task, gold, shift.undone(logits, temperature)))

    def undone(self, logits: Logits, temperature: Temperature | None) -> Logits:
        """The logits without adjustment and temperature, of the same shape."""
        scaled = logits.astype(np.float64) * np.asarray(1.0 if temperature is None else temperature)
        return np.asarray((scaled - np.asarray(self.of_labels)).astype(np.float32))


def adjustment_metrics(
    task: Task, gold: Answers, logits: Logits, shift: Shift, temperature: Temperature | None
) -> Adjustment:
    """The metrics of the same weights without the adjustment, calibrated on their own.

    Of calibrated weights whose temperature without the adjustment is not known, only those metrics that no temperature
    changes.

    Args:
        task: of the answers.
        gold: the gold answers.
        logits: of the weights as they are.
        shift: that was folded into them.
        temperature: that was folded into them afterwards.
    """
    before = shift.undone(logits, temperature)
    if shift.temperature_before is not None:
        before = (before / np.asarray(shift.temperature_before)).astype(np.float32)
    predicted = task.decide(before)
    answers = task.answer_metrics(gold, predicted)
    per_label = task.per_label(gold, predicted)
    before_metrics = {name: answers[name] for name in task.key_metrics}
    if temperature is None or shift.temperature_before is not None:
        before_metrics["log_loss"] = float(task.row_losses(gold, before).mean())
        before_metrics["ece"] = expected_calibration_error(*task.statements(gold, task.probabilities(before)))
    return Adjustment(
        prior=shift.prior,
        shift=dict(zip(task.labels, shift.of_labels, strict=True)),
        temperature_before=shift.temperature_before,  # type: ignore[arg-type]  # (one label a text: one temperature)
        before=before_metrics,
        recall_before={label: row["recall"] for label, row in zip(task.labels, per_label, strict=True)},
    )
