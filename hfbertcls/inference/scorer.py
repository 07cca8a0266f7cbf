"""The answers of a classifier to a chunk of texts, as rows of an output."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hfbertcls.data.reading import not_blank
from hfbertcls.data.streaming import Chunk
from hfbertcls.data.tokenization import tokenize_texts
from hfbertcls.errors import ModelError
from hfbertcls.modeling.engine import in_bf16, score
from hfbertcls.modeling.heads import thresholds_of
from hfbertcls.modeling.loading import ModelSource, load_for_inference, load_tokenizer, reading_length
from hfbertcls.modeling.predictions import Thresholds, finite_rows, predict_labels, sigmoid


NOT_FINITE = "the model gives NaN or infinite logits for it"
"""The reason of a row to which there is no answer although it is a text."""
_AGREEMENT_TEXTS = 256


class Scorer:
    """A loaded classifier, and its answers for a chunk.

    Args:
        source: the model.
        device: to compute on; None leaves the model where it is loaded.
        bf16: compute the matrix products in bf16; `agreement` then holds the share of the first texts that get the same answer.
        abstain_below: the score below which the one label of a text is left out.
        thresholds: from which score on each label is given, of a model that can give several; None takes its own.

    Raises:
        ModelError: if the model is no trained classifier of labels, or its thresholds are no numbers from 0 to 1.
    """

    def __init__(
        self,
        source: ModelSource,
        device: str | None,
        *,
        bf16: bool,
        abstain_below: float,
        thresholds: Thresholds | None = None,
    ) -> None:
        model: Any = load_for_inference(source)
        if model.config.problem_type == "regression" or model.config.num_labels < 2:
            kind = "regression" if model.config.problem_type == "regression" else "one output"
            raise ModelError(
                f"{source.public_name!r} does not give labels ({kind}), which predict needs. Use load_pipeline() for it"
            )
        if device is not None:
            model.to(device)
        self.tokenizer = load_tokenizer(source)
        self.max_length = reading_length(self.tokenizer, model.config)
        self.labels = np.array([str(model.config.id2label[index]) for index in range(model.config.num_labels)])
        self.thresholds = thresholds_of(model.config) if thresholds is None else thresholds
        self.exact: Any = model if bf16 else None
        self.model = in_bf16(model) if bf16 else model
        self.abstain_below = abstain_below
        self.agreement: float | None = None

    def answers(self, chunk: Chunk) -> pa.Table:
        """The rows of the output for the rows of a chunk."""
        texts = [text if isinstance(text, str) else None for text in chunk.texts]
        shown = np.array(not_blank(pa.chunked_array([pa.array(texts, pa.large_string())])))
        reasons = [None if ok else reason_of(text) for ok, text in zip(shown, chunk.texts, strict=True)]
        positions = np.flatnonzero(shown)
        logits = self._logits([str(texts[position]) for position in positions])
        answered = finite_rows(logits)
        for position in positions[~answered]:
            shown[position], reasons[position] = False, NOT_FINITE
        logits = logits[answered]
        columns = {
            "row": pa.array(np.arange(chunk.first_row, chunk.first_row + len(texts), dtype=np.int64)),
            **(self._one_label(logits, shown) if self.thresholds is None else self._several_labels(logits, shown)),
            "reason": pa.array(reasons, pa.string()),
        }
        table = pa.table(columns)
        for field in chunk.kept.schema:
            table = table.append_column(field, chunk.kept.column(field.name))
        return table

    def _one_label(self, logits: npt.NDArray[np.float32], shown: npt.NDArray[np.bool_]) -> dict[str, pa.Array]:
        """Columns with the likeliest label of each row that is shown to the model, and its softmax scores."""
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
        scores = shifted / shifted.sum(axis=1, keepdims=True)
        highest = scores.max(axis=1)
        abstained = np.zeros(len(shown), dtype=np.bool_)
        abstained[shown] = highest < self.abstain_below
        names = self.labels[scores.argmax(axis=1)].tolist()
        answers = [None if low else name for name, low in zip(names, abstained[shown], strict=True)]
        return {
            "prediction": pa.array(_among(answers, shown), pa.string()),
            "score": pa.array(_among(highest.tolist(), shown), pa.float32()),
            "scores": pa.array(_among(scores.tolist(), shown), pa.list_(pa.float32())),
            "abstained": pa.array(abstained),
        }

    def _several_labels(self, logits: npt.NDArray[np.float32], shown: npt.NDArray[np.bool_]) -> dict[str, pa.Array]:
        """Columns with the labels given to each row that is shown to the model, highest score first, and its sigmoid scores."""
        given = predict_labels(logits, self.thresholds).astype(np.bool_)
        orders = np.argsort(-logits, axis=1, kind="stable")  # (of equal scores the first label stands first)
        answers = [self.labels[order[row[order]]].tolist() for order, row in zip(orders, given, strict=True)]
        return {
            "prediction": pa.array(_among(answers, shown), pa.list_(pa.string())),
            "scores": pa.array(_among(sigmoid(logits).tolist(), shown), pa.list_(pa.float32())),
        }

    def _logits(self, texts: list[str]) -> npt.NDArray[np.float32]:
        """Logits of shape `(texts, labels)`; the first time, how many answers bf16 leaves as they are."""
        logits = score(self.model, self.tokenizer, tokenize_texts(texts, self.tokenizer, self.max_length))
        if self.exact is not None and texts:
            few = tokenize_texts(texts[:_AGREEMENT_TEXTS], self.tokenizer, self.max_length)
            exact = score(self.exact, self.tokenizer, few)
            self.exact = None  # (its memory is given back)
            same = predict_labels(exact, self.thresholds) == predict_labels(logits[: len(exact)], self.thresholds)
            self.agreement = float(same.reshape(len(exact), -1).all(axis=1).mean())
        return logits


def _among(values: list[Any], shown: npt.NDArray[np.bool_]) -> list[Any]:
    """Values of the rows that are shown to the model, with None for the others."""
    rest = iter(values)
    return [next(rest) if ok else None for ok in shown]


def reason_of(text: Any) -> str:
    """Why there is no answer to what is blank, or no text."""
    if text is None or isinstance(text, str):
        return "the text is empty"
    return f"not a text ({type(text).__name__})"
