"""Data to weights: the trainer, its arguments and its callbacks."""
