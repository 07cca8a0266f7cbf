"""Calibration after training: a temperature, fitted on the validation split and folded into the weights."""

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


def calibrate(staging: Path, validation: TokenizedSplit, device: Any, log: Log) -> Staged:
    """Fit a temperature and save the model with it; where that fails, log the reason and leave the model unchanged.

    Args:
        staging: the directory of the saved model.
        validation: the rows to fit on.
        device: where to compute.
        log: gets the result.

    Returns:
        The staged model.
    """
    staged = _unless_rewritten(staging, validation, device, log)
    if staged is None:
        free_memory()  # (of the model, before the written one is loaded)
        staged = Staged.load(staging, device)
    return staged


def _unless_rewritten(staging: Path, validation: TokenizedSplit, device: Any, log: Log) -> Staged | None:
    """Calibrate; returns the loaded model if it is unchanged, else None."""
    staged = Staged.load(staging, device)
    model, tokenizer = staged.model, staged.tokenizer
    logits = score(model, tokenizer, validation)
    require_finite(logits, "validation")
    unchanged = replace(staged, validation=logits)
    temperature = fit_temperature(validation.labelled_task, validation.gold, logits)
    if temperature is None:
        log(f"  note: the scores are not calibrated: that needs {FEWEST_ROWS} validation rows and logits that differ")
        return unchanged
    try:
        fold_temperature(model, temperature)
    except ModelError as err:
        log(f"  note: the scores are not calibrated: {err}")
        return unchanged
    some = validation.take(np.arange(min(_ROWS_CHECKED, len(logits))))
    expected = logits[:_ROWS_CHECKED] / np.asarray(temperature)
    if not np.allclose(score(model, tokenizer, some), expected, rtol=_TOLERANCE, atol=_TOLERANCE):
        log("  note: the scores are not calibrated: the last linear layer of this model does not give its logits")
        return None
    with TemporaryDirectory(dir=staging) as folder:  # (the loaded weights may be a view of the file that is replaced)
        model.save_pretrained(folder)
        for written in Path(folder).iterdir():
            written.replace(staging / written.name)
    if isinstance(temperature, list):
        values = f"a temperature for each label, {min(temperature):g} to {max(temperature):g}"
    else:
        values = f"a temperature of {temperature:g}"
    log(f"Calibrated on the validation split: the last layer is divided by {values}")
    return None
