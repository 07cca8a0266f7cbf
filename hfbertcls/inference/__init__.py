"""From a model to its answers."""
