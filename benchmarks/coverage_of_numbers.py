"""How often the 95 % intervals of a regression report contain the true metric, in simulation.

    python benchmarks/coverage_of_numbers.py --repeats 1000

A prediction is a normal number, and the target is that number plus an error, so that their correlation is about the one that is
named. The errors are normal ("normal"), have a Student distribution with five degrees of freedom ("heavy tails") or grow with
the number ("uneven"), or the target is rounded to one of about five grades ("grades"). The true metrics are those of four million rows. The last
column is the interval of the difference in mean absolute error to another prediction of the same rows, with twice the
error.
"""

import argparse
import itertools

import numpy as np

from hfbertcls.evaluation.compare import metric_difference
from hfbertcls.evaluation.intervals import answer_intervals
from hfbertcls.tasks.regression import Regression


ROWS_OF_TRUTH = 4_000_000
KINDS = ("normal", "heavy tails", "uneven", "grades")
TASK = Regression(())


def draw(kind: str, correlation: float, rows: int, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Targets, predictions, and those of a worse model."""
    predicted = generator.standard_normal(rows)
    noise = (
        generator.standard_t(5, rows) / np.sqrt(5 / 3) if kind == "heavy tails" else generator.standard_normal(rows)
    )
    if kind == "uneven":
        noise = noise * (0.3 + np.abs(predicted))
    gold = predicted + noise * np.sqrt(1 / correlation**2 - 1)
    if kind == "grades":
        gold = np.clip(np.round(gold), -2, 2)
    return gold, predicted, 2 * predicted - gold + 0.3 * generator.standard_normal(rows)


def main() -> None:
    """Print one line for each population and number of rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=1_000)
    parser.add_argument("--correlations", nargs="+", type=float, default=[0.3, 0.7, 0.95])
    parser.add_argument("--rows", nargs="+", type=int, default=[30, 100, 1_000])
    options = parser.parse_args()
    print("| errors | correlation | n | Pearson | Spearman | MAE | RMSE | R² | difference in MAE |")
    print("|:--|--:|--:|--:|--:|--:|--:|--:|--:|", flush=True)
    for kind, correlation in itertools.product(KINDS, options.correlations):
        gold, predicted, other = draw(kind, correlation, ROWS_OF_TRUTH, np.random.default_rng(0))
        truth = TASK.answer_metrics(gold, predicted)
        gap = TASK.answer_metrics(gold, other)["mae"] - truth["mae"]
        for rows in options.rows:
            generator = np.random.default_rng(rows)
            covered = np.zeros(len(truth) + 1)
            for _ in range(options.repeats):
                gold, predicted, other = draw(kind, correlation, rows, generator)
                bounds = answer_intervals(TASK, TASK.answer_metrics(gold, predicted), gold, predicted)
                ends = [(*bounds[name], truth[name]) for name in TASK.metric_names]
                ends.append((*metric_difference(TASK, gold, predicted, other)[1:], gap))
                covered += [low <= value <= high for low, high, value in ends]
            cells = " | ".join(f"{100 * share:.1f}" for share in covered / options.repeats)
            print(f"| {kind} | {correlation} | {rows:,} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
