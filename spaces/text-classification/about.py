"""How good the model is, from its own report, in Markdown."""

import functools
import html
import json
import re
from typing import Any

from classifier import FOLDER, LIMIT, MULTI, NAME, NUMBER, PAIRS, PARTS, WHAT_IT_DOES


_METRICS = {
    "accuracy": "Accuracy: exactly the right labels" if MULTI else "Accuracy",
    "f1_macro": "Macro F1",
    "f1_micro": "Micro F1",  # (this and the next: multi-label only)
    "hamming_loss": "Wrong decisions on a label (Hamming loss)",
    "mcc": "Matthews correlation",
    "quadratic_kappa": "Quadratic kappa",  # (this and the next two: ordered labels only)
    "rank_mae": "Mean absolute error in ranks",
    "off_by_one": "Off-by-one accuracy",
    "ece": "Calibration error",
    "pearson": "Pearson correlation",  # (this and the next: numbers only)
    "spearman": "Spearman correlation",
    "mae": "Mean absolute error",
    "rmse": "RMSE",
    "r2": "R²",
}
_BASELINES = {
    "majority": "Always the most frequent set of labels" if MULTI else "Always the most frequent label",
    "tfidf_logreg": "TF-IDF and logistic regression",
    "tfidf_logreg_second_text": "TF-IDF and logistic regression, second text alone",
    "frozen_logreg": "Frozen encoder and logistic regression",
    "frozen_logreg_separate_texts": "Frozen encoder and logistic regression, each text encoded alone",
    "mean": "Always the mean",
    "tfidf_ridge": "TF-IDF and ridge regression",
    "tfidf_ridge_second_text": "TF-IDF and ridge regression, second text alone",
    "frozen_ridge": "Frozen encoder and ridge regression",
    "frozen_ridge_separate_texts": "Frozen encoder and ridge regression, each text encoded alone",
}
_COMPARED = ("mae", "mean absolute error") if NUMBER else ("accuracy", "accuracy")
_OUT_OF_FOLD = (
    "Each row was answered by a model that was trained on other rows. These metrics estimate how well this way of training "
    "works. The model here was trained on all of these rows."
)
_LABELS_SHOWN = 12
_FEW_ROWS = 30  # metrics of a label with fewer are imprecise
_UNREADABLE = (
    ValueError, TypeError, KeyError, AttributeError, IndexError, StopIteration, OSError, RecursionError,
)  # fmt: skip


def plain(text: object) -> str:
    """Text that stands literally in Markdown, whatever it contains."""
    literal = html.escape(" ".join(str(text).split()), quote=False)
    literal = re.sub(r"([\\`*_\[\]()#+!~|${}])", r"\\\1", literal)
    return literal.replace("://", ":&#47;&#47;")  # (no link is made of it)


def about_text() -> str:
    """`about`, or a sentence if the report is not one of hfbertcls."""
    try:
        return about()
    except _UNREADABLE:
        return "This model's report.json cannot be read here, so its metrics are unknown."


@functools.cache
def read_report() -> dict[str, Any] | None:
    """The model's report.json, if it brings one."""
    path = FOLDER / "report.json"
    return json.loads(path.read_text("utf-8")) if path.is_file() else None


def text_columns() -> list[str]:
    """The columns with the texts that the model was trained on, as far as its report names them."""
    try:
        task = (read_report() or {})["task"]
        names = [task["text_column"], task["text_pair_column"]]
    except _UNREADABLE:
        return []
    return [name for name in names if isinstance(name, str)]


def about() -> str:
    """How good the model is, from its report, in Markdown."""
    card = f"[The model's card](https://huggingface.co/{NAME}) has more details." if NAME.count("/") == 1 else ""
    report = read_report()
    if report is None:
        return f"This model has no report.json, so its metrics are unknown here. {card}"
    split, evaluation = measured(report)
    is_out_of_fold = evaluation.get("kind") == "out_of_fold"
    return "\n".join(
        [
            f"{WHAT_IT_DOES}; fine-tuned from {plain(report['model']['base_model'])} on "
            f"{plain(report['data']['source'])}. {what_it_reads()} {card}",
            f"### How good it is ({'cross-validation' if is_out_of_fold else f'{plain(split)} split'}, {evaluation['rows']:,} rows)\n",
            *([f"{_OUT_OF_FOLD}\n"] if is_out_of_fold else []),
            *verdict(evaluation),
            *intended_use(report),
            *headline(evaluation),
            *([] if NUMBER else ["\n### Per label\n", *per_label(evaluation["per_label"])]),
            *([] if MULTI or NUMBER else confusions(report["task"]["labels"], evaluation["confusion_matrix"])),
            "\n### Limits\n",
            limits(),
        ]
    )


