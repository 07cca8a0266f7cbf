"""Text in: reading, checking, splitting and tokenising labelled text."""
