"""Temperature scaling: fitting a temperature on held-out rows."""

from collections.abc import Callable
from typing import Any

import numpy as np

from hfbertcls.tasks.probabilities import Answers, Floats


FEWEST_ROWS = 30
"""No temperature is fitted to fewer rows: it would overfit them."""
_BOUNDS = (0.05, 20.0)


def of_softmax(gold: Answers, logits: Floats) -> float | None:
    """The temperature of a single-label task (Guo et al., ICML 2017); None if all logits of each row are equal.

    The targets are smoothed as by Platt (1999): 1 - 1/(n + 2) for the gold label, the rest equally for the other
    labels. Without smoothing, n right answers would make the confidence infinite.

    Args:
        gold: ids of shape `(n,)`.
        logits: of shape `(n, num_labels)`.
    """
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


def of_sigmoid(gold: Answers, logits: Floats) -> float:
    """The temperature of one label of a multi-label task: 1 in `gold` where a row has it, both of shape `(n,)`."""
    with_it = int(gold.sum())
    target = np.where(gold == 1, (with_it + 1) / (with_it + 2), 1 / (len(gold) - with_it + 2))
    linear = float((target * logits).mean())
    return _smallest(lambda scale: float(np.logaddexp(0.0, logits * scale).mean()) - linear * scale)


def _smallest(loss: Callable[[Any], float]) -> float:
    """The temperature, of five digits, with the smallest loss."""
    from scipy.optimize import minimize_scalar  # noqa: PLC0415  (takes a while)

    def of_logarithm(log_temperature: float) -> float:
        return loss(np.exp(-log_temperature))

    optimum = minimize_scalar(of_logarithm, bounds=np.log(_BOUNDS), method="bounded", options={"xatol": 1e-7})
    return float(f"{np.exp(optimum.x):.5g}")
