"""Batched scoring: sorted by length, as many tokens a batch as fit, no padding, answers in the order of the input."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt


if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from hfbertcls.data.tokenization import TokenizedSplit


TOKENS_PER_BATCH = 8_192
_ROWS_PER_BATCH = 256


def score(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    tokenized: "TokenizedSplit",
    on_progress: Callable[[int], None] | None = None,
    *,
    bf16: bool = False,
    tokens_per_batch: int = TOKENS_PER_BATCH,
) -> npt.NDArray[np.float32]:
    """Compute the logits of every row, in fp32 unless asked otherwise, on the device of the model.

    Args:
        model (`PreTrainedModel`): in evaluation mode. Padding is left out (`enable_packing`) where it allows that.
        tokenizer (`PreTrainedTokenizerBase`): to pad the batches.
        tokenized (`TokenizedSplit`): the texts.
        on_progress (`Callable[[int], None]`, *optional*): called with the number of rows after each batch.
        bf16 (`bool`): compute the matrix products in bf16. Nothing of a report may come from that.
        tokens_per_batch (`int`): at most, with padding.

    Returns:
        float32 of shape `(rows, num_labels)`, in the order of the rows.
    """
    import torch  # noqa: PLC0415  (takes seconds)
    from transformers import DataCollatorWithPadding  # noqa: PLC0415

    from hfbertcls.modeling.memory import free_memory, is_out_of_memory  # noqa: PLC0415
    from hfbertcls.modeling.packing import enable_packing  # noqa: PLC0415

    enable_packing(model)

    columns = [name for name in tokenized.dataset.column_names if name not in ("labels", "length")]
    inputs = tokenized.dataset.select_columns(columns)
    lengths = np.asarray(tokenized.dataset["length"], dtype=np.int64)
    collate = DataCollatorWithPadding(tokenizer)
    logits = np.zeros((len(lengths), int(model.config.num_labels or 0)), dtype=np.float32)

    def fill(positions: npt.NDArray[np.int64]) -> None:
        """Compute some rows; in halves where memory is too short for all of them."""
        batch: Any = collate([inputs[int(position)] for position in positions])
        try:
            with torch.autocast(model.device.type, torch.bfloat16, enabled=bf16):
                answer = model(**batch.to(model.device)).logits
            logits[positions] = answer.float().cpu().numpy()
            return
        except (RuntimeError, MemoryError) as err:
            if not is_out_of_memory(err) or len(positions) == 1:
                raise
        free_memory()
        for half in np.array_split(positions, 2):
            fill(half)

    with torch.inference_mode():
        for positions in batches_by_length(lengths, tokens_per_batch):
            fill(positions)
            if on_progress is not None:
                on_progress(len(positions))
    return logits


def batches_by_length(
    lengths: npt.NDArray[np.int64], tokens_per_batch: int = TOKENS_PER_BATCH
) -> Iterator[npt.NDArray[np.int64]]:
    """Yield positions, longest rows first, so that no padded batch exceeds the token budget (a single row may)."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        longest = max(1, int(lengths[order[start]]))
        size = min(max(1, tokens_per_batch // longest), _ROWS_PER_BATCH)
        yield order[start : start + size]
        start += size
