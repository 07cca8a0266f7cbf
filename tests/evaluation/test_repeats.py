"""Runs of different seeds: the spread, the best run, and whether their average is shipped."""

import pytest

from hfbertcls.evaluation.repeats import best_seed, compare_average, rank, summary_of_runs
from hfbertcls.evaluation.report_training import SeedRun


def runs(*values, metric="f1_macro"):
    return [
        SeedRun(seed=seed, best_step=None, evaluation={"validation": {metric: value}})
        for seed, value in enumerate(values, start=7)
    ]


def test_a_metric_that_one_run_lacks_has_no_mean():
    two = runs(0.5, None, metric="roc_auc")
    assert summary_of_runs(two, ["validation"], ["roc_auc"]) == {"validation": {"roc_auc": None}}


def test_more_is_better_but_of_losses_and_errors():
    assert rank(0.9, "f1_macro") > rank(0.8, "f1_macro") > rank(None, "f1_macro")
    assert rank(0.1, "log_loss") > rank(0.2, "log_loss") > rank(None, "log_loss")
    assert best_seed(runs(0.1, 0.3, 0.3), "f1_macro") == 8
    assert best_seed(runs(0.2, 0.1, metric="log_loss"), "log_loss") == 8
    assert best_seed(runs(None, 0.1), "f1_macro") == 8


@pytest.mark.parametrize(
    ("value", "members", "shipped"),
    [
        (0.95, [7, 8, 9], True),
        (0.9, [7, 8, 9], True),
        (0.8999, [7, 8, 9], False),
        (None, [7, 8, 9], False),
        (0.9, [8], False),
    ],
    ids=["better", "equal", "worse", "undefined", "one run"],
)
def test_an_average_is_shipped_unless_the_best_run_is_better(value, members, shipped):
    assert compare_average("greedy", members, "f1_macro", runs(0.7, 0.9, 0.8), value).to_dict() == {
        "method": "greedy",
        "seeds": members,
        "metric": "f1_macro",
        "validation": value,
        "best_run": 0.9,
        "best_seed": 8,
        "shipped": shipped,
    }


def test_an_average_of_which_no_run_has_the_metric_is_not_shipped():
    assert compare_average("uniform", [7, 8], "roc_auc", runs(None, None, metric="roc_auc"), 0.9).shipped is False


def test_of_a_loss_the_smaller_one_is_shipped():
    losses = runs(0.3, 0.2, metric="log_loss")
    assert compare_average("uniform", [7, 8], "log_loss", losses, 0.1).shipped is True
    assert compare_average("uniform", [7, 8], "log_loss", losses, 0.25).shipped is False
