"""The directory of a run: one run at a time, and a model repository that is complete or absent."""

import contextlib
import errno
import os
import shutil
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout
from safetensors import SafetensorError

from hfbertcls.data.fingerprints import FINGERPRINTS
from hfbertcls.environment import local_path
from hfbertcls.errors import ConfigurationError, HfBertClsError, OutputDirectoryError, shorten
from hfbertcls.files import files_below, regular_file, sha256_of
from hfbertcls.progress import Log, silent
from hfbertcls.repository.card import Fence, join_card, render_model_card
from hfbertcls.repository.stated_files import (
    CARD,
    EXPORT,
    REPORT,
    WEIGHTS,
    earlier_files,
    files_of_export,
    read_report,
)
from hfbertcls.training.checkpoint_files import is_of_a_run, remove_checkpoint


_LOCK = ".hfbertcls.lock"
_STAGING = ".hfbertcls-staging"
_BACKUP = ".hfbertcls-backup"
_REPLACING = ".hfbertcls-replacing"
"""There while a run replaces the model of an earlier one, which stays until then."""
_OURS = {_LOCK, _STAGING, _BACKUP, _REPLACING}
_RECORD = "metrics.jsonl"
_RUNS = ("seeds", "learning-curve")
"""Folders whose folders are complete runs, each like this one."""


