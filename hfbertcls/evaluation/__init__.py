"""Logits to metrics: pure functions of predictions; no model, no disk, no network."""
