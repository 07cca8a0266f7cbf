"""Callbacks: what happens beside the optimisation steps."""
