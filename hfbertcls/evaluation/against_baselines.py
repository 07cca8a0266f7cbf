"""A classifier beside what costs nothing: the metrics of each baseline, and the paired difference to it."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from hfbertcls.evaluation.compare import metric_difference
from hfbertcls.evaluation.intervals import paired_share_interval
from hfbertcls.modeling.predictions import Predictions
from hfbertcls.tasks.probabilities import Answers


_NAMES = {"majority": "always predicting the most frequent label", "tfidf_logreg": "TF-IDF + logistic regression"}
_METRICS = {"accuracy": "accuracy", "f1_macro": "macro F1"}
_TRY = "Try more epochs, a higher learning rate, more rows or another encoder"
_TRY_MORE_ROWS = (
    "More test rows would tell. To improve the model, try more epochs, a higher learning rate or another encoder"
)


def baseline_metrics(predictions: Predictions, facts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """The `baselines` of a split, from the predictions file alone; None where it holds no baseline.

    `difference` is the model less the baseline on the same rows, with the ends of its 95 % interval: of accuracy (Bonett and
    Price), of a multi-label task of macro F1 (BCa), because there hardly any row gets exactly its labels.

    Args:
        predictions: of the model and of each baseline.
        facts: what each baseline was fitted on, by its name.
    """
    found = {}
    for name, answers in predictions.baselines.items():
        scores = predictions.task.answer_scores(predictions.gold, answers)
        found[name] = {
            "accuracy": scores["accuracy"],
            "f1_macro": scores["f1_macro"],
            **facts.get(name, {}),
            "difference": _difference(predictions, answers),
        }
    return found or None


def _difference(predictions: Predictions, answers: Answers) -> dict[str, Any]:
    task, gold, predicted = predictions.task, predictions.gold, predictions.predicted
    if task.judged_by != "accuracy":
        value, low, high = metric_difference(task, gold, answers, predicted)
        return {"metric": task.judged_by, "value": value, "low": low, "high": high}
    right, baseline_right = task.is_right(gold, predicted), task.is_right(gold, answers)
    lost, won = int((baseline_right & ~right).sum()), int((right & ~baseline_right).sum())
    low, high = paired_share_interval(lost, won, len(gold))
    return {"metric": "accuracy", "value": (won - lost) / len(gold), "low": low, "high": high}


def verdict_on_baselines(predictions: Predictions, baselines: Mapping[str, Any] | None) -> dict[str, str] | None:
    """Whether the model is better than the best baseline on these rows, in one or two sentences.

    Args:
        predictions: of the model and of each baseline.
        baselines: what `baseline_metrics` gives for them.

    Returns:
        `code` (`constant`, `better`, `worse` or `undecided`) and `sentence`; None where there is no baseline and the model does
        not give every text the same answer.
    """
    constant = _constant_answer(predictions)
    if baselines is None:
        return None if constant is None else {"code": "constant", "sentence": f"{constant}. {_TRY}"}
    metric = next(iter(baselines.values()))["difference"]["metric"]
    name = max(baselines, key=lambda key: (baselines[key][metric], key == "tfidf_logreg"))
    difference = baselines[name]["difference"]
    value, low, high = (100 * difference[key] for key in ("value", "low", "high"))
    best, unit = _NAMES.get(name, name), f"points of {_METRICS[metric]}"
    if low > 0:
        code, told = "better", f"Better than {best} by {value:.1f} {unit} (95 % interval {low:.1f} to {high:.1f})"
    elif high < 0:
        code, told = "worse", f"Worse than {best} by {-value:.1f} {unit} (95 % interval {-high:.1f} to {-low:.1f})"
    else:
        code = "undecided"
        told = f"Not shown to be better than {best}: {value:+.1f} {unit} (95 % interval {low:+.1f} to {high:+.1f})"
    if constant is not None:
        code, told = "constant", f"{constant}. {told}"
    advice = {"better": "", "undecided": f". {_TRY_MORE_ROWS}"}.get(code, f". {_TRY}")
    return {"code": code, "sentence": f"{told}{advice}"}


def _constant_answer(predictions: Predictions) -> str | None:
    """That every text gets the same answer although the rows have different labels; None if it is not so."""
    gold, predicted = (np.unique(answers, axis=0) for answers in (predictions.gold, predictions.predicted))
    if len(predicted) != 1 or len(gold) < 2:
        return None
    return predictions.task.constant_answer(predictions.task.decode(predictions.predicted[:1])[0])
