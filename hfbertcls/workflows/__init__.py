"""The stories of users, one a file: train, evaluate, compare, export and so on."""
