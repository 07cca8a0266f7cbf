"""The parts of the trainer, one behaviour per file."""
