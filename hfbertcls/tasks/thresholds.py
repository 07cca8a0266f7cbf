"""Decision thresholds of a multi-label task, with the highest F1 of each label on validation."""

import numpy as np

from hfbertcls.tasks.probabilities import Answers, Floats, Logits, sigmoid


FEWEST_OF_A_LABEL = 10
"""For a label with fewer rows, the threshold with the highest F1 would overfit."""
_DECIMALS = 6


def fit_thresholds(gold: Answers, logits: Logits) -> Floats:
    """The decision threshold of each label, with the highest F1 of that label.

    For a label with fewer than 10 rows this would overfit. Its threshold is the score that as many rows reach as have
    the label (Yang, SIGIR 2001, "PCut"). Each threshold lies in the middle between two scores. It depends on the order
    of a label's scores alone, so a temperature changes no answer.

    Args:
        gold: 1 for each label of a row, of shape `(n, num_labels)`.
        logits: of the same shape.

    Returns:
        Scores from 0 to 1, of shape `(num_labels,)`; 0.5 where no row has the label.
    """
    scores = sigmoid(logits)
    return np.array([_threshold(gold[:, label], scores[:, label]) for label in range(gold.shape[1])])


def _threshold(gold: Answers, scores: Floats) -> float:
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(gold[order], dtype=np.int64)
    rows_with_it = int(hits[-1])
    if not rows_with_it:
        return 0.5
    ends = np.flatnonzero(np.append(ranked[:-1] > ranked[1:], True))  # (the last ones of equal scores)
    if rows_with_it < FEWEST_OF_A_LABEL:
        last = int(ends[np.argmin(np.abs(ends + 1 - rows_with_it))])
    else:
        last = int(ends[np.argmax(2.0 * hits[ends] / (ends + 1 + rows_with_it))])
    lowest, next_one = float(ranked[last]), float(ranked[last + 1]) if last + 1 < len(ranked) else 0.0
    middle = (lowest + next_one) / 2
    short = round(middle, _DECIMALS)
    return short if next_one < short <= lowest else middle if next_one < middle else lowest
