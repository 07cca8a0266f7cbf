"""One file a format: what is read becomes a table of raw cells, to the letter as it stands in the source."""
