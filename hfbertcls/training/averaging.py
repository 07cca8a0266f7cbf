"""Averaging the weights of complete runs: the choice of runs, and the metric of an average on validation."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hfbertcls.data.tokenization import TokenizedSplit
from hfbertcls.evaluation.repeats import rank
from hfbertcls.evaluation.report_training import TrainingFacts
from hfbertcls.evaluation.temperature import fit_temperature
from hfbertcls.modeling.averaging import average_models
from hfbertcls.modeling.engine import score
from hfbertcls.modeling.loading import ModelSource, load_tokenizer
from hfbertcls.modeling.memory import free_memory
from hfbertcls.modeling.predictions import require_finite


def greedy_members(
    values: Mapping[int, float | None], metric: str, value_of: Callable[[Sequence[int]], float | None]
) -> list[int]:
    """Choose runs as in "Model soups": the best run, then each next one that does not lower the average.

    Args:
        values: the metric of each run on validation, by seed.
        metric: the name of the metric.
        value_of: returns the metric of the average of some runs on validation.

    Returns:
        The seeds, in the order of `values`.
    """
    best, *others = sorted(values, key=lambda seed: -rank(values[seed], metric))
    members, value = [best], values[best]
    for seed in others:
        more = [one for one in values if one in (*members, seed)]
        candidate = value_of(more)
        if rank(candidate, metric) >= rank(value, metric):
            members, value = more, candidate
    return members


def value_of_average(
    places: Sequence[Path], validation: TokenizedSplit, device: Any, metric: str, *, calibrated: bool
) -> float | None:
    """The metric of the average of runs on validation, with its own temperature and decision thresholds.

    Args:
        places: the directories of the runs.
        validation: the rows.
        device: where to compute.
        metric: one of the headline metrics.
        calibrated: whether the average is calibrated.
    """
    sources = [ModelSource(str(place)) for place in places]
    model: Any = average_models(sources)
    model.to(device)
    logits = score(model, load_tokenizer(sources[0]), validation)
    require_finite(logits, "validation")
    del model
    free_memory()
    task, gold = validation.labelled_task, validation.gold
    temperature = fit_temperature(task, gold, logits) if calibrated else None
    if temperature is not None:
        logits = (logits / np.asarray(temperature)).astype(np.float32)
    return task.fit_decision(gold, logits).compute_metrics(gold, logits)[metric]


def facts_of_average(best_run: TrainingFacts) -> TrainingFacts:
    """The `training` of a report about averaged weights: that of the best run, without the facts of a single run.

    Args:
        best_run: the `training` of its report.
    """
    return replace(best_run.unseeded, best_step=None, selection_value=None)
