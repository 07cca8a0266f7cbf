"""Progress of training: a bar in a terminal or a notebook, and a line for each evaluation everywhere."""

import time
from typing import Any

from tqdm.auto import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from hfbertcls.progress import FIRST_SECONDS, SECONDS_BETWEEN, has_bar, stream, time_left, writer


_STEPS_TO_KNOW = 1  # (the first step has extra work, so it is not counted)


class ConsoleCallback(TrainerCallback):
    """Report progress to the active `Log`; outside of every `progress.shown`, to standard error."""

    def __init__(self) -> None:
        self.bar_: Any = None
        self.loss_: float | None = None
        self._began: tuple[float, int] = (0.0, 0)
        self._told = 0.0
        self._is_running = False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Open the bar, if a terminal or a notebook is attached."""
        self._began = (time.monotonic(), state.global_step)
        self._is_running = False
        self._told = self._began[0] - SECONDS_BETWEEN + FIRST_SECONDS
        if state.is_world_process_zero and writer() is not None and has_bar():
            shape = {"unit": "step", "dynamic_ncols": True}
            self.bar_ = tqdm(total=state.max_steps, initial=state.global_step, file=stream(), **shape)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Move the bar; without one, log the remaining time now and then."""
        if self.bar_ is not None:
            self.bar_.update(state.global_step - self.bar_.n)
            return
        if not self._is_running:
            self._is_running, self._began = True, (time.monotonic(), state.global_step)
        now, steps = time.monotonic(), state.global_step - self._began[1]
        if state.is_world_process_zero and steps >= _STEPS_TO_KNOW and now - self._told >= SECONDS_BETWEEN:
            self._told = now
            left = (state.max_steps - state.global_step) * (now - self._began[0]) / steps
            _tell(f"  step {state.global_step:,} of {state.max_steps:,}: about {time_left(left)} of training left")

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Remember the loss for the next line."""
        if logs and "loss" in logs:
            self.loss_ = float(logs["loss"])

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """One line: the step, and the metrics on validation."""
        if not state.is_world_process_zero or metrics is None:
            return
        shown = ("accuracy", "f1_macro", "loss", str(args.metric_for_best_model).removeprefix("eval_"))
        shown_metrics = ", ".join(
            f"{name} {metrics[f'eval_{name}']:.4f}" for name in dict.fromkeys(shown) if f"eval_{name}" in metrics
        )
        loss = f"training loss {self.loss_:.4f}; " if self.loss_ is not None else ""
        _tell(
            f"  step {state.global_step:,} of {state.max_steps:,} (epoch {state.epoch or 0:.2f}): {loss}"
            f"validation {shown_metrics}"
        )

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Close the bar."""
        if self.bar_ is not None:
            self.bar_.close()
            self.bar_ = None


def _tell(line: str) -> None:
    """Log a line above the open bars."""
    if (write := writer()) is not None:
        with tqdm.external_write_mode(file=stream()):
            write(line)
