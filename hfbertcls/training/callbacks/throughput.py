"""The speed of training, and the proportion of arithmetic on padding."""

import time
from collections.abc import Callable
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from hfbertcls import processes
from hfbertcls.modeling.flops import measured_peak
from hfbertcls.modeling.layout import LENGTHS


_SUMS = ("seconds_", "rows_", "tokens_", "positions_", "squares_")


class ThroughputCallback(TrainerCallback, ExportableState):
    """Sum the wall time of the optimization steps; the trainer adds the rows and tokens that it sees.

    The sums continue after a resume. Those of several processes are added up by `sum_up`.

    Attributes:
        seconds_: wall time of the steps: forward, backward and update, without evaluation and saving.
        rows_: texts seen.
        tokens_: real tokens seen.
        positions_: real tokens, and padding where it was computed.
        squares_: the sum of the squares of the texts' lengths, in tokens.
    """

    def __init__(self) -> None:
        self.seconds_ = 0.0
        self.rows_ = 0
        self.tokens_ = 0
        self.positions_ = 0
        self.squares_ = 0
        self._began = 0.0
        self._all: dict[str, Any] = {}

    @property
    def all_(self) -> dict[str, Any]:
        """The sums over all processes; of several, as they stood at the last `sum_up`."""
        return self._all or {name: getattr(self, name) for name in _SUMS}

    def sum_up(self) -> None:
        """Add up the sums of all processes, which call this together. The seconds are those of the first one."""
        if processes.count() > 1:
            of_all = processes.gather({name: getattr(self, name) for name in _SUMS})
            self._all = {name: sum(one[name] for one in of_all) for name in _SUMS}
            self._all["seconds_"] = of_all[0]["seconds_"]

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begin at zero; after a resume, the first process has the sums of all."""
        if args.device.type == "cuda":  # (now, so that the memory of training is its own)
            measured_peak("cuda", torch.bfloat16 if args.bf16 else torch.float16 if args.fp16 else torch.float32)
            torch.cuda.reset_peak_memory_stats()
        if not processes.is_first() or state.global_step == 0:
            self._all = {}
            for name in _SUMS:
                setattr(self, name, 0)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Add up the last steps."""
        self.sum_up()

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the clock."""
        self._began = time.perf_counter()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Stop the clock."""
        self.seconds_ += time.perf_counter() - self._began

    def count(self, inputs: dict[str, Any], computed: Callable[[int], int] | None = None) -> None:
        """Count a batch with `attention_mask` or `input_ids` of shape `(rows, positions)`.

        Args:
            inputs: the batch.
            computed: returns the number of computed positions for a number of real tokens; None if padding is
                computed.
        """
        rows, length = inputs["input_ids"].shape
        mask = inputs.get("attention_mask")
        lengths = inputs.get(LENGTHS)  # (where the device would have to be waited for)
        if lengths is None:
            lengths = [length] * rows if mask is None else mask.sum(dim=-1).tolist()
        tokens = sum(lengths)
        self.rows_ += rows
        self.squares_ += sum(size * size for size in lengths)
        self.tokens_ += tokens
        self.positions_ += rows * length if computed is None else computed(tokens)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"args": {}, "attributes": dict(self.all_)}

    @property
    def padding_fraction(self) -> float:
        """Fraction of the positions that were padding (0 to 1)."""
        return 1 - self.all_["tokens_"] / self.all_["positions_"] if self.all_["positions_"] else 0.0
