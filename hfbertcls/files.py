"""Files of a directory: which there are, whether they are files, and their hashes."""

import hashlib
from collections.abc import Iterable
from itertools import accumulate
from pathlib import Path, PurePosixPath


def sha256_of(path: Path) -> str:
    """SHA-256 of the bytes of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def regular_file(directory: Path, name: str) -> Path | None:
    """A file of a directory; None if it is not there, no regular file, a link, or in a folder that is a link."""
    path = directory / name
    parts = [directory / part for part in accumulate(PurePosixPath(name).parts, lambda a, b: f"{a}/{b}")]
    return path if path.is_file() and not any(part.is_symlink() for part in parts) else None


def files_below(directory: Path) -> list[str]:
    """Paths of all files below a directory, with `/`, in order; links are named and not followed."""
    found = (path for path in directory.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted(path.relative_to(directory).as_posix() for path in found)


def hashes_of(directory: Path, names: Iterable[str]) -> dict[str, str]:
    """SHA-256 of those of the named files that a directory has."""
    return {name: sha256_of(directory / name) for name in names if (directory / name).is_file()}
