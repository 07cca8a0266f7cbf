"""Training without arithmetic on padding, where the model allows it."""

from typing import Any

from torch import nn
from transformers import Trainer
from transformers.utils import logging

from hfbertcls.modeling.layout import WithLengths
from hfbertcls.modeling.padding_free import computed_tokens, enable_padding_free
from hfbertcls.training.arguments import TextClassificationTrainingArguments


logger = logging.get_logger(__name__)


class PaddingFreeTrainer(Trainer):
    """`Trainer` without padding where that gives the same results, and with length grouping elsewhere.

    Attributes:
        padding_: the chosen method and the reason, for the log.
    """

    padding_: str = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._choose_way(self.model)

    def call_model_init(self, trial: Any = None) -> nn.Module:
        """As the parent; models that are made later run in the same way."""
        model: nn.Module = super().call_model_init(trial)
        self._choose_way(model)
        return model

    def computed_positions(self, tokens: int) -> int:
        """How many positions the padding-free model computes for a batch of so many real tokens."""
        return computed_tokens(tokens, self.args.device.type)

    def _choose_way(self, model: Any) -> None:
        args: Any = self.args
        ours = isinstance(args, TextClassificationTrainingArguments)
        if ours and not args.padding_free:
            reason: str | None = "as requested"
        elif args.torch_compile:
            reason = "torch.compile takes the model as transformers made it"
        else:
            reason = enable_padding_free(model)
        if reason is None and self.args.device.type != "cpu" and not isinstance(self.data_collator, WithLengths):
            self.data_collator = WithLengths(self.data_collator)
        if ours and args.train_sampling_strategy == "auto":
            args.train_sampling_strategy = "random" if reason is None else "group_by_length"
        if reason is None:
            way = "texts end to end, with next to no padding"
        elif args.train_sampling_strategy == "group_by_length":
            way = f"padded batches of texts of like length ({reason})"
        else:
            way = f"padded batches ({reason})"
        if way != self.padding_:
            logger.info(way)
        self.padding_ = way
