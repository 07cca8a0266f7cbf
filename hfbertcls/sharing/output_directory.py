"""The directory of a run: one run at a time, and a model repository that is complete or not there at all."""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout
from safetensors import SafetensorError

from hfbertcls.errors import HfBertClsError, OutputDirectoryError, shorten


_LOCK = ".hfbertcls.lock"
_STAGING = ".hfbertcls-staging"
_WEIGHTS = "model.safetensors"
_BACKUP = ".hfbertcls-backup"
_SEEDS = "seeds"
_CURVE = "learning-curve"
_BEGUN = {_LOCK, _STAGING, _BACKUP, _SEEDS, "checkpoints", "metrics.jsonl"}


class OutputDirectory:
    """Where a run writes.

    Args:
        path: the directory; it is made when the run begins.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser()

    @property
    def checkpoints(self) -> Path:
        """For resuming; no part of the model repository."""
        return self.path / "checkpoints"

    @property
    def staging(self) -> Path:
        """Where the model repository is put together."""
        return self.path / _STAGING

    @property
    def seeds(self) -> Path:
        """Complete runs from several seeds, of which one is shared; no part of the model repository."""
        return self.path / _SEEDS

    @property
    def holds_a_model(self) -> bool:
        """Whether a run has ended here: the weights are moved in last."""
        return (self.path / _WEIGHTS).is_file() and (self.path / "report.json").is_file()

    def check(self, *, overwrite: bool, resume: bool = False) -> None:
        """Refuse a place that is taken, before anything heavy is done.

        Raises:
            OutputDirectoryError: if it is a file; if it holds something, and `overwrite` is not given; with `resume`: if
                what it holds is no run that can go on.
        """
        self._check_place()
        names = {entry.name for entry in self.path.iterdir()} if self.path.is_dir() else set()
        if resume:
            if not (self.checkpoints / "run.json").is_file() and not self.seeds.is_dir() and not names <= _BEGUN:
                raise OutputDirectoryError(
                    f"the directory {self.path.name!r} holds no run that can go on (no checkpoints/run.json). Pass "
                    "--overwrite to begin anew, or name another directory"
                )
        elif not overwrite and not names <= {_LOCK, _STAGING}:
            stopped = (self.checkpoints / "run.json").is_file() and not self.holds_a_model
            raise OutputDirectoryError(
                f"the directory {self.path.name!r} "
                + (
                    "holds a run that was stopped. Pass --resume to go on with it, "
                    if stopped
                    else "is not empty. Pass "
                )
                + "--overwrite to replace what an earlier run left there, or name another directory"
            )

    def _check_place(self) -> None:
        """Refuse a place where nothing can be written."""
        try:
            ancestors = [self.path, *self.path.absolute().parents]
            nearest = next(folder for folder in ancestors if folder.exists() or folder.is_symlink())
        except (OSError, StopIteration) as err:
            raise OutputDirectoryError(
                f"--output-dir {shorten(self.path.name)} cannot be written: {getattr(err, 'strerror', None) or 'no such place'}. "
                "Name another directory"
            ) from err
        if nearest == self.path and nearest.is_file():
            raise OutputDirectoryError(f"--output-dir {self.path.name} is a file. Name a directory")
        if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
            raise OutputDirectoryError(
                f"--output-dir {self.path.name} cannot be written: {nearest.name!r} is no directory where you may write. "
                "Name another directory"
            )

    def require_space(self, least: int, most: int) -> str:
        """Compare what a run needs with what the disk has; returns both in words.

        Args:
            least: bytes without which no run can end.
            most: bytes that it needs at most at a time; what it already wrote counts towards them.

        Raises:
            OutputDirectoryError: if `least` is not free.
        """
        free = shutil.disk_usage(self.path).free
        written = sum(entry.stat().st_size for entry in self.checkpoints.rglob("*") if entry.is_file())
        if free + written < least:
            raise OutputDirectoryError(
                f"the disk of {self.path.name!r} has {_bytes(free)} free, and the run needs at least {_bytes(least)} for a "
                "checkpoint and the model. Make room, name another --output-dir, or pass --eval-every no, which keeps "
                "no checkpoints"
            )
        short = "" if free + written >= most else ": this may not be enough"
        return f"up to {_bytes(most)} while training (checkpoints, then the model); {_bytes(free)} are free{short}"

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Hold the directory for this run alone.

        Raises:
            OutputDirectoryError: if another run holds it, or it cannot be written, also later for want of room.
        """
        made = [folder for folder in (self.path, *self.path.absolute().parents) if not folder.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path / _LOCK, timeout=0)
            lock.acquire()
        except Timeout as err:
            raise OutputDirectoryError(
                f"another run is writing to {self.path.name!r}. Wait for it, or name another directory"
            ) from err
        except OSError as err:
            raise OutputDirectoryError(
                f"--output-dir {self.path.name} cannot be written: {err.strerror}. Name another directory"
            ) from err
        shutil.rmtree(self.staging, ignore_errors=True)  # (of a process that was killed)
        try:
            yield
        except Exception as err:
            if not (self.path / _LOCK).exists():
                raise OutputDirectoryError(
                    f"the directory {self.path.name!r} was removed while the run wrote to it. Repeat the command"
                ) from err
            if (
                isinstance(err, HfBertClsError)
                or not isinstance(err, OSError | SafetensorError)
                or not _says_full(err)
            ):
                raise
            raise OutputDirectoryError(
                f"the disk of {self.path.name!r} is full ({_bytes(shutil.disk_usage(self.path).free)} free): "
                f"{shorten(str(err), 120)}. "
                + (
                    "The checkpoints are intact. Make room, then repeat the command with --resume"
                    if self.checkpoints.is_dir() and not self.holds_a_model
                    else "Make room, then repeat the command"
                )
            ) from err
        finally:
            shutil.rmtree(self.staging, ignore_errors=True)
            (self.path / _LOCK).unlink(missing_ok=True)  # before the release: whoever comes next locks a new file
            lock.release()
            for folder in (self.checkpoints, *made):
                with contextlib.suppress(OSError):  # (it is kept if anything is in it)
                    folder.rmdir()

    def clear(self) -> None:
        """Remove what an earlier run left, and nothing else."""
        for name in (_WEIGHTS, "README.md", "report.json", "metrics.jsonl", "training_args.json", "config.json"):
            (self.path / name).unlink(missing_ok=True)
        for name in ("checkpoints", "predictions", "plots", "onnx", _SEEDS, _CURVE, _STAGING, _BACKUP):
            shutil.rmtree(self.path / name, ignore_errors=True)

    def stage(self, place: Path, names: Iterable[str]) -> None:
        """Copy into the staged repository those of the named files that another directory has."""
        for name in names:
            if (place / name).is_file():
                target = self.staging / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(place / name, target)

    def publish(self) -> None:
        """Move the staged repository into place, the weights last: what loads as a model is complete."""
        follow_umask(self.staging)
        staged = sorted(self.staging.iterdir(), key=lambda entry: entry.name == _WEIGHTS)
        for entry in staged:
            target = self.path / entry.name
            if target.is_dir():
                shutil.rmtree(target)
            entry.replace(target)
        self.staging.rmdir()


def follow_umask(directory: Path) -> None:
    """Give weights the mode that a file made there now has; safetensors 0.8 writes them with mode 600."""
    probe = directory / ".hfbertcls-mode"
    probe.touch()
    mode = probe.stat().st_mode & 0o777
    probe.unlink()
    for path in directory.glob("*.safetensors"):
        path.chmod(mode)


def _says_full(err: Exception) -> bool:
    """Whether a disk (or a quota) is full; safetensors tell it in their own words."""
    if isinstance(err, OSError):
        return err.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return "No space left" in str(err) or "StorageFull" in str(err) or "quota exceeded" in str(err).lower()


def _bytes(number: int) -> str:
    return f"{number / 1e9:,.1f} GB" if number >= 1e9 else f"{number / 1e6:,.0f} MB"
