"""Text in: reading, checking, splitting and tokenizing labelled text."""
