"""Training losses that weigh labels, by row, and the weights that balance labels."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hfbertcls.tasks.probabilities import Floats


if TYPE_CHECKING:
    import torch


def balanced(support: npt.NDArray[np.int64]) -> Floats:
    """A weight for each label that lets all labels weigh the same: rows / (labels * rows of the label).

    This is the `class_weight="balanced"` of scikit-learn (King and Zeng, "Logistic regression in rare events data",
    2001). A label without rows has the weight 1 and takes no part.

    >>> balanced(np.array([30, 10])).round(3)
    array([0.667, 2.   ])
    """
    occurs = support > 0
    weights = support.sum() / (occurs.sum() * np.maximum(support, 1))
    return np.where(occurs, weights, 1.0)


def balanced_positives(support: npt.NDArray[np.int64], rows: int) -> Floats:
    """A weight for the rows that have a label, so that they weigh as much as the rows without it.

    The same as `balanced`, label by label: of two classes only the ratio of their weights counts. A label that no row
    has, or each row, has the weight 1.

    >>> balanced_positives(np.array([10, 0]), 40)
    array([3., 1.])
    """
    is_mixed = (support > 0) & (support < rows)
    return np.where(is_mixed, (rows - support) / np.maximum(support, 1), 1.0)


def softmax_losses(
    logits: "torch.Tensor", labels: "torch.Tensor", weights: "torch.Tensor | None", gamma: float, smoothing: float
) -> "tuple[torch.Tensor, torch.Tensor]":
    """The loss of each row where a row has one label, times the weight of its label; and these weights.

    Without `gamma` it is cross-entropy, smoothed as by Szegedy et al. ("Rethinking the Inception architecture", CVPR
    2016) and weighted as in `torch.nn.CrossEntropyLoss`. With it, the focal loss `-(1 - p)^gamma log(p)` of the
    probability p of the gold label (Lin et al., "Focal loss for dense object detection", ICCV 2017, equation 4; the
    weights are its alpha, equation 5).

    Args:
        logits: of shape `(n, num_labels)`.
        labels: ids of shape `(n,)`; rows with -100 do not count.
        weights: of shape `(num_labels,)`; None: 1 for each.
        gamma: 0 for cross-entropy.
        smoothing: the probability that is spread over all labels; only without `gamma`.
    """
    import torch  # noqa: PLC0415  (takes seconds)
    from torch.nn import functional  # noqa: PLC0415

    logits = logits.float()
    counts = labels.ne(-100)
    of_rows = counts.float() if weights is None else weights[labels.clamp(min=0)] * counts
    if not gamma:
        losses = functional.cross_entropy(logits, labels, weights, reduction="none", label_smoothing=smoothing)
        return losses, of_rows
    of_gold = functional.log_softmax(logits, dim=-1).gather(1, labels.clamp(min=0)[:, None])[:, 0]
    return -((-torch.expm1(of_gold)) ** gamma) * of_gold * of_rows, of_rows


def sigmoid_losses(
    logits: "torch.Tensor", labels: "torch.Tensor", weights: "torch.Tensor | None", gamma: float
) -> "tuple[torch.Tensor, torch.Tensor]":
    """The mean loss over all labels of each row, where a row has any number of labels; and 1 for each row.

    It is binary cross-entropy, with the positive rows of a label times its weight (`pos_weight` of
    `torch.nn.BCEWithLogitsLoss`). With `gamma` each term is multiplied by `(1 - p)^gamma`, p being the probability of
    what is right (Lin et al., ICCV 2017).

    Args:
        logits: of shape `(n, num_labels)`.
        labels: 1 for each label of a row, of the same shape.
        weights: of shape `(num_labels,)`; None: 1 for each.
        gamma: 0 for cross-entropy.
    """
    import torch  # noqa: PLC0415  (takes seconds)
    from torch.nn import functional  # noqa: PLC0415

    logits, labels = logits.float(), labels.float()
    losses = functional.binary_cross_entropy_with_logits(logits, labels, pos_weight=weights, reduction="none")
    if gamma:
        of_right = functional.logsigmoid(torch.where(labels > 0.5, logits, -logits))
        losses = (-torch.expm1(of_right)) ** gamma * losses
    return losses.mean(dim=-1), torch.ones(len(logits), device=logits.device)
