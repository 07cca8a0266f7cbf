"""Why the classifier answers as it does: the words that mattered."""

import re
import unicodedata
from collections.abc import Iterator

import torch

from classifier import (
    LABELS,
    MULTI,
    NUMBER,
    PAIRS,
    THRESHOLDS,
    Row,
    Texts,
    check_logits,
    check_pair,
    check_text,
    encode,
    logits_of,
    reading,
    refusal,
    tokenizer,
)


MAX_WORDS = 200  # that are explained; each costs a forward pass
_MARKS = "".join(chr(code) for code in range(0x300, 0x20000) if unicodedata.category(chr(code))[0] == "M")
_IN_WORD = rf"[\w{_MARKS}\u200b-\u200d]"  # with accents and joiners that stand by themselves
_WORD = re.compile(
    rf"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]|{_IN_WORD}+(?:['\u2019\-]{_IN_WORD}+)*|[^\w\s](?:[\u200d\ufe0f]+[^\w\s]?)*"
)
# Thai, Lao, Tibetan, Burmese and Khmer put no blanks between words: what a blank would separate is a sentence.
_NO_BLANKS = re.compile(r"[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\ua9e0-\ua9ff\uaa60-\uaa7f]")


def logit_of(threshold: float) -> float:
    """The logit from which on a label is predicted.

    Those of the thresholds 0 and 1 are infinite, which JSON lacks; eps is where the sigmoid becomes 1.
    """
    return float(torch.logit(torch.tensor(threshold, dtype=torch.float64), eps=2.0**-53))


def lead(logits: list[float], label: int) -> float:
    """How far a label is ahead of the next one, in logits; multi-label: ahead of its decision threshold; or the number."""
    if NUMBER:
        return logits[label]
    if MULTI:
        return logits[label] - logit_of(THRESHOLDS[LABELS[label]])
    others = [value for index, value in enumerate(logits) if index != label]
    return logits[label] - max(others)


def explain(text: str) -> dict:
    """Hide one word after the other from the model, and see how far the lead of its label falls, in logits.

    Returns label, lead, note, and words: word, start, end and value of each. A value above 0 speaks for the label.
    Words that only matter together are not found like this. For a multi-label model the label is the likeliest one,
    and its lead is measured from the logit of its decision threshold: below 0, the label is not predicted. A model of
    numbers has number in place of label and lead; a value above 0 raises the number.
    """
    return explain_row((check_text(text),))


def explain_pair(text: str, text_pair: str) -> dict:
    """Hide one word after the other of both texts from the model, and see how far the lead of its label falls.

    Returns label, lead, note, and words: word, text (0 for the first text, 1 for the second), start, end and value of
    each. The values are logits; one above 0 speaks for the label. Words that only matter together are not found like
    this. For a multi-label model the label is the likeliest one, and its lead is measured from the logit of its
    decision threshold: below 0, the label is not predicted. A model of numbers has number in place of label and lead; a
    value above 0 raises the number.
    """
    return explain_row(check_pair(text, text_pair))


def explain_row(texts: Texts) -> dict:
    """Explain the answer to a text, or to a pair."""
    (row,) = encode([texts])
    note = reading(row.ids, row.total)
    hidden = tokenizer.mask_token_id if tokenizer.mask_token_id is not None else tokenizer.unk_token_id
    if hidden is None or not row.places:
        raise refusal("This model's tokenizer cannot tell where its tokens stand in the text.")
    words: list[tuple[int, int, int]] = []
    rows = [row]
    for number, begin, finish in words_of(texts, row):
        inside = [
            index
            for index, (text, start, end) in enumerate(row.places)
            if text == number and start < finish and end > begin
        ]
        if inside:
            words.append((number, begin, finish))
            rows.append(row.hiding(inside, hidden))
    if len(words) > MAX_WORDS:
        note += f" The first {MAX_WORDS} of {len(words):,} words were explained."
        words, rows = words[:MAX_WORDS], rows[: MAX_WORDS + 1]
    logits = check_logits(logits_of(rows))
    label = max(range(len(LABELS)), key=lambda index: logits[0][index])
    whole = lead(logits[0], label)
    values = [whole - lead(row, label) for row in logits[1:]]
    return {
        **({"number": whole} if NUMBER else {"label": LABELS[label], "lead": whole}),
        "words": [
            {
                "word": texts[number][begin:finish],
                **({"text": number} if PAIRS else {}),
                "start": begin,
                "end": finish,
                "value": value,
            }
            for (number, begin, finish), value in zip(words, values, strict=True)
        ],
        "note": note,
    }


def words_of(texts: Texts, row: Row) -> Iterator[tuple[int, int, int]]:
    """The words that the model read: in which text, and where they begin and end.

    Chinese and Japanese are taken character by character. In other scripts without blanks between words, a piece is a
    token of the model, with the vowels and tones that stand above or below its last letter.
    """
    for number, text in enumerate(texts):
        places = [(start, end) for place, start, end in row.places if place == number]
        for match in _WORD.finditer(text, 0, max((end for _, end in places), default=0)):
            if all(unicodedata.category(letter)[0] in "PMC" for letter in match[0]):
                continue
            begins = [match.start()]
            if _NO_BLANKS.search(match[0]):
                inside = {start for start, _ in places if match.start() < start < match.end()}
                begins += sorted(start for start in inside if unicodedata.category(text[start])[0] != "M")
            for begin, finish in zip(begins, [*begins[1:], match.end()], strict=True):
                yield number, begin, finish
