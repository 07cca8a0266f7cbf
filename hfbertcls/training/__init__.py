"""Data to weights: arguments, recipe, callbacks, and what the trainer is composed of."""
