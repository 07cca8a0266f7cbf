"""Selective prediction by held-out rows: the score below which `predict` abstains; agreement of bf16."""

from hfbertcls.errors import ConfigurationError, DatasetError, ModelError
from hfbertcls.evaluation.abstaining import FEWEST_ROWS, Threshold, highest_accuracy, threshold_for_accuracy
from hfbertcls.evaluation.report import Report
from hfbertcls.evaluation.report_evaluation import decided_on, evaluation_name
from hfbertcls.inference.model_files import file_of, report_of
from hfbertcls.modeling.loading import ModelSource, load_config
from hfbertcls.modeling.predictions import Predictions
from hfbertcls.tasks.known import task_of_config
from hfbertcls.tasks.task import Task


def refuse_without_one_score(source: ModelSource, task: Task | None, option: str) -> None:
    """Refuse selective prediction where an answer has no single score.

    Raises:
        ConfigurationError: if the task of the model does not abstain.
    """
    if task is not None and not task.abstains:
        why = (
            "is multi-label: its answers have no single score. Each label has a decision threshold (hfbertcls_thresholds in "
            "config.json)"
            if task.has_labels
            else "predicts numbers: its answers have no score. The intervals of its errors are on its card"
        )
        raise ConfigurationError(
            f"{option} has no meaning for {source.public_name!r}, which {why}. Leave the option out"
        )


def check_threshold(threshold: float) -> None:
    """Refuse a threshold that is no score.

    Raises:
        ConfigurationError: if it is not from 0 to 1.
    """
    if not 0 <= threshold <= 1:
        raise ConfigurationError(f"threshold {threshold:g} is an invalid value. Expected a score from 0 to 1")


def threshold_of(source: ModelSource, target: float) -> Threshold:
    """The least score with which a model's answers reach an accuracy on its validation split, or in cross-validation.

    Args:
        source: a directory or Hub id with `report.json` and these predictions.
        target: accuracy, above 0 and at most 1.

    Raises:
        ConfigurationError: if the target is no accuracy, or the model cannot abstain.
        ModelError: if the model has no predictions, or no threshold reaches the target.
    """
    if not 0 < target <= 1:
        raise ConfigurationError(
            f"--target-accuracy {target:g} is an invalid value. Expected a number above 0, at most 1"
        )
    refuse_without_one_score(source, task_of_config(load_config(source)), "--target-accuracy")
    path = file_of(source, "report.json")
    try:
        report = None if path is None else Report.from_json(path.read_text(encoding="utf-8"))
        name = (None if report is None else decided_on(report.evaluation)) or "validation"
        stored = file_of(source, f"predictions/{name}.parquet")
        if report is None or stored is None:
            raise ModelError(
                f"{source.public_name!r} has no report.json with predictions/{name}.parquet, which "
                "--target-accuracy needs. Use a model that hfbertcls train wrote, or pass --abstain-below P"
            )
        task = report.resolved_task
        predictions = Predictions.from_parquet(stored.read_bytes(), task)
    except (DatasetError, KeyError, UnicodeDecodeError, OSError) as err:
        raise ModelError(f"the predictions of {source.public_name!r} cannot be read: {err}") from err
    threshold = threshold_for_accuracy(task, predictions.gold, predictions.logits, target)
    if threshold is None:
        raise ModelError(
            f"no score of {source.public_name!r} reaches an accuracy of {target:g} on at least {FEWEST_ROWS} rows of "
            f"{evaluation_name(name)}{_reachable(predictions)}. Ask for less, or pass --abstain-below P"
        )
    return threshold


def _reachable(predictions: Predictions) -> str:
    """The highest accuracy that a score reaches, in words."""
    best = highest_accuracy(predictions.task, predictions.gold, predictions.logits)
    return "" if best is None else f"; at most {best:.3f} can be reached"


def bf16_agreement_of(source: ModelSource) -> float | None:
    """Fraction of held-out texts with the same answer in bf16, by the model's report; None if it has none."""
    try:
        report = report_of(source)
    except DatasetError:
        return None
    measured = () if report is None else report.evaluation.values()
    return next((one.bf16_agreement for one in measured if one.bf16_agreement is not None), None)
