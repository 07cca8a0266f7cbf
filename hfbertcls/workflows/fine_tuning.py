"""Fine-tuning with a trainer: the checkpoint that is best on the validation split is kept."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hfbertcls import processes
from hfbertcls.evaluation.report_training import TrainingFacts
from hfbertcls.modeling.heads import finish_standardized
from hfbertcls.progress import Log
from hfbertcls.repository.output_directory import OutputDirectory
from hfbertcls.training.options import TrainingOptions
from hfbertcls.workflows.procedure import Procedure
from hfbertcls.workflows.starting import better_start, load_start
from hfbertcls.workflows.trainer_parts import TrainerParts, train_together


if TYPE_CHECKING:
    from hfbertcls.trainer import TextClassificationTrainer
    from hfbertcls.training.arguments import TextClassificationTrainingArguments
    from hfbertcls.workflows.reporting import RunInput


class FineTuning(Procedure):
    """A trainer, and the start of its model.

    Args:
        inputs: with a validation split.
        directory: where checkpoints and `metrics.jsonl` are written.
        arguments: of the trainer.
        options: of the run.
        log: called with each line of progress, for a person.
    """

    def __init__(
        self,
        inputs: "RunInput",
        directory: OutputDirectory,
        arguments: "TextClassificationTrainingArguments",
        options: TrainingOptions,
        log: Log,
    ) -> None:
        from hfbertcls.training.callbacks.backup import BackupCallback
        from hfbertcls.training.callbacks.metric_logging import FILE_NAME, MetricLoggingCallback

        self._inputs = inputs
        self._start = load_start(inputs, options, arguments, log)
        self._value_of_start: float | None = None
        parts = TrainerParts(
            model=self._start.model,
            tokenizer=inputs.tokenizer,
            task=inputs.task,
            train=inputs.tokenized["train"].dataset,
            validation=inputs.tokenized["validation"].sorted_by_length(),
            options=replace(options, backup=None),
        )
        self._for_others = processes.pack(parts)  # (before the trainer changes the model)
        callbacks: list[Any] = [MetricLoggingCallback(directory.path / FILE_NAME)]
        if options.backup is not None:
            callbacks.append(BackupCallback(options.backup))
        self._trainer = parts.trainer(arguments, callbacks)
        self.arguments = cast("TextClassificationTrainingArguments", self._trainer.args)

    def space(self) -> tuple[int, int]:
        """Checkpoints with AdamW's two states, then the model."""
        args: Any = self.arguments
        weights = sum(4 * parameter.numel() for parameter in cast(Any, self._trainer.model).parameters())
        if args.save_strategy == "no":
            return weights, weights
        checkpoint = weights * (3 if str(args.optim.value).startswith("adamw_torch") else 1)
        kept = args.save_total_limit or 1
        return checkpoint + weights, checkpoint * (kept + 1) + weights

    def run(self, checkpoint: Path | None, log: Log) -> None:
        """Train; if no checkpoint is as good as the start on validation, return to its weights."""
        _describe(self._trainer, log)
        train_together(self._trainer, self._for_others, checkpoint, log)
        args: Any = self.arguments
        metric = str(args.metric_for_best_model).removeprefix("eval_")
        best, more_is_better = self._trainer.state.best_metric, bool(args.greater_is_better)
        value = better_start(self._start, self._inputs, metric, best, more_is_better=more_is_better)
        state = self._trainer.state
        if state.global_step < state.max_steps:
            log(f"Stopped early, at step {state.global_step:,} of {state.max_steps:,}")
        if value is None and best is not None:
            log(
                f"Kept: the weights of step {state.best_global_step:,}, the best by {metric} ({best:.4f}) on validation"
            )
        if value is not None:
            log(f"No checkpoint beats the start on validation ({metric} {value:.4f}): its weights are kept")
            cast(Any, self._trainer.model).load_state_dict(self._start.weights())
        self._value_of_start = value

    def save(self, folder: Path) -> None:
        """As the trainer saves a model, with its logits on the scale of the answers."""
        finish_standardized(cast(Any, self._trainer.model))
        self._trainer.save_model(str(folder))

    def finish(self) -> None:
        """The best and the last checkpoint stay."""

    def facts(self, wall_seconds: float) -> TrainingFacts:
        """Those of the trainer, with notes and phases of the start."""
        facts = replace(self._trainer.facts(wall_seconds), notes=self._start.notes, phases=self._start.phases)
        value = self._value_of_start
        return facts if value is None else replace(facts, best_step=0, selection_value=value)


def _describe(trainer: "TextClassificationTrainer", log: Log) -> None:
    args: Any = trainer.args
    model: Any = trainer.model
    count, unit = (args.max_steps, "step") if args.max_steps > 0 else (args.num_train_epochs, "epoch")
    accumulated = f", {args.gradient_accumulation_steps} an update" if args.gradient_accumulation_steps > 1 else ""
    several = f", {processes.count()} processes" if processes.count() > 1 else ""
    log(
        f"Training {model.num_parameters():,} parameters: learning rate {args.learning_rate:g}, "
        f"{count:,.12g} {unit}{'' if count == 1 else 's'}, batches of {args.train_batch_size} rows"
        f"{accumulated}{several}, {args.precision_.name} ({args.precision_.reason}), on {args.device.type}"
    )
    log(f"Batches: {trainer.padding_}")
