"""Tokens to logits: loading models and running them."""
