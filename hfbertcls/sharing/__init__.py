"""Figures to the Hub: the card and the model repository."""
