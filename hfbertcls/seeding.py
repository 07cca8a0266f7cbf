"""The seed of whatever is drawn, where nobody names another."""

DEFAULT_SEED = 42
