"""A number for each label, named by an option: class weights, class priors."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from math import isfinite
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hfbertcls.errors import ConfigurationError, cut, did_you_mean, listing, shorten


if TYPE_CHECKING:
    from hfbertcls.tasks.probabilities import Floats


LabelNumbers = str | Mapping[str, float]
"""The value of such an option: a word that stands for numbers, or the number of each label."""
_SUM_TOLERANCE = 1e-3


def read_label_numbers(value: LabelNumbers, flag: str, words: Sequence[str]) -> LabelNumbers:
    """The value of an option, with the numbers of a file in place of its name.

    ```python
    >>> read_label_numbers({"ham": 1, "spam": 6.5}, "--class-weights", ("none", "balanced"))
    {'ham': 1.0, 'spam': 6.5}
    ```

    Args:
        value: one of the words, a mapping, the text of a JSON object, or a file. A JSON file holds one object,
            `{"ham": 1, "spam": 6.5}`. A CSV file holds a label and a number in each line; a first line without a
            number is a header.
        flag: of the option, for messages.
        words: that are valid in place of numbers.

    Raises:
        ConfigurationError: if the file cannot be read, names a label twice, or has a value that is no number above 0.
    """
    if isinstance(value, Mapping):
        return _checked(list(value.items()), flag)
    if value in words:
        return value
    expected = f"Expected {', '.join(words)}, or a JSON or CSV file with a number for each label"
    if value.lstrip().startswith("{"):
        return _checked(_json_pairs(value, flag, expected), flag)
    path = Path(value)
    if not path.is_file():
        raise ConfigurationError(
            f"{flag} {shorten(path.name)} is an invalid value{did_you_mean(value, words)}: there is no such file. {expected}"
        )
    place = f"{flag} {path.name}"
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as err:
        raise ConfigurationError(f"{place} cannot be read as text in UTF-8. {expected}") from err
    is_json = path.suffix.lower() == ".json"
    return _checked(_json_pairs(text, place, expected) if is_json else _csv_pairs(text, place, expected), place)


def numbers_in_order(numbers: Mapping[str, float], labels: Sequence[str], flag: str) -> "Floats":
    """The numbers of an option in the order of the labels, of shape `(num_labels,)`.

    Raises:
        ConfigurationError: if a label is missing, or unknown.
    """
    unknown = [name for name in numbers if name not in labels]
    if unknown:
        raise ConfigurationError(
            f"{flag} has a number for {listing(unknown, 4)}, which is no label of the "
            f"data{did_you_mean(unknown[0], labels)}. The labels are {listing(labels, 8)}. Correct the name, or leave it out"
        )
    missing = [name for name in labels if name not in numbers]
    if missing:
        raise ConfigurationError(
            f"{flag} has no number for {listing(missing, 4)}. Expected one for each of the "
            f"{len(labels)} labels. Add what is missing"
        )
    import numpy as np  # noqa: PLC0415  (takes a while)

    return np.array([numbers[name] for name in labels], dtype=np.float64)


def check_sum(numbers: Mapping[str, float], flag: str) -> None:
    """Check that priors sum to one.

    Raises:
        ConfigurationError: with their sum.
    """
    total = sum(numbers.values())
    if abs(total - 1) > _SUM_TOLERANCE:
        raise ConfigurationError(
            f"the numbers of {flag} sum to {total:g}. Expected class priors, which sum to 1. Divide each by {total:g}"
        )


def _json_pairs(text: str, place: str, expected: str) -> list[tuple[str, Any]]:
    try:
        pairs = json.loads(text, object_pairs_hook=list)
    except (ValueError, RecursionError) as err:
        raise ConfigurationError(f"{place} is not valid JSON: {shorten(str(err))}. {expected}") from err
    if not isinstance(pairs, list) or not all(isinstance(pair, tuple) for pair in pairs):
        raise ConfigurationError(f"{place} does not hold one JSON object. {expected}")
    return pairs


def _csv_pairs(text: str, place: str, expected: str) -> list[tuple[str, Any]]:
    pairs = []
    for number, cells in enumerate(csv.reader(io.StringIO(text)), start=1):
        if not cells:
            continue
        if len(cells) != 2:
            raise ConfigurationError(
                f"{place}, line {number}, has {len(cells)} cells instead of a label and a number. {expected}"
            )
        if number == 1 and _number(cells[1]) is None:
            continue  # (a header)
        pairs.append((cells[0], cells[1]))
    return pairs


def _checked(pairs: Sequence[tuple[Any, Any]], place: str) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for label, value in pairs:
        number = _number(value)
        if number is None or not isfinite(number) or number <= 0:
            raise ConfigurationError(
                f"{place} has {cut(repr(value), 40)} for the label {cut(repr(label), 40)}. Expected a number above 0"
            )
        if str(label) in numbers:
            raise ConfigurationError(f"{place} has the label {cut(repr(label), 40)} twice. Keep one of them")
        numbers[str(label)] = number
    if not numbers:
        raise ConfigurationError(f"{place} has no label at all. Expected a number for each label")
    return numbers


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, Real | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None