class OutputDirectory:
    """Where a run writes.

    Args:
        path: the directory; it is made when the run begins.
    """

    def __init__(self, path: Path) -> None:
        self.path = local_path(path)

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
        """Complete runs of each seed, of which one is published; no part of the model repository."""
        return self.path / "seeds"

    @property
    def holds_a_model(self) -> bool:
        """Whether the last run has ended here: the weights are moved in last. The model that it replaces does not count."""
        is_there = (self.path / WEIGHTS).is_file() and (self.path / REPORT).is_file()
        return is_there and not (self.path / _REPLACING).exists()

    @property
    def is_of_a_run(self) -> bool:
        """Whether a run of ours wrote here: a report or an export states its files, or it has the record of a run."""
        if earlier_files(self.path):
            return True
        runs = (place for folder in _RUNS for place in (self.path / folder).glob("*/checkpoints"))
        return any(is_of_a_run(place) for place in (self.checkpoints, *runs))

    def check(self, *, overwrite: bool, resume: bool = False) -> None:
        """Raise an error if the directory is in use, before anything slow is done.

        Raises:
            OutputDirectoryError: if it is a file, or is not empty and neither `overwrite` nor `resume` is set. With
                one of these, if its content was not written by a run of hfbertcls.
        """
        self._check_place()
        if not self.path.is_dir() or not any(entry.name not in _OURS for entry in self.path.iterdir()):
            return
        if not self.is_of_a_run and (resume or overwrite):
            if resume and all(name.split("/")[0] in _OURS for name in files_below(self.path)):
                return  # (a run that was stopped before its first file)
            remedy = "Name the directory of the run that was stopped" if resume else "Name another directory"
            raise OutputDirectoryError(
                f"no run of hfbertcls wrote the directory {self.path.name!r}: it has no report.json and no checkpoints/run.json "
                f"of one. Nothing was changed. {remedy}"
            )
        if not resume and not overwrite:
            stopped = self.is_of_a_run and not self.holds_a_model
            raise OutputDirectoryError(
                f"the directory {self.path.name!r} "
                + (
                    "holds a run that was stopped. Pass --resume to continue it, "
                    if stopped
                    else "is not empty. Pass "
                )
                + "--overwrite to replace what an earlier run wrote there, or name another directory"
            )

    def _check_place(self) -> None:
        """Raise an error if nothing can be written there."""
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
                f"--output-dir {self.path.name} cannot be written: {nearest.name!r} is not a writable directory. "
                "Name another directory"
            )

    def require_space(self, least: int, most: int) -> str:
        """Compare what a run needs with what the disk has; returns both in words.

        Args:
            least: bytes that every run needs.
            most: bytes that it needs at most at a time, including what it already wrote.

        Raises:
            OutputDirectoryError: if `least` is not free.
        """
        free = shutil.disk_usage(self.path).free
        written = sum(entry.stat().st_size for entry in self.checkpoints.rglob("*") if entry.is_file())
        if free + written < least:
            raise OutputDirectoryError(
                f"the disk of {self.path.name!r} has {_bytes(free)} free, and the run needs at least {_bytes(least)} for a "
                "checkpoint and the model. Free disk space, name another --output-dir, or pass --eval-every no to "
                "save no checkpoints"
            )
        short = "" if free + written >= most else ": this may not be enough"
        needed = "for the model" if most == least else "while training (checkpoints, then the model)"
        return f"up to {_bytes(most)} {needed}; {_bytes(free)} are free{short}"

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Hold the directory for this run alone.

        Raises:
            OutputDirectoryError: if another run holds it, or it cannot be written, also later because the disk is
                full.
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
                or not _is_disk_full(err)
            ):
                raise
            raise OutputDirectoryError(
                f"the disk of {self.path.name!r} is full ({_bytes(shutil.disk_usage(self.path).free)} free): "
                f"{shorten(str(err), 120)}. "
                + (
                    "The checkpoints are intact. Free disk space, then repeat the command with --resume"
                    if self.checkpoints.is_dir() and not self.holds_a_model
                    else "Free disk space, then repeat the command"
                )
            ) from err
        finally:
            shutil.rmtree(self.staging, ignore_errors=True)
            (self.path / _LOCK).unlink(missing_ok=True)  # before the release: the next run locks a new file
            lock.release()
            _remove_empty(self.checkpoints, *made)

    def clear(self, log: Log = silent) -> None:
        """Remove the unchanged files of an earlier run, and nothing else.

        A file that was changed since is kept under another name. The author's text in the card is kept for the next
        card.

        Args:
            log: gets a line for each file that is kept.
        """
        if self.is_of_a_run:
            self._clear_run(log)
            self._clear_model(log)

    def start_over(self, log: Log = silent) -> None:
        """Remove what an earlier run needed to be resumed. Its model stays until `replace` puts another one there.

        Args:
            log: gets a line for each file that is kept.
        """
        if self.is_of_a_run:
            if (self.path / REPORT).is_file():
                (self.path / _REPLACING).touch()
            self._clear_run(log)

    def _clear_run(self, log: Log) -> None:
        """Remove checkpoints, record and the runs of seeds and learning curves of an earlier run."""
        for name in (_RECORD, "checkpoints/run.json"):
            if (path := regular_file(self.path, name)) is not None:
                path.unlink()
        for place in self._folders(self.checkpoints):
            remove_checkpoint(place)
        shutil.rmtree(self.path / _BACKUP, ignore_errors=True)
        runs = [place for folder in _RUNS for place in self._folders(self.path / folder)]
        for place in runs:
            OutputDirectory(place).clear(log)
        _remove_empty(*runs, self.checkpoints, *(self.path / folder for folder in _RUNS))

    def _clear_model(self, log: Log) -> None:
        """Remove the model of an earlier run, and the fingerprints of its training texts."""
        self._clear_stated(log)
        if (path := regular_file(self.path, f"checkpoints/{FINGERPRINTS}")) is not None:
            path.unlink()
        _remove_empty(*(self.path / name for name in ("checkpoints", "predictions", "plots", "onnx")))

    def _clear_stated(self, log: Log) -> None:
        """Remove the files that report and export state, then these two, and the card unless the author edited it."""
        for name, digest in earlier_files(self.path).items():
            path = regular_file(self.path, name)
            if path is not None and sha256_of(path) == digest:
                path.unlink()
            elif path is not None:
                self._put_aside(name, log)
        if files_of_export(self.path):
            (self.path / EXPORT).unlink()
        with contextlib.suppress(OutputDirectoryError):  # (a run that was stopped has no report)
            report, card = read_report(self.path), regular_file(self.path, CARD)
            text = card.read_text(encoding="utf-8-sig", errors="replace") if card is not None else ""
            fence = Fence.find(text)
            if fence is not None and fence.report_sha256 != sha256_of(self.path / REPORT):
                self._put_aside(REPORT, log)
                return
            if card is not None and text == render_model_card(report):
                card.unlink()
            (self.path / REPORT).unlink()

    @staticmethod
    def _folders(place: Path) -> list[Path]:
        """The folders in a folder, no links."""
        if place.is_symlink() or not place.is_dir():
            return []
        return sorted(entry for entry in place.iterdir() if entry.is_dir() and not entry.is_symlink())

    def _put_aside(self, name: str, log: Log) -> None:
        """Rename a file, folder or link that is not of a run, because a run needs its name."""
        kept = next(
            candidate
            for number in range(1, 10_000)
            if not os.path.lexists(candidate := self.path / f"{name}.kept{'' if number == 1 else f'-{number}'}")
        )
        (self.path / name).rename(kept)
        log(
            f"  note: {name} was changed since the run wrote it; it is kept as {kept.relative_to(self.path).as_posix()}"
        )

    def stage(self, place: Path, names: Iterable[str]) -> None:
        """Copy those of the `names` that another directory has into the staged repository."""
        for name in names:
            if (place / name).is_file():
                target = self.staging / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(place / name, target)

    def publish(self, log: Log = silent, *, replacing: Collection[str] = ()) -> None:
        """Move the staged files into place, the weights last, so a model that loads is complete.

        A file that is in the way and that no report states is kept under another name. The author's text in the card
        is kept.

        Args:
            log: gets a line for each file that is kept.
            replacing: names that may be replaced whatever they hold.
        """
        follow_umask(self.staging)
        stated_hashes = earlier_files(self.path)
        staged = sorted(files_below(self.staging), key=lambda name: (name == WEIGHTS, name != REPORT))
        for name in staged:
            target, source = self.path / name, self.staging / name
            for folder in reversed(Path(name).parents[:-1]):
                if (self.path / folder).is_symlink() or not (self.path / folder).is_dir():
                    if os.path.lexists(self.path / folder):
                        self._put_aside(folder.as_posix(), log)
                    (self.path / folder).mkdir()
            if os.path.lexists(target) and name not in replacing:
                path = regular_file(self.path, name)
                if name == CARD and path is not None:
                    self._keep_text(path, source, log)
                elif path is None or not self._is_replaceable(
                    name, path, {stated_hashes.get(name), sha256_of(source)}
                ):
                    self._put_aside(name, log)
            source.replace(target)
        shutil.rmtree(self.staging)

    def replace(self, log: Log = silent) -> None:
        """`publish`, in place of the model of an earlier run if `start_over` found one.

        Args:
            log: gets a line for each file that is kept.
        """
        if (self.path / _REPLACING).exists():
            self._clear_model(log)
        self.publish(log)
        (self.path / _REPLACING).unlink(missing_ok=True)

    def _is_replaceable(self, name: str, path: Path, hashes: Collection[str | None]) -> bool:
        """Whether a file that is in the way was written by a run: by its hash, or as a report or list of exports."""
        statements = {REPORT: lambda: bool(earlier_files(self.path)), EXPORT: lambda: bool(files_of_export(self.path))}
        return statements[name]() if name in statements else sha256_of(path) in hashes

    def _keep_text(self, existing: Path, rendered: Path, log: Log) -> None:
        """Move the author's text from an existing card into a rendered one; keep a card that cannot be read."""
        try:
            card, _ = join_card(rendered.read_text(encoding="utf-8"), existing.read_text(encoding="utf-8-sig"))
        except (ConfigurationError, UnicodeDecodeError):
            self._put_aside(CARD, log)
        else:
            rendered.write_text(card, encoding="utf-8")


def follow_umask(directory: Path) -> None:
    """Set the mode of weights by the umask; safetensors 0.8 writes them with mode 600."""
    probe = directory / ".hfbertcls-mode"
    probe.touch()
    mode = probe.stat().st_mode & 0o777
    probe.unlink()
    for path in directory.glob("*.safetensors"):
        path.chmod(mode)


def _remove_empty(*folders: Path) -> None:
    """Remove the folders that are empty."""
    for folder in folders:
        with contextlib.suppress(OSError):  # (it is kept if anything is in it)
            folder.rmdir()


def _is_disk_full(err: Exception) -> bool:
    """Whether a disk or a quota is full; safetensors has its own error for it."""
    if isinstance(err, OSError):
        return err.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return "No space left" in str(err) or "StorageFull" in str(err) or "quota exceeded" in str(err).lower()


def _bytes(number: int) -> str:
    return f"{number / 1e9:,.1f} GB" if number >= 1e9 else f"{number / 1e6:,.0f} MB"
