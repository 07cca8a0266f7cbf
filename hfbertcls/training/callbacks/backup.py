"""Offering each finished checkpoint to a backup."""

from typing import Any, Protocol

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class Backup(Protocol):
    """Receives the checkpoints after each save, and returns at once."""

    def offer(self, name: str) -> None:
        """Take the checkpoints as they are now."""


class BackupCallback(TrainerCallback):
    """Notify a backup after each save.

    Args:
        backup: such as `CheckpointBranch`.
    """

    def __init__(self, backup: Backup) -> None:
        self.backup = backup

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Offer the checkpoint."""
        if state.is_world_process_zero:
            self.backup.offer(f"checkpoint-{state.global_step}")
