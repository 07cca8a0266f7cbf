"""How often the 95 % intervals of a report contain the true figure, in simulation.

    python benchmarks/coverage.py --repeats 400

A population has 2, 6 or 20 labels, balanced or 9:1 (half of the labels have nine times the rows of the others; of two
labels, one has). Each label is a normal distribution in as many dimensions as there are labels, as far apart as gives the
accuracy; the scores are the exact posterior ("calibrated", true calibration error 0), or those with logits 1.5 times as large
("overconfident"). The true figures are those of a million rows. Every repeat draws n rows and asks for the intervals; that of accuracy depends on
the number of right answers alone, so its coverage is summed over all of them.
"""

import argparse
import itertools

import numpy as np
from scipy.stats import binom

from hfbertcls.evaluation.intervals import LEVEL, mean_interval, wilson_interval
from hfbertcls.evaluation.resampling import count_intervals
from hfbertcls.tasks.calibration_error import calibration_error_interval, expected_calibration_error, reliability
from hfbertcls.tasks.single_label import SingleLabel


ROWS_OF_TRUTH = 1_000_000
OVERCONFIDENCE = 1.5


class Population:
    """Labelled rows without end."""

    def __init__(self, num_labels: int, balance: str, accuracy: float) -> None:
        shares = np.ones(num_labels)
        if balance == "9:1":
            shares[: max(1, num_labels // 2)] = 9.0
        self.shares = shares / shares.sum()
        self.task = SingleLabel(tuple(map(str, range(num_labels))))
        self.distance = 0.0
        low, high = 0.0, 8.0
        for _ in range(20):
            self.distance = (low + high) / 2
            gold, logits = self.draw(200_000, np.random.default_rng(1))
            if (logits.argmax(axis=1) == gold).mean() < accuracy:
                low = self.distance
            else:
                high = self.distance

    def draw(self, rows: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Gold labels and calibrated logits."""
        gold = generator.choice(len(self.shares), size=rows, p=self.shares)
        place = generator.standard_normal((rows, len(self.shares)), dtype=np.float32)
        place[np.arange(rows), gold] += np.float32(self.distance)
        return gold, (np.log(self.shares) + self.distance * place).astype(np.float32)

    def stated(self, gold: np.ndarray, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How likely each predicted label is said to be, and whether it is right."""
        return self.task.statements(gold, self.task.probabilities(logits))

    def truth(self) -> dict[str, float]:
        """The true figures."""
        parts = [self.draw(ROWS_OF_TRUTH // 10, np.random.default_rng(seed)) for seed in range(10)]
        gold, logits = (np.concatenate(part) for part in zip(*parts, strict=True))
        predicted = logits.argmax(axis=1)
        scores = self.task.answer_metrics(gold, predicted)
        wide = logits * np.float32(OVERCONFIDENCE)
        bins = reliability(*self.stated(gold, wide))
        return {
            "accuracy": scores["accuracy"],
            "macro F1": scores["f1_macro"],
            "log loss": float(self.task.row_losses(gold, logits).mean()),
            "log loss, overconfident": float(self.task.row_losses(gold, wide).mean()),
            "ECE": 0.0,
            "ECE, overconfident": float(np.average(np.abs(bins.confidence - bins.accuracy), weights=bins.count)),
        }

    def intervals(self, rows: int, generator: np.random.Generator) -> dict[str, tuple[float, float]]:
        """The intervals of one sample; the calibration error itself stands as a third number."""
        gold, logits = self.draw(rows, generator)
        wide = logits * np.float32(OVERCONFIDENCE)
        predicted = logits.argmax(axis=1)
        seed = int(generator.integers(2**31))
        return {
            "macro F1": count_intervals(self.task, gold, predicted, LEVEL, seed)["f1_macro"],
            "log loss": mean_interval(self.task.row_losses(gold, logits)),
            "log loss, overconfident": mean_interval(self.task.row_losses(gold, wide)),
            "ECE": calibration_error_interval(*self.stated(gold, logits)),
            "ECE, overconfident": calibration_error_interval(*self.stated(gold, wide)),
            "estimate of ECE": (expected_calibration_error(*self.stated(gold, logits)),) * 2,
            "estimate of ECE, overconfident": (expected_calibration_error(*self.stated(gold, wide)),) * 2,
        }


def exact_coverage(accuracy: float, rows: int) -> float:
    """How often the interval of accuracy contains it."""
    hits = np.arange(rows + 1)
    ends = np.array([wilson_interval(int(count), rows) for count in hits])
    return float(binom.pmf(hits, rows, accuracy)[(ends[:, 0] <= accuracy) & (accuracy <= ends[:, 1])].sum())


def main() -> None:
    """Print one line for each population and number of rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=400)
    parser.add_argument("--labels", nargs="+", type=int, default=[2, 6, 20])
    parser.add_argument("--balance", nargs="+", default=["balanced", "9:1"])
    parser.add_argument("--accuracy", nargs="+", type=float, default=[0.6, 0.8, 0.95])
    parser.add_argument("--rows", nargs="+", type=int, default=[200, 1_000, 5_000])
    options = parser.parse_args()
    print(
        "| labels | balance | accuracy | n | accuracy | macro F1 | log loss | the same, overconfident | ECE | the same, overconfident | "
        "mean estimate of ECE (true) |"
    )
    print("|--:|:--|--:|--:|--:|--:|--:|--:|--:|--:|:--|", flush=True)
    for num_labels, balance, accuracy in itertools.product(options.labels, options.balance, options.accuracy):
        population = Population(num_labels, balance, accuracy)
        truth = population.truth()
        if abs(truth["accuracy"] - accuracy) > 0.01:
            print(f"| {num_labels} | {balance} | {accuracy} | - | not possible: the larger label alone gives more |")
            continue
        for rows in options.rows:
            generator = np.random.default_rng(rows)
            found = [population.intervals(rows, generator) for _ in range(options.repeats)]
            covered = [exact_coverage(truth["accuracy"], rows)]
            covered += [
                np.mean([sample[name][0] <= value <= sample[name][1] for sample in found])
                for name, value in truth.items()
                if name != "accuracy"
            ]
            means = [np.mean([s[f"estimate of {name}"][0] for s in found]) for name in ("ECE", "ECE, overconfident")]
            cells = [f"{100 * share:.1f}" for share in covered]
            cells.append(f"{means[0]:.3f} (0), {means[1]:.3f} ({truth['ECE, overconfident']:.3f})")
            print(f"| {num_labels} | {balance} | {accuracy} | {rows:,} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
