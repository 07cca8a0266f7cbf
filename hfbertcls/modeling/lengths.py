"""How many tokens a model reads."""

from typing import TYPE_CHECKING

from hfbertcls.errors import ConfigurationError, ModelError


if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase


DEFAULT_MAX_LENGTH = 512
POSITIONS_AFTER_PADDING = {"camembert", "data2vec-text", "longformer", "roberta", "xlm-roberta", "xlm-roberta-xl"}
_NO_LIMIT = 1_000_000  # tokenizers without a limit of their own report 1e30


def find_max_length(
    tokenizer: "PreTrainedTokenizerBase", config: "PreTrainedConfig", requested: int | None = None, *, texts: int = 1
) -> int:
    """The number of tokens that are read of a text, special tokens included; of a pair, those of both texts.

    `requested`, or else the model's own limit, at most 512.

    Args:
        tokenizer: of the model.
        config: of the model.
        requested: what the user named.
        texts: how many a row has: 1, or 2 for pairs.

    Raises:
        ConfigurationError: if more was requested than the model can read, or too little to hold any word.
    """
    limit, special = _limits(tokenizer, config, texts)
    if requested is None:
        return min(limit, DEFAULT_MAX_LENGTH)
    if not special + texts <= requested <= limit:
        raise ConfigurationError(
            f"--max-length {requested} is an invalid value: the model reads {special + texts} to {limit:,} tokens, "
            f"of which {special} are special ones. Choose a number in this range"
        )
    return requested


def reading_length(tokenizer: "PreTrainedTokenizerBase", config: "PreTrainedConfig") -> int:
    """The number of tokens that a finished classifier reads of a text, special tokens included.

    The limit of its tokenizer, at which `pipeline(..., truncation=True)` truncates; at most 512 where it has none.

    Raises:
        ModelError: if what it states leaves room for no word.
    """
    limit, _ = _limits(tokenizer, config)
    return limit if 0 < tokenizer.model_max_length < _NO_LIMIT else min(limit, DEFAULT_MAX_LENGTH)


def _limits(tokenizer: "PreTrainedTokenizerBase", config: "PreTrainedConfig", texts: int = 1) -> tuple[int, int]:
    """How many tokens a model can read, and how many of them are special ones."""
    limit = _position_limit(config)
    own = tokenizer.model_max_length
    if not isinstance(own, int | float):
        raise ModelError(f"model_max_length in tokenizer_config.json is {own!r}. Expected a number")
    if 0 < own < _NO_LIMIT:
        limit = min(limit, int(own))
    special = tokenizer.num_special_tokens_to_add(pair=texts > 1)
    if limit < special + texts:
        raise ModelError(
            f"the model reads {limit:,} tokens, of which {special} are special ones: no word is left. Check "
            "max_position_embeddings in config.json and model_max_length in tokenizer_config.json"
        )
    return limit, special


def _position_limit(config: "PreTrainedConfig") -> int:
    positions = getattr(config, "max_position_embeddings", _NO_LIMIT)
    positions = _NO_LIMIT if positions is None else positions
    # RoBERTa and its relatives begin to count positions behind the id of the padding token; MPNet always behind 1.
    if config.model_type == "mpnet":
        return int(positions) - 2
    offset = (config.pad_token_id or 0) + 1 if config.model_type in POSITIONS_AFTER_PADDING else 0
    return int(positions) - offset
