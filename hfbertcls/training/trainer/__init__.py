"""What the trainer is composed of, one behaviour a file."""
