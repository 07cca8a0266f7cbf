"""The model repository on disk: its card, its plots and its verification."""
