"""Does `compare` tell two seeds of one recipe apart, and a trained encoder from words counted?

    python benchmarks/seeds.py --data DIR --output-dir RUNS --seeds 6 --rows 1500 sst2 trec6 tweeteval_emotion

DIR holds one folder for each name, with train and test files. The encoder is that of `hfbertcls quickstart`; it is trained with
the defaults on so many drawn rows, once for each seed (head, data order, dropout; the rows are the same), and each pair of
seeds is compared on the whole test split. The first seed is also compared with TF-IDF + logistic regression on the same rows. Runs that have
ended are not repeated.
"""

import argparse
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np

from hfbertcls import Predictions, TrainingOptions, compare_models, load_text_dataset
from hfbertcls.evaluation.compare import Contender, compare_predictions
from hfbertcls.tasks.known import task_of_report
from hfbertcls.workflows.quickstart import model_directory
from hfbertcls.workflows.train import train_and_evaluate


def main() -> None:
    """Train, compare all pairs, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--output-dir", required=True, type=Path)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--rows", type=int, default=1_500)
    options = parser.parse_args()
    print("| set | test rows | accuracy of the seeds | pairs told apart | first seed against TF-IDF |")
    print("|:--|--:|:--|--:|:--|", flush=True)
    total = [0, 0]
    for name in options.names:
        data = load_text_dataset(str(options.data / name))
        train = data.splits["train"]
        drawn = np.sort(np.random.default_rng(0).permutation(len(train))[: options.rows])
        validation = data.splits["validation"]
        data = replace(
            data,
            splits={
                **data.splits,
                "train": train.take("train", drawn),
                "validation": validation.take("validation", np.arange(min(500, len(validation)))),
            },
        )
        found = []
        for seed in range(options.seeds):
            directory = options.output_dir / f"{name}-{seed}"
            training = TrainingOptions(resume=directory.exists(), seed=seed)
            report = train_and_evaluate(str(model_directory()), data, directory, training)
            path = directory / "predictions" / "test.parquet"
            found.append(Predictions.from_parquet(path.read_bytes(), task_of_report(report.task)))
        verdicts = [
            compare_predictions(one.gold, Contender(one.task, one.logits), Contender(other.task, other.logits)).verdict
            for one, other in itertools.combinations(found, 2)
        ]
        apart = sum("is better" in verdict for verdict in verdicts)
        total = [total[0] + apart, total[1] + len(verdicts)]
        against = compare_models("tfidf", str(options.output_dir / f"{name}-0"), data)
        accuracies = ", ".join(f"{np.mean(one.predicted == one.gold):.3f}" for one in found)
        print(
            f"| {name} | {len(found[0]):,} | {accuracies} | {apart} of {len(verdicts)} | "
            f"{against.comparison.verdict} (p = {against.comparison.p_value:.1g}) |",
            flush=True,
        )
    print(f"\nTold apart: {total[0]} of {total[1]} pairs of seeds")


if __name__ == "__main__":
    main()
