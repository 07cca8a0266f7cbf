"""What counts as a word: in scripts with and without blanks between words, and with vowels that stand by themselves."""

import re
import unicodedata
from collections.abc import Sequence
from functools import cache


_SIGNS = (
    "\u0e01-\u0e30\u0e32\u0e33\u0e40-\u0e46"  # Thai
    "\u0e80-\u0eb0\u0eb2\u0eb3\u0ebd-\u0ec6"  # Lao
    "\u1000-\u102a\u103f-\u1055"  # Burmese
    "\u1780-\u17b3"  # Khmer
    "\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff"  # Japanese, Chinese
)
"""Letters of scripts that put no blanks between words, as a class of `re`."""
SIGNS_OF_RE2 = r"\p{Thai}\p{Lao}\p{Myanmar}\p{Khmer}\p{Hiragana}\p{Katakana}\p{Han}"
"""The same for pyarrow, as the inside of a class."""
_SAMPLE = 1_000  # texts
_FEWEST_BLANKS = 0.04  # of all characters
_LONGEST_WORD = 6.0  # signs between blanks or marks, on average: Chinese that was divided into words has 1 to 3
_FEW = 0.01  # of all letters


def analyzer_of(texts: Sequence[str]) -> str:
    """How texts are divided into the features of a linear model.

    `char`, character n-grams, where words fail: texts without letters, texts in which less than 4 % of the characters
    are blanks, and texts mostly in Thai, Lao, Burmese, Khmer, Chinese or Japanese in which what stands between blanks
    is a sentence (more than six letters on average). `unicode_word` where at least 1 % of the letters are of these
    scripts or are marks that belong to a letter, as the vowels of Hindi are: `word` would cut words there. `word` for
    all other texts.

    The blanks are those of the first 1,000 texts, the letters those of 1,000 texts from all over the rows.

    >>> analyzer_of(["a good film", "a bad film"]), analyzer_of(["这部电影非常好看"])
    ('word', 'char')
    """
    first = "".join(texts[:_SAMPLE])
    if not any(letter.isalnum() for letter in first):
        return "char"
    if sum(letter.isspace() for letter in first) < _FEWEST_BLANKS * len(first):
        return "char"
    sample = "\n".join(texts[:: max(1, len(texts) // _SAMPLE)])
    if sample.isascii():
        return "word"
    marks = sum(unicodedata.category(letter) in ("Mn", "Mc") and letter not in "\ufe0e\ufe0f" for letter in sample)
    runs = re.findall(f"(?:[{_SIGNS}][{_marks()}]*)+", sample)
    signs = sum(len(re.findall(f"[{_SIGNS}]", run)) for run in runs)
    letters = sum(letter.isalpha() for letter in sample) or 1
    if signs > letters / 2:  # (someone may have put blanks between the words)
        return "char" if signs > _LONGEST_WORD * len(runs) else "word"
    return "unicode_word" if signs + marks >= _FEW * letters else "word"


def word_pattern(analyzer: str) -> str | None:
    """What a word is for an analyzer, as a regular expression; None for `char`.

    `unicode_word` keeps marks with their letters, and takes scripts without blanks letter by letter.
    """
    if analyzer == "unicode_word":
        marks = _marks()
        return f"(?u)[{_SIGNS}][{marks}]*|(?:(?![{_SIGNS}])[\\w{marks}])+"
    return None if analyzer == "char" else r"(?u)\b\w+\b"


@cache
def _marks() -> str:
    """All characters that belong to the letter before them, and the two invisible ones that join letters."""
    marks = (chr(code) for code in range(0x300, 0x20000) if unicodedata.category(chr(code)) in ("Mn", "Mc"))
    return "".join(marks) + "\u200c\u200d"
