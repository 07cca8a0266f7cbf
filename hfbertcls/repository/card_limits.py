"""Limitations that follow from the metrics and the data: the sentences under "Limits" on the card."""

from math import sqrt

from hfbertcls.data.duplicates import memorised
from hfbertcls.evaluation.report import Report
from hfbertcls.evaluation.report_evaluation import CROSS_VALIDATION, split_of, within
from hfbertcls.evaluation.report_sections import FindingFacts
from hfbertcls.repository.card_text import escape, format_number, percent


FEW_ROWS = 30
_SCARCE_ROWS = 10
_LEAST_GAIN, _NEARLY = 0.05, 0.8
"""Of a baseline on the second text alone: the gain over the constant one, and its part of the model's gain, from which on
the card warns."""
_STATED_ELSEWHERE = ("overlap", "leakage", "empty_texts", "missing_labels", "truncated")
"""Findings of the doctor that have their own sentence or table on the card."""


def limits_of(report: Report) -> list[str]:
    """Limitations that follow from the metrics and the data."""
    split, metrics = report.shown_split, report.shown
    limits = []
    noun = "text" if report.task.text_pair_column is None else "pair"
    if split == CROSS_VALIDATION:
        test = report.evaluation.get("test")
        limits.append(
            f"{'There is no test split. The' if test is None else 'The first'} metrics above come from cross-validation: they "
            "estimate how well this way of training works, not these weights, which were trained on all of its rows."
            f"{'' if test is None else f' The {test.rows:,} test rows measure these weights, less precisely.'}"
        )
    elif split != "test":
        limits.append(
            f"There is no test split: {_chosen(report)} chosen on the validation split, so the metrics above are "
            "somewhat too good."
        )
    held_out = "test" if "test" in report.evaluation else split
    shared, rows = report.data.overlap.get(f"train/{held_out}", 0), report.evaluation[held_out].rows
    if shared:
        harm = memorised("its", shared, rows, "label" if report.resolved_task.has_labels else "number")
        limits.append(
            f"{shared:,} of the {rows:,} {noun}s of the {held_out} split {'is' if shared == 1 else 'are'} in the train split too: {harm}."
        )
    chosen_on = report.data.overlap.get("train/validation", 0) if split != "validation" else 0
    if chosen_on:
        limits.append(
            f"{chosen_on:,} of the {report.evaluation['validation'].rows:,} {noun}s of the validation split are in the train "
            "split too, so the choice of the checkpoint favours memorisation."
        )
    limits += [f"{escape(finding.fact)}." for finding in findings_of(report) if finding.severity != "info"]
    max_length = report.task.max_length
    truncated = [
        f"{facts.truncated_rows:,} of {facts.rows:,} in {name} ({percent(facts.truncated_rows / facts.rows)})"
        for name, facts in report.data.splits.items()
        if facts.truncated_rows  # (None where there are only token ids)
    ]
    if truncated:
        which = f"Only {report.task.reads}" if noun == "text" else f"At most {max_length:,} tokens"
        limits.append(f"{which} of a {noun} are read. Longer {noun}s: {', '.join(truncated)}.")
    longest = report.data.splits[split_of(split)].longest_tokens
    if longest is not None and longest < max_length:
        limits.append(
            f"The longest {noun} of the {split} split has {longest:,} tokens. The metrics do not cover longer {noun}s, of which "
            f"up to {max_length:,} tokens are read."
        )
    limits += _second_text_alone(report)
    few = {name: row.support for name, row in metrics.per_label.items() if row.support < FEW_ROWS}
    if few:
        shown = ", ".join(f"{escape(name)} ({rows})" for name, rows in list(few.items())[:10])
        more = f" and {len(few) - 10} more" if len(few) > 10 else ""
        limits.append(
            f"The metrics of labels with fewer than {FEW_ROWS} rows {within(split)} are imprecise: {shown}{more}."
        )
    scarce = sum(1 <= row.support < _SCARCE_ROWS for row in metrics.per_label.values())
    if scarce:
        limits.append(
            f"{scarce} of {len(metrics.per_label)} labels {'has' if scarce == 1 else 'have'} fewer than {_SCARCE_ROWS} rows {within(split)}: the "
            "interval of macro F1 is too narrow."
        )
    limits += _narrow_intervals(report)
    ece = metrics.metrics.get("ece")
    if ece is None:
        return limits
    if ece.value == 0 and ece.high:
        limits.append(
            f"{metrics.rows:,} rows are too few to show a calibration error reliably: the expected calibration error may "
            f"be up to {format_number(ece.high)}."
        )
    if ece.low is not None and ece.low > 0.02:
        limits.append(
            f"The scores are {'still miscalibrated after calibration' if metrics.calibration else 'not calibrated'}: on average "
            f"they differ from the accuracy by {format_number(ece.value)}."
        )
    return limits


def _narrow_intervals(report: Report) -> list[str]:
    """A sentence if the split has too few rows for the interval of a metric."""
    task, rows = report.resolved_task, report.shown.rows
    names = [task.metric_names[name] for name, least in task.too_narrow_below.items() if rows < least]
    if not names:
        return []
    verb = "is" if len(names) == 1 else "are"
    return [
        f"{rows:,} rows are few: the interval of {' and that of '.join(names)} {verb} too narrow where a few errors are much "
        "larger than the others."
    ]


def _second_text_alone(report: Report) -> list[str]:
    """A sentence if the second text of a pair alone tells nearly as much as the model says."""
    task, shown = report.resolved_task, report.shown
    constant, second = (
        (shown.baselines or {}).get(key) for key in (next(iter(task.baseline_names)), task.second_text_baseline[0])
    )
    metric = task.judged_by if task.judged_in_points else task.key_metrics[0]
    if constant is None or second is None or not task.has_labels:
        return []
    value, least, reached = shown.metrics[metric].value, constant.metrics[metric], second.metrics[metric]
    noise = 2 * sqrt(max(0.0, reached * (1 - reached)) / shown.rows)
    if value is None or reached - least < max(_LEAST_GAIN, noise, _NEARLY * (value - least)):
        return []
    return [
        f"TF-IDF on the second text alone reaches {task.metric_in_sentence(metric)} {format_number(reached)}, so the labels can "
        "largely be guessed without the first text. The metrics do not show that the two texts are compared."
    ]


def findings_of(report: Report) -> list[FindingFacts]:
    """Findings of the doctor that the card does not state elsewhere."""
    return [finding for finding in report.data.doctor.findings if finding.code not in _STATED_ELSEWHERE]


def not_stated(report: Report) -> list[str]:
    """What only the author of a model knows, and did not say."""
    names = {
        "license": "licence",
        "language": "language",
        "intended_use": "intended use",
        "limitations": "known limitations and biases",
    }
    return [name for key, name in names.items() if not getattr(report.card, key)]


def _chosen(report: Report) -> str:
    return (
        "the checkpoint and the decision thresholds were"
        if report.resolved_task.fits_decision
        else "the checkpoint was"
    )
