"""One append-only record of the run: `metrics.jsonl`."""

import json
import os
import time
from collections.abc import Iterable, Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


FILE_NAME = "metrics.jsonl"


class MetricLoggingCallback(TrainerCallback):
    """Write one JSON line for each logging or evaluation event: step, epoch, seconds, split, values.

    Lines are flushed as they are written. After a resume, the lines of repeated steps are removed first, so each
    event stands there once. `seconds` counts the training time over all parts of the run.

    ```python
    >>> trainer = Trainer(model, args, callbacks=[MetricLoggingCallback()])  # doctest: +SKIP
    >>> print(Path("my-model/metrics.jsonl").read_text().splitlines()[0])
    {"step": ..., "epoch": ..., "seconds": ..., "split": "train", "values": {"loss": ...}}
    ```

    Args:
        path (`str`, *optional*): defaults to `metrics.jsonl` in the output directory.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = path
        self.path_: Path | None = None
        self.started_ = 0.0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begin a new record, or keep what stands before the step that training resumes from."""
        if not state.is_world_process_zero:
            return
        self.path_ = Path(self.path) if self.path is not None else Path(str(args.output_dir)) / FILE_NAME
        self.path_.parent.mkdir(parents=True, exist_ok=True)
        try:
            kept = [event for event in read_events(self.path_) if event["step"] <= state.global_step]
        except (ValueError, LookupError, TypeError):  # (a file of somebody else)
            self.path_.replace(self.path_.with_name(f"{self.path_.name}.kept"))
            kept = []
        if state.global_step == 0:
            kept = []
        write_events(self.path_, kept)
        self.started_ = time.monotonic() - (kept[-1]["seconds"] if kept else 0.0)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Append the event."""
        if self.path_ is None or not logs or not state.is_world_process_zero or "train_runtime" in logs:
            return  # (the summary at the end of `train` is no event: a resumed run would have two)
        is_evaluation = any(name.startswith("eval_") for name in logs)
        values = {name.removeprefix("eval_"): value for name, value in logs.items() if name != "epoch"}
        event = {
            "step": state.global_step,
            "epoch": state.epoch,
            "seconds": round(time.monotonic() - self.started_, 3),
            "split": "validation" if is_evaluation else "train",
            "values": {name: _number(value) for name, value in values.items()},
        }
        with self.path_.open("a", encoding="utf-8") as file:
            file.write(json.dumps(event, allow_nan=False) + "\n")


def _number(value: Any) -> float | int | str | None:
    """A value for JSON; NaN and infinity become text."""
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, int | float | str) else float(value)


def write_events(path: Path, events: Iterable[Mapping[str, Any]]) -> None:
    """Write a `metrics.jsonl`, whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text("".join(json.dumps(event, allow_nan=False) + "\n" for event in events), encoding="utf-8")
    partial.replace(path)


def read_events(path: Path) -> list[dict[str, Any]]:
    """The complete lines of a `metrics.jsonl`; a last line that a kill cut short is left out."""
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    complete = text[: text.rfind("\n") + 1]
    return [json.loads(line) for line in complete.splitlines()]
