"""One commit even if the answer is lost, and the comparison of a file with the Hub."""

import hashlib
from collections.abc import Callable
from typing import Any, TypeVar

from huggingface_hub import HfApi

from hfbertcls.errors import SharingError
from hfbertcls.hub.retrying import ATTEMPTS, may_pass, wait
from hfbertcls.progress import Log, work


Result = TypeVar("Result")


@work("Sending to the Hub")
def commit_once(attempt: Callable[[], Result], done: Callable[[], Result | None], log: Log) -> Result:
    """Commit, with retries after transient errors.

    Args:
        attempt: reads the head, and commits what differs from it with that head as the parent.
        done: looks for a commit whose answer was lost; asked before each further attempt, and at the end.
        log: gets a line for each wait.
    """
    last: Exception | None = None
    for number in range(ATTEMPTS):
        if number:
            wait(number, last, log)
        try:
            if last is not None and (result := done()) is not None:
                return result
            return attempt()
        except Exception as err:
            if not may_pass(err):
                raise
            last = err
    if (result := done()) is not None:
        return result
    raise last if last is not None else SharingError("nothing was tried")


def find_commit(api: HfApi, repo_id: str, mark: str, **where: Any) -> str | None:
    """The id of a recent commit whose description holds `mark`.

    Args:
        api: of huggingface_hub.
        repo_id: the repository.
        mark: what only that commit's description holds.
        where: `repo_type` and `revision`, as the client takes them.
    """
    for commit in api.list_repo_commits(repo_id, **where)[:20]:
        if mark in commit.message:
            return str(commit.commit_id)
    return None


def is_same(remote: Any, size: int, sha256: Callable[[], str], blob_id: Callable[[], str]) -> bool:
    """Whether a file of the Hub, None if there is none, has this content.

    Args:
        remote: a `RepoFile`.
        size: in bytes.
        sha256: computes the hash by which the Hub knows large files.
        blob_id: computes the id by which it knows the others.
    """
    if remote is None or remote.size != size:
        return False
    if getattr(remote, "lfs", None) is not None:
        return bool(remote.lfs.sha256 == sha256())
    return bool(remote.blob_id == blob_id())


def git_blob_id(data: bytes) -> str:
    """The id that git gives to a file of this content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
