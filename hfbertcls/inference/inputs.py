"""What a Python program passes to a classifier: texts, or pairs in any of the forms that are obvious."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hfbertcls.data.texts import TEXT_FIELDS, TextPair
from hfbertcls.errors import ConfigurationError
from hfbertcls.inference.remembered import texts_read_by
from hfbertcls.modeling.loading import ModelSource
from hfbertcls.modeling.text_fields import reads_pairs


_FORMS = "Pass the second texts as text_pair=..., or pairs as tuples (text, text_pair)"


def answered(pipeline: Any, source: ModelSource, texts: Any, text_pair: Any, **kwargs: Any) -> Any:
    """The answers of a pipeline: to one text or pair in a list.

    Args:
        pipeline: the result of `load_pipeline`.
        source: its model.
        texts, text_pair: as `paired` takes them. Other inputs of transformers (a generator, a data set) are passed on.
        **kwargs: of the call.

    Raises:
        ConfigurationError: if a model of pairs gets single texts, or the reverse.
    """
    config = pipeline.model.config
    is_known = isinstance(texts, str | list | tuple | Mapping) or texts is None or hasattr(texts, "tolist")
    if not is_known and not reads_pairs(config):
        return pipeline(texts, **kwargs)
    rows = as_read(source, config, texts, text_pair)
    if not isinstance(rows, list):
        answers = pipeline(_as_dict(rows), **kwargs)
        return answers if isinstance(answers, list) else [answers]
    return pipeline([_as_dict(row) for row in rows], **kwargs)


def _as_dict(row: Any) -> Any:
    """A pair as transformers takes it."""
    return row._asdict() if isinstance(row, TextPair) else row


def as_read(source: ModelSource, config: Any, texts: Any, text_pair: Any) -> Any:
    """Texts as `paired` returns them, if they are as many a row as a model reads.

    Args:
        source: the model, whose report tells that it reads single texts.
        config: its configuration, which states that it reads pairs.
        texts, text_pair: as `paired` takes them.

    Raises:
        ConfigurationError: if a model of pairs gets single texts, or the reverse.
    """
    rows = paired(texts, text_pair)
    first = rows[0] if isinstance(rows, list) and rows else rows
    if reads_pairs(config) and rows != [] and not isinstance(first, TextPair):
        raise ConfigurationError(f"{source.public_name!r} reads pairs of texts, and got a single text. {_FORMS}")
    if isinstance(first, TextPair) and texts_read_by(source) == 1:
        raise ConfigurationError(
            f"{source.public_name!r} reads single texts, and got a pair. Pass one text for each row"
        )
    return rows


def paired(texts: Any, text_pair: Any = None) -> Any:
    """Texts in the form of the package: as they are, or a `TextPair` (for a list: of each row).

    >>> paired("A man sleeps.", "He is awake.")
    TextPair(text='A man sleeps.', text_pair='He is awake.')
    >>> paired(["a", "b"], ["x", "y"])
    [TextPair(text='a', text_pair='x'), TextPair(text='b', text_pair='y')]

    Args:
        texts: a text, or a list, an array or a Series of texts. Pairs can be tuples, or dicts with the keys `text` and
            `text_pair`.
        text_pair: the second text, or as many second texts as there are texts.

    Raises:
        ConfigurationError: if the texts do not fit together.
    """
    is_one = texts is None or isinstance(texts, str | tuple | Mapping)
    rows = [texts] if is_one else _listed(texts)
    if text_pair is not None:
        seconds = [text_pair] if isinstance(text_pair, str) else _listed(text_pair)
        if is_one != isinstance(text_pair, str) or len(rows) != len(seconds):
            raise ConfigurationError(
                f"text_pair must be one text for one text, or a list of as many texts: got {_size(texts, rows)} and "
                f"{_size(text_pair, seconds)}"
            )
        if any(isinstance(row, tuple | Mapping) for row in rows):
            raise ConfigurationError(f"text_pair was passed beside pairs. {_FORMS}, not both")
        rows = [TextPair(*row) for row in zip(rows, seconds, strict=True)]
    else:
        rows = [_pair_of(row) for row in rows]
    if len({isinstance(row, TextPair) for row in rows}) > 1:
        raise ConfigurationError(f"some of the texts are pairs, and others are single texts. {_FORMS}")
    return rows[0] if is_one else rows


def _pair_of(row: Any) -> Any:
    if isinstance(row, TextPair):
        return row
    if isinstance(row, Mapping) and set(row) == set(TEXT_FIELDS):
        return TextPair(*(row[name] for name in TEXT_FIELDS))
    if isinstance(row, tuple) and len(row) == len(TEXT_FIELDS):
        return TextPair(*row)
    if isinstance(row, tuple | Mapping):
        raise ConfigurationError(
            f"a pair has two texts, and got {type(row).__name__} with {len(row)} entries. {_FORMS}"
        )
    return row


def _listed(texts: Any) -> list[Any]:
    """A list, an array or a Series as a list."""
    if isinstance(texts, Path) or hasattr(texts, "columns"):
        what = "one path" if isinstance(texts, Path) else "a table"
        raise ConfigurationError(
            f"a list or a Series of texts was expected, not {what}. Pass table['text'] with the name of the column (for pairs, "
            "with text_pair=table['text_pair']); for a file call predict_file()"
        )
    return list(texts.tolist() if hasattr(texts, "tolist") else texts)


def _size(texts: Any, rows: list[Any]) -> str:
    return "one text" if isinstance(texts, str) else f"{len(rows):,} texts"
