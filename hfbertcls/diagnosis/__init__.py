"""Doubts: what is wrong with a data set, and which of its labels are probably wrong."""
