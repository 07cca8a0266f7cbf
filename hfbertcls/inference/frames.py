"""Answers to texts in memory, as a DataFrame."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from hfbertcls.data.readers.streaming import Chunk
from hfbertcls.errors import ConfigurationError
from hfbertcls.inference.inputs import as_read
from hfbertcls.inference.scorer import Scorer
from hfbertcls.modeling.loading import ModelSource


if TYPE_CHECKING:
    import pandas as pd


def answers_in_frame(scorer: Scorer, source: ModelSource, texts: Any, text_pair: Any = None) -> "pd.DataFrame":
    """One row for each text, in their order.

    Args:
        scorer: that answers.
        source: its model.
        texts: a list, an array or a Series of texts, whose index the rows keep; pairs too, as `paired` takes them.
        text_pair: the second texts, as many.

    Returns:
        a DataFrame with the columns `prediction`, `score` (not of a multi-label task) and the score of each label
        under its name (after `label ` where another column is called so); and `reason`, if a text has no answer.

    Raises:
        ConfigurationError: if `texts` is a single text, or a table; if they are single texts for a model of pairs, or the
            reverse.
    """
    import pandas as pd  # noqa: PLC0415  (takes a second)

    if isinstance(texts, str | Path | Mapping) or hasattr(texts, "columns"):
        raise ConfigurationError(
            f"predict() got {'one text or path' if isinstance(texts, str | Path) else 'a table'}. Expected a list or a Series "
            "of texts. Pass [text], or table['text'] with the name of the column (for pairs, with text_pair=table['text_pair']); for a file "
            "call predict_file()"
        )
    rows = [None if text is pd.NA else text for text in texts]
    if text_pair is not None and not isinstance(text_pair, str):
        text_pair = [None if text is pd.NA else text for text in text_pair]
    rows = as_read(source, scorer.model.config, rows, text_pair)
    answers = scorer.answers(Chunk(0, 0, rows, pa.table({})))
    columns = {name: answers[name].to_pylist() for name in ("prediction", "score") if name in answers.column_names}
    taken = {*columns, "reason"}
    scores = answers["scores"].to_pylist() if scorer.task.labels else []
    for position, label in enumerate(scorer.task.labels):
        name = f"label {label}" if label in taken else label
        columns[name] = [None if row is None else row[position] for row in scores]
    frame = pd.DataFrame(columns, index=texts.index if isinstance(texts, pd.Series) else None)
    frame = frame.astype({name: "float32" for name in columns if name != "prediction"})
    if not scorer.task.has_labels:
        frame = frame.astype({"prediction": "float64"})  # (also where no text has an answer)
    if answers["reason"].null_count < len(answers):
        frame["reason"] = answers["reason"].to_pylist()
    return frame
