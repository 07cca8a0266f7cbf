"""How many texts a classifier reads at once, as its configuration states it."""

from typing import Any

from hfbertcls.data.texts import TEXT_FIELDS


TEXT_FIELDS_KEY = "hfbertcls_text_fields"
"""The key of `config.json` of a classifier of pairs: transformers has none, and its weights do not tell.

Who trains on pairs in a script sets it: `model.config.hfbertcls_text_fields = ["text", "text_pair"]`."""


def reads_pairs(config: Any) -> bool:
    """Whether a configuration states that the classifier reads pairs of texts."""
    return states_pairs(vars(config))


def states_pairs(config: Any) -> bool:
    """As `reads_pairs`, for the content of `config.json`."""
    return bool(config.get(TEXT_FIELDS_KEY) == list(TEXT_FIELDS))


def text_field_values(*, are_pairs: bool) -> dict[str, list[str] | None]:
    """The values of `config.json` for a classifier of pairs, or of single texts."""
    return {TEXT_FIELDS_KEY: list(TEXT_FIELDS) if are_pairs else None}
