"""The answers of a classifier to a chunk of texts, as rows of an output."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hfbertcls.data.long_text import LongText
from hfbertcls.data.readers.streaming import Chunk
from hfbertcls.data.reading import not_blank
from hfbertcls.data.texts import Text, TextPair
from hfbertcls.data.tokenization import TokenizedSplit, tokenize_texts
from hfbertcls.errors import ModelError
from hfbertcls.modeling.engine import in_bf16, score
from hfbertcls.modeling.lengths import reading_length
from hfbertcls.modeling.loading import ModelSource, load_config
from hfbertcls.modeling.predictions import finite_rows
from hfbertcls.tasks.known import task_of_config
from hfbertcls.tasks.task import Task


if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

NOT_FINITE = "the model gives NaN or infinite logits for it"
"""The reason for a text without an answer."""
_AGREEMENT_TEXTS = 256


def task_of_classifier(source: ModelSource) -> Task:
    """The task of a classifier.

    Raises:
        ModelError: if it is none, or its thresholds are no numbers from 0 to 1.
    """
    config: Any = load_config(source)
    task = task_of_config(config)
    if task is None or (task.has_labels and config.num_labels < 2):
        kind = "one output" if task is not None or config.problem_type is None else str(config.problem_type)
        raise ModelError(
            f"{source.public_name!r} does not give labels ({kind}), which predict needs. Use load_pipeline() for it"
        )
    return task


class Scorer:
    """The answers of a classifier for a chunk.

    Args:
        model: the classifier, on the device where it is to compute.
        tokenizer: that belongs to it.
        task: how its logits become answers.
        bf16: compute the matrix products in bf16; `agreement` then holds the proportion of the first texts with the
            same answer in fp32.
        abstain_below: the score below which the model abstains, for tasks that can.
    """

    def __init__(
        self,
        model: "PreTrainedModel",
        tokenizer: "PreTrainedTokenizerBase",
        task: Task,
        *,
        bf16: bool = False,
        abstain_below: float = 0.0,
    ) -> None:
        self.tokenizer = tokenizer
        self.max_length = reading_length(tokenizer, model.config)
        self.long_text = LongText.of_config(model.config)
        self.task = task
        self.exact: Any = model if bf16 else None
        self.model = in_bf16(model) if bf16 else model
        self.abstain_below = abstain_below
        self.agreement: float | None = None

    def answers(self, chunk: Chunk) -> pa.Table:
        """The rows of the output for the rows of a chunk."""
        texts = chunk.texts
        reasons = reasons_against(texts)
        shown = np.array([reason is None for reason in reasons], dtype=np.bool_)
        positions = np.flatnonzero(shown)
        logits = self._logits([texts[position] for position in positions])
        answered = finite_rows(logits)
        for position in positions[~answered]:
            shown[position], reasons[position] = False, NOT_FINITE
        logits = logits[answered]
        columns = {
            "row": pa.array(np.arange(chunk.first_row, chunk.first_row + len(texts), dtype=np.int64)),
            **{
                name: _among(column, shown)
                for name, column in self.task.answer_table(logits, self.abstain_below).items()
            },
            "reason": pa.array(reasons, pa.string()),
        }
        table = pa.table(columns)
        for field in chunk.kept.schema:
            table = table.append_column(field, chunk.kept.column(field.name))
        return table

    def _logits(self, texts: list[Text]) -> npt.NDArray[np.float32]:
        """Logits of shape `(texts, labels)`; the first time, measure the agreement of bf16."""
        logits = score(self.model, self.tokenizer, self._tokenized(texts))
        if self.exact is not None and texts:
            exact = score(self.exact, self.tokenizer, self._tokenized(texts[:_AGREEMENT_TEXTS]))
            self.exact = None  # (frees its memory)
            same = self.task.is_about_same(self.task.decide(exact), self.task.decide(logits[: len(exact)]))
            self.agreement = float(same.mean())
        return logits

    def _tokenized(self, texts: list[Text]) -> TokenizedSplit:
        return tokenize_texts(texts, self.tokenizer, self.max_length, self.long_text)


def _among(column: pa.Array, shown: npt.NDArray[np.bool_]) -> pa.Array:
    """Values of the rows that the model reads, with null for the others, or false in a column of booleans."""
    spread = column.take(pa.array(np.cumsum(shown) - 1, mask=~shown))
    return spread.fill_null(False) if pa.types.is_boolean(column.type) else spread


def reasons_against(texts: Sequence[Any]) -> list[str | None]:
    """Why each text, or each `TextPair`, has no answer; None for those that the model reads.

    >>> reasons_against(["a lovely film", " ", 5]), reasons_against([TextPair("a lovely film", " ")])
    ([None, 'the text is empty', 'not a text (int)'], ['the second text is empty'])
    """
    are_pairs = bool(texts) and isinstance(texts[0], TextPair)
    reasons: list[str | None] = [None] * len(texts)
    names = ("the first text", "the second text") if are_pairs else ("the text",)
    for name, column in zip(names, zip(*texts, strict=True) if are_pairs else [texts], strict=True):
        strings = [text if isinstance(text, str) else None for text in column]
        blank = ~np.array(not_blank(pa.array(strings, pa.large_string())), dtype=np.bool_)
        for position in np.flatnonzero(blank).tolist():
            text = column[position]
            is_empty = text is None or isinstance(text, str)
            kind = "is empty" if is_empty else f"not a text ({type(text).__name__})"
            reason = f"{name} {kind}" if is_empty else f"{name} is {kind}" if are_pairs else kind
            reasons[position] = reasons[position] or reason
    return reasons
