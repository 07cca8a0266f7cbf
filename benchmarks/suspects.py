"""Plant wrong labels, and measure how many of the first suspects are among them and what noise rate is estimated.

    python benchmarks/suspects.py --data DIR [--model MODEL_DIR] ag_news trec6

DIR holds one folder for each name, with a train file. A share of the labels of train is replaced by another label, drawn
uniformly; with N planted errors, precision is the share of planted errors among the first N suspects. The columns "confident
learning" hold the precision of its ranking (rows off the diagonal of the confident joint first, by margin) and its
estimate of the rate (off-diagonal share of the calibrated joint; Northcutt et al. 2021), in some twenty lines below, for
comparison; if the package cleanlab is installed, its own figures stand beside them.
"""

import argparse
import importlib.util
from itertools import product
from pathlib import Path

import numpy as np

from hfbertcls.data.duplicates import first_occurrences
from hfbertcls.data.loading import load_text_dataset
from hfbertcls.diagnosis.suspects import (
    assign_folds,
    estimate_noise,
    joint_opinion,
    judge,
    neighbour_probabilities,
    vector_probabilities,
    word_probabilities,
)
from hfbertcls.modeling.embedding import embed
from hfbertcls.modeling.loading import ModelSource
from hfbertcls.tasks.cells import ids_of


def plant(ids, num_labels, rate, seed):
    """Replace a share of the labels by others; returns the new labels and where they are wrong."""
    generator = np.random.default_rng(seed)
    chosen = generator.choice(len(ids), round(rate * len(ids)), replace=False)
    planted = ids.copy()
    planted[chosen] = (planted[chosen] + generator.integers(1, num_labels, len(chosen))) % num_labels
    return planted, planted != ids


def confident_learning(ids, probabilities):
    """Scores (low is suspicious) and the estimated rate."""
    num_labels = probabilities.shape[1]
    thresholds = np.array([probabilities[ids == label, label].mean() for label in range(num_labels)])
    above = probabilities >= thresholds
    likely = np.where(above, probabilities, -1.0).argmax(axis=1)
    counted = above.any(axis=1)
    joint = np.zeros((num_labels, num_labels))
    np.add.at(joint, (ids[counted], likely[counted]), 1)
    joint *= (np.bincount(ids, minlength=num_labels) / np.maximum(joint.sum(axis=1), 1))[:, None]
    given = probabilities[np.arange(len(ids)), ids]
    others = probabilities.copy()
    others[np.arange(len(ids)), ids] = -1
    margin = given - others.max(axis=1)
    return margin + 2 * ~(counted & (likely != ids)), 1 - np.trace(joint) / joint.sum()


def cleanlab_figures(ids, probabilities, wrong):
    """Precision of its default ranking and its estimate, or None if it is not installed."""
    if importlib.util.find_spec("cleanlab") is None:
        return None
    from cleanlab.count import estimate_joint
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    scores = get_label_quality_scores(ids, probabilities)
    issues = find_label_issues(ids, probabilities)
    order = np.argsort(scores + 2 * ~issues, kind="stable")[: wrong.sum()]
    return wrong[order].mean(), 1 - np.trace(estimate_joint(ids, probabilities))


def main() -> None:
    """Print a line for each set, rate and kind of features."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--model")
    parser.add_argument("--rates", nargs="+", type=float, default=[0.0, 0.05, 0.10])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2])
    options = parser.parse_args()
    print(
        "| set | planted | seed | features | precision of the first N | likely label is the true one | estimated rate | "
        "confident learning: precision | its rate | cleanlab: precision | its rate |"
    )
    print("|:--|--:|--:|:--|--:|--:|--:|--:|--:|--:|--:|", flush=True)
    for name in options.names:
        data = load_text_dataset(str(options.data / name), make_splits=False)
        split, task = data.splits["train"], data.task
        true = task.encode(split.label_cells)
        vectors = embed(ModelSource(options.model), split, task) if options.model else None
        for rate, seed in product(options.rates, options.seeds):
            ids, wrong = plant(true, task.num_outputs, rate, seed)
            folds = assign_folds(ids, first_occurrences(split))
            kinds = {"words": word_probabilities(task, split.texts, ids, folds)}
            if vectors is not None:
                kinds["vectors"] = vector_probabilities(vectors, ids, folds, task.num_outputs)
                neighbours = neighbour_probabilities(vectors, ids, folds, task.num_outputs)
                kinds["all three"] = joint_opinion([kinds["words"], kinds["vectors"], neighbours])
            for kind, probabilities in kinds.items():
                print(
                    row([name, f"{rate:.0%}", str(seed), kind], (split, task, true, ids, wrong), probabilities),
                    flush=True,
                )


def row(head, planted, probabilities) -> str:
    """One line of the table."""
    split, task, true, ids, wrong = planted
    position_of = {int(row): position for position, row in enumerate(split.rows)}
    found = judge(split, task.labels, ids, probabilities)
    first = [position_of[int(number)] for number in found.rows[: wrong.sum()]]
    scores, rate_of_joint = confident_learning(ids, probabilities)
    figures = [None, None, estimate_noise(ids, probabilities).value, None, rate_of_joint, None, None]
    if wrong.any():
        likely = ids_of(found.likely_labels[: wrong.sum()], task.labels)
        planted_ones = wrong[first]
        figures[0] = planted_ones.sum() / wrong.sum()
        figures[1] = (likely == true[first])[planted_ones].mean()
        figures[3] = wrong[np.argsort(scores, kind="stable")[: wrong.sum()]].mean()
        figures[5:] = cleanlab_figures(ids, probabilities, wrong) or (None, None)
    cells = [*head, *("-" if figure is None else f"{figure:.3f}" for figure in figures)]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
