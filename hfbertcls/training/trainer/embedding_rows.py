"""A row-wise gradient of the embedding table: a batch changes a few hundred of tens of thousands of rows."""

from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class RowGradientEmbedding(nn.Embedding):
    """`nn.Embedding` that reuses the memory of its dense gradient, and clears only the rows of the last step.

    PyTorch clears, measures and scales a gradient as large as the table for each step, which costs more than the
    matrix products of a small batch. The gradient is the same, to the order in which equal tokens are summed.

    Call `recycle` after the step of the optimizer, before the gradients are dropped. Other code must not change the
    rows of the gradient that no token of the batch has.
    """

    def __init__(self, embedding: nn.Embedding) -> None:
        super().__init__(
            embedding.num_embeddings, embedding.embedding_dim, embedding.padding_idx, _weight=embedding.weight.detach()
        )
        self.weight = embedding.weight
        self.train(embedding.training)
        self._cleared: torch.Tensor | None = None
        self._rows: list[torch.Tensor] = []

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """The vectors of token ids of any shape; the argument has the parent's name."""
        result: torch.Tensor = _Lookup.apply(self.weight, input, self)  # type: ignore[no-untyped-call]
        return result

    @property
    def rows(self) -> torch.Tensor:
        """The rows that have a gradient, int64 of shape `(rows,)`, ascending."""
        return torch.unique(torch.cat(self._rows)) if self._rows else torch.zeros(0, dtype=torch.int64)

    def recycle(self) -> None:
        """Clear the gradient, and keep its memory for the next one."""
        gradient = self.weight.grad
        if gradient is not None:
            self._cleared = gradient.index_fill_(0, self.rows, 0.0)
        self._rows = []

    def _add_rows(self, ids: torch.Tensor, values: torch.Tensor) -> torch.Tensor | None:
        """A gradient of the table with the sums of `values`, of shape `(tokens, size)`, by token id.

        None if they were added to the gradient of an earlier part of the batch.
        """
        rows, places = torch.unique(ids, return_inverse=True)
        sums = values.new_zeros((len(rows), values.shape[1])).index_add_(0, places, values)
        if self.padding_idx is not None:
            sums[rows == self.padding_idx] = 0.0
        self._rows.append(rows)
        if self.weight.grad is not None:
            self.weight.grad.index_add_(0, rows, sums.to(self.weight.grad.dtype))
            return None
        # The memory is handed over: autograd then takes it as the gradient, without a copy.
        gradient, self._cleared = self._cleared, None
        if gradient is None:
            gradient = torch.zeros_like(self.weight)
        return gradient.index_copy_(0, rows, sums.to(gradient.dtype))


class _Lookup(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: torch.Tensor, ids: torch.Tensor, embedding: RowGradientEmbedding) -> torch.Tensor:
        ctx.save_for_backward(ids)
        ctx.embedding = embedding
        return nn.functional.embedding(ids, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, None, None]:
        (ids,) = ctx.saved_tensors
        return ctx.embedding._add_rows(ids.flatten(), gradient.reshape(-1, gradient.shape[-1])), None, None


class _Recycling(TrainerCallback):
    def __init__(self, trainer: "RowGradientTrainer") -> None:
        self.trainer = trainer

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """After the update, before the gradients are dropped."""
        self.trainer.recycle()


class RowGradientTrainer(Trainer):
    """`Trainer` that spends no time on the rows of the embedding table that are not in a batch, on one CPU process.

    The optimizer still goes over all rows: AdamW moves and decays them without a gradient, too.
    """

    _embedding: RowGradientEmbedding | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._replace_table(self.model)
        self.add_callback(_Recycling(self))

    def call_model_init(self, trial: Any = None) -> nn.Module:
        """As the parent; models that are made later have the same gradients."""
        model: nn.Module = super().call_model_init(trial)
        self._replace_table(model)
        return model

    def recycle(self) -> None:
        """Called after each update, before the gradients are dropped."""
        if self._embedding is not None:
            self._embedding.recycle()

    def _replace_table(self, model: Any) -> None:
        table: Any = model.get_input_embeddings() if isinstance(model, PreTrainedModel) else None
        # A subclass, or an embedding with PyTorch's further options for gradients and norms, stays unchanged.
        plain = type(table) is nn.Embedding and not (table.sparse or table.scale_grad_by_freq or table.max_norm)
        if plain and self.args.device.type == "cpu" and self.args.world_size == 1 and not self.args.torch_compile:
            self._embedding = RowGradientEmbedding(table)
            model.set_input_embeddings(self._embedding)

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        """As the parent, by the rows of the table that have a gradient."""
        if self._embedding is None or self._embedding.weight.grad is None:
            return super()._clip_grad_norm(model)  # type: ignore[no-untyped-call]  # transformers leaves it untyped
        table: Any = self._embedding.weight
        rows = self._embedding.rows
        gradients = [
            parameter.grad for parameter in model.parameters() if parameter.grad is not None and parameter is not table
        ]
        of_rows = table.grad.index_select(0, rows)
        norm = nn.utils.get_total_norm([*gradients, of_rows])
        factor = float(self.args.max_grad_norm) / (norm + 1e-6)
        if factor < 1:
            torch._foreach_mul_(gradients, factor)
            table.grad.index_copy_(0, rows, of_rows * factor)
        return norm
