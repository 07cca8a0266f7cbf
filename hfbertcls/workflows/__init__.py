"""The workflows of users, one per file: train, evaluate, compare, export and so on."""
