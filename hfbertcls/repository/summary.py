"""The result of a run, for a person."""

from collections.abc import Mapping

from hfbertcls.errors import printable
from hfbertcls.evaluation.report import Report
from hfbertcls.evaluation.report_evaluation import CROSS_VALIDATION, OUT_OF_FOLD, within
from hfbertcls.repository.card import difference_of, extreme_of, summary_rows
from hfbertcls.repository.card_text import format_number


def summary(report: Report) -> str:
    """Metrics with intervals beside the baselines, and the weakest labels."""
    name, shown, task = report.shown_split, report.shown, report.resolved_task
    lines = [f"Results {within(name)} ({shown.rows:,} rows), with 95 % intervals:"]
    if shown.kind == OUT_OF_FOLD:
        lines = [
            f"Results of cross-validation ({shown.rows:,} rows in {shown.folds} folds), with 95 % intervals.",
            "They estimate how well this way of training works, not the written weights, which were trained on all rows:",
        ]
    lines += [f"  {metric:<28} {value:>7}   {interval}" for metric, value, interval in summary_rows(report, name)]
    lines += _trained_on(report)
    if shown.baselines:
        lines.append("On the same rows:")
        names = {key: task.names_of_baselines[key] for key in shown.baselines}
        width = max(map(len, names.values()))
        for key, baseline in shown.baselines.items():
            numbers = [
                f"{task.metric_in_sentence(one)} {format_number(baseline.metrics[one])}" for one in task.key_metrics
            ]
            lines.append(f"  {names[key]:<{width}}  {', '.join(numbers)}")
    if shown.verdict is not None:
        lines.append(f"{printable(shown.verdict.sentence, 400)}.")
        lines += _advice(report)
    imperfect = [item for item in shown.per_label.items() if item[1].f1 < 1]
    weakest = sorted(imperfect, key=lambda item: item[1].f1)[: min(3, max(1, len(shown.per_label) // 2))]
    labels = ", ".join(
        f"{printable(label)} (F1 {format_number(row.f1)}, {row.support:,} rows)" for label, row in weakest
    )
    lines += [f"Weakest label{'s' if len(weakest) > 1 else ''}: {labels}"] if weakest else []
    return "\n".join(
        [
            *lines,
            *_class_priors(report),
            *_weakest_slices(report),
            *_cross_validation(report),
            *_learning_curve(report),
        ]
    )


def _trained_on(report: Report) -> list[str]:
    """A line if the model, or the one that training began with, was or may have been trained on some of the rows."""
    count = report.shown.trained_on
    if count:
        who = "The model" if report.training is None else "The model that training began with"
        return [f"{who} was trained on {count:,} of these {report.shown.rows:,} rows: the metrics are too good"]
    if count is None and report.training is None:
        return [
            "It is unknown whether the model was trained on some of these rows. If it was, the metrics are too good"
        ]
    return []


def _advice(report: Report) -> list[str]:
    """What to try where the model is not shown to be better than its baselines, from the course of the run."""
    training, verdict, task = report.training, report.shown.verdict, report.resolved_task
    if verdict is None or verdict.code == "better" or training is None:
        return []
    if (
        verdict.code == "worse"
        and len(task.baseline_names) > 2
        and task.separate_texts_baseline[1] in verdict.sentence
    ):
        return [
            "To improve it: compare embeddings of the two texts, as sentence-transformers does; this encoder is better at that"
        ]
    if CROSS_VALIDATION in report.evaluation:
        return ["To improve it: label more rows, or try another encoder"]
    if not training.best_step or training.selection_metric is None:
        return ["To improve it: try another encoder, more rows, or more epochs"]
    kept = f"the best checkpoint was that of step {training.best_step:,} of {training.steps:,}"
    if training.best_step == training.steps:
        return [f"To improve it: {kept}, so try more epochs or a higher learning rate"]
    return [f"To improve it: try more rows, another encoder or another learning rate ({kept})"]


def _class_priors(report: Report) -> list[str]:
    """One line on which class priors the scores are for, and on the same weights without them."""
    adjustment, task = report.shown.adjustment, report.resolved_task
    if adjustment is None:
        return []
    options = {} if report.training is None else report.training.options
    prior = adjustment.prior or options.get("prior")
    priors = "other class priors than those of the training rows (no report of the model says which)"
    if isinstance(prior, Mapping) and len(set(prior.values())) > 1:
        priors = (
            f"the class priors {printable(', '.join(f'{label} {value:.3g}' for label, value in prior.items()), 200)}"
        )
    elif prior is not None:
        priors = "uniform class priors"
    values = ", ".join(
        f"{task.metric_in_sentence(name)} {format_number(adjustment.before[name])}" for name in task.key_metrics
    )
    return [f"The scores are for {priors}. Without this adjustment: {values}"]


def _learning_curve(report: Report) -> list[str]:
    """What twice the rows let expect, if the run has a learning curve."""
    curve = None if report.training is None else report.training.learning_curve
    if curve is None:
        return []
    twice, is_accuracy = curve.twice, curve.metric == "accuracy"
    factor, places = (100, 1) if is_accuracy else (1, 3)
    gain, low, high = (format_number(factor * one, places) for one in (twice.gain, twice.low, twice.high))
    change = (
        f"{gain} points more accuracy"
        if is_accuracy
        else f"{report.resolved_task.metric_names[curve.metric]} lower by {gain}"
    )
    return [f"Learning curve: with {twice.rows:,} training rows, expect {change} (95 % interval {low} to {high})"]


def _cross_validation(report: Report) -> list[str]:
    """One line on the other of cross-validation and test split, where both were made."""
    if not {CROSS_VALIDATION, "test"} <= set(report.evaluation):
        return []
    other = "test" if report.shown_split == CROSS_VALIDATION else CROSS_VALIDATION
    measured = report.evaluation[other]
    metrics = [(one, measured.metrics[one]) for one in report.resolved_task.key_metrics]
    values = ", ".join(
        f"{report.resolved_task.metric_in_sentence(name)} {format_number(one.value)} "
        f"({format_number(one.low)} to {format_number(one.high)})"
        for name, one in metrics
    )
    if other == "test":
        return [f"Test split ({measured.rows:,} rows, the written weights): {values}"]
    return [f"Cross-validation ({measured.rows:,} rows in {measured.folds} folds): {values}"]


def _weakest_slices(report: Report) -> list[str]:
    """One line for each way to slice the split in which one slice is the weakest."""
    lines = []
    metric = report.resolved_task.slice_metrics[0] if report.resolved_task.slice_metrics else ""
    for title, key in (("length", "by_length"), (str(report.task.slice_column), "by_column")):
        slices = report.shown.slices.get(key)
        worst = None if slices is None else next((one for one in slices.slices if one.name == slices.worst), None)
        if slices is None or worst is None or (value := worst.metrics[metric]) is None:
            continue
        interval = f"{format_number(value.low)} to {format_number(value.high)}"
        lines.append(
            f"{extreme_of(report.resolved_task)} {report.resolved_task.metric_in_sentence(metric)} by {printable(title)}: {printable(worst.name)} "
            f"({format_number(value.value)}, {interval}, {worst.rows:,} rows; {difference_of(slices, report.resolved_task)})"
        )
    return lines
