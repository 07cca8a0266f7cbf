"""Recipes and seeds: what counts as the same recipe, and the noise of a seed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hfbertcls.evaluation.report import Report
from hfbertcls.evaluation.report_training import Average, SeedRun, Seeds, Spread
from hfbertcls.evaluation.training_noise import same_recipe, sentence_on_training


GOLDEN = Report.from_json((Path(__file__).parent.parent / "repository" / "report.json").read_text(encoding="utf-8"))


def trained(seed=42, learning_rate=1e-4, values=None):
    """The golden report of another seed or setting; `values` are the accuracies of its seeds."""
    seeds = None
    if values is not None:
        spread = Spread(mean=float(np.mean(values)), sd=float(np.std(values, ddof=1)))
        runs = tuple(SeedRun(seed=number, best_step=None) for number in range(len(values)))
        seeds = Seeds(chosen=0, metric="f1_macro", runs=runs, summary={"test": {"accuracy": spread}})
    training = replace(
        GOLDEN.training,
        seed=seed,
        hyperparameters={**GOLDEN.training.hyperparameters, "learning_rate": learning_rate, "seed": seed},
        arguments={**GOLDEN.training.arguments, "seed": seed},
        seeds=seeds,
    )
    return replace(GOLDEN, training=training)


def test_only_the_seed_may_differ():
    assert same_recipe(trained(1), trained(2))
    assert not same_recipe(trained(1), trained(1))
    assert not same_recipe(trained(1), trained(2, learning_rate=3e-5))
    assert not same_recipe(trained(1), replace(trained(2), model=replace(GOLDEN.model, base_model="another")))
    assert not same_recipe(trained(1), replace(trained(2), data=replace(GOLDEN.data, split_method="seed 2")))
    assert not same_recipe(trained(1), replace(trained(2), training=None))
    options = {"early_stopping": 2, "callbacks": [], "calibration": True}
    stopping = replace(trained(2).training, options=options)
    assert not same_recipe(trained(1), replace(trained(2), training=stopping))


def test_one_recipe_is_not_better_than_itself():
    assert "both are the same recipe with other seeds" in sentence_on_training(trained(1), trained(2), 0.05)


@pytest.mark.parametrize(
    ("difference", "expected"), [(0.02, "2.0 points is within"), (-0.09, "9.0 points is more than")]
)
def test_the_deviation_over_seeds_bounds_the_noise_of_a_seed(difference, expected):
    a = trained(values=[0.79, 0.80, 0.81])
    sentence = sentence_on_training(a, trained(learning_rate=3e-5), difference)
    assert expected in sentence
    assert (
        "up to 6.1 points in 95 % of cases; standard deviation 1.0 points over 3 seeds" in sentence
    )  # 4.303 * sqrt(2) * 1


def test_there_is_no_sentence_without_deviations():
    assert sentence_on_training(None, trained(), 0.05) is None
    assert sentence_on_training(trained(), trained(learning_rate=3e-5), 0.05) is None
    assert sentence_on_training(trained(values=[0.7, 0.8]), None, None) is None


def test_the_deviation_of_single_runs_is_not_that_of_their_average():
    single = trained(values=[0.79, 0.80, 0.81])

    def with_average(*, shipped):
        average = Average(
            method="uniform",
            seeds=(1, 2),
            metric="f1_macro",
            validation=0.8,
            best_run=0.8,
            best_seed=1,
            shipped=shipped,
        )
        return replace(single.training, seeds=replace(single.training.seeds, average=average))

    averaged = replace(single, training=replace(with_average(shipped=True), seed=None))
    assert sentence_on_training(averaged, trained(learning_rate=3e-5), 0.02) is None
    assert sentence_on_training(averaged, trained(), 0.02) is None, "an average of seeds is another recipe"
    still_single = replace(single, training=with_average(shipped=False))
    assert "over 3 seeds" in sentence_on_training(still_single, trained(learning_rate=3e-5), 0.02)


def test_two_equal_recipes_with_seeds_rarely_differ():
    generator = np.random.default_rng(0)
    apart = 0
    for _ in range(400):
        a, b = generator.normal(0.8, 0.012, 5), generator.normal(0.8, 0.012, 5)
        sentence = sentence_on_training(trained(values=a), trained(learning_rate=3e-5, values=b), b[0] - a[0])
        apart += "is more than" in sentence
    assert 0 < apart / 400 <= 0.1


def test_runs_that_do_not_vary_are_no_error():
    assert "1.0 points is more than" in sentence_on_training(trained(values=[0.8, 0.8]), None, 0.01)
