"""A contrastive phase: vectors of texts with the same labels come together, those of others move apart.

Each batch gives one pair for every two of its texts. A pair of multi-label texts counts by the proportion of labels
that they share. The loss is the supervised contrastive loss of Khosla et al.,
"Supervised Contrastive Learning" (NeurIPS 2020), equation 2. With few rows this teaches an encoder more than the
classification loss does (benchmarks/RECIPES.md); SetFit (Tunstall et al., 2022) does it with pairs one by one.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hfbertcls.data.tokenization import TokenizedSplit
from hfbertcls.training.phases import PhaseRecipe, Positions, affordable, train_vectors


if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


CONTRAST_BELOW = 300
"""Training rows from which on the phase is left out."""
TEMPERATURE = 0.2
ROWS_PER_BATCH = 24
_STEPS, _FEWEST_STEPS = 60, 25
_STEPS_OF_A_ROW = 0.4
_RATE_FACTOR = 0.6
_FEWEST_OF_A_LABEL = 2


def choose_contrast(model: "PreTrainedModel", train: TokenizedSplit, learning_rate: float) -> PhaseRecipe | None:
    """The recipe for some rows; None where the phase has no meaning or was not shown to help.

    It is for fewer than 300 rows with labels, two of which have two rows each. It has as many updates as there are rows,
    at least 25 and at most 60, or 0.4 times the rows if that is more (benchmarks/RECIPES.md); fewer where they would take
    more than 1e14 floating-point operations.

    Args:
        model: to be trained.
        train: the training rows.
        learning_rate: of fine-tuning a model of this size.
    """
    rows = len(train.num_tokens)
    if not train.labelled_task.has_labels or not rows < CONTRAST_BELOW:
        return None
    if (train.labelled_task.support(train.gold) >= _FEWEST_OF_A_LABEL).sum() < 2:
        return None
    steps = max(_FEWEST_STEPS, min(_STEPS, rows), round(_STEPS_OF_A_ROW * rows))
    return PhaseRecipe(affordable(model, train, steps, min(ROWS_PER_BATCH, rows)), _RATE_FACTOR * learning_rate)


def contrast(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    train: TokenizedSplit,
    recipe: PhaseRecipe,
    seed: int,
    advance: Callable[[int], None],
    *,
    in_bf16: bool,
) -> float:
    """Train a classifier as `train_vectors` does; returns the seconds of the steps.

    Args:
        model: changed in place, on its device. Padding is left out where it can be.
        tokenizer: of the model.
        train: the rows, with labels.
        recipe: how long and how fast.
        seed: of the batches and of dropout.
        advance: called with the number of finished steps.
        in_bf16: whether to compute in bf16.
    """
    import torch  # noqa: PLC0415  (takes seconds)

    task, gold = train.labelled_task, train.gold
    of_labels = [np.flatnonzero(task.has(gold, label)) for label in range(len(task.labels))]
    of_labels = [positions for positions in of_labels if len(positions)]
    generator = np.random.default_rng(seed)
    batches = (_balanced(of_labels, generator) for _ in range(recipe.steps))

    def loss(vectors: "torch.Tensor", positions: Positions) -> "torch.Tensor":
        similarity = torch.from_numpy(task.similarity(gold[positions])).to(vectors.device)
        return supervised_contrastive_loss(vectors, similarity.float())

    return train_vectors(model, tokenizer, train, batches, loss, recipe, seed, advance, in_bf16=in_bf16)


def supervised_contrastive_loss(vectors: "torch.Tensor", similarity: "torch.Tensor") -> "torch.Tensor":
    """The mean over all rows of a batch that share a label with another one.

    The vectors are centred before their similarities are taken, because those of many encoders have one direction in
    common.

    ```python
    >>> similarity = torch.block_diag(torch.ones(2, 2), torch.ones(2, 2))
    >>> together, apart = torch.eye(2)[[0, 0, 1, 1]], torch.eye(2)[[0, 1, 0, 1]]
    >>> supervised_contrastive_loss(together, similarity) < supervised_contrastive_loss(apart, similarity)
    tensor(True)
    ```

    Args:
        vectors: of shape `(rows, width)`; their length does not matter.
        similarity: how much the answers of two rows have in common, from 0 to 1, of shape `(rows, rows)`.
    """
    import torch  # noqa: PLC0415  (takes seconds)

    units = torch.nn.functional.normalize(vectors - vectors.mean(dim=0), dim=1)
    itself = torch.eye(len(units), dtype=torch.bool, device=units.device)
    similarities = (units @ units.T / TEMPERATURE).masked_fill(itself, float("-inf"))
    logarithms = torch.log_softmax(similarities, dim=1)
    weights = similarity.masked_fill(itself, 0.0)
    totals = weights.sum(dim=1)
    of_rows = -(weights * logarithms.masked_fill(itself, 0.0)).sum(dim=1)
    return (of_rows / totals.clamp(min=1e-9))[totals > 0].mean()


def _balanced(of_labels: Sequence[npt.NDArray[np.int64]], generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """Rows of a batch: as many of each label as fit, at least two; of a random part of the labels if there are many.

    Args:
        of_labels: the rows of each label that has some.
        generator: of the draw.
    """
    labels = generator.permutation(len(of_labels))[: ROWS_PER_BATCH // _FEWEST_OF_A_LABEL]
    each = max(_FEWEST_OF_A_LABEL, ROWS_PER_BATCH // len(labels))
    rows = np.concatenate([generator.permutation(of_labels[label])[:each] for label in labels])
    first = np.unique(rows, return_index=True)[1]
    return np.asarray(rows[np.sort(first)])  # (a row may have more than one of the labels)
