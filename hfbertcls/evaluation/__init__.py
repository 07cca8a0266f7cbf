"""Logits to figures: pure functions of predictions; no model, no disk, no network."""
