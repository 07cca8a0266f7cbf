"""A contrastive phase: vectors of texts with the same label come together, those of others move apart.

Each batch gives one pair for every two of its texts. The loss is the supervised contrastive loss of Khosla et al.,
"Supervised Contrastive Learning" (NeurIPS 2020), equation 2. With few rows this teaches an encoder more than the
classification loss does (benchmarks/RECIPES.md); SetFit (Tunstall et al., 2022) does it with pairs one by one.
"""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hfbertcls.data.tokenization import TokenizedSplit
from hfbertcls.modeling.engine import PaddedRows
from hfbertcls.modeling.heads import without_output_layer
from hfbertcls.progress import work


if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


CONTRAST_BELOW = 300
"""Training rows from which on the phase is left out."""
TEMPERATURE = 0.2
ROWS_PER_BATCH = 48
_STEPS, _FEWEST_STEPS = 60, 10
_RATE_FACTOR = 0.6
_MOST_OPERATIONS = 1e14
_FEWEST_OF_A_LABEL = 2
_WARM_UP = 0.1


@dataclass(frozen=True)
class ContrastiveRecipe:
    """How long and how fast.

    Args:
        steps: updates.
        learning_rate: its peak.
    """

    steps: int
    learning_rate: float


def choose_contrast(model: "PreTrainedModel", train: TokenizedSplit, learning_rate: float) -> ContrastiveRecipe | None:
    """The recipe for some rows; None where the phase has no meaning or was not shown to help.

    It is for rows of exactly one label, fewer than 300 of them, with two labels that have two rows each. 60 updates,
    fewer where they would take more than 1e14 floating-point operations.

    Args:
        model: to be trained.
        train: the training rows.
        learning_rate: of fine-tuning a model of this size.
    """
    from hfbertcls.modeling.flops import training_flops  # noqa: PLC0415  (loads PyTorch)

    rows = len(train.num_tokens)
    if not train.labelled_task.is_one_label or not rows < CONTRAST_BELOW:
        return None
    counts = np.bincount(train.gold)
    if (counts >= _FEWEST_OF_A_LABEL).sum() < 2:
        return None
    of_row = training_flops(model, int(train.lengths.sum()), int((train.lengths**2).sum())) / rows
    affordable = int(_MOST_OPERATIONS / (of_row * min(ROWS_PER_BATCH, rows)))
    return ContrastiveRecipe(max(_FEWEST_STEPS, min(_STEPS, affordable)), _RATE_FACTOR * learning_rate)


def contrast(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    train: TokenizedSplit,
    recipe: ContrastiveRecipe,
    seed: int,
    *,
    in_bf16: bool,
) -> float:
    """Train a classifier but for its token embeddings and its last layer; returns the seconds of the steps.

    The embeddings stay, because updating a table of all tokens takes a third of a step, and few rows have few tokens.

    Args:
        model: changed in place, on its device. Padding is left out where it can be.
        tokenizer: of the model.
        train: the rows, of exactly one label each.
        recipe: how long and how fast.
        seed: of the batches and of dropout.
        in_bf16: whether to compute in bf16.
    """
    import torch  # noqa: PLC0415  (takes seconds)
    from transformers import get_scheduler, set_seed  # noqa: PLC0415

    from hfbertcls.modeling.padding_free import enable_padding_free  # noqa: PLC0415

    enable_padding_free(model)
    net: Any = model
    gold, rows = train.gold, PaddedRows(tokenizer, train)
    generator = np.random.default_rng(seed)
    set_seed(seed)
    embeddings = net.get_input_embeddings().weight
    embeddings.requires_grad_(False)
    began = time.perf_counter()
    net.train(True)
    try:
        with without_output_layer(model), work("Contrastive phase", recipe.steps, "steps") as advance:
            is_fused = model.device.type in ("cpu", "cuda")
            optimizer = torch.optim.AdamW(_groups(model), lr=recipe.learning_rate, fused=is_fused)
            schedule = get_scheduler("linear", optimizer, round(_WARM_UP * recipe.steps), recipe.steps)
            for _ in range(recipe.steps):
                positions = _balanced(gold, generator)
                batch = {
                    key: torch.from_numpy(value).to(model.device) for key, value in rows.padded(positions).items()
                }
                with torch.autocast(model.device.type, torch.bfloat16, enabled=in_bf16):
                    vectors = net(**batch).logits
                loss = supervised_contrastive_loss(vectors.float(), torch.from_numpy(gold[positions]).to(model.device))
                torch.autograd.backward(loss)
                torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
                advance(1)
    finally:
        embeddings.requires_grad_(True)
        net.train(False)
    return time.perf_counter() - began


def supervised_contrastive_loss(vectors: "torch.Tensor", labels: "torch.Tensor") -> "torch.Tensor":
    """The mean over all rows of a batch that share their label with another one.

    The vectors are centred before their similarities are taken, because those of many encoders have one direction in
    common.

    ```python
    >>> labels = torch.tensor([0, 0, 1, 1])
    >>> together, apart = torch.eye(2)[labels], torch.eye(2)[torch.tensor([0, 1, 0, 1])]
    >>> supervised_contrastive_loss(together, labels) < supervised_contrastive_loss(apart, labels)
    tensor(True)
    ```

    Args:
        vectors: of shape `(rows, width)`; their length does not matter.
        labels: of shape `(rows,)`.
    """
    import torch  # noqa: PLC0415  (takes seconds)

    units = torch.nn.functional.normalize(vectors - vectors.mean(dim=0), dim=1)
    itself = torch.eye(len(units), dtype=torch.bool, device=units.device)
    similarities = (units @ units.T / TEMPERATURE).masked_fill(itself, float("-inf"))
    logarithms = torch.log_softmax(similarities, dim=1)
    same = (labels[:, None] == labels) & ~itself
    counts = same.sum(dim=1)
    of_rows = -logarithms.masked_fill(~same, 0.0).sum(dim=1) / counts.clamp(min=1)
    return of_rows[counts > 0].mean()


def _balanced(gold: npt.NDArray[np.int64], generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """Rows of a batch: as many of each label as fit, at least two; of a random part of the labels if there are many."""
    labels = generator.permutation(np.unique(gold))[: ROWS_PER_BATCH // _FEWEST_OF_A_LABEL]
    each = max(_FEWEST_OF_A_LABEL, ROWS_PER_BATCH // len(labels))
    rows = [generator.permutation(np.flatnonzero(gold == label))[:each] for label in labels]
    return np.concatenate(rows)


def _groups(model: "PreTrainedModel") -> list[dict[str, Any]]:
    """Matrices decay, biases and norms do not."""
    parameters = [one for one in model.parameters() if one.requires_grad]
    return [
        {"params": [one for one in parameters if one.ndim > 1], "weight_decay": 0.01},
        {"params": [one for one in parameters if one.ndim <= 1], "weight_decay": 0.0},
    ]
