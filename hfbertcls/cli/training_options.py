"""The options of a training run on the command line, as they are declared."""

import argparse
from collections.abc import Mapping
from typing import Any, TypeVar

from hfbertcls.training.declaring import Option, options_of
from hfbertcls.training.options import TrainingOptions


Kind = TypeVar("Kind", bound=TrainingOptions)


def add_training_options(parser: argparse._ActionsContainer, kind: type[TrainingOptions], group: str = "") -> None:
    """Declare the flags of the options that stand under a heading of `--help`.

    Options that were not typed are missing in the result, so that each default stands in one place.

    Args:
        parser: or the group of that heading.
        kind: the dataclass that declares the options.
        group: the heading.
    """
    rivals: dict[str, argparse._ActionsContainer] = {}
    for one in options_of(kind):
        if one.group == group:
            place = parser
            if one.rivals:
                place = rivals.setdefault(one.rivals, rivals.get(one.rivals) or parser.add_mutually_exclusive_group())
            place.add_argument(one.flag, dest=one.name, default=argparse.SUPPRESS, help=one.help, **_form(one))


def typed_options(
    options: argparse.Namespace, fields: Mapping[str, Any], card: Mapping[str, Any], kind: type[Kind]
) -> Kind:
    """The options that were typed.

    Args:
        options: what the parser returned.
        fields: of transformers' training arguments; an option overrides the field that it sets.
        card: facts for the card.
        kind: the dataclass that declares the options.

    Raises:
        ConfigurationError: for an invalid value.
    """
    typed = {one.name: getattr(options, one.name) for one in options_of(kind) if hasattr(options, one.name)}
    return kind.of(**{**fields, **typed, "card": card})


def _form(one: Option) -> dict[str, Any]:
    if one.is_switch:
        return {"action": "store_false" if one.default is True else "store_true"}
    return {"type": one.type, "metavar": one.metavar, **({"nargs": "+"} if one.is_list else {})}
