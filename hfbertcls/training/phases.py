"""A phase before fine-tuning: the encoder is trained by a loss on the vectors that the last layer of its head receives."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hfbertcls.data.tokenization import TokenizedSplit
from hfbertcls.modeling.engine import PaddedRows
from hfbertcls.modeling.heads import without_output_layer


if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


MOST_OPERATIONS = 1e14
"""Floating-point operations of a phase."""
_FEWEST_STEPS = 10
_WARM_UP = 0.1
Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PhaseRecipe:
    """How long and how fast.

    Args:
        steps: updates.
        learning_rate: its peak.
    """

    steps: int
    learning_rate: float

    def at_most(self, steps: int) -> "PhaseRecipe":
        """With no more steps than `--max-steps` names; a number below 1 names none."""
        return replace(self, steps=min(self.steps, steps)) if steps > 0 else self


def affordable(model: "PreTrainedModel", train: TokenizedSplit, steps: int, rows_per_batch: int) -> int:
    """So many steps, or as many as take 1e14 floating-point operations if that is fewer; at least 10.

    Args:
        model: to be trained.
        train: rows of the usual length.
        steps: how many are wanted.
        rows_per_batch: of each step.
    """
    from hfbertcls.modeling.flops import training_flops  # noqa: PLC0415  (loads PyTorch)

    operations = training_flops(model, int(train.lengths.sum()), int((train.lengths**2).sum()))
    of_step = operations / len(train.num_tokens) * rows_per_batch
    return max(_FEWEST_STEPS, min(steps, int(MOST_OPERATIONS / of_step)))


def train_vectors(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    rows: TokenizedSplit,
    batches: Iterable[Positions],
    loss: "Callable[[torch.Tensor, Positions], torch.Tensor]",
    recipe: PhaseRecipe,
    seed: int,
    advance: Callable[[int], None],
    *,
    in_bf16: bool,
    further: "Iterable[torch.nn.Parameter]" = (),
) -> float:
    """Train a classifier but for its token embeddings and its last layer; returns the seconds of the steps.

    The embeddings stay, because updating a table of all tokens takes a third of a step, and few rows have few tokens.

    Args:
        model: changed in place, on its device. Padding is left out where it can be.
        tokenizer: of the model.
        rows: the texts.
        batches: the rows of each step, as many as the recipe has steps.
        loss: called with the vectors of a batch, float32 of shape `(n, width)`, and its rows.
        recipe: how long and how fast.
        seed: of dropout.
        advance: called with the number of finished steps.
        in_bf16: whether to compute in bf16.
        further: parameters of the loss, trained along.
    """
    import torch  # noqa: PLC0415  (takes seconds)
    from transformers import get_scheduler, set_seed  # noqa: PLC0415

    from hfbertcls.modeling.padding_free import enable_padding_free  # noqa: PLC0415

    enable_padding_free(model)
    net: Any = model
    inputs = PaddedRows(tokenizer, rows)
    set_seed(seed)
    embeddings = net.get_input_embeddings().weight
    embeddings.requires_grad_(False)
    began = time.perf_counter()
    net.train(True)
    try:
        with without_output_layer(model):
            parameters = [*(one for one in net.parameters() if one.requires_grad), *further]
            is_fused = model.device.type in ("cpu", "cuda")
            optimizer = torch.optim.AdamW(_groups(parameters), lr=recipe.learning_rate, fused=is_fused)
            schedule = get_scheduler("linear", optimizer, round(_WARM_UP * recipe.steps), recipe.steps)
            for positions in batches:
                batch = {
                    key: torch.from_numpy(value).to(model.device) for key, value in inputs.padded(positions).items()
                }
                with torch.autocast(model.device.type, torch.bfloat16, enabled=in_bf16):
                    vectors = net(**batch).logits
                torch.autograd.backward(loss(vectors.float(), positions))
                torch.nn.utils.clip_grad_norm_(parameters, 1.0)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
                advance(1)
    finally:
        embeddings.requires_grad_(True)
        net.train(False)
    return time.perf_counter() - began


def _groups(parameters: "list[torch.nn.Parameter]") -> list[dict[str, Any]]:
    """Matrices decay, biases and norms do not."""
    return [
        {"params": [one for one in parameters if one.ndim > 1], "weight_decay": 0.01},
        {"params": [one for one in parameters if one.ndim <= 1], "weight_decay": 0.0},
    ]
