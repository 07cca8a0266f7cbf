"""The declaration of an option of a training run, from which everything else about it is derived."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from types import NoneType, UnionType
from typing import Any, get_args, get_origin

from hfbertcls.errors import ConfigurationError, cut


_KEY = "option"


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option. Its keyword is `name`; a switch that is on by default has the flag `--no-NAME`.

    Args:
        name: of the field that declares it.
        default: of that field.
        types: of its values.
        help: the text in `--help` and the documentation.
        metavar: stands for the value in `--help`.
        group: the heading in `--help` under which it stands; empty for the first one.
        rivals: options with the same word here exclude each other.
        sets: the field of transformers' training arguments that takes the value, if any.
        determines: whether the weights, their scores or the choice of them depend on it.
        tunes: whether it is about the steps of fine-tuning, or the validation rows that choose among them. Set to
            something else than its default, it switches cross-validation off.
        row: its name in the card's table of hyperparameters; None if it has no row.
        least: the smallest valid number.
        above: the largest invalid number.
        choices: the valid values of a text; empty: any.
        words: valid instead of a number, with the fields of the training arguments that each word sets.
        parse: converts a word of the command line, or a value from Python.
    """

    name: str = ""
    default: Any = None
    types: tuple[type, ...] = ()
    help: str
    metavar: str | None = None
    group: str = ""
    rivals: str = ""
    sets: str | None = None
    determines: bool = False
    tunes: bool = False
    row: str | None = None
    least: int | None = None
    above: float | None = None
    choices: tuple[str, ...] = ()
    words: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    parse: Callable[[Any], Any] | None = None

    @property
    def flag(self) -> str:
        """The flag on the command line, such as `--early-stopping` or `--no-calibration`."""
        return f"--{'no-' if self.default is True else ''}{self.name.replace('_', '-')}"

    @property
    def is_switch(self) -> bool:
        """Whether its flag stands without a value."""
        return bool in self.types

    @property
    def is_list(self) -> bool:
        """Whether it takes any number of values."""
        return Sequence in self.types

    @property
    def type(self) -> Callable[[str], Any]:
        """Makes a value of a word of the command line."""
        return self.parse or next((kind for kind in self.types if kind in (int, float)), str)

    def check(self, value: Any) -> None:
        """Raise an error for an invalid value.

        Raises:
            ConfigurationError: with the expected values.
        """
        if not (self._fits(value) or (isinstance(value, str) and value in self.words)):
            is_number = isinstance(value, float) and float in self.types
            shown = f"{value:g}" if is_number else value if isinstance(value, str) else cut(repr(value), 60)
            raise ConfigurationError(
                f"--{self.name.replace('_', '-')} {shown} is an invalid value. Expected {self._expected}"
            )

    def _fits(self, value: Any) -> bool:
        if value is None or isinstance(value, bool):
            return type(value) in self.types
        if self.is_list:
            return (
                not isinstance(value, str) and isinstance(value, Sequence) and all(isinstance(v, str) for v in value)
            )
        if isinstance(value, str):
            return str in self.types and not self.words and (not self.choices or value in self.choices)
        is_number = isinstance(value, self.types) or (isinstance(value, int) and float in self.types)
        high_enough = self.least is None or value >= self.least
        return is_number and high_enough and (self.above is None or value > self.above)

    @property
    def _expected(self) -> str:
        if self.is_switch or self.is_list:
            return "True or False" if self.is_switch else "a list of names"
        if self.choices:
            return " or ".join([", ".join(self.choices[:-1]), self.choices[-1]])
        if self.above is not None:
            return f"a number above {self.above:g}; leave it out to have it chosen"
        if self.least is not None:
            return ", or ".join([f"a number from {self.least}", *self.words])
        return "a name" if str in self.types else "a whole number" if int in self.types else "a number"


def option(default: Any, help: str, **traits: Any) -> Any:
    """Declare an option as the field of a dataclass.

    Args:
        default: of the field; `{default}` in `help` stands for it.
        help: as in `Option`.
        **traits: of `Option`.

    Returns:
        What `dataclasses.field` returns:
        `epochs: float | None = option(None, "default: by the number of rows", above=0)`.
    """
    declared = Option(default=default, help=help.format(default=default), **traits)
    return field(default=default, metadata={_KEY: declared})


def options_of(kind: type) -> tuple[Option, ...]:
    """The options that a dataclass declares, in order, with name, default and help.

    `options_of(TrainingOptions)[0].flag` is `"--max-length"`.

    Args:
        kind: a dataclass; fields that `option` did not make are left out.
    """
    return tuple(
        replace(one.metadata[_KEY], name=one.name, types=_types(one.type))
        for one in fields(kind)
        if _KEY in one.metadata
    )


def _types(annotation: Any) -> tuple[type, ...]:
    parts = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    return tuple(NoneType if part is None else get_origin(part) or part for part in parts)
