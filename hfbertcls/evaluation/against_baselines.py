"""A classifier beside its baselines: the metrics of each baseline, and the paired difference to it."""

from collections.abc import Mapping

import numpy as np

from hfbertcls.evaluation.compare import mcnemar_exact, metric_difference
from hfbertcls.evaluation.intervals import paired_proportion_interval
from hfbertcls.evaluation.repeats import rank
from hfbertcls.evaluation.report_evaluation import Baseline, Difference, Verdict
from hfbertcls.modeling.predictions import Predictions
from hfbertcls.tasks.probabilities import Answers
from hfbertcls.tasks.task import Task


FittedOn = Mapping[str, int | str]
"""`train_rows`, and `analyzer` or `pooling`, of a baseline that was fitted."""


def compare_with_baselines(predictions: Predictions, fitted_on: Mapping[str, FittedOn]) -> dict[str, Baseline] | None:
    """The `baselines` of a split, from the predictions file alone; None where it holds no baseline.

    `difference` is the model less the baseline on the same rows, with the ends of its 95 % interval: Bonett and
    Price's interval for a proportion of rows such as accuracy, BCa for any other metric.

    Args:
        predictions: of the model and of each baseline.
        fitted_on: what each baseline was fitted on, by its name.
    """
    return {
        name: beside(predictions, answers, fitted_on.get(name, {})) for name, answers in predictions.baselines.items()
    } or None


def beside(predictions: Predictions, answers: Answers, fitted_on: FittedOn) -> Baseline:
    """The metrics of other answers to the same rows, and the paired difference of the model to them."""
    scores = predictions.task.answer_metrics(predictions.gold, answers)
    return Baseline(
        metrics={metric: scores[metric] for metric in predictions.task.key_metrics},
        train_rows=int(fitted_on["train_rows"]) if "train_rows" in fitted_on else None,
        analyzer=str(fitted_on["analyzer"]) if "analyzer" in fitted_on else None,
        pooling=str(fitted_on["pooling"]) if "pooling" in fitted_on else None,
        difference=_difference(predictions, answers),
    )


def _difference(predictions: Predictions, answers: Answers) -> Difference:
    task, gold, predicted = predictions.task, predictions.gold, predictions.predicted
    if task.interval_methods.get(task.judged_by) != "wilson":
        value, low, high = metric_difference(task, gold, answers, predicted)
        return Difference(metric=task.judged_by, value=value, low=low, high=high)
    right, baseline_right = task.is_right(gold, predicted), task.is_right(gold, answers)
    lost, won = int((baseline_right & ~right).sum()), int((right & ~baseline_right).sum())
    low, high = paired_proportion_interval(lost, won, len(gold))
    return Difference(metric=task.judged_by, value=(won - lost) / len(gold), low=low, high=high)


def verdict_on_baselines(predictions: Predictions, baselines: Mapping[str, Baseline] | None) -> Verdict | None:
    """Whether the model is better than the best baseline on these rows, in one or two sentences.

    Args:
        predictions: of the model and of each baseline.
        baselines: what `compare_with_baselines` returns for them.

    Returns:
        With the code `constant`, `better`, `worse` or `undecided`; None where there is no baseline and the model does
        not give every text the same answer.
    """
    constant, task = _constant_answer(predictions), predictions.task
    if baselines is None:
        return None if constant is None else Verdict(code="constant", sentence=constant)
    names = list(task.names_of_baselines)
    name = max(
        baselines, key=lambda key: (rank(baselines[key].metrics[task.judged_by], task.judged_by), names.index(key))
    )
    lost, won = (
        int(one.sum()) for one in task.wins(predictions.gold, predictions.baselines[name], predictions.predicted)
    )
    p_value = mcnemar_exact(lost, won) if task.judged_by == "accuracy" else None
    code, sentence = _beside(task, task.names_of_baselines[name], baselines[name].difference, p_value)
    if constant is not None:
        return Verdict(code="constant", sentence=f"{constant}. {sentence}")
    return Verdict(code=code, sentence=_below_constant(predictions, baselines, name) + sentence)


def _below_constant(predictions: Predictions, baselines: Mapping[str, Baseline], best: str) -> str:
    """A sentence if the model is worse than the same answer to every row; empty where another sentence says so."""
    task = predictions.task
    key = next(iter(task.baseline_names))
    difference = None if key == best or key not in baselines else baselines[key].difference
    if difference is None or rank(difference.value, task.judged_by) >= 0:
        return ""
    metric, reached = task.metric_in_sentence(task.judged_by), baselines[key].metrics[task.judged_by]
    return (
        f"{metric[:1].upper()}{metric[1:]} is worse than {task.names_of_baselines[key]} "
        f"({reached + difference.value:.3f} against {reached:.3f}). "
    )


def _beside(task: Task, baseline: str, difference: Difference | None, p_value: float | None) -> tuple[str, str]:
    """`better`, `worse` or `undecided`, and a sentence with the difference.

    Args:
        task: of the answers.
        baseline: its name.
        difference: of the model to it.
        p_value: of McNemar's exact test, which decides about accuracy as in `compare`; None for another metric.
    """
    if difference is None:
        raise ValueError("a baseline of these predictions has a difference")
    scale, places, unit = (100, 1, f"points of {task.metric_in_sentence(difference.metric)}") if task.judged_in_points else (
        1, 3, task.metric_in_sentence(difference.metric)
    )  # fmt: skip
    value, low, high = (scale * number for number in (difference.value, difference.low, difference.high))
    gain = (-high, -low) if difference.metric in task.lower_is_better else (low, high)
    ends = sorted((abs(low), abs(high)))
    interval = f"(95 % interval {ends[0]:.{places}f} to {ends[1]:.{places}f})"
    is_shown = p_value is None or p_value < 0.05
    if gain[0] > 0 and is_shown:
        return "better", f"Better than {baseline} by {abs(value):.{places}f} {unit} {interval}"
    if gain[1] < 0 and is_shown:
        return "worse", f"Worse than {baseline} by {abs(value):.{places}f} {unit} {interval}"
    test = "" if is_shown or low <= 0 <= high else f"; McNemar's exact test: p = {p_value:.2g}"
    interval = f"(95 % interval {low:+.{places}f} to {high:+.{places}f}{test})"
    return "undecided", f"Not shown to be better than {baseline}: {value:+.{places}f} {unit} {interval}"


def _constant_answer(predictions: Predictions) -> str | None:
    """A sentence if every text gets the same answer although the rows have different labels; else None."""
    gold, predicted = (np.unique(answers, axis=0) for answers in (predictions.gold, predictions.predicted))
    if len(predicted) != 1 or len(gold) < 2:
        return None
    return predictions.task.constant_answer(predictions.task.decode(predictions.predicted[:1])[0])
