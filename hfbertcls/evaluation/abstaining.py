"""Selective prediction: the accuracy of the answers above a score, and the score that a target accuracy needs."""

from dataclasses import dataclass

import numpy as np

from hfbertcls.evaluation.intervals import wilson_interval
from hfbertcls.evaluation.report_evaluation import Coverage, Metric
from hfbertcls.tasks.probabilities import Answers, Floats, Logits
from hfbertcls.tasks.task import Task


COVERAGES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5)
FEWEST_ROWS = 30
"""Below this number of answered rows no accuracy is stated."""


@dataclass(frozen=True)
class Threshold:
    """The lowest score that is answered; below it the classifier abstains."""

    score: float
    coverage: float
    """Fraction of the rows that are answered (0 to 1)."""
    accuracy: float
    """Accuracy of the answered rows."""
    rows: int
    """Rows that are answered."""

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the accuracy (Wilson); it does not count that the score was chosen on these rows."""
        return wilson_interval(round(self.accuracy * self.rows), self.rows)


def threshold_for_accuracy(task: Task, gold: Answers, logits: Logits, target: float) -> Threshold | None:
    """The lowest score at which the answered rows reach a target accuracy: the highest coverage with that accuracy.

    ```python
    >>> task = TextClassifier.from_pretrained("my-model").task
    >>> validation = Predictions.from_parquet(Path("my-model/predictions/validation.parquet").read_bytes(), task)
    >>> threshold_for_accuracy(task, validation.gold, validation.logits, 0.5)
    Threshold(score=0..., coverage=1.0, accuracy=..., rows=...)
    ```

    Args:
        task: of the answers, one with a score each.
        gold: the gold answers of the validation split. The test split is never used for model selection.
        logits: of shape `(n, num_outputs)`.
        target: accuracy from 0 to 1.

    Returns:
        None if no threshold with at least 30 answered rows reaches the target.
    """
    reaching = [one for one in _thresholds(task, gold, logits) if one.accuracy >= target]
    return reaching[-1] if reaching else None


def highest_accuracy(task: Task, gold: Answers, logits: Logits) -> float | None:
    """The highest accuracy that a threshold with at least 30 answered rows reaches; None if there are fewer rows."""
    return max((one.accuracy for one in _thresholds(task, gold, logits)), default=None)


def _thresholds(task: Task, gold: Answers, logits: Logits) -> list[Threshold]:
    """All thresholds with at least 30 answered rows, the highest score first."""
    scores, right = _surest_first(task, gold, logits)
    answered = np.arange(1, len(scores) + 1)
    accuracy = np.cumsum(right) / answered
    # Rows with the same score are answered together: a threshold can only lie behind the last of them.
    is_last = np.append(scores[1:] != scores[:-1], np.True_)
    return [
        Threshold(float(scores[last]), float(answered[last] / len(scores)), float(accuracy[last]), int(answered[last]))
        for last in np.flatnonzero(is_last & (answered >= FEWEST_ROWS))
    ]


def accuracy_by_coverage(task: Task, gold: Answers, logits: Logits) -> tuple[Coverage, ...]:
    """Accuracy with its 95 % interval at each coverage, and the lowest score that is answered there.

    Args:
        task: of the answers, one with a score each.
        gold: the gold answers.
        logits: of shape `(n, num_outputs)`.
    """
    scores, right = _surest_first(task, gold, logits)
    rows = []
    for coverage in COVERAGES:
        count = round(coverage * len(scores))
        if count < FEWEST_ROWS:
            break
        hits = int(right[:count].sum())
        accuracy = Metric(hits / count, *wilson_interval(hits, count))
        rows.append(Coverage(coverage=coverage, rows=count, score=float(scores[count - 1]), accuracy=accuracy))
    return tuple(rows)


def _surest_first(task: Task, gold: Answers, logits: Logits) -> tuple[Floats, Answers]:
    """Scores of the predicted answers, highest first, and 1 where the prediction is right."""
    scores = task.confidence(logits)
    order = np.argsort(-scores, kind="stable")
    return scores[order], task.is_right(gold, task.decide(logits))[order].astype(np.int64)
