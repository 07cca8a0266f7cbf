"""From which score on a label is given, where a text can have several: what serves F1 best on validation."""

import numpy as np

from hfbertcls.evaluation.scores import Floats, Ids, Logits
from hfbertcls.evaluation.temperature import FEWEST_OF_A_LABEL
from hfbertcls.modeling.predictions import Thresholds, sigmoid


_DECIMALS = 6


def fit_thresholds(gold: Ids, logits: Logits) -> Thresholds:
    """The thresholds with the highest F1 of each label.

    A label that fewer than 10 rows have takes the threshold with the highest micro F1 of all labels together. Each lies in
    the middle between two scores.

    Args:
        gold: 1 for each label of a row, of shape `(n, num_labels)`.
        logits: of the same shape.

    Returns:
        Scores from 0 to 1, of shape `(num_labels,)`; a label is given from its threshold on.
    """
    scores = sigmoid(logits)
    shared = _best(gold.ravel(), scores.ravel())
    counts = gold.sum(axis=0)
    return np.array(
        [
            _best(gold[:, label], scores[:, label]) if counts[label] >= FEWEST_OF_A_LABEL else shared
            for label in range(gold.shape[1])
        ]
    )


def _best(gold: Ids, scores: Floats) -> float:
    """The threshold with the highest F1, of equal ones the highest; 0.5 where no row has the label."""
    if not gold.any():
        return 0.5
    order = np.argsort(-scores, kind="stable")
    sorted_scores = scores[order]
    hits = np.cumsum(gold[order], dtype=np.int64)
    given = np.arange(1, len(scores) + 1)
    f1 = 2.0 * hits / (given + hits[-1])
    is_last_of_equals = np.append(sorted_scores[:-1] > sorted_scores[1:], True)
    last = int(np.argmax(np.where(is_last_of_equals, f1, -1.0)))
    lowest = float(sorted_scores[last])
    next_one = float(sorted_scores[last + 1]) if last + 1 < len(scores) else 0.0
    middle = (lowest + next_one) / 2
    short = round(middle, _DECIMALS)
    return short if next_one < short <= lowest else middle if next_one < middle else lowest
