"""A search for hyperparameters that optimizes the metric by which a checkpoint is chosen."""

import contextlib
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path
from typing import Any

from transformers import Trainer

from hfbertcls.errors import ConfigurationError
from hfbertcls.training.checkpoint_files import remove_checkpoint
from hfbertcls.training.checkpoints import checkpoints_in


class SearchingTrainer(Trainer):
    """`Trainer` with a search whose objective is the metric of the best checkpoint of a trial.

    The parent takes the last evaluation of a trial, adds up all metrics if none is named, and minimizes (seen in 5.23).
    """

    compute_objective: Callable[[dict[str, float]], float]
    objective: float | None

    def hyperparameter_search(
        self,
        hp_space: Callable[[Any], dict[str, float]] | None = None,
        compute_objective: Callable[[dict[str, float]], float] | None = None,
        n_trials: int = 20,
        direction: str | list[str] | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """As the parent; the defaults optimize `metric_for_best_model` in its direction. Trials leave no checkpoints.

        ```python
        >>> def space(trial):
        ...     return {"learning_rate": trial.suggest_float("learning_rate", 1e-5, 1e-4, log=True)}
        >>> trainer = TextClassificationTrainer(  # doctest: +SKIP
        ...     None, args, model_init=new_model, train_dataset=rows, eval_dataset=others
        ... )
        >>> trainer.hyperparameter_search(space, n_trials=10).hyperparameters  # doctest: +SKIP
        {'learning_rate': 6.2e-05}
        ```

        Args:
            hp_space: gives the training arguments of a trial.
            compute_objective: of the metrics of an evaluation; called with those of the best checkpoint.
            n_trials: how many are made.
            direction: maximize or minimize.
            *args: as the parent takes them.
            **kwargs: as the parent takes them.

        Raises:
            ConfigurationError: for an objective of one's own without a direction.
        """
        ours: Any = self.args
        if direction is None and compute_objective is not None:
            raise ConfigurationError(
                "hyperparameter_search has a compute_objective, and no direction. Pass direction='maximize' or 'minimize'"
            )
        if compute_objective is None:
            name = f"eval_{str(ours.metric_for_best_model).removeprefix('eval_')}"
            compute_objective = itemgetter(name)
            direction = direction or ("maximize" if ours.greater_is_better else "minimize")
        return super().hyperparameter_search(hp_space, compute_objective, n_trials, direction, *args, **kwargs)  # type: ignore[arg-type]

    def train(
        self, resume_from_checkpoint: str | bool | None = None, trial: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        """As the parent; a trial has the objective of its best checkpoint, which is then removed."""
        if trial is None:
            return super().train(resume_from_checkpoint, None, *args, **kwargs)
        try:
            result = super().train(resume_from_checkpoint, trial, *args, **kwargs)
        finally:
            if self.args.should_save:
                _forget(Path(self._get_output_dir(trial)))
        best = self.state.best_global_step
        metrics = [one for one in self.state.log_history if best and one["step"] == best and "eval_loss" in one]
        if metrics:
            self.objective = self.compute_objective(dict(metrics[-1]))
        return result


def _forget(directory: Path) -> None:
    """Remove the checkpoints of a trial, and its directory if nothing else is in it."""
    for folder in checkpoints_in(directory):
        remove_checkpoint(folder)
    with contextlib.suppress(OSError):
        directory.rmdir()
