"""The text of a row: a string, or two for pairs."""

from collections.abc import Sequence
from typing import NamedTuple


TEXT_FIELDS = ("text", "text_pair")
"""The fields of a pair, in order; a single text has the first one."""


class TextPair(NamedTuple):
    """Two texts of one row.

    It is a tuple, so it unpacks into what tokenizers take, and `_asdict()` is what `pipeline()` takes.

    >>> TextPair("A man sleeps.", "He is awake.")._asdict()
    {'text': 'A man sleeps.', 'text_pair': 'He is awake.'}
    """

    text: str
    text_pair: str


Text = str | TextPair
"""Whoever reads texts takes a list of these, and turns it into columns by `fields_of`."""


def fields_of(texts: Sequence[Text]) -> list[list[str]]:
    """Texts by field: one list of strings, or two for pairs. The inverse of `texts_of`.

    >>> fields_of(["a", "b"]), fields_of([TextPair("a", "x"), TextPair("b", "y")])
    ([['a', 'b']], [['a', 'b'], ['x', 'y']])
    """
    rows = [(text,) if isinstance(text, str) else text for text in texts]
    return [list(column) for column in zip(*rows, strict=True)] or [[]]


def texts_of(columns: Sequence[Sequence[str]]) -> list[Text]:
    """The texts whose fields are these columns.

    >>> texts_of([["a"], ["x"]])
    [TextPair(text='a', text_pair='x')]
    """
    return list(columns[0]) if len(columns) == 1 else [TextPair(*row) for row in zip(*columns, strict=True)]
