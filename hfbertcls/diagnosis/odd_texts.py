"""Texts that look like something else: numbers, ids, links, markup, garbled letters, another script."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from hfbertcls.data.dataset import TextDataset, TextSplit
from hfbertcls.data.on_disk import in_parts
from hfbertcls.diagnosis.findings import Finding, percent


@dataclass(frozen=True)
class _Kind:
    code: str
    pattern: str
    fact: str
    """Begins with a verb in the plural."""
    serious_from: float
    """Fraction of the rows of a split that makes this a warning."""
    advice: str = ""


_KINDS = (
    _Kind(
        "numbers",
        r"^[\s\p{Nd}.,:;+\-/%()#€$£]*\p{Nd}[\s\p{Nd}.,:;+\-/%()#€$£]*$",
        "consist of numbers only",
        0.05,
        "Check --text-column",
    ),
    _Kind(
        "ids",
        r"^\s*(?:[A-Za-z]*[_\-]?\d[A-Za-z0-9_\-]{5,}|[A-Za-z0-9_\-]{5,}\d[A-Za-z0-9_\-]*)\s*$",
        "look like an id (one word of letters and digits)",
        0.05,
        "Check --text-column",
    ),
    _Kind("links", r"^\s*(?:https?://|www\.)\S+\s*$", "consist of a link only", 0.05),
    _Kind(
        "no_letters",
        r"^[^\p{L}\p{N}]+$",
        "have neither a letter nor a digit",
        0.05,
    ),
    _Kind(
        "html",
        r"(?i)</?(?:br|p|div|span|a|b|i|em|strong|ul|ol|li|td|tr|th|table|img|h[1-6]|script|style)(?:\s[^<>]*)?/?>"
        r"|&(?:amp|lt|gt|nbsp|quot|apos|#\d{2,5});",
        "hold HTML",
        2.0,
        "Texts that the model will see later should hold it too, or neither",
    ),
    _Kind(
        "garbled",
        "\ufffd|Ã[\u0080-\u00bf\u201a-\u2122]|â€[\u0098-\u009d\u2122\u0153\u02dc\u201c]|Â[\u00a0-\u00bf]",
        "hold letters that were garbled by a wrong encoding (such as Ã©)",
        0.001,
        "Save the source again as UTF-8",
    ),
    _Kind("line_breaks", r"[\n\r]", "hold line breaks (read as part of the text)", 2.0),
)
_OF_ONE = {"are": "is", "have": "has"}
_SCRIPTS = {
    "Latin": r"\p{Latin}",
    "Cyrillic": r"\p{Cyrillic}",
    "Greek": r"\p{Greek}",
    "Chinese or Japanese": r"\p{Han}|\p{Hiragana}|\p{Katakana}",
    "Korean": r"\p{Hangul}",
    "Arabic": r"\p{Arabic}",
    "Hebrew": r"\p{Hebrew}",
    "Devanagari": r"\p{Devanagari}",
    "Thai": r"\p{Thai}",
    "Ethiopic": r"\p{Ethiopic}",
    "Bengali": r"\p{Bengali}",
    "Tamil": r"\p{Tamil}",
    "Telugu": r"\p{Telugu}",
    "Georgian": r"\p{Georgian}",
    "Armenian": r"\p{Armenian}",
    "Burmese": r"\p{Myanmar}",
    "Khmer": r"\p{Khmer}",
}
_FOREIGN_AT_MOST = 0.1  # with a larger fraction of rows in another script, a data set simply has more than one


def odd_texts(data: TextDataset) -> Iterator[Finding]:
    """Count texts that look like something else, with the row of the first."""
    for column in data.splits["train"].text_fields:
        matches = {name: _matches(split, column) for name, split in data.splits.items()}
        for index, kind in enumerate(_KINDS):
            matching = {name: rows[index] for name, rows in matches.items()}
            if fact := _sentence(matching, data, "texts" if column == "text" else "second texts", kind.fact):
                is_serious = any(rows.mean() >= kind.serious_from for rows in matching.values())
                yield Finding(kind.code, "warning" if is_serious else "info", fact, kind.advice)
    yield from _other_scripts(data)


def _other_scripts(data: TextDataset) -> Iterator[Finding]:
    names = list(_SCRIPTS)
    scripts = {name: _script_of(split) for name, split in data.splits.items()}
    every = np.concatenate(list(scripts.values()))
    counts = np.bincount(every[every >= 0], minlength=len(names))
    if not counts.any():
        return
    main = int(counts.argmax())
    if counts.sum() - counts[main] > _FOREIGN_AT_MOST * counts.sum():
        shown = ", ".join(
            f"{names[index]} {percent(int(counts[index]), int(counts.sum()))}"
            for index in np.argsort(-counts)
            if counts[index]
        )
        yield Finding(
            "scripts", "info", f"the texts are in more than one script: {shown}", "Choose a multilingual model"
        )
        return
    foreign = {name: (script >= 0) & (script != main) for name, script in scripts.items()}
    if fact := _sentence(foreign, data, "texts", f"are in another script than {names[main]}"):
        yield Finding("other_script", "info", fact)


def _matches(split: TextSplit, column: str) -> npt.NDArray[np.bool_]:
    """Whether each text is of each kind, of shape `(kinds, rows)`."""
    matches = [
        [np.asarray(pc.match_substring_regex(part.column(0), kind.pattern)) for kind in _KINDS]
        for part in in_parts(split.table.select([column]))
    ]
    return np.concatenate([np.zeros((len(_KINDS), 0), dtype=np.bool_), *map(np.stack, matches)], axis=1)


def _script_of(split: TextSplit) -> npt.NDArray[np.int8]:
    """The script of most letters of each text, as a number; -1 without letters of a known script."""
    scripts = [np.zeros(0, dtype=np.int8)]
    for part in in_parts(split.table.select(["text"])):
        counts = np.stack(
            [np.asarray(pc.count_substring_regex(part.column(0), script)) for script in _SCRIPTS.values()]
        )
        scripts.append(np.where(counts.any(axis=0), counts.argmax(axis=0), -1).astype(np.int8))
    return np.concatenate(scripts)


def _sentence(matching: Mapping[str, npt.NDArray[np.bool_]], data: TextDataset, what: str, fact: str) -> str:
    """How many rows of each split match, the fact about them, and where the first is; empty without any.

    The fact begins with a verb in the plural, which becomes singular for one row.
    """
    counts = {name: int(rows.sum()) for name, rows in matching.items() if rows.any()}
    if not counts:
        return ""
    parts = [
        f"{count:,} of the {len(data.splits[name]):,} {what} of {name} ({percent(count, len(data.splits[name]))})"
        for name, count in counts.items()
    ]
    name = next(iter(counts))
    first = data.splits[name].place(int(data.splits[name].rows[int(matching[name].argmax())]))
    verb, _, rest = fact.partition(" ")
    if sum(counts.values()) == 1:
        verb = _OF_ONE.get(verb, f"{verb}s")
    return f"{', '.join(parts)} {verb} {rest}; the first is in {first}"
