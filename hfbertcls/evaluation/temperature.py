"""The temperature that makes scores mean what they say: fitted on rows that no weight was fitted to."""

from collections.abc import Callable
from typing import Any

import numpy as np

from hfbertcls.evaluation.calibration import expected_calibration_error
from hfbertcls.evaluation.scores import Floats, Ids, Logits, probabilities, row_log_losses
from hfbertcls.progress import work


FITTED_ON = "validation"
FEWEST_ROWS = 30
"""Of fewer rows no temperature is fitted: it would follow their chance."""
_BOUNDS = (0.05, 20.0)
Temperature = float | list[float]
"""One for all labels; one for each, in label order, where a text can have several labels."""


@work("Calibrating")
def fit_temperature(gold: Ids, logits: Logits) -> Temperature | None:
    """The temperature T for which the scores of `logits / T` have the smallest log loss (Guo et al., ICML 2017).

    Where a row can have several labels, each label has a temperature of its own, of the sigmoid; labels with fewer than 30
    rows for or against them share one. What is true counts 1 - 1/(n + 2) and the rest is shared by what is not, as Platt
    does it (1999): by Laplace's rule the next answer may be wrong although all n were right, and without it such rows would
    ask for endless confidence.

    Args:
        gold: ids of shape `(n,)`, or the labels of each row, of shape `(n, num_labels)`.
        logits: of shape `(n, num_labels)`.

    Returns:
        Numbers of five digits from 0.05 to 20; None where nothing can be fitted: fewer than 30 rows, or logits that are all
        the same.
    """
    if len(logits) < FEWEST_ROWS:
        return None
    if gold.ndim == 1:
        return _of_softmax(gold, logits.astype(np.float64))
    if not logits.any():
        return None
    shared = _of_sigmoid(gold.ravel(), logits.ravel().astype(np.float64))
    counts = gold.sum(axis=0)
    return [
        _of_sigmoid(gold[:, label], logits[:, label].astype(np.float64))
        if FEWEST_ROWS <= counts[label] <= len(gold) - FEWEST_ROWS
        else shared
        for label in range(logits.shape[1])
    ]


def _of_softmax(gold: Ids, logits: Floats) -> float | None:
    num_rows, num_labels = logits.shape
    shifted = logits - logits.max(axis=1, keepdims=True)
    if not shifted.any():
        return None
    doubt = 1.0 / (num_rows + 2)
    of_gold = shifted[np.arange(num_rows), gold]
    of_others = (shifted.sum(axis=1) - of_gold) / (num_labels - 1)
    linear = float(((1 - doubt) * of_gold + doubt * of_others).mean())

    def loss(scale: float) -> float:
        normaliser: Floats = np.log(np.exp(shifted * scale).sum(axis=1))
        return float(normaliser.mean() - linear * scale)

    return _smallest(loss)


def _of_sigmoid(gold: Ids, logits: Floats) -> float:
    """Of one label: 1 in `gold` where a row has it, both of shape `(n,)`."""
    with_it = int(gold.sum())
    target = np.where(gold == 1, (with_it + 1) / (with_it + 2), 1 / (len(gold) - with_it + 2))
    linear = float((target * logits).mean())
    return _smallest(lambda scale: float(np.logaddexp(0.0, logits * scale).mean()) - linear * scale)


def _smallest(loss: Callable[[Any], float]) -> float:
    """The temperature, of five digits, with the smallest loss of logits that are multiplied by its inverse."""
    from scipy.optimize import minimize_scalar  # noqa: PLC0415  (takes a while)

    def of_logarithm(log_temperature: float) -> float:
        return loss(np.exp(-log_temperature))

    found = minimize_scalar(of_logarithm, bounds=np.log(_BOUNDS), method="bounded", options={"xatol": 1e-7})
    return float(f"{np.exp(found.x):.5g}")


def calibration_figures(gold: Ids, logits: Logits, temperature: Temperature) -> dict[str, Temperature | str]:
    """What a temperature did, from the logits of weights that hold it: those before it are `logits * temperature`.

    Args:
        gold: ids of shape `(n,)`, or the labels of each row, of shape `(n, num_labels)`.
        logits: of shape `(n, num_labels)`, of the weights as they are.
        temperature: that was folded into them.
    """
    before = (logits * np.asarray(temperature)).astype(np.float32)
    return {
        "temperature": temperature,
        "fitted_on": FITTED_ON,
        "log_loss_before": float(row_log_losses(gold, before).mean()),
        "log_loss_after": float(row_log_losses(gold, logits).mean()),
        "ece_before": expected_calibration_error(gold, probabilities(gold, before)),
        "ece_after": expected_calibration_error(gold, probabilities(gold, logits)),
    }
