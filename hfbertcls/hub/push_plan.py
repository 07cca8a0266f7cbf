"""The changes of a push: the files of the report and those of an earlier push of ours, never files of others."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi
from huggingface_hub.hf_api import RepoFile

from hfbertcls.errors import DatasetError, listing
from hfbertcls.evaluation.report import Report
from hfbertcls.files import sha256_of
from hfbertcls.hub.committing import git_blob_id, is_same
from hfbertcls.repository.stated_files import CARD, REPORT, stated_files


@dataclass(frozen=True)
class PushPlan:
    """The fate of each file.

    Args:
        sent: files that are new or differ.
        replaced: files of `sent` that replace a file of an earlier push.
        removed: files of an earlier push that this one does not have.
        foreign: files to be replaced that no push of ours wrote.
        untouched: the number of files of others, which stay.
    """

    sent: Sequence[str]
    replaced: Sequence[str]
    removed: Sequence[str]
    foreign: Sequence[str]
    untouched: int

    def lines(self) -> Iterator[str]:
        """A line on each kind of change, for a person."""
        replaced = [*self.replaced, *self.foreign]
        if replaced:
            yield f"Replacing {listing(replaced)}"
        if self.removed:
            yield f"Removing {listing(self.removed)}, which an earlier push wrote and this model does not have"
        if self.untouched:
            yield f"Leaving {self.untouched:,} other {'file' if self.untouched == 1 else 'files'} there as they are"


def planned(folder: Path, names: Sequence[str], repo_id: str, head: str, api: HfApi) -> PushPlan:
    """Compare the files of a directory with those of a repository.

    The card is never foreign: edits of it are kept.

    Args:
        folder: the directory.
        names: its files that are to be there.
        repo_id: the repository.
        head: its commit.
        api: of huggingface_hub.
    """
    remote = {
        entry.path: entry
        for entry in api.list_repo_tree(repo_id, revision=head, recursive=True)
        if isinstance(entry, RepoFile)
    }
    sent = [name for name in names if not is_same_file(folder / name, remote.get(name))]
    stated_hashes = stated_there(repo_id, head, remote, api)

    def is_of_a_push(name: str) -> bool:
        return name in stated_hashes and _is_as_stated(name, stated_hashes[name], repo_id, head, remote[name], api)

    taken = [name for name in sent if name in remote and name != CARD]
    replaced = [name for name in taken if is_of_a_push(name)]
    removed = [name for name in stated_hashes if name in remote and name not in names and is_of_a_push(name)]
    others = set(remote) - set(names) - set(removed) - {".gitattributes"}
    foreign = [name for name in taken if name not in replaced]
    return PushPlan(sent, replaced, sorted(removed), foreign, len(others))


def is_same_file(path: Path, remote: Any) -> bool:
    """Whether a file of the Hub, None if there is none, has the content of a file here."""
    return is_same(remote, path.stat().st_size, lambda: sha256_of(path), lambda: git_blob_id(path.read_bytes()))


def stated_there(repo_id: str, head: str, names: Collection[str], api: HfApi) -> dict[str, str | None]:
    """The files that the report of a repository states, with their SHA-256; None for the report itself.

    Args:
        repo_id: the repository.
        head: its commit.
        names: of its files.
        api: of huggingface_hub.

    Returns:
        Nothing where no push of ours wrote a report that can be read.
    """
    if REPORT not in names:
        return {}
    path = Path(api.hf_hub_download(repo_id, REPORT, revision=head))
    try:
        return {REPORT: None, **stated_files(Report.from_json(path.read_text(encoding="utf-8")))}
    except (DatasetError, UnicodeDecodeError):
        return {}


def _is_as_stated(name: str, digest: str | None, repo_id: str, head: str, remote: Any, api: HfApi) -> bool:
    """Whether a file of the Hub has the SHA-256 that the report there states; small files must be fetched for that."""
    if digest is None:
        return True
    if remote.lfs is not None:
        return bool(remote.lfs.sha256 == digest)
    return sha256_of(Path(api.hf_hub_download(repo_id, name, revision=head))) == digest
