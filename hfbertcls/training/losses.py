"""The training loss with class weights, and the focal loss: exact over all batches of an update."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hfbertcls.tasks.label_numbers import LabelNumbers, numbers_in_order
from hfbertcls.tasks.probabilities import Answers, Floats
from hfbertcls.tasks.task import Task


if TYPE_CHECKING:
    import torch


FOCAL_GAMMA = 2.0
"""The exponent of the focal loss: the best one of Lin et al. (ICCV 2017, table 1b)."""


@dataclass(frozen=True)
class LabelLoss:
    """A loss for `compute_loss_func` of a trainer: cross-entropy or focal loss, with class weights.

    It is the weighted mean over the rows of an update. `TextClassificationTrainer` divides by the sum of the weights
    of all its batches, so 4 batches of 4 give the same update as 1 of 16. Dividing each batch by its own weights, as
    `torch.nn.CrossEntropyLoss(weight=...)` does, gives another update for each batch size. The trainer evaluates
    without it: the validation loss is the plain one, so that runs with different losses can be compared.

    ```python
    >>> import torch
    >>> from hfbertcls.tasks.single_label import SingleLabel
    >>> loss = LabelLoss(SingleLabel(("ham", "spam")), weights=(1.0, 6.5))
    >>> loss.total_weight(torch.tensor([0, 1, 1]))
    tensor(14.)
    >>> TextClassificationTrainer(model, args, compute_loss_func=loss, train_dataset=rows)  # doctest: +SKIP
    ```

    The formulas stand in `hfbertcls/tasks/weighting.py`.

    Args:
        task: `SingleLabel` or `MultiLabel`, with the labels of the model.
        weights: class weights in label order: of the rows with that label, or in a multi-label task of its positive
            rows; None: 1 for each.
        gamma: of the focal loss; 0 for cross-entropy.
        smoothing: label smoothing, in a single-label task, without `gamma`.
    """

    task: Task
    weights: tuple[float, ...] | None = None
    gamma: float = 0.0
    smoothing: float = 0.0

    def total_weight(self, labels: "torch.Tensor") -> "torch.Tensor":
        """The sum of the weights of the rows of a batch.

        Args:
            labels: as the trainer gets them, of shape `(n,)` or `(n, num_labels)`.
        """
        import torch  # noqa: PLC0415  (takes seconds)

        logits = torch.zeros((len(labels), self.task.num_outputs), device=labels.device)
        return self._of_rows(logits, labels)[1].sum()

    def __call__(
        self, outputs: Any, labels: "torch.Tensor", num_items_in_batch: "torch.Tensor | int | None" = None
    ) -> "torch.Tensor":
        """The loss of a batch, divided by the weight of its update.

        Args:
            outputs: of the model, with `logits`.
            labels: of the batch.
            num_items_in_batch: the weight of all batches of the update; None: that of this batch.
        """
        losses, weights = self._of_rows(outputs["logits"], labels)
        return losses.sum() / (weights.sum() if num_items_in_batch is None else num_items_in_batch)

    def _of_rows(self, logits: "torch.Tensor", labels: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
        import torch  # noqa: PLC0415  (takes seconds)

        weights = None if self.weights is None else torch.tensor(self.weights, device=logits.device)
        return self.task.label_losses(logits, labels, weights, self.gamma, self.smoothing)


def class_weights(option: LabelNumbers, task: Task, gold: Answers) -> Floats | None:
    """The class weights of an option, of shape `(num_labels,)`; None for `none`.

    Args:
        option: none, balanced, or the number of each label.
        task: of the answers.
        gold: the answers of the rows that are trained on.
    """
    if isinstance(option, Mapping):
        return numbers_in_order(option, task.labels, "--class-weights")
    return task.balanced_weights(gold) if option == "balanced" else None


def label_loss(loss: str, weights: LabelNumbers, task: Task, gold: Answers, smoothing: float) -> LabelLoss | None:
    """The loss of the options of a run; None where it is the one that the trainer has anyway.

    Args:
        loss: cross_entropy or focal.
        weights: as in `class_weights`.
        task: of the answers.
        gold: the answers of the train split.
        smoothing: label smoothing.
    """
    numbers = class_weights(weights, task, gold)
    if loss == "cross_entropy" and numbers is None:
        return None
    in_order = None if numbers is None else tuple(numbers.tolist())
    return LabelLoss(task, in_order, FOCAL_GAMMA if loss == "focal" else 0.0, smoothing)


def ignores_the_count(loss: Callable[..., Any], outputs: Any, labels: "torch.Tensor", count: Any) -> bool | None:
    """Whether a loss function of a script ignores `num_items_in_batch`; None if this batch does not tell.

    A function that divides by the count gives half the loss for twice the count. It is called twice, without
    gradients and from the same random state.
    """
    import torch  # noqa: PLC0415  (takes seconds)

    values = []
    for times in (1, 2):
        with torch.no_grad(), torch.random.fork_rng():
            values.append(float(loss(outputs, labels, num_items_in_batch=count * times).mean()))
    return None if values[0] == 0 else values[0] == values[1]
