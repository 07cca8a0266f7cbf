"""Calibration after training: a temperature, fitted on held-out logits and folded into the weights."""

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from hfbertcls.data.tokenization import TokenizedSplit
from hfbertcls.errors import ModelError
from hfbertcls.evaluation.temperature import fit_temperature
from hfbertcls.modeling.engine import score
from hfbertcls.modeling.heads import fold_temperature
from hfbertcls.modeling.loading import ModelSource, load_for_inference, load_tokenizer
from hfbertcls.modeling.memory import free_memory
from hfbertcls.modeling.predictions import require_finite
from hfbertcls.progress import Log
from hfbertcls.tasks.probabilities import Logits
from hfbertcls.tasks.temperature import FEWEST_ROWS


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


_ROWS_CHECKED = 64
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Staged:
    """The staged classifier, loaded: its weights are those of the file."""

    model: Any
    tokenizer: "PreTrainedTokenizerBase"
    validation: Logits | None = None
    """Its logits of the validation split, if they were computed."""

    @classmethod
    def load(cls, staging: Path, device: Any) -> Self:
        """Load model and tokenizer of a directory onto a device."""
        source = ModelSource(str(staging))
        model: Any = load_for_inference(source)
        model.to(device)
        return cls(model, load_tokenizer(source))


def calibrate(staging: Path, rows: TokenizedSplit, device: Any, log: Log, out_of_fold: Logits | None = None) -> Staged:
    """Fit a temperature and save the model with it; where that fails, log the reason and leave the model unchanged.

    Args:
        staging: the directory of the saved model.
        rows: the rows to fit on: the validation split, or training rows with their out-of-fold logits.
        device: where to compute.
        log: gets the result.
        out_of_fold: logits of the rows by models that were not trained on them; None: those of the saved model.

    Returns:
        The staged model.
    """
    staged = _unless_rewritten(staging, rows, device, log, out_of_fold)
    if staged is None:
        free_memory()  # (of the model, before the written one is loaded)
        staged = Staged.load(staging, device)
    return staged


def _unless_rewritten(
    staging: Path, rows: TokenizedSplit, device: Any, log: Log, out_of_fold: Logits | None
) -> Staged | None:
    """Calibrate; returns the loaded model if it is unchanged, else None."""
    staged = Staged.load(staging, device)
    model, tokenizer = staged.model, staged.tokenizer
    if out_of_fold is None:
        where, logits = "validation", score(model, tokenizer, rows)
        staged = replace(staged, validation=logits)
    else:
        where, logits = "training", out_of_fold
    require_finite(logits, "validation" if out_of_fold is None else "train")
    temperature = fit_temperature(rows.labelled_task, rows.gold, logits)
    if temperature is None:
        log(f"  note: the scores are not calibrated: that needs {FEWEST_ROWS} {where} rows and logits that differ")
        return staged
    some = rows.take(np.arange(min(_ROWS_CHECKED, len(logits))))
    before = logits[:_ROWS_CHECKED] if out_of_fold is None else score(model, tokenizer, some)
    try:
        fold_temperature(model, temperature)
    except ModelError as err:
        log(f"  note: the scores are not calibrated: {err}")
        return staged
    if not np.allclose(
        score(model, tokenizer, some), before / np.asarray(temperature), rtol=_TOLERANCE, atol=_TOLERANCE
    ):
        log("  note: the scores are not calibrated: the last linear layer of this model does not give its logits")
        return None
    rewrite(model, staging)
    if isinstance(temperature, list):
        values = f"a temperature for each label, {min(temperature):g} to {max(temperature):g}"
    else:
        values = f"a temperature of {temperature:g}"
    where = "on the validation split" if out_of_fold is None else "by cross-validation"
    log(f"Calibrated {where}: the last layer is divided by {values}")
    return None


def rewrite(model: Any, staging: Path) -> None:
    """Save a changed model in place of the one that it was loaded from."""
    with TemporaryDirectory(dir=staging) as folder:  # (the loaded weights may be a view of the file that is replaced)
        model.save_pretrained(folder)
        for written in Path(folder).iterdir():
            written.replace(staging / written.name)
