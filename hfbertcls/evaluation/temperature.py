"""The temperature that makes scores mean what they say: one number, fitted on rows that no weight was fitted to."""

import numpy as np

from hfbertcls.evaluation.calibration import expected_calibration_error
from hfbertcls.evaluation.scores import Floats, Ids, Logits, row_log_losses, softmax


FITTED_ON = "validation"
FEWEST_ROWS = 30
"""Of fewer rows no temperature is fitted: it would follow their chance."""
_BOUNDS = (0.05, 20.0)


def fit_temperature(gold: Ids, logits: Logits) -> float | None:
    """The temperature T for which `softmax(logits / T)` has the smallest log loss (Guo et al., ICML 2017).

    The gold label counts 1 - 1/(n + 2) and the others share the rest, as Platt does it (1999): by Laplace's rule the
    next answer may be wrong although all n were right, and without it such rows would ask for endless confidence.

    Args:
        gold: ids of shape `(n,)`.
        logits: of shape `(n, num_labels)`.

    Returns:
        A number of five digits from 0.05 to 20; None where nothing can be fitted: fewer than 30 rows, or logits that
        are all the same.
    """
    from scipy.optimize import minimize_scalar  # noqa: PLC0415  (takes a while; comes with scikit-learn)

    num_rows, num_labels = logits.shape
    if num_rows < FEWEST_ROWS:
        return None
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    if not shifted.any():
        return None
    doubt = 1.0 / (num_rows + 2)
    of_gold = shifted[np.arange(num_rows), gold]
    of_others = (shifted.sum(axis=1) - of_gold) / (num_labels - 1)
    linear = float(((1 - doubt) * of_gold + doubt * of_others).mean())

    def loss(log_temperature: float) -> float:
        scale = np.exp(-log_temperature)
        normaliser: Floats = np.log(np.exp(shifted * scale).sum(axis=1))
        return float(normaliser.mean() - linear * scale)

    found = minimize_scalar(loss, bounds=np.log(_BOUNDS), method="bounded", options={"xatol": 1e-7})
    return float(f"{np.exp(found.x):.5g}")


def calibration_figures(gold: Ids, logits: Logits, temperature: float) -> dict[str, float | str]:
    """What a temperature did, from the logits of weights that hold it: those before it are `logits * temperature`.

    Args:
        gold: ids of shape `(n,)`.
        logits: of shape `(n, num_labels)`, of the weights as they are.
        temperature: that was folded into them.
    """
    before = (logits * temperature).astype(np.float32)
    return {
        "temperature": temperature,
        "fitted_on": FITTED_ON,
        "log_loss_before": float(row_log_losses(gold, before).mean()),
        "log_loss_after": float(row_log_losses(gold, logits).mean()),
        "ece_before": expected_calibration_error(gold, softmax(before)),
        "ece_after": expected_calibration_error(gold, softmax(logits)),
    }
