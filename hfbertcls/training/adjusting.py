"""Logit adjustment after training: other class priors, folded into the bias of the saved classification head."""

from pathlib import Path
from typing import Any

import numpy as np

from hfbertcls.data.tokenization import TokenizedSplit
from hfbertcls.errors import ModelError
from hfbertcls.evaluation.adjustment import logit_shift
from hfbertcls.modeling.engine import score
from hfbertcls.modeling.heads import output_layer, shift_logits, shift_of
from hfbertcls.modeling.memory import free_memory
from hfbertcls.progress import Log
from hfbertcls.tasks.probabilities import Floats
from hfbertcls.training.calibrating import Staged, rewrite
from hfbertcls.training.options import TrainingOptions


_ROWS_CHECKED = 64
_TOLERANCE = 1e-3
_REMEDY = "so no class priors can be folded into it. Leave out --prior, or pass --class-weights balanced"


def require_adjustable(model: Any) -> None:
    """Check that a classifier ends in a linear layer with a bias.

    Raises:
        ModelError: if it does not.
    """
    if output_layer(model).bias is None:
        raise ModelError(f"the last linear layer of {type(model).__name__} has no bias, {_REMEDY}")


def shift_of_options(options: TrainingOptions, train: TokenizedSplit) -> Floats | None:
    """What the options of a run add to the logit of each label; None if nothing."""
    if options.prior is None:
        return None
    task = train.labelled_task
    return logit_shift(options.prior, options.class_weights, task.labels, task.support(train.gold))


def adjust(staging: Path, shift: Floats, rows: TokenizedSplit, device: Any, log: Log) -> None:
    """Fold a shift of the logits into the saved model; a model that has one already stays as it is.

    Args:
        staging: the directory of the saved model.
        shift: for each label, of shape `(num_labels,)`.
        rows: some of them are scored to check the result.
        device: where to compute.
        log: gets the result.

    Raises:
        ModelError: if the last linear layer has no bias, or does not give the logits.
    """
    staged = Staged.load(staging, device)
    model, tokenizer = staged.model, staged.tokenizer
    if shift_of(model.config) is not None:
        return  # (an average of adjusted runs)
    require_adjustable(model)
    some = rows.take(np.arange(min(_ROWS_CHECKED, len(rows.num_tokens))))
    before = score(model, tokenizer, some)
    shift_logits(model, shift.tolist())
    if not np.allclose(score(model, tokenizer, some), before + shift, rtol=_TOLERANCE, atol=_TOLERANCE):
        raise ModelError(f"the last linear layer of {type(model).__name__} does not give its logits, {_REMEDY}")
    rewrite(model, staging)
    del model, staged
    free_memory()
    log(f"Class priors: the logits are shifted by {shift.min():.2f} to {shift.max():.2f}")
