"""Fine-tuning with a trainer: the checkpoint that is best on the validation split is kept."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hfbertcls.errors import ConfigurationError, HfBertClsError, TrainingError, shorten
from hfbertcls.evaluation.report_training import TrainingFacts
from hfbertcls.modeling.heads import finish_standardized
from hfbertcls.progress import Log
from hfbertcls.registry import CALLBACKS
from hfbertcls.repository.output_directory import OutputDirectory
from hfbertcls.training.losses import label_loss
from hfbertcls.training.options import TrainingOptions
from hfbertcls.workflows.options import selection_metric, trainer_class
from hfbertcls.workflows.procedure import Procedure
from hfbertcls.workflows.starting import better_start, load_start


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
        from hfbertcls.training.callbacks.early_stopping import MetricEarlyStoppingCallback
        from hfbertcls.training.callbacks.metric_logging import FILE_NAME, MetricLoggingCallback

        metric = selection_metric(options, inputs.task)
        if options.metric is None and metric != arguments.metric_for_best_model:
            arguments.choose_by(metric)
        self._inputs = inputs
        self._start = load_start(inputs, options, arguments, log)
        self._value_of_start: float | None = None
        callbacks: list[Any] = [MetricLoggingCallback(directory.path / FILE_NAME)]
        if options.early_stopping is not None:
            extent = (options.early_stopping_threshold, options.early_stopping_min_steps)
            callbacks.append(MetricEarlyStoppingCallback(options.early_stopping, *extent))
        callbacks += [CALLBACKS.get(name)() for name in options.callbacks]
        if options.backup is not None:
            callbacks.append(BackupCallback(options.backup))
        smoothing = float(arguments.label_smoothing_factor)
        loss = label_loss(options.loss, options.class_weights, inputs.task, inputs.tokenized["train"].gold, smoothing)
        self._trainer: TextClassificationTrainer = _built(
            trainer_class(options),
            model=self._start.model,
            args=arguments,
            train_dataset=inputs.tokenized["train"].dataset,
            eval_dataset=inputs.tokenized["validation"].sorted_by_length(),
            processing_class=inputs.tokenizer,
            callbacks=callbacks,
            **({} if loss is None else {"compute_loss_func": loss}),
        )
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
        _train(self._trainer, checkpoint, log)
        args: Any = self.arguments
        metric = str(args.metric_for_best_model).removeprefix("eval_")
        best, more_is_better = self._trainer.state.best_metric, bool(args.greater_is_better)
        value = better_start(self._start, self._inputs, metric, best, more_is_better=more_is_better)
        if value is not None:
            log(f"No checkpoint beats the start on validation ({metric} {value:.4f}): its weights are kept")
            cast(Any, self._trainer.model).load_state_dict(self._start.weights())
        self._value_of_start = value

    def save(self, folder: Path) -> None:
        """As the trainer saves a model, with its logits on the scale of the answers."""
        finish_standardized(cast(Any, self._trainer.model))
        self._trainer.save_model(str(folder))

    def facts(self, wall_seconds: float) -> TrainingFacts:
        """Those of the trainer, with notes and phases of the start."""
        facts = replace(self._trainer.facts(wall_seconds), notes=self._start.notes, phases=self._start.phases)
        value = self._value_of_start
        return facts if value is None else replace(facts, best_step=0, selection_value=value)


def _built(trainer_class: Any, **arguments: Any) -> Any:
    """Make the trainer; a missing tracker or accelerator is an error here."""
    try:
        return trainer_class(**arguments)
    except (ImportError, ValueError, RuntimeError) as err:
        if isinstance(err, HfBertClsError):
            raise
        raise ConfigurationError(f"the training arguments do not fit: {shorten(str(err), 300)}") from err


def _train(trainer: "TextClassificationTrainer", checkpoint: Path | None, log: Log) -> None:
    from hfbertcls.training.callbacks.interruption import InterruptionCallback

    args: Any = trainer.args
    model: Any = trainer.model
    count, unit = (args.max_steps, "step") if args.max_steps > 0 else (args.num_train_epochs, "epoch")
    log(
        f"Training {model.num_parameters():,} parameters: learning rate {args.learning_rate:g}, "
        f"{count:,.12g} {unit}{'' if count == 1 else 's'}, batches of {args.train_batch_size} x "
        f"{args.gradient_accumulation_steps}, {args.precision_.name} ({args.precision_.reason}), on {args.device.type}"
    )
    log(f"Batches: {trainer.padding_}")
    interruption = InterruptionCallback(log)
    trainer.add_callback(interruption)
    try:
        with interruption.listening():
            trainer.train(str(checkpoint) if checkpoint is not None else None)
    except RuntimeError as err:
        if type(err).__module__ not in ("torch._dynamo.exc", "torch._inductor.exc"):
            raise
        raise TrainingError(
            f"torch.compile cannot compile this model on this machine: {shorten(str(err), 200)}. Leave out --torch-compile"
        ) from err
    if trainer.state.global_step == 0:
        raise TrainingError(
            "no update was made: the train split has fewer rows than a batch, and incomplete batches are dropped. Choose a "
            "smaller --batch-size"
        )
