"""How often the 95 % intervals contain the true figure where a text can have several labels, in simulation.

    python benchmarks/label_sets.py --repeats 200

The logits of a row's labels are normal (mean -1, standard deviation 2), and so is what decides whether it has each; both are
correlated between the labels of a row by the dependence (0: labels know nothing of each other). The stated scores are the
true probabilities ("calibrated"), or those of logits 1.5 times as large ("overconfident"). A label is given from 0.5 on. The
true figures are those of 200,000 rows.
"""

import argparse
import itertools

import numpy as np
from scipy.special import ndtr

from hfbertcls.evaluation.intervals import score_with_intervals
from hfbertcls.tasks.calibration_error import expected_calibration_error
from hfbertcls.tasks.multi_label import MultiLabel
from hfbertcls.tasks.probabilities import sigmoid


ROWS_OF_TRUTH = 200_000
OVERCONFIDENCE = 1.5


def correlated(rows: int, num_labels: int, dependence: float, generator: np.random.Generator) -> np.ndarray:
    """Standard normal numbers of shape `(rows, num_labels)`, correlated within each row."""
    shared, own = generator.normal(size=(rows, 1)), generator.normal(size=(rows, num_labels))
    return np.sqrt(dependence) * shared + np.sqrt(1 - dependence) * own


def draw(
    rows: int, num_labels: int, dependence: float, factor: float, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Labels and stated logits, both of shape `(rows, num_labels)`."""
    logits = 2 * correlated(rows, num_labels, dependence, generator) - 1
    gold = ndtr(correlated(rows, num_labels, dependence, generator)) < sigmoid(logits)
    return gold.astype(np.int8), (factor * logits).astype(np.float32)


def main() -> None:
    """Print one line for each population and number of rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--labels", nargs="+", type=int, default=[6, 28])
    parser.add_argument("--dependence", nargs="+", type=float, default=[0.0, 0.5, 0.9])
    parser.add_argument("--rows", nargs="+", type=int, default=[200, 1_000])
    options = parser.parse_args()
    print(
        f"| labels | dependence | scores | n | {' | '.join(MultiLabel.metric_names)} | mean estimate of ECE (true) |"
    )
    print(f"|--:|--:|:--|--:|{'--:|' * len(MultiLabel.metric_names)}:--|", flush=True)
    for num_labels, dependence, factor in itertools.product(options.labels, options.dependence, (1.0, OVERCONFIDENCE)):
        task = MultiLabel(tuple(map(str, range(num_labels))))
        gold, logits = draw(ROWS_OF_TRUTH, num_labels, dependence, factor, np.random.default_rng(1))
        truth = task.compute_metrics(gold, logits)
        if factor == 1.0:
            truth["ece"] = 0.0
        for rows in options.rows:
            covered, estimates = dict.fromkeys(MultiLabel.metric_names, 0), []
            for seed in range(options.repeats):
                generator = np.random.default_rng((2, seed))
                gold, logits = draw(rows, num_labels, dependence, factor, generator)
                for name, interval in score_with_intervals(task, gold, logits, seed).items():
                    covered[name] += interval.low <= truth[name] <= interval.high
                estimates.append(expected_calibration_error(*task.statements(gold, task.probabilities(logits))))
            shares = " | ".join(f"{100 * count / options.repeats:.1f}" for count in covered.values())
            kind = "calibrated" if factor == 1.0 else "overconfident"
            print(f"| {num_labels} | {dependence} | {kind} | {rows:,} | {shares} | {np.mean(estimates):.4f} ({truth['ece']:.4f}) |",
                  flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
