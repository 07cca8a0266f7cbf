"""The same training several times: mean and deviation of each figure."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def summary_of_runs(
    runs: Sequence[Mapping[str, Any]], splits: Sequence[str], metrics: Sequence[str]
) -> dict[str, dict[str, dict[str, float] | None]]:
    """Mean and standard deviation (with n - 1) of each figure over the runs; None where one has no figure."""
    summary: dict[str, dict[str, dict[str, float] | None]] = {}
    for split in splits:
        summary[split] = {}
        for metric in metrics:
            values = [run[split][metric] for run in runs]
            known = None not in values
            summary[split][metric] = (
                {"mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1))} if known else None
            )
    return summary
