"""Temperature scaling: fitting a temperature, and the metrics before and after it."""

import numpy as np

from hfbertcls.evaluation.report_evaluation import Calibration
from hfbertcls.progress import work
from hfbertcls.tasks.calibration_error import expected_calibration_error
from hfbertcls.tasks.probabilities import Answers, Logits
from hfbertcls.tasks.task import Task, Temperature
from hfbertcls.tasks.temperature import FEWEST_ROWS


@work("Calibrating")
def fit_temperature(task: Task, gold: Answers, logits: Logits) -> Temperature | None:
    """The temperature T for which the probabilities of `logits / T` have the smallest loss.

    Returns:
        Numbers of five digits from 0.05 to 20; None for fewer than 30 rows, or where all logits are the same.
    """
    return None if len(logits) < FEWEST_ROWS else task.fit_temperature(gold, logits)


def calibration_metrics(
    task: Task, gold: Answers, logits: Logits, temperature: Temperature, fitted_on: str
) -> Calibration:
    """Metrics before and after a temperature. The logits before it are `logits * temperature`.

    Args:
        task: of the answers.
        gold: the gold answers.
        logits: of the weights as they are.
        temperature: that was folded into them.
        fitted_on: the evaluation on whose logits it was fitted.
    """
    before = (logits * np.asarray(temperature)).astype(np.float32)
    return Calibration(
        temperature=tuple(temperature) if isinstance(temperature, list) else temperature,
        fitted_on=fitted_on,
        log_loss_before=float(task.row_losses(gold, before).mean()),
        log_loss_after=float(task.row_losses(gold, logits).mean()),
        ece_before=expected_calibration_error(*task.statements(gold, task.probabilities(before))),
        ece_after=expected_calibration_error(*task.statements(gold, task.probabilities(logits))),
    )
