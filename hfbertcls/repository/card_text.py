"""Text and numbers as the card shows them."""

from hfbertcls.evaluation.report_evaluation import Metric


_MARKDOWN = str.maketrans(
    {mark: f"\\{mark}" for mark in "\\`*_{}[]()#+!~|$"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
)


def escape(text: object) -> str:
    """Text that stands literally in a Markdown paragraph or table cell, whatever it contains.

    Raises:
        ValueError: if the text is None: the report lacks a value.
    """
    if text is None:
        raise ValueError("the report lacks something that the card states")
    printable = "".join(letter if letter.isprintable() or letter == "\u200d" else " " for letter in str(text))
    return " ".join(printable.translate(_MARKDOWN).split(" ")) or " "


def format_number(value: float | None, places: int = 3) -> str:
    """A metric with a fixed number of decimals; a dash where it is undefined."""
    return "-" if value is None else f"{float(value):.{places}f}"


def format_metric(metric: Metric, name: str) -> str:
    """The value of a metric. A calibration error of 0 only says that so few rows show none: its upper end tells more."""
    if name == "ece" and metric.value == 0 and metric.high:
        return f"< {format_number(metric.high)}"
    return format_number(metric.value)


def percent(fraction: float) -> str:
    """A fraction in percent, with one decimal."""
    return f"{100 * float(fraction):.1f} %"
