"""Logits to probabilities."""

from typing import Any

import numpy as np
import numpy.typing as npt


Answers = npt.NDArray[Any]
"""Gold or predicted answers of rows, in the form of their task."""
Floats = npt.NDArray[np.float64]
Logits = npt.NDArray[np.float32]


def softmax(logits: Logits) -> Floats:
    """Probabilities of labels that exclude each other, of the shape `(n, num_labels)`; each row sums to 1."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    probabilities: Floats = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probabilities


def sigmoid(logits: npt.NDArray[Any]) -> Floats:
    """Probabilities of labels that do not exclude each other, of the shape of the logits."""
    with np.errstate(over="ignore"):  # (of a very low logit: the probability is 0 then)
        probabilities: Floats = 1.0 / (1.0 + np.exp(-logits.astype(np.float64)))
    return probabilities
