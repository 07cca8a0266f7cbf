"""`evaluate.Metric` modules: thin adapters of the pure functions, loadable by path without a network."""
