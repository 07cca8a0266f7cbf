"""A split in a report: which rows it has, and every metric that follows from its predictions."""

from collections.abc import Mapping

import numpy as np

from hfbertcls.data.dataset import TextDataset, TextSplit
from hfbertcls.evaluation.abstaining import accuracy_by_coverage
from hfbertcls.evaluation.adjustment import Shift, adjustment_metrics
from hfbertcls.evaluation.against_baselines import FittedOn, beside, compare_with_baselines, verdict_on_baselines
from hfbertcls.evaluation.intervals import score_with_intervals
from hfbertcls.evaluation.report_evaluation import OUT_OF_FOLD, Bin, Evaluation, LabelMetrics
from hfbertcls.evaluation.report_sections import SplitFacts
from hfbertcls.evaluation.slices import slices_of
from hfbertcls.evaluation.temperature import calibration_metrics
from hfbertcls.modeling.predictions import Predictions
from hfbertcls.progress import work
from hfbertcls.tasks.calibration_error import Reliability, reliability
from hfbertcls.tasks.task import Temperature


def split_facts(split: TextSplit, dataset: TextDataset, truncated_rows: int, unknown_share: float) -> SplitFacts:
    """The facts on the rows of a split, for the report."""
    counts = split.label_counts(dataset.task.labels) if dataset.task is not None and dataset.task.has_labels else {}
    return SplitFacts(
        rows=len(split),
        rows_read=split.rows_read,
        dropped=dict(split.dropped),
        sha256=split.sha256,
        rows_sha256=split.rows_sha256,
        label_counts=counts,
        truncated_rows=truncated_rows,
        unknown_token_share=unknown_share,
    )


@work("Computing metrics and intervals")
def evaluate_split(
    predictions: Predictions,
    predictions_sha256: str,
    fitted_on: Mapping[str, FittedOn],
    temperature: Temperature | None = None,
    calibrated_on: str = "validation",
    shift: Shift | None = None,
) -> Evaluation:
    """Every metric of a split, those of the baselines too, computed from its predictions alone.

    Args:
        predictions: of the weights as they are.
        predictions_sha256: of the predictions file.
        fitted_on: what each baseline was fitted on, by its name.
        temperature: of the calibration in the weights; None where there is none.
        calibrated_on: the evaluation on whose logits it was fitted.
        shift: of the logits for other class priors; None where there is none.
    """
    task, gold, logits = predictions.task, predictions.gold, predictions.logits
    per_label = [LabelMetrics(**entry) for entry in task.per_label(gold, predictions.predicted)]
    matrix = task.confusion_matrix(gold, predictions.predicted)
    baselines = compare_with_baselines(predictions, fitted_on)
    bins = reliability_of(predictions)
    folds = predictions.folds
    calibration = None if temperature is None else calibration_metrics(task, gold, logits, temperature, calibrated_on)
    return Evaluation(
        kind=None if folds is None else OUT_OF_FOLD,
        folds=None if folds is None else len(np.unique(folds)),
        rows=len(predictions),
        predictions_sha256=predictions_sha256,
        metrics=score_with_intervals(task, gold, logits),
        per_label=dict(zip(task.labels, per_label, strict=True)),
        confusion_matrix=None if matrix is None else tuple(map(tuple, matrix)),
        reliability=() if bins is None else _as_facts(bins),
        slices=slices_of(predictions),
        abstaining=accuracy_by_coverage(task, gold, logits) if task.abstains else (),
        calibration=calibration,
        adjustment=None if shift is None else adjustment_metrics(task, gold, logits, shift, temperature),
        baselines=baselines,
        truncated=None if predictions.truncated is None else beside(predictions, predictions.truncated, {}),
        verdict=verdict_on_baselines(predictions, baselines),
    )


def reliability_of(predictions: Predictions) -> Reliability | None:
    """The reliability of the scores; None for a task whose answers state no probabilities."""
    task = predictions.task
    if not task.states_probabilities:
        return None
    return reliability(*task.statements(predictions.gold, task.probabilities(predictions.logits)))


def _as_facts(bins: Reliability) -> tuple[Bin, ...]:
    triples = zip(bins.count, bins.confidence, bins.accuracy, strict=True)
    return tuple(
        Bin(rows=int(count), confidence=float(confidence), accuracy=float(accuracy))
        for count, confidence, accuracy in triples
    )
