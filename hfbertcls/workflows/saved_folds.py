"""The answers of finished folds, kept in the directory of a run until it is complete."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from hfbertcls.evaluation.against_baselines import FittedOn
from hfbertcls.tasks.probabilities import Answers, Logits
from hfbertcls.training.checkpoint_files import remove_checkpoint, write_manifest


_BASELINE = "baseline_"


@dataclass(frozen=True)
class Fold:
    """Rows of a fold, and what models of the other rows answer to them.

    Args:
        rows: their positions in the train split, int64 of shape `(n,)`.
        gold: their gold answers.
        frozen: logits of the linear probe on the frozen encoder.
        logits: those after the contrastive phase, if there is one.
        baselines: what each baseline predicts.
        fitted_on: what each baseline was fitted on.
    """

    rows: npt.NDArray[np.int64]
    gold: Answers
    frozen: Logits
    logits: Logits
    baselines: Mapping[str, Answers]
    fitted_on: Mapping[str, FittedOn]


class SavedFolds:
    """Folds in `checkpoints/folds/`, one file each.

    Args:
        checkpoints: of the run.
    """

    def __init__(self, checkpoints: Path) -> None:
        self._folder = checkpoints / "folds"

    def __bool__(self) -> bool:
        """Whether there is one."""
        return any(self._folder.glob("fold-*.npz"))

    def save(self, number: int, fold: Fold) -> None:
        """Write a fold, whole or not at all."""
        self._folder.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {name: getattr(fold, name) for name in ("rows", "gold", "frozen", "logits")}
        arrays |= {f"{_BASELINE}{name}": answers for name, answers in fold.baselines.items()}
        arrays["fitted_on"] = np.array(json.dumps(fold.fitted_on))
        partial = self._folder / "partial.npz"
        np.savez(partial, allow_pickle=False, **arrays)
        partial.replace(self._path(number))
        write_manifest(self._folder)

    def read(self, number: int) -> Fold | None:
        """A fold that was saved; None if it was not, or is damaged."""
        try:
            with np.load(self._path(number), allow_pickle=False) as file:
                values = dict(file)
            baselines = {
                name.removeprefix(_BASELINE): values.pop(name) for name in list(values) if name.startswith(_BASELINE)
            }
            fitted_on = json.loads(str(values.pop("fitted_on")))
            return Fold(**values, baselines=baselines, fitted_on=fitted_on)
        except (OSError, ValueError, LookupError, TypeError, BadZipFile):
            return None

    def remove(self) -> None:
        """Remove all of them."""
        remove_checkpoint(self._folder)

    def _path(self, number: int) -> Path:
        return self._folder / f"fold-{number}.npz"
