"""The result of a run, for a person."""

from hfbertcls.errors import printable
from hfbertcls.evaluation.report import Report
from hfbertcls.repository.card import difference_of, format_number, shown_split, summary_rows
from hfbertcls.tasks.known import task_of_report


def summary(report: Report) -> str:
    """Figures with intervals beside the baselines, and the weakest labels."""
    name = shown_split(report)
    figures = report.evaluation[name]
    lines = [f"Results on the {name} split ({figures['rows']:,} rows), with 95 % intervals:"]
    lines += [f"  {metric:<28} {value:>7}   {interval}" for metric, value, interval in summary_rows(report, name)]
    baselines = figures["baselines"]
    if baselines:
        lines.append("On the same rows:")
        for title, key in (
            (f"always the most frequent {task_of_report(report.task).constant_name}", "majority"),
            ("TF-IDF + logistic regression", "tfidf_logreg"),
        ):
            scores = baselines[key]
            lines.append(
                f"  {title:<31} accuracy {format_number(scores['accuracy'])}, macro F1 {format_number(scores['f1_macro'])}"
            )
    if figures.get("verdict"):
        lines.append(f"{printable(figures['verdict']['sentence'], 400)}.")
    imperfect = [item for item in figures["per_label"].items() if item[1]["f1"] < 1]
    weakest = sorted(imperfect, key=lambda item: item[1]["f1"])[:3]
    shown = ", ".join(
        f"{printable(label)} (F1 {format_number(row['f1'])}, {row['support']:,} rows)" for label, row in weakest
    )
    lines += [f"Weakest labels: {shown}"] if weakest else []
    for title, key in (("length", "by_length"), (str(report.task.get("slice_column")), "by_column")):
        found = figures["slices"].get(key)
        if found is not None and found["worst"] is not None:
            worst = next(entry for entry in found["slices"] if entry["name"] == found["worst"])
            accuracy = worst["accuracy"]
            interval = f"{format_number(accuracy['low'])} to {format_number(accuracy['high'])}"
            lines.append(
                f"Lowest accuracy by {printable(title)}: {printable(worst['name'])} ({format_number(accuracy['value'])}, "
                f"{interval}, {worst['rows']:,} rows; {difference_of(found)})"
            )
    return "\n".join(lines)
