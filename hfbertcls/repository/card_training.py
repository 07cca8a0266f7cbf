"""The hyper-parameters of a run as people look for them."""

import re
from collections.abc import Mapping
from typing import Any


_NAMES = {
    "learning_rate": "Learning rate",
    "lr_scheduler_type": "Schedule of the learning rate",
    "warmup_steps": "Warm-up",
    "num_train_epochs": "Epochs",
    "max_steps": "Steps",
    "per_device_train_batch_size": "Batch size",
    "gradient_accumulation_steps": "Batches an update",
    "optim": "Optimizer",
    "weight_decay": "Weight decay",
    "max_grad_norm": "Largest norm of the gradients",
    "label_smoothing_factor": "Label smoothing",
    "precision": "Precision",
    "seed": "Seed",
    "eval_every": "Evaluated every",
    "early_stopping": "Evaluations without a gain before an early stop",
    "train_sampling_strategy": "Order of the rows",
    "folds": "Folds of cross-validation",
    "contrastive_steps": "Steps of the contrastive phase",
    "contrastive_learning_rate": "Learning rate of the contrastive phase",
}
"""In the order of the table; what is not named here follows under its own name."""
_DO_NOTHING = {"gradient_accumulation_steps": 1, "label_smoothing_factor": 0.0, "max_steps": -1}


def hyperparameter_rows(values: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Rows of the table: the name for people, the name in the configuration, and the value.

    Args:
        values: of the report, by their names in the configuration.

    Example:
        >>> hyperparameter_rows({"seed": 1, "learning_rate": 1e-4, "warmup_steps": 0.06})[:2]
        [('Learning rate', 'learning_rate', '0.0001'), ('Warm-up', 'warmup_steps', '6 % of the steps')]
    """
    names = [*(name for name in _NAMES if name in values), *(name for name in values if name not in _NAMES)]
    return [
        (_NAMES.get(name, name.replace("_", " ").capitalize()), name, _shown(name, values[name]))
        for name in names
        if values[name] != _DO_NOTHING.get(name, ...)
    ]


def _shown(name: str, value: Any) -> str:
    if name == "warmup_steps":  # (transformers takes a number below one for a fraction)
        return f"{100 * value:g} % of the steps" if 0 < value < 1 else f"{value:g} steps"
    if name == "eval_every" and re.fullmatch(r"[0-9]+(?:[.][0-9]+)?", str(value)):
        return f"{100 * float(value):g} % of the run" if float(value) < 1 else f"{float(value):g} steps"
    return f"{value:g}" if isinstance(value, float) else str(value)
