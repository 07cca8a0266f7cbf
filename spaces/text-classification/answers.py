"""What the page shows of an answer: the labels, the probabilities, a note, and the words that mattered."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import gradio as gr

from about import how_good, plain
from classifier import (
    LABELS,
    MULTI,
    NUMBER,
    PAIRS,
    THRESHOLDS,
    Texts,
    classify,
    classify_pair,
    predicted_labels,
)
from explanation import explain, explain_pair, logit_of


MOST_SLIDERS = 30  # labels; a page with more sliders could not be used
SLIDERS = list(THRESHOLDS) if MULTI and len(LABELS) <= MOST_SLIDERS else []
"""The labels that have a slider for their threshold."""
_SCALE, _SMALLEST = 2.0, 0.1  # logits: full colour, and what counts as nothing
_BETWEEN_TEXTS = "\n\n"
_ORDINALS = ("First", "Second")
_STRONGEST = 0.6  # colour value at which the text on it is still easy to read


_Coloured = list[tuple[str, float | None]]
_Rows = list[list[str]]
_Probabilities = dict[str, float] | str  # or a number


class Shown(NamedTuple):
    """The answer that a page shows, and the hash of its texts. It is kept for each page, and never leaves the server.

    The prediction is by the model's own thresholds; the score is its probability, or a list of them.
    """

    digest: bytes
    answers: dict
    prediction: str | list[str] | float
    score: float | list[float] | None


def digest_of(texts: Texts) -> bytes:
    """The hash by which the texts of an answer are known again."""
    return hashlib.sha256(json.dumps(texts).encode()).digest()


def position_of(threshold: float) -> float:
    """Where the slider of a threshold stands: the nearest of its positions."""
    return round(threshold, 2)


def chosen_thresholds(positions: Sequence[float | None]) -> dict[str, float]:
    """The threshold of each label: that of its slider if it was moved, else exactly the model's own."""
    moved = {
        label: position
        for label, position in zip(SLIDERS, positions, strict=False)
        if position is not None and position_of(position) != position_of(THRESHOLDS[label])
    }
    return THRESHOLDS | moved


def texts_and_positions(values: Sequence) -> tuple[Texts, Sequence[float | None]]:
    """The texts on the page, and the positions of the sliders behind them."""
    count = 2 if PAIRS else 1
    return tuple(values[:count]), values[count:]


def show_classification(
    *values: str | float | None,
) -> tuple[_Probabilities, _Rows, _Coloured, _Rows, str, str, Any, Shown]:
    """The output of `classify` for the page; it clears the words of an earlier text."""
    texts, positions = texts_and_positions(values)
    answers = classify_pair(*texts) if PAIRS else classify(*texts)
    probabilities, table, note, good = parts_of(answers, chosen_thresholds(positions))
    return probabilities, table, [], [], note, good, gr.Column(visible=True), shown(texts, answers)


def show_decisions(state: Shown | None, *values: str | float | None) -> tuple[_Rows, str, str]:
    """The answer on the page by the thresholds of the sliders; nothing changes if there is none to these texts."""
    texts, positions = texts_and_positions(values)
    if state is None or state.digest != digest_of(texts):
        return gr.skip(), gr.skip(), gr.skip()
    return parts_of(state.answers, chosen_thresholds(positions))[1:]


def shown(texts: Texts, answers: dict) -> Shown:
    """What is kept of an answer: what sliders and feedback need."""
    kept = answers if SLIDERS else {}
    if NUMBER:
        return Shown(digest_of(texts), kept, answers["number"], None)
    prediction = answers["labels"] if MULTI else answers["label"]
    score = [answers["scores"][label] for label in prediction] if MULTI else answers["scores"][prediction]
    return Shown(digest_of(texts), kept, prediction, score)


