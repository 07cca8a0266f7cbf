"""The choice of the averaged runs, and the facts about averaged weights."""

from hfbertcls.evaluation.report_training import TrainingFacts
from hfbertcls.training.averaging import facts_of_average, greedy_members


def members(values, worth, metric="f1_macro"):
    """The chosen runs, and what was tried; `worth` is the metric of each average, by its members."""
    tried = []

    def value_of(seeds):
        tried.append(tuple(seeds))
        return worth[tuple(seeds)]

    return greedy_members(values, metric, value_of), tried


def test_the_best_run_comes_first_and_each_next_one_stays_if_nothing_is_lost():
    values = {7: 0.7, 8: 0.9, 9: 0.8}
    chosen, tried = members(values, {(8, 9): 0.9, (7, 8, 9): 0.95})
    assert chosen == [7, 8, 9]
    assert tried == [(8, 9), (7, 8, 9)]


def test_a_run_that_makes_the_average_worse_is_left_out():
    values = {7: 0.7, 8: 0.9, 9: 0.8}
    chosen, tried = members(values, {(8, 9): 0.89, (7, 8): 0.91})
    assert chosen == [7, 8]
    assert tried == [(8, 9), (7, 8)]


def test_an_average_must_not_fall_behind_what_it_had_reached():
    values = {7: 0.7, 8: 0.9, 9: 0.8}
    assert members(values, {(8, 9): 0.95, (7, 8, 9): 0.92})[0] == [8, 9]


def test_a_loss_must_not_rise():
    values = {7: 0.3, 8: 0.2}
    assert members(values, {(7, 8): 0.1}, "log_loss")[0] == [7, 8]
    assert members(values, {(7, 8): 0.25}, "log_loss")[0] == [8]


def test_a_metric_that_is_not_defined_is_no_gain():
    assert members({7: 0.5, 8: 0.6}, {(7, 8): None}, "roc_auc")[0] == [8]


def test_averaged_weights_have_neither_a_step_nor_a_seed():
    seeded = {
        "hyperparameters": {"seed": 7, "optim": "adamw"},
        "arguments": {"seed": 7, "bf16": False},
        "options": {"seed": 7},
    }
    common = {"steps": 20, "epochs": 1.0, "seconds": 1.0, "selection_metric": "f1_macro"}
    of_best = TrainingFacts(best_step=10, selection_value=0.9, seed=7, **common, **seeded)
    assert facts_of_average(of_best) == TrainingFacts(
        best_step=None,
        selection_value=None,
        seed=None,
        **common,
        hyperparameters={"optim": "adamw"},
        arguments={"bf16": False},
        options={},
    )
    assert of_best.hyperparameters == {"seed": 7, "optim": "adamw"}, "the report of the run itself stays as it is"
