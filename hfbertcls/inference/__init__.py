"""Model to answers."""
