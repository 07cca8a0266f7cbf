"""The manifest of a checkpoint: removing the checkpoint removes these files and no others."""

import contextlib
import json
from pathlib import Path

from hfbertcls.files import files_below, regular_file


MANIFEST = "files.json"
"""In each checkpoint: the size of each of its files, in bytes."""
_RUN_KEYS = {"model", "labels", "options", "rows", "arguments"}


def is_of_a_run(checkpoints: Path) -> bool:
    """Whether a folder holds the record of a run of ours (`run.json`)."""
    try:
        record = json.loads((checkpoints / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(record, dict) and set(record) >= _RUN_KEYS


def write_manifest(folder: Path) -> None:
    """State the files of a checkpoint that is complete."""
    sizes = {name: (folder / name).stat().st_size for name in files_below(folder)}
    (folder / MANIFEST).write_text(json.dumps(sizes, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def remove_checkpoint(folder: Path) -> bool:
    """Remove the files that the manifest of a checkpoint states, and the folder if nothing else is in it.

    Files of others, and files with a new size, stay in a folder with another name.

    Returns:
        Whether the folder was a checkpoint of ours; one without a manifest is left unchanged.
    """
    try:
        sizes = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    if not isinstance(sizes, dict):
        return False
    for name in sorted(set(sizes) & set(files_below(folder))):
        path = regular_file(folder, name)
        if path is not None and path.stat().st_size == sizes[name]:
            path.unlink()
    (folder / MANIFEST).unlink()  # (last: after a kill, it still lists the rest)
    with contextlib.suppress(OSError):
        for inner in sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True):
            inner.rmdir()
    try:
        folder.rmdir()
    except OSError:
        folder.rename(_free_name(folder))
    return True


def _free_name(folder: Path) -> Path:
    candidates = (folder.with_name(f"{folder.name}.kept{number or ''}") for number in range(10_000))
    return next(candidate for candidate in candidates if not candidate.exists())
