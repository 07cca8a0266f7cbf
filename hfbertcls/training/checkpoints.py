"""Checkpoints on the disk: complete ones, and how to recognize the rest of a kill."""

import json
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

from transformers.trainer import (
    FSDP_MODEL_NAME,
    OPTIMIZER_NAME,
    OPTIMIZER_NAME_BIN,
    SCHEDULER_NAME,
    TRAINER_STATE_NAME,
)
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME

from hfbertcls.training.checkpoint_files import MANIFEST, remove_checkpoint


PARTIAL = ".partial"
"""The folder in which a checkpoint is written, beside the finished ones."""

RUNNING_LOSS = "running_loss.json"
"""The training loss since it was last logged, in each process, so that a resumed run logs the same mean."""

_FOLDER = re.compile(r"checkpoint-(\d+)")


def step_of(folder: Path) -> int | None:
    """The optimization step of a checkpoint's folder, by its name; None for other folders."""
    match = _FOLDER.fullmatch(folder.name)
    return int(match[1]) if match else None


def checkpoints_in(directory: Path) -> list[Path]:
    """The folders that are named like checkpoints, whole or not, latest step first."""
    if not directory.is_dir():
        return []
    folders = [entry for entry in directory.iterdir() if step_of(entry) is not None and entry.is_dir()]
    return sorted(folders, key=lambda folder: step_of(folder) or 0, reverse=True)


def latest_complete(directory: Path) -> Path | None:
    """The latest checkpoint to resume from: it is complete, and so is its best checkpoint."""
    for folder in checkpoints_in(directory):
        state = _read_state(folder)
        if state is None or not is_complete(folder):
            continue
        best = state.get("best_global_step")
        if not best or is_complete(directory / f"checkpoint-{best}"):
            return folder
    return None


def is_complete(folder: Path) -> bool:
    """Whether a checkpoint holds every file that a resume needs, in its full length.

    The format shows a truncated file: safetensors state their size in the header, PyTorch's archives end with their
    directory, the state is JSON.
    """
    state = _read_state(folder)
    is_of_fsdp = (folder / OPTIMIZER_NAME_BIN).exists()
    names = (OPTIMIZER_NAME_BIN, f"{FSDP_MODEL_NAME}.bin") if is_of_fsdp else (OPTIMIZER_NAME,)
    random_states = list(folder.glob("rng_state*.pth"))
    archives = [*(folder / name for name in (*names, SCHEDULER_NAME)), *random_states]
    return (
        state is not None
        and state.get("global_step") == step_of(folder)
        and bool(random_states)
        and all(zipfile.is_zipfile(archive) for archive in archives)
        and _has_whole_weights(folder)
    )


def discard(directory: Path, *, after: int) -> list[str]:
    """Remove our checkpoints after a step, and unfinished ones; returns their names."""
    unwanted = [folder for folder in checkpoints_in(directory) if (step_of(folder) or 0) > after]
    shutil.rmtree(directory / PARTIAL, ignore_errors=True)
    return [folder.name for folder in unwanted if remove_checkpoint(folder)]


def rotate(directory: Path, limit: int | None, best: int | None) -> None:
    """Remove the oldest checkpoints beyond a limit, but never the latest and the best one.

    Args:
        directory: of the checkpoints.
        limit: how many are kept; None keeps all.
        best: the step of the best one, None or 0 if there is none.
    """
    folders = [folder for folder in checkpoints_in(directory) if (folder / MANIFEST).is_file()]
    excess = len(folders) - (limit or len(folders))
    spared = {folders[0].name, f"checkpoint-{best}"} if folders else set()
    for folder in [folder for folder in reversed(folders) if folder.name not in spared][: max(0, excess)]:
        remove_checkpoint(folder)


def _read_state(folder: Path) -> dict[str, Any] | None:
    try:
        state = json.loads((folder / TRAINER_STATE_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return state if isinstance(state, dict) else None


def _has_whole_weights(folder: Path) -> bool:
    index = folder / SAFE_WEIGHTS_INDEX_NAME
    try:
        if not index.is_file():
            return _is_whole_safetensors(folder / SAFE_WEIGHTS_NAME)
        shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        return all(_is_whole_safetensors(folder / shard) for shard in shards)
    except (OSError, ValueError, KeyError, AttributeError):
        return False


def _is_whole_safetensors(path: Path) -> bool:
    """Compare the size of the file with its header: 8 bytes of header length, the header, the tensors' bytes."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        size = path.stat().st_size
        if length > size:
            return False
        header = json.loads(file.read(length))
    end = max((entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"), default=0)
    return size == 8 + length + int(end)
