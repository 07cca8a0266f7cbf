"""Batches that do not fit into memory are computed in parts, with the same update."""

import contextlib
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from transformers import Trainer, TrainerCallback
from transformers.trainer_callback import ExportableState
from transformers.utils import logging

from hfbertcls import processes
from hfbertcls.errors import TrainingError, shorten
from hfbertcls.modeling.memory import free_memory, is_out_of_memory, parts_of


logger = logging.get_logger(__name__)

Batch = Mapping[str, Any]


class PartSizeCallback(TrainerCallback, ExportableState):
    """The number of rows that fit into memory at a time, kept over a resume.

    Attributes:
        rows_: of a part in training; None while whole batches fit.
        evaluation_rows_: of a part in evaluation; None while whole batches fit.
    """

    def __init__(self) -> None:
        self.rows_: int | None = None
        self.evaluation_rows_: int | None = None

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"args": {}, "attributes": {"rows_": self.rows_, "evaluation_rows_": self.evaluation_rows_}}


class SplittingTrainer(Trainer):
    """`Trainer` that halves a batch when memory runs out, and continues.

    The gradients of the parts are weighted by their rows, as with gradient accumulation, so the update is that of the
    whole batch (dropout draws other numbers from there on). The update is computed again from the same random state.
    A run whose first batch does not fit is identical, to the bit, to a run with a smaller batch and larger
    accumulation.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.add_callback(PartSizeCallback)
        self._update: list[Batch] = []
        self._update_step = -1
        self._update_state: dict[str, torch.Tensor] = {}
        self._must_try_longest = bool(getattr(self.args, "try_longest_batch_first", False))

    @property
    def part_size(self) -> PartSizeCallback:
        """How many rows are computed at a time."""
        return next(one for one in self.callback_handler.callbacks if isinstance(one, PartSizeCallback))

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        """As the parent, in parts where memory is short.

        Raises:
            TrainingError: if not even one row fits, with remedies.
        """
        if "input_ids" not in inputs or num_items_in_batch is None:
            return super().training_step(model, inputs, num_items_in_batch)
        if self._must_try_longest:
            self._must_try_longest = False
            # (not in the wrapper that several processes meet in: they need different numbers of tries)
            self._try_longest(cast(nn.Module, self.model), len(inputs["input_ids"]))
        if self._update_step != self.state.global_step:
            self._update, self._update_step = [], self.state.global_step
            self._update_state = _random_state()
        self._update.append(inputs)
        try:
            return self._step_in_parts(model, inputs, num_items_in_batch)
        except (RuntimeError, MemoryError) as err:
            if not is_out_of_memory(err):
                raise
            reason = str(err)
        return self._repeat_update(model, num_items_in_batch, reason)

    def _step_in_parts(self, model: nn.Module, inputs: Batch, num_items: torch.Tensor | int) -> torch.Tensor:
        rows = len(inputs["input_ids"])
        limit = self.part_size.rows_ or rows
        if rows <= limit:
            return super().training_step(model, dict(inputs), num_items)
        losses, parts = [], list(parts_of(inputs, limit))
        for part in parts:
            # (several processes meet once a batch, however many parts each one has)
            is_last = processes.count() == 1 or part is parts[-1] or model is self.model
            with contextlib.nullcontext() if is_last else self.accelerator.no_sync(model):
                losses.append(super().training_step(model, part, num_items))
        return torch.stack(losses).sum()

    def _repeat_update(self, model: nn.Module, num_items: torch.Tensor | int, reason: str) -> torch.Tensor:
        """Halve the parts until all batches of this update so far fit."""
        if processes.count() > 1:
            raise TrainingError(
                f"memory ran out on one of {processes.count()} devices ({shorten(reason)}). Pass --batch-size auto, which finds "
                f"out before the first update how many rows fit, or a smaller --batch-size with a larger "
                f"--gradient-accumulation-steps. {_ADVICE}"
            )
        while True:
            self._halve(max(len(batch["input_ids"]) for batch in self._update))
            model.zero_grad()
            free_memory()
            _set_random_state(self._update_state)
            try:
                return [self._step_in_parts(model, batch, num_items) for batch in self._update][-1]
            except (RuntimeError, MemoryError) as err:
                if not is_out_of_memory(err):
                    raise

    def _halve(self, rows: int) -> None:
        size = self.part_size
        current = min(size.rows_ or rows, rows)
        if current <= 1:
            raise TrainingError(f"memory ran out at step {self.state.global_step + 1:,} with a single text. {_ADVICE}")
        size.rows_ = (current + 1) // 2
        logger.warning(
            f"memory ran out at step {self.state.global_step + 1:,}: batches are computed in parts of "
            f"{size.rows_} {'row' if size.rows_ == 1 else 'rows'} from here on; the rows of an update stay the same"
        )

    def _try_longest(self, model: nn.Module, rows: int) -> None:
        """Compute the longest rows of the training set once, with room for the optimizer, and forget the result."""
        dataset: Any = self.train_dataset
        lengths = np.asarray(dataset[self.args.length_column_name])
        longest = [dataset[int(position)] for position in np.argsort(-lengths, kind="stable")[:rows]]
        columns = set(self._signature_columns or ()) or set(longest[0])
        batch = self.data_collator([{key: row[key] for key in row if key in columns} for row in longest])
        state = _random_state()
        items = torch.tensor(len(longest), device=self.args.device)
        # AdamW keeps two more numbers for each weight from the first update on.
        parameters = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        reserve = [torch.empty(parameters, device=self.args.device) for _ in range(2)]
        while True:
            try:
                self._step_in_parts(model, batch, items)
                break
            except (RuntimeError, MemoryError) as err:
                if not is_out_of_memory(err):
                    raise
            model.zero_grad()
            free_memory()
            self._halve(rows)
        del reserve
        fitting = [rows_ for rows_ in processes.gather(self.part_size.rows_) if rows_ is not None]
        self.part_size.rows_ = min(fitting, default=None)
        model.zero_grad()
        _set_random_state(state)

    def prediction_step(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
        """As the parent, in parts where memory is short."""
        if "input_ids" not in inputs:
            return super().prediction_step(model, inputs, prediction_loss_only, ignore_keys)
        while True:
            rows = len(inputs["input_ids"])
            limit = min(self.part_size.evaluation_rows_ or rows, rows)
            try:
                if limit == rows:
                    return super().prediction_step(model, inputs, prediction_loss_only, ignore_keys)
                parts = list(parts_of(inputs, limit))
                answers = [
                    super(SplittingTrainer, self).prediction_step(model, part, prediction_loss_only, ignore_keys)
                    for part in parts
                ]
                return _joined(answers, [len(part["input_ids"]) for part in parts])
            except (RuntimeError, MemoryError) as err:
                if not is_out_of_memory(err):
                    raise
                if self.is_fsdp_enabled:
                    raise TrainingError(
                        f"memory ran out in evaluation on one of {processes.count()} devices ({shorten(str(err))}). Pass a smaller "
                        f"--per-device-eval-batch-size. {_ADVICE}"
                    ) from err
                if limit == 1:
                    raise TrainingError(f"memory ran out in evaluation with a single text. {_ADVICE}") from err
            self.part_size.evaluation_rows_ = (limit + 1) // 2
            logger.warning(
                f"memory ran out in evaluation: parts of {self.part_size.evaluation_rows_} rows from here on"
            )
            free_memory()


_ADVICE = (
    "Three things to try: a smaller --max-length (256 needs a quarter of the attention of 512), "
    "--gradient-checkpointing, a smaller model"
)


def _joined(
    answers: list[Any], rows: list[int]
) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
    losses, logits, labels = zip(*answers, strict=True)
    loss = None
    if losses[0] is not None:
        weights = torch.tensor(rows, dtype=losses[0].dtype, device=losses[0].device)
        loss = (torch.stack([one.mean() for one in losses]) * weights).sum() / weights.sum()
    return (
        loss,
        None if logits[0] is None else torch.cat(logits),
        None if labels[0] is None else torch.cat(labels),
    )


def _random_state() -> dict[str, torch.Tensor]:
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def _set_random_state(state: dict[str, torch.Tensor]) -> None:
    torch.set_rng_state(state["cpu"])
    if "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"])
