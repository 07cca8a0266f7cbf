"""Repeated training with different seeds: mean and deviation of each metric, the best run, and the averaged model."""

from collections.abc import Mapping, Sequence
from math import inf

import numpy as np

from hfbertcls.evaluation.report_training import Average, SeedRun, Spread
from hfbertcls.tasks.known import is_lower_better


AVERAGES = ("uniform", "greedy")
"""How the runs that are averaged are chosen: all of them, or those that do not make the average worse."""


def summary_of_runs(
    runs: Sequence[SeedRun], splits: Sequence[str], metrics: Sequence[str]
) -> dict[str, Mapping[str, Spread | None]]:
    """Mean and standard deviation (n - 1) of each metric over the runs; None where it is undefined for a run."""
    summary: dict[str, Mapping[str, Spread | None]] = {}
    for split in splits:
        values = {metric: [run.evaluation[split][metric] for run in runs] for metric in metrics}
        summary[split] = {metric: _spread(numbers) for metric, numbers in values.items()}
    return summary


def _spread(numbers: Sequence[float | None]) -> Spread | None:
    defined = [number for number in numbers if number is not None]
    if len(defined) < len(numbers):
        return None
    return Spread(mean=float(np.mean(defined)), sd=float(np.std(defined, ddof=1)))


def rank(value: float | None, metric: str) -> float:
    """A metric as a number of which more is better; one that is not defined comes last."""
    if value is None:
        return -inf
    return -value if is_lower_better(metric) else value


def best_seed(runs: Sequence[SeedRun], metric: str) -> int:
    """The seed whose weights are best on the validation split; the first of those that tie."""
    return max(runs, key=lambda run: rank(run.evaluation["validation"][metric], metric)).seed


def compare_average(
    method: str, members: Sequence[int], metric: str, runs: Sequence[SeedRun], value: float | None
) -> Average:
    """The facts on an average of runs for the report. It is shipped unless the best single run is better.

    Args:
        method: how the members were chosen.
        members: the seeds of the averaged runs.
        metric: what compares them.
        runs: all runs, with their metrics on validation.
        value: of the averaged weights on validation.
    """
    best = best_seed(runs, metric)
    best_run = next(run.evaluation["validation"][metric] for run in runs if run.seed == best)
    comparable = value is not None and best_run is not None
    return Average(
        method=method,
        seeds=tuple(members),
        metric=metric,
        validation=value,
        best_run=best_run,
        best_seed=best,
        shipped=len(members) > 1 and comparable and rank(value, metric) >= rank(best_run, metric),
    )
