"""Training that survives a kill: whole checkpoints, and resumed runs that end with the same bits."""

import contextlib
import errno
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME

from hfbertcls import processes
from hfbertcls.errors import TrainingError, shorten
from hfbertcls.files import files_below, sha256_of
from hfbertcls.training.checkpoint_files import remove_checkpoint, write_manifest
from hfbertcls.training.checkpoints import (
    PARTIAL,
    RUNNING_LOSS,
    checkpoints_in,
    discard,
    latest_complete,
    rotate,
    step_of,
)


class ResumableTrainer(Trainer):
    """`Trainer` with atomic checkpoints.

    A checkpoint is written to `.partial`, and gets its name when it is complete. `resume_from_checkpoint=True` resumes
    from the latest complete one. The resumed run has the same log and ends with the same weights as a run without a
    stop (bit for bit on a CPU). The last checkpoint of a finished run is loaded and not trained on; the parent takes
    one more step (seen in 5.23).

    Of several processes, the first one writes and chooses. The others need no access to its disk.
    """

    _saving_to: Path | None = None
    _has_best_weights = False
    _restored_loss: dict[str, Any] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.add_callback(_Continuation)

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any) -> Any:
        """As the parent; True resumes from the latest complete checkpoint in the output directory."""
        self._restored_loss, self._has_best_weights = None, False
        resume: str | bool | None = resume_from_checkpoint
        if resume is True and processes.is_first():
            directory = Path(str(self.args.output_dir))
            folder = latest_complete(directory)
            if folder is not None:
                discard(directory, after=step_of(folder) or 0)
                resume = str(folder)
        resume = processes.broadcast(resume)
        if not isinstance(resume, str):
            result = super().train(resume, *args, **kwargs)
        else:
            with _on_this_machine(Path(resume)) as place:
                self._restored_loss = _read_running_loss(place)
                result = super().train(str(place), *args, **kwargs)
        self._share_best_weights()
        return result

    def _load_best_model(self) -> None:
        """As the parent, where the checkpoint is on this machine; divided weights come from the first process."""
        self._has_best_weights = Path(str(self.state.best_model_checkpoint)).is_dir()
        if self._has_best_weights or self.is_fsdp_enabled:
            super()._load_best_model()

    def _share_best_weights(self) -> None:
        """Give the best weights to processes that do not see their checkpoint."""
        if processes.count() == 1 or self.is_fsdp_enabled or not self.args.load_best_model_at_end:
            return
        have_weights = processes.gather(self._has_best_weights)
        if have_weights[0] and not all(have_weights):
            model: Any = self.model
            for value in model.state_dict().values():
                value.copy_(processes.broadcast(value.cpu()))

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        """As the parent, unless the checkpoint was the end of its run."""
        if self.control.should_training_stop:
            return
        if self._restored_loss is not None:
            sums = self._restored_loss["sums"]
            is_same = len(sums) == processes.count()
            own = sums[processes.rank()] if is_same else sum(sums) / len(sums)
            self._tr_loss += torch.tensor(own, device=self._tr_loss.device)
            self._globalstep_last_logged = int(self._restored_loss["last_logged_step"])
            self._restored_loss = None
        super()._run_epoch(*args, **kwargs)  # type: ignore[no-untyped-call]  # transformers leaves it untyped

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._saving_to) if self._saving_to is not None else str(super()._get_output_dir(trial))

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """As the parent, but under a temporary name first, and with no local path in the state.

        Raises:
            TrainingError: if it cannot be written; the checkpoints before it are untouched.
        """
        directory = Path(super()._get_output_dir(trial))
        name = f"checkpoint-{self.state.global_step}"
        self._saving_to = directory / PARTIAL
        losses = processes.gather(float(self._tr_loss))
        self._before_saving()
        try:
            super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()  # (each writes its part of weights that are divided)
            if self.args.should_save:
                self._complete(self._saving_to / name, directory / name, losses)
        except (OSError, RuntimeError, SafetensorError) as err:
            if processes.lost_another(err):
                raise
            raise TrainingError(_unwritable(directory, name, err)) from err
        finally:
            if self.args.should_save:
                shutil.rmtree(self._saving_to, ignore_errors=True)
            self._saving_to = None
        self.accelerator.wait_for_everyone()  # (the others look at the folder)
        best = directory / f"checkpoint-{self.state.best_global_step}"
        if processes.broadcast(best.is_dir()):
            self.state.best_model_checkpoint = str(best)
        if self.args.should_save:
            rotate(directory, self.args.save_total_limit, self.state.best_global_step)

    def _before_saving(self) -> None:
        """Called in all processes before a checkpoint is written."""

    def _save_rng_state(self, output_dir: str) -> None:
        """As the parent; of several processes, the first one writes the states of all."""
        if processes.count() == 1:
            super()._save_rng_state(output_dir)
            return
        with tempfile.TemporaryDirectory() as folder:
            super()._save_rng_state(folder)
            files = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
        for of_process in processes.gather(files):
            if self.args.should_save:
                for name, content in of_process.items():
                    (Path(output_dir) / name).write_bytes(content)

    def _complete(self, partial: Path, folder: Path, running_losses: list[float]) -> None:
        path = partial / TRAINER_STATE_NAME
        state = json.loads(path.read_text(encoding="utf-8"))
        state["best_model_checkpoint"] = None
        path.write_text(json.dumps(state, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        loss = {"sums": running_losses, "last_logged_step": self._globalstep_last_logged}
        (partial / RUNNING_LOSS).write_text(json.dumps(loss) + "\n", encoding="utf-8")
        write_manifest(partial)
        if folder.exists() and not remove_checkpoint(folder):
            raise OSError(
                errno.EEXIST, "a folder of that name is in the way, and no run of hfbertcls wrote it", folder.name
            )
        partial.replace(folder)


class _Continuation(TrainerCallback):
    """After a resume: restore the path of the best checkpoint, and whether the run had already ended."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if state.best_global_step and state.best_model_checkpoint is None:
            folder = Path(str(args.output_dir)) / f"checkpoint-{state.best_global_step}"
            if processes.broadcast(folder.is_dir()):
                state.best_model_checkpoint = str(folder)
        if state.global_step >= state.max_steps > 0:
            control.should_training_stop = True


@contextlib.contextmanager
def _on_this_machine(folder: Path) -> Iterator[Path]:
    """The files of a checkpoint of the first process; a copy of them where its disk cannot be seen."""
    if processes.count() == 1:
        yield folder
        return
    names = processes.broadcast(files_below(folder) if processes.is_first() else [])
    mine = [sha256_of(folder / name) if (folder / name).is_file() else None for name in names]
    states = processes.gather(mine)
    if all(state == states[0] for state in states):
        yield folder
        return
    with tempfile.TemporaryDirectory() as place:
        copied = Path(place) / folder.name
        for name in names:
            content = processes.broadcast((folder / name).read_bytes() if processes.is_first() else b"")
            if mine != states[0]:
                (copied / name).parent.mkdir(parents=True, exist_ok=True)
                (copied / name).write_bytes(content)
        yield folder if mine == states[0] else copied


def _read_running_loss(folder: Path) -> dict[str, Any] | None:
    """The sum of the losses in each process; None if the checkpoint is of another version."""
    try:
        loss: dict[str, Any] = json.loads((folder / RUNNING_LOSS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return loss if loss.get("sums") else None


def _unwritable(directory: Path, name: str, err: BaseException) -> str:
    try:
        free = f"; {shutil.disk_usage(directory).free / 1e6:,.0f} MB are free there"
    except OSError:
        free = ""
    kept = [folder.name for folder in checkpoints_in(directory)]
    intact = f"; {kept[0]} is intact" if kept else ""
    return (
        f"{name} could not be written ({shorten(str(err), 160)}{free}){intact}. Free disk space, then repeat the "
        "command with --resume"
    )
