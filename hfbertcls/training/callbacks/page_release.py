"""Rows that lie on the disk do not stay in memory after a batch was made of them."""

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from hfbertcls.data.on_disk import release


_STEPS_BETWEEN = 8


class PageReleaseCallback(TrainerCallback):
    """Lets go, every eight steps, of the pages that were read of a training set on the disk."""

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Look whether it is time."""
        if state.global_step % _STEPS_BETWEEN == 0:
            release()
