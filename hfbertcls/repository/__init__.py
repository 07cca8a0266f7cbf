"""The artefact: a complete model repository on disk, its card and plots, and the proof that they belong together."""
