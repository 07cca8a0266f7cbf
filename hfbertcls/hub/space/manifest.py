"""The manifest of a Space: hashes of our files, by which edits of people are recognized and kept."""

import difflib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from hfbertcls.environment import package_version
from hfbertcls.errors import printable
from hfbertcls.hub.secrets import secrets_in


MANIFEST = ".hfbertcls.json"
_LINES_SHOWN = 20
_COLUMNS_SHOWN = 160


@dataclass(frozen=True)
class Changes:
    """What has to change in a Space.

    Args:
        write: paths that are there with another content, or not at all.
        delete: paths of files that we wrote and that no longer belong to the Space.
        edited: files of both lists that somebody else wrote or changed.
    """

    write: tuple[str, ...]
    delete: tuple[str, ...]
    edited: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.write or self.delete)


def with_manifest(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files of a Space and their manifest.

    Args:
        files: content by path.
    """
    content = {"files": _hashes(files), "renderer": f"hfbertcls {package_version('hfbertcls')}"}
    return {**files, MANIFEST: (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()}


def read_manifest(data: bytes | None) -> dict[str, str] | None:
    """The hashes by path that a manifest records; None if it is not there, or is no manifest of ours."""
    try:
        files = json.loads(data or b"null")["files"]
        return {str(path): str(digest) for path, digest in files.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def changes(ours: Mapping[str, bytes], there: Mapping[str, bytes], *, is_fresh: bool) -> Changes:
    """Compare the files of a Space with ours.

    Args:
        ours: content by path, with the manifest.
        there: content by path in the Space, for these paths and those of its manifest.
        is_fresh: whether the Space holds nothing but what the Hub itself put there when it was made.
    """
    recorded = read_manifest(there.get(MANIFEST))
    write = [path for path, data in ours.items() if there.get(path) != data]
    recorded_hashes = recorded or {}
    delete = [path for path in recorded_hashes if path in there and path not in ours]
    if write == [MANIFEST] and not delete and recorded_hashes == read_manifest(ours[MANIFEST]):
        write = []  # (the same files, rendered by another release)
    edited = [
        path
        for path in (*write, *delete)
        if path in there
        and not is_fresh
        and not (path == MANIFEST and recorded is not None)
        and hashlib.sha256(there[path]).hexdigest() != recorded_hashes.get(path)
    ]
    return Changes(tuple(sorted(write)), tuple(sorted(delete)), tuple(sorted(edited)))


def differences(paths: tuple[str, ...], ours: Mapping[str, bytes], there: Mapping[str, bytes]) -> str:
    """A short unified diff from the Space to our files, without secrets and control characters.

    Args:
        paths: the files.
        ours: content by path; what is not in it is to be deleted.
        there: content by path.
    """
    return "\n".join(line for path in paths for line in _difference(path, there[path], ours.get(path, b"")))


def _difference(path: str, theirs: bytes, ours: bytes) -> list[str]:
    name = printable(path, _COLUMNS_SHOWN)
    if kinds := secrets_in(theirs):
        return [f"{name}: not shown, the Space's version holds what looks like {' and '.join(kinds)}"]
    try:
        before, after = theirs.decode("utf-8").splitlines(), ours.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        return [f"{name}: {len(theirs):,} bytes in the Space, {len(ours):,} here; no text"]
    diff = difflib.unified_diff(before, after, f"{name} (the Space)", f"{name} (hfbertcls)", lineterm="", n=1)
    lines = [printable(line, _COLUMNS_SHOWN) for line in diff] or [f"{name}: other line ends, the same text"]
    if len(lines) > _LINES_SHOWN:
        lines = [*lines[:_LINES_SHOWN], f"… and {len(lines) - _LINES_SHOWN:,} more lines"]
    return lines


def _hashes(files: Mapping[str, bytes]) -> dict[str, str]:
    return {path: hashlib.sha256(data).hexdigest() for path, data in files.items()}
