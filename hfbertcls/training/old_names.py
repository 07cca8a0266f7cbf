"""Old names of training arguments in transformers, which many recipes still use."""

import os
import warnings
from typing import Any


OLD_NAMES = {
    "evaluation_strategy": "eval_strategy", "warmup_ratio": "warmup_steps", "no_cuda": "use_cpu",
    "group_by_length": "train_sampling_strategy", "per_gpu_train_batch_size": "per_device_train_batch_size",
    "per_gpu_eval_batch_size": "per_device_eval_batch_size", "adafactor": "optim", "logging_dir": "TENSORBOARD_LOGGING_DIR",
    "include_inputs_for_metrics": "include_for_metrics", "overwrite_output_dir": "", "save_safetensors": "", "use_mps_device": "",
}  # fmt: skip
"""The new name of each; empty where it has no effect any more."""


def translate_old_names(args: Any) -> None:
    """Set the arguments that replace the old names, with a warning."""
    for old, new in OLD_NAMES.items():
        value = getattr(args, old)
        if value is None:
            continue
        setattr(args, old, None)
        if not new:
            effect = "has no effect any more, and is left out"
        elif old == "logging_dir":
            os.environ[new] = str(value)
            effect = f"is now the environment variable {new}, which is set"
        else:
            effect = f"is now called {new}; it is translated"
            _set(args, old, new, value)
        warnings.warn(f"{old} {effect}", FutureWarning, stacklevel=4)


def _set(args: Any, old: str, new: str, value: Any) -> None:
    worded = {"group_by_length": "group_by_length", "adafactor": "adafactor", "include_inputs_for_metrics": ["inputs"]}
    if old not in worded:
        setattr(args, new, value)
    elif value:
        setattr(args, new, worded[old])
