"""One file a format: each becomes a table of raw cells, exactly as in the source."""
