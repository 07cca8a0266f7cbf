"""From texts to token ids, with a count of the truncated texts."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hfbertcls.data.dataset import TextSplit
from hfbertcls.data.long_text import TRUNCATE, LongText
from hfbertcls.data.on_disk import TableWriter, in_parts
from hfbertcls.data.texts import Text, fields_of
from hfbertcls.progress import work
from hfbertcls.tasks.probabilities import Answers
from hfbertcls.tasks.task import Task


if TYPE_CHECKING:
    import datasets
    from transformers import PreTrainedTokenizerBase


_TEXTS_PER_BATCH = 1_000


@dataclass(frozen=True)
class TokenizedSplit:
    """A split as token ids.

    `dataset` has the columns that the tokenizer makes (`input_ids`, ...), `length` and, if the split was encoded with
    a task, `labels` in the form of its loss. `num_tokens`, of shape `(rows,)`, counts the tokens of each text before
    truncation.
    """

    dataset: "datasets.Dataset"
    task: Task | None
    """The task that encoded the labels; None without labels."""
    num_tokens: npt.NDArray[np.int64]
    max_length: int
    unknown_tokens: int
    special_tokens: int = 0
    """Special tokens of a text, such as [CLS] and [SEP]."""
    long_text: LongText = TRUNCATE
    """How texts of more than `max_length` tokens are read."""

    @property
    def truncated_rows(self) -> int:
        """How many texts were not read to their end."""
        return int((self.num_tokens > self.long_text.most_tokens(self.max_length, self.special_tokens)).sum())

    @property
    def unknown_share(self) -> float:
        """Fraction of the tokens that the tokenizer does not know (0 to 1), special tokens apart."""
        passes = int(np.ceil(self.lengths / self.max_length).sum())
        total = int(self.lengths.sum()) - self.special_tokens * passes
        return self.unknown_tokens / total if total > 0 else 0.0

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """The tokens that are read of each text, of shape `(rows,)`; those that two windows share count twice."""
        if self.long_text.max_windows == 1:
            return np.minimum(self.num_tokens, self.max_length)
        return np.asarray(self.dataset.with_format("arrow")["length"][:].to_numpy(), dtype=np.int64)

    @property
    def largest_id(self) -> int:
        """The largest token id that occurs."""
        return self._largest("input_ids")

    @property
    def largest_token_type(self) -> int:
        """The largest token type id that occurs; 0 where the tokenizer gives none."""
        return self._largest("token_type_ids") if "token_type_ids" in self.dataset.column_names else 0

    def _largest(self, column: str) -> int:
        parts = in_parts(self.dataset.data.table.select([column]))
        return max((int(pc.max(part.column(0).flatten()).as_py() or 0) for part in parts), default=0)

    @property
    def labelled_task(self) -> Task:
        """The task with which the split was encoded."""
        if self.task is None:
            raise ValueError("the split was tokenized without a task, so it has no labels")
        return self.task

    @property
    def gold(self) -> Answers:
        """The gold answers, in the form of the task."""
        return gold_of(self.dataset, self.labelled_task)

    def take(self, positions: npt.NDArray[np.int64]) -> "TokenizedSplit":
        """Some of the rows; the counts of unknown tokens stay those of the whole split."""
        return replace(self, dataset=self.dataset.select(positions), num_tokens=self.num_tokens[positions])

    def sorted_by_length(self) -> "datasets.Dataset":
        """The same rows, shortest first: batches of it need little padding."""
        return self.dataset.select(np.argsort(self.lengths, kind="stable"))


def gold_of(dataset: "datasets.Dataset", task: Task) -> Answers:
    """The column `labels` of a tokenized data set as answers of a task."""
    labels = dataset.with_format("arrow")["labels"]
    return task.from_loss_labels(labels if isinstance(labels, pa.ChunkedArray | pa.Array) else labels[:])


def tokenize_split(
    split: TextSplit,
    tokenizer: "PreTrainedTokenizerBase",
    max_length: int,
    task: Task | None = None,
    long_text: LongText = TRUNCATE,
) -> TokenizedSplit:
    """Tokenize the texts of a split, in order, without padding.

    Args:
        split (`TextSplit`): of one text a row, or of pairs.
        tokenizer (`PreTrainedTokenizerBase`): of the model.
        max_length (`int`): in tokens, special tokens included. Of a longer pair the longer text is cut first.
        task (`Task`, *optional*): encodes the labels.
        long_text (`LongText`, *optional*): how longer texts are read.

    Raises:
        DatasetError: if a label is none of the task's.
    """
    fields = split.text_fields
    parts = in_parts(split.table.select(fields if task is None else [*fields, "label"]), _TEXTS_PER_BATCH)
    return _tokenize(
        len(split),
        (
            (
                [part.column(name).to_pylist() for name in fields],
                None if task is None else task.loss_labels(task.encode(part.column("label"))),
            )
            for part in parts
        ),
        tokenizer,
        max_length,
        task,
        long_text,
    )


def tokenize_texts(
    texts: Sequence[Text], tokenizer: "PreTrainedTokenizerBase", max_length: int, long_text: LongText = TRUNCATE
) -> TokenizedSplit:
    """Like `tokenize_split`, for bare texts."""
    batches = (fields_of(texts[start : start + _TEXTS_PER_BATCH]) for start in range(0, len(texts), _TEXTS_PER_BATCH))
    return _tokenize(len(texts), ((batch, None) for batch in batches), tokenizer, max_length, None, long_text)


def _tokenize(
    rows: int,
    batches: Iterable[tuple[list[list[str]], pa.Array | None]],
    tokenizer: "PreTrainedTokenizerBase",
    max_length: int,
    task: Task | None,
    long_text: LongText,
) -> TokenizedSplit:
    """Tokenize batches of texts by field, each with or without labels."""
    with work("Tokenizing", rows) as advance:
        return _tokenized(batches, tokenizer, max_length, task, long_text, advance)


def _tokenized(
    batches: Iterable[tuple[list[list[str]], pa.Array | None]],
    tokenizer: "PreTrainedTokenizerBase",
    max_length: int,
    task: Task | None,
    long_text: LongText,
    advance: Callable[[int], None],
) -> TokenizedSplit:
    written = TableWriter()
    counts: list[npt.NDArray[np.int64]] = [np.zeros(0, dtype=np.int64)]
    unknown, are_pairs = 0, False
    for fields, labels in batches:
        columns, num_tokens = encode(fields, tokenizer, max_length, long_text)
        are_pairs = len(fields) > 1
        counts.append(num_tokens)
        if tokenizer.unk_token_id is not None:
            unknown += sum(ids.count(tokenizer.unk_token_id) for ids in columns["input_ids"])
        arrays = {name: pa.array(rows, _type_of(name)) for name, rows in columns.items()}
        arrays["length"] = pa.array([len(ids) for ids in columns["input_ids"]], pa.int64())
        advance(len(num_tokens))
        written.write(pa.record_batch(arrays if labels is None else arrays | {"labels": labels}))
    if len(counts) == 1:
        written.write(
            pa.record_batch({"input_ids": pa.array([], _type_of("input_ids")), "length": pa.array([], pa.int64())})
        )
    special = int(tokenizer.num_special_tokens_to_add(pair=are_pairs))
    dataset = _dataset(written.table())
    return TokenizedSplit(dataset, task, np.concatenate(counts), max_length, unknown, special, long_text)


def _type_of(column: str) -> pa.DataType:
    """Lists of numbers as small as they can be: beside the ids there are masks and types, 0 or 1."""
    return pa.list_(pa.int32() if column == "input_ids" else pa.int8())


def _dataset(table: pa.Table) -> "datasets.Dataset":
    import datasets  # noqa: PLC0415  (takes a second)

    # (a fingerprint of its own: else the library computes one from a copy of the whole table)
    return datasets.Dataset(
        datasets.table.InMemoryTable(table), fingerprint=datasets.fingerprint.generate_random_fingerprint()
    )


def encode(
    fields: list[list[str]], tokenizer: "PreTrainedTokenizerBase", max_length: int, long_text: LongText = TRUNCATE
) -> tuple[dict[str, list[list[int]]], npt.NDArray[np.int64]]:
    """Encode whole texts to count their tokens, then the long ones once more.

    Args:
        fields: the texts, without padding: one list, or two for pairs.
        tokenizer: of the model.
        max_length: in tokens, special tokens included.
        long_text: how longer texts are read; pairs are truncated, the longer text first.

    Returns:
        The columns of the tokenizer, and the tokens of each whole text.
    """
    whole: Any = tokenizer(*fields, truncation=False, padding=False, verbose=False)
    columns: dict[str, list[list[int]]] = {name: list(rows) for name, rows in whole.items()}
    num_tokens = np.array([len(ids) for ids in columns["input_ids"]], dtype=np.int64)
    too_long = np.flatnonzero(num_tokens > max_length)
    if len(too_long):
        longer = [[texts[i] for i in too_long] for texts in fields]
        if len(fields) > 1:
            read: Any = tokenizer(*longer, truncation="longest_first", max_length=max_length, padding=False)
        else:
            read = long_text.read(tokenizer, longer[0], max_length)
        for name, rows in read.items():
            for index, row in zip(too_long, rows, strict=True):
                columns[name][index] = row
    return columns, num_tokens
