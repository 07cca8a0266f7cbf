"""The same training several times: mean and deviation of each figure, the best run, and what an average of them is worth."""

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

import numpy as np

from hfbertcls.tasks.known import is_lower_better


AVERAGES = ("uniform", "greedy")
"""How the runs that are averaged are chosen: all of them, or those that do not make the average worse."""


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


def rank(value: float | None, metric: str) -> float:
    """A figure as a number of which more is better; one that is not defined comes last."""
    if value is None:
        return -inf
    return -value if is_lower_better(metric) else value


def best_seed(runs: Sequence[Mapping[str, Any]], metric: str) -> int:
    """The seed whose shipped weights are best on the validation split; of equal ones the first."""
    best: int = max(runs, key=lambda run: rank(run["validation"][metric], metric))["seed"]
    return best


def average_figures(
    method: str, members: Sequence[int], metric: str, runs: Sequence[Mapping[str, Any]], value: float | None
) -> dict[str, Any]:
    """What the report says of an average of runs, and whether it is shipped: not if the best single run is better.

    Args:
        method: how the members were chosen.
        members: the seeds of the averaged runs.
        metric: what compares them.
        runs: all runs, each with its `seed` and its figures on `validation`.
        value: of the averaged weights on validation.
    """
    best = best_seed(runs, metric)
    best_run = next(run["validation"][metric] for run in runs if run["seed"] == best)
    known = value is not None and best_run is not None
    return {
        "method": method,
        "seeds": list(members),
        "metric": metric,
        "validation": value,
        "best_run": best_run,
        "best_seed": best,
        "shipped": len(members) > 1 and known and rank(value, metric) >= rank(best_run, metric),
    }
