"""How delimited files are to be read, where the file does not show it."""

from dataclasses import dataclass
from typing import Literal, get_args

from hfbertcls.errors import ConfigurationError, listing


Quoting = Literal["auto", "standard", "none"]


@dataclass(frozen=True)
class Layout:
    """How CSV and TSV files are to be read.

    Args:
        quoting: `standard` takes quotation marks for the ends of a field (RFC 4180), `none` for letters of the text;
            `auto` is `standard`, except for tab-separated files whose quotation marks enclose no field.
        header: whether the first line names the columns; without, they are called `column_1`, `column_2` and so on.
    """

    quoting: Quoting = "auto"
    header: bool = True

    def __post_init__(self) -> None:
        if self.quoting not in get_args(Quoting):
            raise ConfigurationError(f"quoting {self.quoting!r} is invalid. Expected {listing(get_args(Quoting))}")


def column_names(count: int) -> list[str]:
    """The names of the columns of a file without a header."""
    return [f"column_{number}" for number in range(1, count + 1)]


AS_SEEN = Layout()
"""The defaults: everything is detected from the file."""
