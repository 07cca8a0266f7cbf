"""Weights that are divided among the processes (FSDP2)."""

from typing import Any

from torch.distributed.fsdp import MixedPrecisionPolicy
from transformers import Trainer
from transformers.utils import logging

from hfbertcls import processes
from hfbertcls.errors import ConfigurationError
from hfbertcls.training.arguments import asks_for_fsdp


logger = logging.get_logger(__name__)

_NEEDED = {
    "fsdp_version": ("version", 2),
    "state_dict_type": ("state_dict_type", "FULL_STATE_DICT"),
    "cpu_ram_efficient_loading": ("cpu_ram_efficient_loading", False),
}
"""By the name in accelerate's plugin: the name in `fsdp_config`, and the value with which checkpoints are complete."""
_IGNORED = (
    "FSDP was asked for and is ignored: accelerate divides weights on several GPUs alone. Each process has a copy of the whole "
    "model (DDP)"
)


class ShardingTrainer(Trainer):
    """`Trainer` whose weights may be divided among the processes by FSDP2, with the results of undivided ones.

    Checkpoints and saved models hold whole weights, gathered from all processes and written by the first one.

    Raises:
        ConfigurationError: for settings of FSDP without whole weights.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.is_fsdp_enabled:
            plugin: Any = self.accelerator.state.fsdp_plugin
            require_whole_weights(plugin)
            if getattr(self.args, "try_longest_batch_first", False):
                raise ConfigurationError(
                    "--batch-size auto does not go with FSDP, whose processes compute in step: each would need another number of "
                    "tries. Choose a batch size"
                )
            # Gathered weights are fp32, and autocast rounds them in training alone: evaluation is in fp32.
            plugin.mixed_precision_policy = MixedPrecisionPolicy()
            if plugin.transformer_cls_names_to_wrap is None:
                plugin.transformer_cls_names_to_wrap = layer_names(self.model)
        elif asks_for_fsdp(self.args) and processes.is_first():
            logger.warning_once(_IGNORED)


def require_whole_weights(plugin: Any) -> None:
    """Check that FSDP is set so that one process can write the whole weights.

    Args:
        plugin: accelerate's `FullyShardedDataParallelPlugin`.

    Raises:
        ConfigurationError: for the first other value.
    """
    for name, (key, needed) in _NEEDED.items():
        value = getattr(plugin, name)
        value = getattr(value, "name", value)
        if value != needed:
            raise ConfigurationError(
                f"FSDP has {key}={value!r}, with which no whole weights can be saved. Pass fsdp_config={{{key!r}: {needed!r}}}, or "
                f"`--fsdp_{key} {str(needed).lower() if isinstance(needed, bool) else needed}` to accelerate launch"
            )


def layer_names(model: Any) -> list[str]:
    """The classes of an encoder's layers, each of which FSDP divides as a unit.

    transformers names the embeddings among them, which accelerate divides by itself, and a second time fails (seen in
    accelerate 1.15).
    """
    return [name for name in model._no_split_modules or () if not name.endswith("Embeddings")]