def measured(report: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The split that the metrics on the page are of, and its metrics."""
    evaluation = report["evaluation"]
    test, folds = evaluation.get("test"), evaluation.get("cross_validation")
    split = "test" if test else next(iter(evaluation))
    if test and folds and folds["rows"] > test["rows"]:
        split = "cross_validation"
    return split, evaluation[split]


def how_good(label: str) -> str:
    """How often the model is right about a label, or how far its numbers are off; empty if its report does not say."""
    try:
        split, evaluation = measured(read_report() or {})
        is_out_of_fold = evaluation.get("kind") == "out_of_fold"
        kind = "" if is_out_of_fold else f"{plain(split)} "
        if NUMBER:
            sentence, rows = error_of_numbers(evaluation, kind), evaluation["rows"]
        else:
            sentence, rows = (
                rates(evaluation["per_label"][label], label, kind),
                evaluation["per_label"][label]["support"],
            )
    except _UNREADABLE:
        return ""
    if is_out_of_fold:
        sentence = f"In cross-validation, {sentence[0].lower()}{sentence[1:]}"
    uncertain = " With so few rows this is uncertain." if 0 < rows < _FEW_ROWS else ""
    return f"{sentence}{uncertain}"


def rates(row: dict[str, Any], label: str, kind: str) -> str:
    """How many rows with a label were found, and how many with the prediction have it, in a sentence."""
    name, support = plain(label), row["support"]
    if support == 0:
        return f"No {kind}row has the label {name}, so it is unknown how well it is found."
    with_label = f"{support:,} {kind}row{'s' * (support != 1)} with the label {name}"
    if row["recall"] == 0:
        return f"Of {with_label}, none was found."
    return (
        f"Of {with_label}, {percent(row['recall'])} were found; of the rows predicted as {name}, "
        f"{percent(row['precision'])} were right."
    )


def percent(proportion: float) -> str:
    """A proportion in percent; only exactly all is 100 %."""
    return (
        "more than 99 %"
        if 0.995 <= proportion < 1
        else "less than 1 %"
        if proportion < 0.005
        else f"{proportion:.0%}".replace("%", " %")
    )


def error_of_numbers(evaluation: dict[str, Any], kind: str) -> str:
    """The mean absolute error with its interval, in a sentence."""
    error, rows = evaluation["metrics"]["mae"], evaluation["rows"]
    ends = f" (95 % interval {error['low']:.4g} to {error['high']:.4g})" if error.get("low") is not None else ""
    return f"The mean absolute error on {rows:,} {kind}row{'s' * (rows != 1)} is {error['value']:.4g}{ends}."


def what_it_reads() -> str:
    """How much of a text, or of a pair, the model reads."""
    if PAIRS:
        return f"It reads up to {LIMIT:,} tokens of a pair; the longer text is truncated first."
    return f"It reads {PARTS} of a text."


def verdict(evaluation: dict[str, Any]) -> list[str]:
    """The verdict of the report on the baselines; empty if it has none."""
    facts = evaluation.get("verdict") or {}
    return [f"{plain(facts['sentence'])}.\n"] if facts.get("sentence") else []


def intended_use(report: dict[str, Any]) -> list[str]:
    """What the author made the model for; empty if that is not stated."""
    use = (report.get("card") or {}).get("intended_use")
    return [f"Intended use: {plain(use)}\n"] if use else []


def headline(evaluation: dict[str, Any]) -> list[str]:
    """The most important metrics, beside two baselines."""
    lines = ["| Metric | Value | 95 % interval |\n|:--|--:|--:|"]
    for key, name in _METRICS.items():
        entry = evaluation["metrics"].get(key) or {}
        if entry.get("value") is not None:
            ends = f"{entry['low']:.3f} to {entry['high']:.3f}" if entry.get("low") is not None else ""
            value = f"{entry['value']:.3f}"
            if key == "ece" and entry["value"] == 0 and entry.get("high"):
                value = (
                    f"&lt; {entry['high']:.3f}"  # (so few rows show no error, which does not say that there is none)
                )
            lines.append(f"| {name} | {value} | {ends} |")
    for key, name in _BASELINES.items():
        if key in (evaluation.get("baselines") or {}):
            metric, metric_name = _COMPARED
            lines.append(f"| {name}, {metric_name} | {evaluation['baselines'][key][metric]:.3f} | |")
    return lines


def per_label(rows: dict[str, Any]) -> list[str]:
    """Precision, recall and F1 of each label."""
    return [
        "| Label | Precision | Recall | F1 | Rows |\n|:--|--:|--:|--:|--:|",
        *(
            f"| {plain(label)} | {row['precision']:.3f} | {row['recall']:.3f} | {row['f1']:.3f} | {row['support']:,} |"
            for label, row in rows.items()
        ),
    ]


def confusions(labels: list[str], matrix: list[list[int]]) -> list[str]:
    """The confusion matrix, or the most frequent confusions of many labels."""
    if len(labels) <= _LABELS_SHOWN:
        return [
            "\n### Confusion matrix\n\nRows are gold labels, columns are predictions.\n",
            "| Gold label | " + " | ".join(map(plain, labels)) + " |\n|:--|" + "--:|" * len(labels),
            *(
                f"| **{plain(label)}** | " + " | ".join(f"{count:,}" for count in counts) + " |"
                for label, counts in zip(labels, matrix, strict=True)
            ),
        ]
    cells = [(n, a, b) for a, row in zip(labels, matrix, strict=True) for b, n in zip(labels, row, strict=True)]
    worst = sorted((cell for cell in cells if cell[0] and cell[1] != cell[2]), key=lambda cell: -cell[0])
    return [
        "\n### Most frequent confusions\n\n| Gold label | Prediction | Rows |\n|:--|:--|--:|",
        *(f"| {plain(right)} | {plain(predicted)} | {count:,} |" for count, right, predicted in worst[:10]),
    ]


def limits() -> str:
    """The limits from the model's card; images in them are not loaded."""
    path = FOLDER / "README.md"
    section = (
        re.search(r"^## Limits\n(.*?)(?=^## |^<!--)", path.read_text("utf-8-sig"), re.S | re.M)
        if path.is_file()
        else None
    )
    if section is None:
        return "None are stated."
    lines = [
        re.sub(r"\\([^\w\s])", r"\1", html.unescape(line))
        for line in section[1].splitlines()
        if line.strip() and line[0] not in "<|"
    ]
    return "\n".join(f"- {plain(line.removeprefix('- '))}" for line in lines)
