"""Lines in fastText form."""

import re

import pyarrow as pa

from hfbertcls.data.readers.encodings import decode
from hfbertcls.data.readers.raw import RawTable
from hfbertcls.errors import DatasetError, shorten


_FASTTEXT_PREFIX = "__label__"


def read_fasttext(data: bytes, name: str) -> RawTable:
    """Lines such as `__label__spam win a prize`; lines with more than one label make it multi-label."""
    decoded, notes = decode(data, name)
    texts: list[str] = []
    labels: list[list[str]] = []
    lines: list[int] = []
    for number, line in enumerate(re.split("\r\n|\n|\r", decoded), start=1):
        if not line.strip():
            continue
        rest, names = line.strip(), []
        while rest.startswith(_FASTTEXT_PREFIX):
            label, *text = re.split("[ \t]+", rest, maxsplit=1)
            names.append(label.removeprefix(_FASTTEXT_PREFIX))
            rest = text[0] if text else ""
        if not names:
            raise DatasetError(
                f"{name}, line {number:,}: {shorten(line)} does not begin with {_FASTTEXT_PREFIX!r}. A .txt file is "
                "read in fastText form, '__label__NAME text'. If each line is a row of fields that are separated by tabs, pass "
                "--no-header; for other text use CSV with the columns text and label"
            )
        texts.append(rest)
        labels.append(names)
        lines.append(number)
    if not texts:
        raise DatasetError(f"{name} is empty. Expected lines of the form '__label__NAME text'")
    if all(len(names) == 1 for names in labels):
        column = pa.array([names[0] for names in labels], pa.string())
    else:
        column = pa.array(labels, pa.list_(pa.string()))
    return RawTable(pa.table({"text": pa.array(texts, pa.string()), "label": column}), name, "", lines, notes=notes)
