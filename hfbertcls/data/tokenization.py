"""From texts to token ids, with a count of the texts that had to be cut."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hfbertcls.data.dataset import LabelSchema, TextSplit


if TYPE_CHECKING:
    import datasets
    from transformers import PreTrainedTokenizerBase


_TEXTS_PER_BATCH = 1_000


@dataclass(frozen=True)
class TokenizedSplit:
    """A split as token ids.

    `dataset` has the columns that the tokenizer makes (`input_ids`, ...), `length` and, if the split was encoded with
    a schema, `labels` (int64). `num_tokens`, of shape `(rows,)`, counts the tokens of each text before it was cut.
    """

    dataset: "datasets.Dataset"
    num_tokens: npt.NDArray[np.int64]
    max_length: int
    unknown_tokens: int
    special_tokens: int = 0
    """How many tokens of each row are no part of its text ([CLS], [SEP])."""

    @property
    def truncated_rows(self) -> int:
        """How many texts were longer than `max_length` tokens."""
        return int((self.num_tokens > self.max_length).sum())

    @property
    def unknown_share(self) -> float:
        """Share of the tokens that the tokenizer does not know (0 to 1), special tokens apart."""
        total = int(np.minimum(self.num_tokens, self.max_length).sum()) - self.special_tokens * len(self.num_tokens)
        return self.unknown_tokens / total if total > 0 else 0.0

    @property
    def largest_id(self) -> int:
        """The largest token id that occurs."""
        return int(pc.max(pc.list_flatten(self.dataset.data.table.column("input_ids"))).as_py() or 0)

    def sorted_by_length(self) -> "datasets.Dataset":
        """The same rows, shortest first: batches of it need little padding."""
        return self.dataset.select(np.argsort(self.dataset["length"], kind="stable"))


def tokenize_split(
    split: TextSplit, tokenizer: "PreTrainedTokenizerBase", max_length: int, schema: LabelSchema | None = None
) -> TokenizedSplit:
    """Tokenise the texts of a split, in order, without padding.

    Args:
        split (`TextSplit`): of one text a row.
        tokenizer (`PreTrainedTokenizerBase`): of the model.
        max_length (`int`): in tokens, special tokens included; longer texts are cut to it.
        schema (`LabelSchema`, *optional*): gives the ids for the column `labels`.
    """
    encoded = tokenize_texts(split.texts, tokenizer, max_length)
    if schema is None:
        return encoded
    labels = pa.array(schema.encode(split.labels))
    return TokenizedSplit(
        _dataset(encoded.dataset.data.table.append_column("labels", labels)),
        encoded.num_tokens,
        encoded.max_length,
        encoded.unknown_tokens,
        encoded.special_tokens,
    )


def tokenize_texts(texts: Sequence[str], tokenizer: "PreTrainedTokenizerBase", max_length: int) -> TokenizedSplit:
    """Like `tokenize_split`, for bare texts."""
    chunks: list[pa.Table] = []
    counts: list[npt.NDArray[np.int64]] = []
    unknown = 0
    for start in range(0, len(texts), _TEXTS_PER_BATCH):
        batch = list(texts[start : start + _TEXTS_PER_BATCH])
        columns, num_tokens = _encode(batch, tokenizer, max_length)
        counts.append(num_tokens)
        if tokenizer.unk_token_id is not None:
            unknown += sum(ids.count(tokenizer.unk_token_id) for ids in columns["input_ids"])
        chunks.append(pa.table({name: pa.array(rows, _type_of(name)) for name, rows in columns.items()}))
    table = pa.concat_tables(chunks) if chunks else pa.table({"input_ids": pa.array([], pa.list_(pa.int32()))})
    num_tokens = np.concatenate(counts) if counts else np.zeros(0, dtype=np.int64)
    lengths = pa.array(np.minimum(num_tokens, max_length))
    special = int(tokenizer.num_special_tokens_to_add())
    return TokenizedSplit(_dataset(table.append_column("length", lengths)), num_tokens, max_length, unknown, special)


def _type_of(column: str) -> pa.DataType:
    """Lists of numbers as small as they can be: beside the ids there are masks and types, 0 or 1."""
    return pa.list_(pa.int32() if column == "input_ids" else pa.int8())


def _dataset(table: pa.Table) -> "datasets.Dataset":
    import datasets  # noqa: PLC0415  (takes a second)

    return datasets.Dataset(datasets.table.InMemoryTable(table))


def _encode(
    texts: list[str], tokenizer: "PreTrainedTokenizerBase", max_length: int
) -> tuple[dict[str, list[list[int]]], npt.NDArray[np.int64]]:
    """Encode whole texts to learn their lengths, then once more those that must be cut."""
    whole: Any = tokenizer(texts, truncation=False, padding=False, verbose=False)
    columns: dict[str, list[list[int]]] = {name: list(rows) for name, rows in whole.items()}
    num_tokens = np.array([len(ids) for ids in columns["input_ids"]], dtype=np.int64)
    too_long = np.flatnonzero(num_tokens > max_length)
    if len(too_long):
        cut: Any = tokenizer([texts[i] for i in too_long], truncation=True, max_length=max_length, padding=False)
        for name, rows in cut.items():
            for index, row in zip(too_long, rows, strict=True):
                columns[name][index] = row
    return columns, num_tokens
