"""The files of a Space: changes are committed once, and edits of people are kept."""

import hashlib
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.hf_api import RepoFile

from hfbertcls.environment import package_version
from hfbertcls.errors import SharingError
from hfbertcls.hub.committing import commit_once, find_commit, git_blob_id, is_same
from hfbertcls.hub.space.destination import SpaceRequest, command_of
from hfbertcls.hub.space.manifest import MANIFEST, changes, differences, read_manifest
from hfbertcls.progress import Log


_SPACE: dict[str, Any] = {"repo_type": "space"}
_PUT_THERE_BY_THE_HUB = {"README.md", ".gitattributes"}


def commit_files(ours: Mapping[str, bytes], request: SpaceRequest, space_id: str, log: Log, api: HfApi) -> str | None:
    """Commit what differs, once; None if nothing does."""
    mark = uuid.uuid4().hex

    def attempt() -> str | None:
        head, operations = space_operations(ours, request, space_id, log, api)
        if not operations:
            log("The Space has exactly these files already")
            return None
        info = api.create_commit(
            space_id,
            operations,
            commit_message=f"Show {request.model_id} with hfbertcls",
            commit_description=f"hfbertcls {package_version('hfbertcls')}, deployment {mark}",
            parent_commit=head,
            **_SPACE,
        )
        _verify(ours, operations, space_id, info.oid, api)
        return str(info.oid)

    oid = commit_once(attempt, lambda: find_commit(api, space_id, mark, **_SPACE), log)
    if oid is not None:
        log(f"Sent the files in one commit: {api.endpoint}/spaces/{space_id}/commit/{oid}")
    return oid


def space_operations(
    ours: Mapping[str, bytes], request: SpaceRequest, space_id: str, log: Log, api: HfApi
) -> tuple[str, list[Any]]:
    """The head, and what has to change in it.

    Raises:
        SharingError: with the difference, if a change would overwrite an edit.
    """
    head = str(api.space_info(space_id).sha)
    tree = api.list_repo_tree(space_id, revision=head, recursive=True, **_SPACE)
    remote = {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}
    is_fresh = set(remote) <= _PUT_THERE_BY_THE_HUB and len(api.list_repo_commits(space_id, **_SPACE)) == 1

    def content(path: str) -> bytes:
        if path in ours and _holds(remote[path], ours[path]):
            return ours[path]
        return Path(api.hf_hub_download(space_id, path, revision=head, **_SPACE)).read_bytes()

    there = {MANIFEST: content(MANIFEST)} if MANIFEST in remote else {}
    recorded = read_manifest(there.get(MANIFEST)) or {}
    there |= {path: content(path) for path in {*ours, *recorded} if path in remote and path not in there}
    plan = changes(ours, there, is_fresh=is_fresh)
    if plan.edited and not request.overwrite:
        raise SharingError(
            f"no file was changed: hfbertcls did not write what the Space {space_id} holds in {', '.join(plan.edited)}. The "
            "lines with - would be lost, those with + come in their place:\n"
            f"{differences(plan.edited, ours, there)}\n"
            f"To replace it, repeat with --overwrite: {command_of(request)} --overwrite. To keep it, take another --space-id"
        )
    if plan.edited:
        log(f"Replacing {', '.join(plan.edited)}; what was there stays in the history of the Space, at {head[:8]}")
    add = [CommitOperationAdd(path_in_repo=path, path_or_fileobj=ours[path]) for path in plan.write]
    return head, [*add, *(CommitOperationDelete(path_in_repo=path) for path in plan.delete)]


def _holds(remote: Any, data: bytes) -> bool:
    return is_same(remote, len(data), lambda: hashlib.sha256(data).hexdigest(), lambda: git_blob_id(data))


def _verify(ours: Mapping[str, bytes], operations: list[Any], space_id: str, oid: str, api: HfApi) -> None:
    """Compare the files of the commit with those that were sent."""
    names = [operation.path_in_repo for operation in operations if isinstance(operation, CommitOperationAdd)]
    entries = {entry.path: entry for entry in api.get_paths_info(space_id, names, revision=oid, **_SPACE)}
    wrong = [name for name in names if not _holds(entries.get(name), ours[name])]
    if wrong:
        raise SharingError(f"{space_id} does not hold what was sent: {', '.join(wrong)}. Repeat the command")
