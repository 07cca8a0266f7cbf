"""The directory of a run: one run at a time, and a model repository that is complete or not there at all."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from hfbertcls.errors import OutputDirectoryError


_LOCK = ".hfbertcls.lock"
_STAGING = ".hfbertcls-staging"
_WEIGHTS = "model.safetensors"


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

    def check(self, *, overwrite: bool) -> None:
        """Refuse a place that is taken, before anything heavy is done.

        Raises:
            OutputDirectoryError: if it is a file, or holds something and `overwrite` is not given.
        """
        if self.path.exists() and not self.path.is_dir():
            raise OutputDirectoryError(f"--output-dir {self.path.name} is a file. Name a directory")
        if self.path.is_dir() and not overwrite and any(entry.name != _LOCK for entry in self.path.iterdir()):
            raise OutputDirectoryError(
                f"the directory {self.path.name!r} is not empty. Pass --overwrite to replace what an earlier run left "
                "there, or name another directory"
            )

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Hold the directory for this run alone.

        Raises:
            OutputDirectoryError: if another run holds it, or it cannot be written.
        """
        existed = self.path.is_dir()
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
        try:
            yield
        finally:
            shutil.rmtree(self.staging, ignore_errors=True)
            lock.release()
            (self.path / _LOCK).unlink(missing_ok=True)
            if not existed and not any(self.path.iterdir()):
                self.path.rmdir()

    def clear(self) -> None:
        """Remove what an earlier run left, and nothing else."""
        for name in (_WEIGHTS, "README.md", "report.json", "metrics.jsonl", "training_args.json", "config.json"):
            (self.path / name).unlink(missing_ok=True)
        for name in ("checkpoints", "predictions", "plots", _STAGING):
            shutil.rmtree(self.path / name, ignore_errors=True)

    def publish(self) -> None:
        """Move the staged repository into place, the weights last: what loads as a model is complete."""
        staged = sorted(self.staging.iterdir(), key=lambda entry: entry.name == _WEIGHTS)
        for entry in staged:
            target = self.path / entry.name
            if target.is_dir():
                shutil.rmtree(target)
            entry.replace(target)
        self.staging.rmdir()
