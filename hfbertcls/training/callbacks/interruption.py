"""Stopping on request: the current step is finished and saved, so that nothing is lost."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import SaveStrategy

from hfbertcls import processes
from hfbertcls.errors import TrainingInterruptedError
from hfbertcls.progress import Log


class InterruptionCallback(TrainerCallback):
    """Save a checkpoint and end the run after the step in which a signal arrived.

    Use it within `listening()`, which turns Ctrl-C (SIGINT) and SIGTERM into such a request. A second Ctrl-C stops at
    once, without saving.

    Args:
        log: gets a line about the stop.
    """

    def __init__(self, log: Log) -> None:
        self.log = log
        self.requested_ = False
        self._is_signalled = False
        self._agreement = processes.Agreement()

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Take over the two signals; in a thread, where Python cannot, this does nothing."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        signals = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self._request) for number in signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self._is_signalled:
            raise KeyboardInterrupt
        self._is_signalled = True
        self.log("Stopping after this step, and saving. Press Ctrl-C again to stop at once, without saving")

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Ask for a checkpoint; at the end of an epoch that is evaluated, the one after the evaluation will do.

        A signal to any process stops all of them.
        """
        self.requested_ = self._agreement.any(self._is_signalled)
        ends_epoch = state.epoch is not None and float(state.epoch).is_integer()
        if self.requested_ and not (ends_epoch and args.save_strategy == SaveStrategy.EPOCH):
            control.should_save = True

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Wait for the last agreement."""
        self._agreement.finish()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """The checkpoint is there: end the run, unless this was its last step anyway.

        Raises:
            TrainingInterruptedError: with the command to resume.
        """
        if self.requested_ and not control.should_training_stop:
            raise TrainingInterruptedError(
                f"stopped at step {state.global_step:,} of {state.max_steps:,}, and saved. To resume there, repeat the "
                "command with --resume"
            )
