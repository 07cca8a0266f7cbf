"""The identity of a run: the facts that a resumed run must have in common with it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from hfbertcls.data.on_disk import in_parts
from hfbertcls.data.tokenization import TokenizedSplit
from hfbertcls.errors import shorten
from hfbertcls.tasks.cells import names_in


FILE_NAME = "run.json"

# Arguments that change neither a weight nor the choice of one. Batches are compared by the rows of an update.
_IRRELEVANT = frozenset((
    "output_dir", "report_to", "run_name", "project", "disable_tqdm", "per_device_train_batch_size",
    "gradient_accumulation_steps", "per_device_eval_batch_size", "eval_accumulation_steps", "save_total_limit",
    "try_longest_batch_first", "restore_callback_states_from_checkpoint", "remove_unused_columns",
))  # fmt: skip
_IRRELEVANT_PREFIXES = (
    "logging_",
    "log_",
    "hub_",
    "push_to_hub",
    "dataloader_",
    "trackio_",
    "include_",
    "skip_memory",
    "ddp_",
    "average_tokens_",
)


@dataclass(frozen=True)
class RunIdentity:
    """The facts that determine the weights of a run: model, labels, options, texts, arguments."""

    model: str
    labels: Sequence[str]
    options: Mapping[str, Any]
    """The options that are no training arguments."""
    rows: Mapping[str, str]
    """A digest of each split's token ids and labels."""
    arguments: Mapping[str, Any]

    def differences(self, other: "RunIdentity") -> list[str]:
        """What differs, in words: the value of `self`, then that of `other`."""
        differences = []
        for field in fields(self):
            ours, theirs = getattr(self, field.name), getattr(other, field.name)
            if isinstance(ours, Mapping):
                names = [name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)]
                if field.name == "rows":
                    differences += [f"the rows of {name}" for name in sorted(names)]
                else:
                    differences += [f"{name} ({ours.get(name)}, now {theirs.get(name)})" for name in sorted(names)]
            elif ours != theirs:
                differences.append(f"{field.name} ({shorten(str(ours), 40)}, now {shorten(str(theirs), 40)})")
        return differences

    def write(self, directory: Path) -> None:
        """Write `run.json`, whole or not at all."""
        directory.mkdir(parents=True, exist_ok=True)
        partial = directory / f"{FILE_NAME}.partial"
        partial.write_text(json.dumps(asdict(self), indent=2, sort_keys=True) + "\n", encoding="utf-8")
        partial.replace(directory / FILE_NAME)

    @classmethod
    def read(cls, directory: Path) -> "RunIdentity | None":
        """The identity in `run.json`; None if it cannot be read."""
        try:
            return cls(**json.loads((directory / FILE_NAME).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None


def digest_of(split: TokenizedSplit) -> str:
    """SHA-256 of the token ids and labels of a split, in order."""
    digest = hashlib.sha256()
    table = split.dataset.data.table
    for name in ("input_ids", "labels"):
        for part in in_parts(table.select([name])):
            values = names_in(part.column(0))
            digest.update(np.ascontiguousarray(values.to_numpy(zero_copy_only=False)).tobytes())
        digest.update(b"\0")
    digest.update(split.lengths.tobytes())
    return digest.hexdigest()


def determining(arguments: Mapping[str, Any], *, rows_per_update: int) -> dict[str, Any]:
    """The arguments that the weights depend on."""
    kept = {
        name: value
        for name, value in arguments.items()
        if name not in _IRRELEVANT and not name.startswith(_IRRELEVANT_PREFIXES)
    }
    return json.loads(json.dumps(kept | {"rows_per_update": rows_per_update}))  # type: ignore[no-any-return]
