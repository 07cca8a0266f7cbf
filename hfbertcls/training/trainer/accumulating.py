"""The loss of a batch as a part of its update, however many batches are accumulated into one."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any, cast

import torch
from torch import nn
from transformers import Trainer
from transformers.utils import logging

from hfbertcls.tasks.known import task_of_config
from hfbertcls.tasks.task import Task
from hfbertcls.training.losses import LabelLoss, ignores_the_count
from hfbertcls.training.trainer.dealing import is_filler


logger = logging.get_logger(__name__)

_MEAN_OF_A_BATCH = (
    "compute_loss_func ignores num_items_in_batch, so it is taken for the mean of a batch, which is weighted by its rows. If it "
    "weighs rows, divide the sum by num_items_in_batch instead, or use hfbertcls.training.losses.LabelLoss"
)


class AccumulatingTrainer(Trainer):
    """`Trainer` whose update is the same for 4 batches of 4 as for 1 of 16, with class weights too.

    transformers leaves the division to the model, and classification models do not divide: there 4 x 4 gives four
    times the update (seen in 5.23).
    """

    # The loss of `compute_loss` is weighted here for accumulation, so the parent must not divide it again.
    loss_is_scaled_for_ga: bool | None = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Rows are to be counted for every model, so that `compute_loss` can weigh a batch among accumulated ones.
        self.model_accepts_loss_kwargs = True
        self._ignores_count: bool | None = None

    @cached_property
    def _task(self) -> Task | None:
        """What the model answers; its kind and labels stay while it is trained."""
        return task_of_config(cast(Any, self.model).config)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, Any]:
        """The loss of the batch, divided by the rows (or their weight) of its update.

        A `LabelLoss` divides by the weight of the update; it is for training only. Another `compute_loss_func` may
        divide by `num_items_in_batch`; if it ignores that, it is taken for the mean of the batch and weighted here.
        """
        if num_items_in_batch is None or "labels" not in inputs:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        labels, processes = inputs["labels"], 1
        if self.args.average_tokens_across_devices:
            processes = self.accelerator.num_processes
        if is_filler(inputs):
            outputs = model(**{name: value for name, value in inputs.items() if name != "labels"})
            loss = outputs["logits"].float().sum() * 0.0
        elif self.compute_loss_func is None or (isinstance(self.compute_loss_func, LabelLoss) and not model.training):
            loss, outputs = self._plain_loss(model, inputs)
            own = None if self._task is None else self._task.loss(outputs["logits"], labels)
            loss = self._weighted(loss if own is None else own, labels, num_items_in_batch)
        else:
            outputs = model(**{name: value for name, value in inputs.items() if name != "labels"})
            loss = self.compute_loss_func(outputs, labels, num_items_in_batch=num_items_in_batch)
            if self._returns_means(outputs, labels, num_items_in_batch):
                loss = self._weighted(loss, labels, num_items_in_batch)
        scaled: torch.Tensor = loss.mean() * processes
        return (scaled, outputs) if return_outputs else scaled

    def _returns_means(self, outputs: Any, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int) -> bool:
        """Whether `compute_loss_func` ignores the count; found out with the first batch that tells."""
        if isinstance(self.compute_loss_func, LabelLoss) or self.compute_loss_func is None:
            return False
        if self._ignores_count is None:
            self._ignores_count = ignores_the_count(self.compute_loss_func, outputs, labels, num_items_in_batch)
            if self._ignores_count and self.args.gradient_accumulation_steps > 1:
                logger.warning(_MEAN_OF_A_BATCH)
        return bool(self._ignores_count)

    def _plain_loss(self, model: nn.Module, inputs: dict[str, Any]) -> tuple[torch.Tensor, Any]:
        """The mean loss of a batch without `compute_loss_func`, as the parent computes it."""
        own, self.compute_loss_func = self.compute_loss_func, None
        try:
            loss, outputs = super().compute_loss(model, dict(inputs), return_outputs=True)
        finally:
            self.compute_loss_func = own
        return loss, outputs

    def _weighted(
        self, loss: torch.Tensor, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int
    ) -> torch.Tensor:
        """The mean loss of a batch, times its fraction of the rows of the update."""
        total = torch.as_tensor(num_items_in_batch, device=loss.device).flatten()[0] * max(1, self.args.n_gpu)
        counted = labels.numel() if labels.is_floating_point() else labels.ne(-100).sum()
        weighted: torch.Tensor = loss.mean() * (counted / total)
        return weighted

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> torch.Tensor | int | None:
        """As the parent; of numbers, -100 counts too."""
        batches = [
            {**batch, "labels": torch.zeros_like(batch["labels"])}
            if "labels" in batch and batch["labels"].is_floating_point()
            else batch
            for batch in batch_samples
        ]
        return cast(Any, super())._get_num_items_in_batch(batches, device)  # type: ignore[no-any-return]

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], torch.Tensor | int | None]:
        """As the parent; with a `LabelLoss` the count of an update is the weight of its rows."""
        batches, count = super().get_batch_samples(epoch_iterator, num_batches, device)
        if not isinstance(self.compute_loss_func, LabelLoss) or not batches or count is None:
            return batches, count
        weight = torch.stack([self.compute_loss_func.total_weight(batch["labels"]) for batch in batches]).sum()
        if self.args.average_tokens_across_devices and self.args.world_size > 1:
            weight = self.accelerator.gather(weight.to(device)).sum()
        return batches, weight.to(device)
