"""Findings about a data set: one sentence each, with a severity."""

from dataclasses import dataclass
from typing import Literal

from hfbertcls.option_names import as_callers_type_it


Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True)
class Finding:
    """One fact to know about a data set before training on it."""

    code: str
    """A short name that stays the same from release to release."""
    severity: Severity
    """`error`: training is refused; `warning`: the metrics or the model suffer; `info`: good to know."""
    fact: str
    """The fact, with count and place. It names labels, columns and row numbers, and never holds a text of the data."""
    advice: str = ""

    @property
    def message(self) -> str:
        """The fact and what to do about it; options are flags on the command line and keyword arguments in Python."""
        return as_callers_type_it(self._sentences)

    def to_dict(self) -> dict[str, str]:
        """As in `doctor --json` and in the report, the same for all callers."""
        return {"code": self.code, "severity": self.severity, "message": self._sentences, "fact": self.fact}

    @property
    def _sentences(self) -> str:
        return f"{self.fact}. {self.advice}" if self.advice else self.fact


def percent(count: int, total: int) -> str:
    """A fraction in percent: `"27.6 %"`."""
    return f"{100 * count / total:.1f} %" if total else "0.0 %"
