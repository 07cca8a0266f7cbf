"""Batched scoring: sorted by length, with a token budget, padding-free, answers in the order of the input."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from hfbertcls.errors import ModelError
from hfbertcls.modeling.heads import without_output_layer
from hfbertcls.modeling.predictions import finite_rows
from hfbertcls.progress import work


if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from hfbertcls.data.tokenization import TokenizedSplit


TOKENS_PER_BATCH = 8_192
_ROWS_PER_BATCH = 256


@dataclass(frozen=True)
class Pace:
    """How much of the work a device takes at a time.

    Args:
        tokens: of a batch, at most, with padding.
        rows: of a batch, at most.
        numbers_kept: outputs that stay on the device before they are copied to the host, which waits for them.
    """

    tokens: int
    rows: int
    numbers_kept: int


_PACE = Pace(TOKENS_PER_BATCH, _ROWS_PER_BATCH, 0)
_PACES = {"cuda": Pace(tokens=65_536, rows=4_096, numbers_kept=4_194_304)}
"""By the type of device: a GPU is idle between small batches, and while the host waits for each one."""


def pace_of(device: "torch.device") -> Pace:
    """The pace of a device."""
    return _PACES.get(device.type, _PACE)


def score(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    tokenized: "TokenizedSplit",
    on_progress: Callable[[int], None] | None = None,
    *,
    tokens_per_batch: int | None = None,
) -> npt.NDArray[np.float32]:
    """Compute the logits of every row, on the device of the model and in the precision of its weights.

    Args:
        model (`PreTrainedModel`): in evaluation mode; made padding-free (`enable_padding_free`) where it can be.
        tokenizer (`PreTrainedTokenizerBase`): to pad the batches.
        tokenized (`TokenizedSplit`): the texts.
        on_progress (`Callable[[int], None]`, *optional*): called with the number of rows after each batch.
        tokens_per_batch (`int`, *optional*): at most, with padding; None: as many as suit the device.

    Returns:
        float32 of shape `(rows, num_labels)`, in the order of the rows. A row that is NaN or infinite is no answer
        (`predictions.finite_rows`).

    Raises:
        ModelError: if no row is finite, and not even a text without words gets finite logits: the weights are damaged.
    """
    from hfbertcls.modeling.padding_free import enable_padding_free  # noqa: PLC0415  (takes seconds)

    enable_padding_free(model)
    width = int(model.config.num_labels or 0)
    logits = _outputs(model, tokenizer, tokenized, width, "Scoring", on_progress, tokens_per_batch)
    if len(logits) and not finite_rows(logits).any():
        require_working(model, tokenizer)
    return logits


def head_inputs(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", tokenized: "TokenizedSplit"
) -> npt.NDArray[np.float32]:
    """What the last linear layer of a classifier receives for each row: a vector of the text.

    Args:
        model (`PreTrainedModel`): in evaluation mode, with an `output_layer`; made padding-free where it can be.
        tokenizer (`PreTrainedTokenizerBase`): to pad the batches.
        tokenized (`TokenizedSplit`): the texts.

    Returns:
        float32 of shape `(rows, width)`, in the order of the rows.
    """
    from hfbertcls.modeling.padding_free import enable_padding_free  # noqa: PLC0415  (takes seconds)

    enable_padding_free(model)
    with without_output_layer(model) as layer:
        return _outputs(model, tokenizer, tokenized, layer.in_features, "Encoding")


def _outputs(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    tokenized: "TokenizedSplit",
    width: int,
    title: str,
    on_progress: Callable[[int], None] | None = None,
    tokens_per_batch: int | None = None,
) -> npt.NDArray[np.float32]:
    """The `logits` of the model for every row, of shape `(rows, width)`."""
    import torch  # noqa: PLC0415  (takes seconds)

    from hfbertcls.modeling.layout import LENGTHS, sent  # noqa: PLC0415
    from hfbertcls.modeling.memory import free_memory, is_out_of_memory  # noqa: PLC0415
    from hfbertcls.modeling.padding_free import is_padding_free  # noqa: PLC0415

    rows = PaddedRows(tokenizer, tokenized)
    pace = pace_of(model.device)
    outputs = _Outputs(len(rows.lengths), width, pace.numbers_kept)

    def fill(positions: npt.NDArray[np.int64]) -> None:
        """Compute some rows, in halves if memory runs out."""
        batch: dict[str, Any] = {
            name: sent(torch.from_numpy(values), model.device) for name, values in rows.padded(positions).items()
        }
        if is_padding_free(model) and not rows.on_the_left:
            batch[LENGTHS] = tuple(rows.lengths[positions].tolist())
        try:
            outputs.put(positions, model(**batch).logits)
            return
        except (RuntimeError, MemoryError) as err:
            if not is_out_of_memory(err) or len(positions) == 1:
                raise
        free_memory()
        for half in np.array_split(positions, 2):
            fill(half)

    with torch.inference_mode(), work(title, len(rows.lengths)) as advance:
        for positions in batches_by_length(rows.lengths, tokens_per_batch or pace.tokens, rows_per_batch=pace.rows):
            fill(positions)
            advance(len(positions))
            if on_progress is not None:
                on_progress(len(positions))
        return outputs.all()


class _Outputs:
    """Outputs on their way from the device to an array of the host.

    Args:
        rows: of the array.
        width: of the array.
        numbers_kept: outputs that may wait on the device.
    """

    def __init__(self, rows: int, width: int, numbers_kept: int) -> None:
        self._values = np.zeros((rows, width), dtype=np.float32)
        self._numbers_kept = numbers_kept
        self._waiting: list[tuple[npt.NDArray[np.int64], torch.Tensor]] = []
        self._numbers = 0

    def put(self, positions: npt.NDArray[np.int64], outputs: "torch.Tensor") -> None:
        """Take the outputs of some rows, of shape `(len(positions), width)`."""
        self._waiting.append((positions, outputs.float()))
        self._numbers += outputs.numel()
        if self._numbers > self._numbers_kept:
            self._fetch()

    def all(self) -> npt.NDArray[np.float32]:
        """The array, after all rows have been put."""
        self._fetch()
        return self._values

    def _fetch(self) -> None:
        import torch  # noqa: PLC0415  (loaded long ago)

        if self._waiting:
            positions, outputs = zip(*self._waiting, strict=True)
            self._waiting, self._numbers = [], 0
            self._values[np.concatenate(positions)] = torch.cat(outputs).cpu().numpy()


def require_working(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> None:
    """Check that a classifier computes finite logits for a text without words.

    Raises:
        ModelError: if its logits are NaN or infinite.
    """
    import torch  # noqa: PLC0415  (takes seconds)

    text = "" if tokenizer("")["input_ids"] else "a"  # (without special tokens nothing would be left of none)
    batch = tokenizer(text, return_tensors="pt").to(model.device)
    with torch.inference_mode():
        logits: Any = cast(Any, model)(**batch).logits
    if not torch.isfinite(logits).all():
        raise ModelError(
            "the model gives NaN or infinite logits whatever the text: its weights are damaged. Train it again, with a lower "
            "--learning-rate or --precision fp32, or fetch it again"
        )


def in_bf16(model: "PreTrainedModel") -> "PreTrainedModel":
    """A copy of a classifier that computes in bf16 throughout, for `score`; no metric of a report may come from it.

    With autocast instead, a fifth of the time goes into converting between bf16 and fp32.
    """
    return _rounded(model, copied=True)


def turn_to_bf16(model: "PreTrainedModel") -> "PreTrainedModel":
    """As `in_bf16`, without a copy: the classifier itself computes in bf16 from now on."""
    return _rounded(model, copied=False)


def _rounded(model: "PreTrainedModel", *, copied: bool) -> "PreTrainedModel":
    import torch  # noqa: PLC0415  (takes seconds)

    from hfbertcls.modeling.padding_free import enable_padding_free  # noqa: PLC0415

    enable_padding_free(model)  # before: its trial is one of fp32
    faster = copy.deepcopy(model) if copied else model
    cast(Any, faster).to(torch.bfloat16)
    return faster


class PaddedRows:
    """Token ids as flat arrays: a batch is one indexing operation for each column, instead of Python lists.

    Args:
        tokenizer: for the padding token and the padding side.
        tokenized: the texts.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", tokenized: "TokenizedSplit") -> None:
        table: Any = tokenized.dataset.with_format("arrow")[:]
        self.lengths: npt.NDArray[np.int64] = (
            pc.list_value_length(table.column("input_ids")).to_numpy().astype(np.int64)
        )
        self._starts = np.cumsum(self.lengths) - self.lengths
        self._columns: dict[str, npt.NDArray[np.int64]] = {
            name: pc.list_flatten(table.column(name)).to_numpy().astype(np.int64)
            for name in table.column_names
            if name not in ("labels", "length")
        }
        self._padding = {
            "input_ids": tokenizer.pad_token_id or 0,
            "token_type_ids": tokenizer.pad_token_type_id,
            "special_tokens_mask": 1,
        }
        self.on_the_left = tokenizer.padding_side == "left"
        self._adds_mask = "attention_mask" in tokenizer.model_input_names and "attention_mask" not in self._columns

    def padded(self, positions: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[np.int64]]:
        """The inputs of the model for some rows: each array int64 of shape `(rows, longest)`."""
        lengths = self.lengths[positions, None]
        longest = int(lengths.max())
        places = np.arange(longest) - (longest - lengths if self.on_the_left else 0)
        real = (places >= 0) & (places < lengths)
        tokens = np.where(real, self._starts[positions, None] + places, 0)
        batch = {
            name: np.where(real, values[tokens], self._padding.get(name, 0)) for name, values in self._columns.items()
        }
        return {**batch, "attention_mask": real.astype(np.int64)} if self._adds_mask else batch


def batches_by_length(
    lengths: npt.NDArray[np.int64], tokens_per_batch: int = TOKENS_PER_BATCH, *, rows_per_batch: int = _ROWS_PER_BATCH
) -> Iterator[npt.NDArray[np.int64]]:
    """Yield positions, longest rows first, so that no padded batch exceeds the token budget (a single row may)."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        longest = max(1, int(lengths[order[start]]))
        size = min(max(1, tokens_per_batch // longest), rows_per_batch)
        yield order[start : start + size]
        start += size