def parts_of(answers: dict, thresholds: dict[str, float]) -> tuple[_Probabilities, _Rows, str, str]:
    """The probabilities of the labels or the number, also as a table; a note; and how good the model is at it."""
    if NUMBER:
        return f"{answers['number']:.4g}", [[f"{answers['number']:.7g}"]], answers["note"], how_good("")
    table = [[label, f"{score:.4f}", f"{answers['logits'][label]:+.3f}"] for label, score in answers["scores"].items()]
    if not MULTI:
        return answers["scores"], table, answers["note"], how_good(answers["label"])
    predicted = predicted_labels(answers["scores"], thresholds)
    for row in table:
        row.insert(1, "yes" if row[0] in predicted else "no")
        row.insert(3, f"{thresholds[row[0]]:.4f}")
    labels = f"Labels: {', '.join(map(plain, predicted))}." if predicted else "No label reaches its threshold."
    return answers["scores"], table, f"{labels} {answers['note']}", goodness(answers["scores"], thresholds)


def goodness(scores: dict[str, float], thresholds: dict[str, float]) -> str:
    """How good a multi-label model is for the likeliest label that is predicted, or else for the likeliest."""
    label = next(iter(predicted_labels(scores, thresholds)), next(iter(scores)))
    sentence = how_good(label)
    is_moved = thresholds[label] != THRESHOLDS[label]
    return f"{sentence} This is by the model's own threshold." if sentence and is_moved else sentence


def coloured_text(text: str, words: list[dict], scale: float) -> _Coloured:
    """A text in parts: the words that mattered with their colour, and what is between them."""
    parts: _Coloured = []
    end = 0
    for word in words:
        if abs(word["value"]) >= _SMALLEST / _SCALE * scale > 0:
            strength = max(-1.0, min(1.0, word["value"] / scale)) * _STRONGEST
            parts += [(text[end : word["start"]], None), (text[word["start"] : word["end"]], strength)]
            end = word["end"]
    return [*parts, (text[end:], None)]


def show_explanation(
    *values: str | float | None,
) -> tuple[_Probabilities, _Rows, _Coloured, _Rows, str, str, Any, Shown]:
    """The output of `classify` and `explain` for the page: the texts with coloured words, also as a table."""
    texts, positions = texts_and_positions(values)
    thresholds = chosen_thresholds(positions)
    answers = classify_pair(*texts) if PAIRS else classify(*texts)
    probabilities, exact, _, good = parts_of(answers, thresholds)
    explanation = explain_pair(*texts) if PAIRS else explain(*texts)
    # Numbers have a unit of their own: the strongest word of a text has the full colour.
    scale = max((abs(word["value"]) for word in explanation["words"]), default=0.0) if NUMBER else _SCALE
    parts: _Coloured = []
    for number, text in enumerate(texts):
        parts += [(_BETWEEN_TEXTS, None)] if number else []
        parts += coloured_text(text, [word for word in explanation["words"] if word.get("text", 0) == number], scale)
    table = [
        [*([_ORDINALS[word["text"]]] if PAIRS else []), word["word"], f"{word['value']:+.4f}"]
        for word in sorted(explanation["words"], key=lambda w: -abs(w["value"]))
    ]
    none = "" if any(value is not None for _, value in parts) else " No single word matters to it."
    coloured_words = [part for part in parts if part[0]]
    note = f"{what_is_explained(answers, thresholds)}{none} {explanation['note']}"
    return probabilities, exact, coloured_words, table, note, good, gr.Column(visible=True), shown(texts, answers)


def what_is_explained(answers: dict, thresholds: dict[str, float]) -> str:
    """The number or the likeliest label in a sentence; multi-label: how far it is from its threshold."""
    if NUMBER:
        return f"The number is {answers['number']:.4g}."
    label = answers["label"]
    if not MULTI:
        return f"The label is {plain(label)}."
    lead = answers["logits"][label] - logit_of(thresholds[label])
    side = "above its threshold." if lead >= 0 else "below its threshold, so it is not predicted."
    return f"The likeliest label is {plain(label)}, {abs(lead):.3f} logits {side}"
