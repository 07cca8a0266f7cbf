"""Checkpoints on a branch of their own: a backup during training, from which another machine can resume."""

import json
import os
import shutil
import threading
from collections.abc import Collection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, snapshot_download
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.hf_api import RepoFile

from hfbertcls.data.fingerprints import FINGERPRINTS
from hfbertcls.errors import SharingError
from hfbertcls.hub.retrying import reason_of, tried
from hfbertcls.hub.secrets import find_secrets
from hfbertcls.progress import Log
from hfbertcls.training.checkpoint_files import MANIFEST


BRANCH = "training-checkpoints"
BACKUP = ".hfbertcls-backup"
"""The folder of checkpoints to be sent, as links to the files of the run."""

_CHECKPOINTS = "checkpoints"
_RECORD = "metrics.jsonl"


class CheckpointBranch:
    """Sends each checkpoint to a branch in the background, the newest first; failures are logged, not raised.

    A checkpoint is hard-linked when it is offered, so the run may remove its own copy. The next one replaces a
    checkpoint that still waits. Each is one commit with everything that a resume needs. Optimizer and random state are
    pickles, so they have a branch of their own.

    Args:
        repo_id: the repository; created as private if it does not exist.
        directory: of the run, with `checkpoints/` and `metrics.jsonl`.
        log: gets a line for each failure.
        api: of huggingface_hub.
    """

    def __init__(self, repo_id: str, directory: Path, log: Log, api: HfApi | None = None) -> None:
        self.repo_id = repo_id
        self.directory = directory
        self.log = log
        self.api = api or HfApi()
        self.sent_: list[str] = []
        self.failures_: list[str] = []
        self._waiting: Path | None = None
        self._ending = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def offer(self, name: str) -> None:
        """Queue the checkpoints as they are now; returns at once.

        Args:
            name: of the newest one, for the commit and for messages.
        """
        folder = self.directory / BACKUP / name
        try:
            shutil.rmtree(folder, ignore_errors=True)
            private = shutil.ignore_patterns(FINGERPRINTS)
            shutil.copytree(
                self.directory / _CHECKPOINTS, folder / _CHECKPOINTS, copy_function=os.link, ignore=private
            )
            shutil.copy2(self.directory / _RECORD, folder / _RECORD)
        except OSError as err:
            self._fail(name, f"it could not be put aside: {err}")
            return
        with self._changed:
            if self._waiting is not None:
                shutil.rmtree(self._waiting, ignore_errors=True)
            self._waiting = folder
            self._changed.notify()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="checkpoint-branch", daemon=True)
            self._thread.start()

    def finish(self, seconds: float = 600.0) -> None:
        """Wait until the last one is sent, or until the timeout."""
        with self._changed:
            self._ending = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(seconds)
            if self._thread.is_alive():
                self._fail("the last checkpoint", f"it was not sent within {seconds:.0f} s")
        shutil.rmtree(self.directory / BACKUP, ignore_errors=True)

    def _work(self) -> None:
        while True:
            with self._changed:
                while self._waiting is None and not self._ending:
                    self._changed.wait()
                folder, self._waiting = self._waiting, None
            if folder is None:
                return
            try:
                self._send(folder)
                self.sent_.append(folder.name)
            except Exception as err:  # noqa: BLE001  (a backup must never stop the training that it is for)
                self._fail(folder.name, str(err) if isinstance(err, SharingError) else reason_of(err))
            shutil.rmtree(folder, ignore_errors=True)

    def _send(self, folder: Path) -> None:
        api = self.api
        files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        leaking = [name for name, path in files.items() if path.suffix in (".json", ".jsonl") and find_secrets(path)]
        if leaking:
            raise SharingError(f"{', '.join(leaking)} holds what looks like a token or key")
        tried(lambda: api.create_repo(self.repo_id, private=True, exist_ok=True), self.log)
        tried(lambda: api.create_branch(self.repo_id, branch=BRANCH, exist_ok=True), self.log)

        def commit() -> Any:
            there = api.list_repo_tree(self.repo_id, revision=BRANCH, recursive=True)
            paths = [entry.path for entry in there if isinstance(entry, RepoFile)]
            stale = [path for path in self._of_earlier_backups(paths) if path not in files]
            add = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=str(path)) for name, path in files.items()]
            delete = [CommitOperationDelete(path_in_repo=path) for path in stale]
            return api.create_commit(
                self.repo_id, [*add, *delete], commit_message=f"Backup: {folder.name}", revision=BRANCH
            )

        tried(commit, self.log)

    def _of_earlier_backups(self, paths: Collection[str]) -> list[str]:
        """Files of checkpoints on the branch, according to their manifests; files of others are left out."""
        stated_paths = []
        for path in paths:
            folder, _, name = path.rpartition("/")
            if name == MANIFEST and folder.startswith(f"{_CHECKPOINTS}/"):
                manifest = Path(self.api.hf_hub_download(self.repo_id, path, revision=BRANCH))
                sizes = json.loads(manifest.read_text(encoding="utf-8"))
                stated_paths += [one for one in (path, *(f"{folder}/{inner}" for inner in sizes)) if one in paths]
        return stated_paths

    def _fail(self, name: str, reason: str) -> None:
        self.failures_.append(f"{name}: {reason}")
        self.log(f"  note: the backup of {name} to {self.repo_id} failed: {reason}. Training continues")


def fetch_checkpoints(repo_id: str, directory: Path) -> bool:
    """Fetch the checkpoints of `CheckpointBranch` into a directory without a run.

    Args:
        repo_id: the repository.
        directory: of the run to resume.

    Returns:
        Whether there were checkpoints.

    Raises:
        SharingError: if the Hub does not answer.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=directory, prefix=BACKUP) as folder:
        try:
            tried(
                lambda: snapshot_download(
                    repo_id, revision=BRANCH, local_dir=folder, allow_patterns=[f"{_CHECKPOINTS}/*", _RECORD]
                ),
                lambda _: None,
            )
        except (RepositoryNotFoundError, RevisionNotFoundError):
            return False
        except Exception as err:
            raise SharingError(f"the checkpoints of {repo_id} cannot be fetched: {reason_of(err)}") from err
        for name in (_CHECKPOINTS, _RECORD):
            source = Path(folder) / name
            if source.exists():
                source.replace(directory / name)
    return (directory / _CHECKPOINTS).is_dir()
