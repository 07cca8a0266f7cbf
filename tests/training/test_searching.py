"""`hyperparameter_search` finds what its user means: the best metric, and nothing is left on the disk."""

import optuna
import pytest
from tiny import arguments, rows, tiny_classifier

from hfbertcls import TextClassificationTrainer
from hfbertcls.errors import ConfigurationError
from hfbertcls.training.trainer.embedding_rows import RowGradientEmbedding


optuna.logging.set_verbosity(optuna.logging.ERROR)


def trainer_for_search(tmp_path, **changes):
    args = arguments(tmp_path, num_train_epochs=4, logging_steps=2, **changes)
    return TextClassificationTrainer(
        None, args, model_init=lambda _: tiny_classifier(), train_dataset=rows(96), eval_dataset=rows(64, seed=1)
    )


def rates(trial):
    # (the second one learns something and loses it again)
    return {"learning_rate": trial.suggest_categorical("learning_rate", [1e-6, 0.05, 0.003])}


def searched(trainer, seen, name="eval_f1_macro"):
    """Search, and note the evaluations, the table and the counted rows of each trial."""
    train = trainer.train

    def noted(*args, **kwargs):
        result = train(*args, **kwargs)
        values = [one[name] for one in trainer.state.log_history if name in one]
        seen.append((values, type(trainer.model.get_input_embeddings()), trainer.throughput.rows_))
        return result

    trainer.train = noted
    sampler = optuna.samplers.GridSampler({"learning_rate": [1e-6, 0.05, 0.003]})
    return trainer.hyperparameter_search(rates, n_trials=3, backend="optuna", sampler=sampler)


def test_the_objective_is_the_metric_of_the_best_checkpoint(tmp_path):
    trainer, seen = trainer_for_search(tmp_path), []
    best = searched(trainer, seen)
    bests = [max(values) for values, _, _ in seen]
    assert any(values[-1] != max(values) for values, _, _ in seen), "no trial tells the last from the best"
    assert best.objective == max(bests)
    assert {table for _, table, _ in seen} == {RowGradientEmbedding}
    assert {counted for _, _, counted in seen} == {4 * 96}
    assert [path.name for path in (tmp_path / "out").iterdir()] == []


def test_a_loss_is_minimized(tmp_path):
    trainer = trainer_for_search(tmp_path, metric_for_best_model="loss")
    seen = []
    best = searched(trainer, seen, name="eval_loss")
    assert best.objective == min(min(values) for values, _, _ in seen)


def test_an_objective_of_ones_own_needs_a_direction(tmp_path):
    with pytest.raises(ConfigurationError, match="has a compute_objective, and no direction"):
        trainer_for_search(tmp_path).hyperparameter_search(compute_objective=lambda metrics: metrics["eval_accuracy"])
