"""How a model is trained, as the story in `train.py` uses it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hfbertcls.evaluation.against_baselines import FittedOn
from hfbertcls.evaluation.report_training import TrainingFacts
from hfbertcls.progress import Log
from hfbertcls.tasks.probabilities import Answers, Logits


if TYPE_CHECKING:
    from hfbertcls.training.arguments import TextClassificationTrainingArguments


@dataclass(frozen=True)
class OutOfFold:
    """Predictions of the training rows by models that were trained on the rows of the other folds.

    Args:
        folds: the fold of each row, int64 of shape `(n,)`.
        logits: float32 of shape `(n, num_outputs)`, before any temperature.
        baselines: what each baseline predicts, fitted on the rows of the other folds.
        fitted_on: what each baseline was fitted on.
    """

    folds: npt.NDArray[np.int64]
    logits: Logits
    baselines: Mapping[str, Answers]
    fitted_on: Mapping[str, FittedOn]


class Procedure(ABC):
    """A way to train a model on the train split."""

    arguments: "TextClassificationTrainingArguments"
    out_of_fold: OutOfFold | None = None
    """Set by `run` where there is no validation split."""

    @abstractmethod
    def space(self) -> tuple[int, int]:
        """Least and largest disk space of a run in bytes."""

    @abstractmethod
    def run(self, checkpoint: Path | None, log: Log) -> None:
        """Train, from a checkpoint if there is one."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Save model, tokenizer and arguments."""

    @abstractmethod
    def finish(self) -> None:
        """The model is in its place: remove what was kept for resuming alone."""

    @abstractmethod
    def facts(self, wall_seconds: float) -> TrainingFacts:
        """The `training` of the report, without the options of the run."""
