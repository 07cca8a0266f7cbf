"""Two trained models: is their difference due to the recipe, or within the noise of the seed?"""

from math import sqrt
from typing import Any

from hfbertcls.evaluation.intervals import LEVEL
from hfbertcls.evaluation.report import Report


def same_recipe(a: Report, b: Report) -> bool:
    """Whether two reports differ in the seed alone: same base, labels, training and validation rows, and settings."""
    seeds = [None if report.training is None else report.training.seed for report in (a, b)]
    return None not in seeds and seeds[0] != seeds[1] and _recipe(a) == _recipe(b)


def _recipe(report: Report) -> Any:
    """Everything that determines the weights, except the seed."""
    model, splits, training = report.model, report.data.splits, report.training
    base = (model.base_model, model.base_revision, model.base_weights_sha256, model.architecture)
    rows = [(splits[name].sha256, splits[name].rows) for name in ("train", "validation") if name in splits]
    if training is None:
        return report.task, base, report.data.split_method, rows
    facts = training.unseeded
    return report.task, base, report.data.split_method, rows, facts.hyperparameters, facts.arguments, facts.options


def sentence_on_training(
    a: Report | None, b: Report | None, difference: float | None, metric: str = "accuracy", *, in_points: bool = True
) -> str | None:
    """Whether a difference in a metric exceeds the noise of the seed, in a sentence; None where no report shows it.

    The noise is the standard deviation over the seeds of each report that has them (`--seeds`), with Student's t and
    Welch's degrees of freedom. Where only one report has them, the other is assumed to vary as much.

    Args:
        a: the report of A, None if there is none.
        b: the report of B.
        difference: the metric of B less that of A on the compared rows, from 0 to 1.
        metric: which one.
        in_points: whether it is shown in points (hundredths); else as it is.
    """
    if a is not None and b is not None and same_recipe(a, b):
        return (
            "both are the same recipe with other seeds: the difference shows what the seed does, "
            "not that one recipe is better"
        )
    deviations = [
        deviation for report in (a, b) if report is not None and (deviation := _deviation(report, metric)) is not None
    ]
    if not deviations or difference is None:
        return None
    from scipy.stats import t  # noqa: PLC0415  (takes a second)

    variances = [sd**2 for sd, _ in deviations]
    spread = sqrt(sum(variances) * 2 / len(deviations))
    freedom = _degrees_of_freedom(deviations)
    reach = float(t.ppf((1 + LEVEL) / 2, freedom)) * spread
    scale, places, unit = (100, 1, " points") if in_points else (1, 3, "")
    seen = " and ".join(f"{scale * sd:.{places}f}{unit} over {runs} seeds" for sd, runs in deviations)
    verb = "is within" if abs(difference) <= reach else "is more than"
    return (
        f"the difference of {scale * abs(difference):.{places}f}{unit} {verb} what another seed gives "
        f"(up to {scale * reach:.{places}f}{unit} in 95 % of cases; standard deviation {seen})"
    )


def _degrees_of_freedom(deviations: list[tuple[float, int]]) -> float:
    """Welch (1947), of the sum of the variances; that of the smaller number of runs where none varies."""
    total = sum(sd**2 for sd, _ in deviations)
    if total == 0:
        return min(runs for _, runs in deviations) - 1
    return total**2 / sum(sd**4 / (runs - 1) for sd, runs in deviations)


def _deviation(report: Report, metric: str) -> tuple[float, int] | None:
    """Standard deviation of a metric over the seeds of a report, on test, else on validation, and how many they are.

    None where an average of the runs is shipped: how much such averages vary was not measured.
    """
    seeds = None if report.training is None else report.training.seeds
    if seeds is None or (seeds.average is not None and seeds.average.shipped):
        return None
    spread = (seeds.summary.get("test") or seeds.summary.get("validation") or {}).get(metric)
    return None if spread is None else (spread.sd, len(seeds.runs))
