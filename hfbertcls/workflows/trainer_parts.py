"""What the trainer of a run is made of, and how several processes train together with it."""

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hfbertcls import processes
from hfbertcls.data.tokenization import gold_of
from hfbertcls.errors import ConfigurationError, HfBertClsError, TrainingError, shorten
from hfbertcls.progress import Log, silent
from hfbertcls.registry import CALLBACKS
from hfbertcls.repository.output_directory import OutputDirectory
from hfbertcls.tasks.task import Task
from hfbertcls.training.losses import label_loss
from hfbertcls.training.options import TrainingOptions
from hfbertcls.workflows.options import selection_metric, trainer_class, training_arguments


if TYPE_CHECKING:
    import datasets
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from hfbertcls.trainer import TextClassificationTrainer
    from hfbertcls.training.arguments import TextClassificationTrainingArguments


@dataclass(frozen=True)
class TrainerParts:
    """A model before training, its rows, and the options; they can be pickled.

    Args:
        model: to be trained.
        tokenizer: of the model.
        task: of the rows.
        train: the rows to train on, tokenized.
        validation: the rows that choose the checkpoint.
        options: of the run, without a backup.
    """

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    task: Task
    train: "datasets.Dataset"
    validation: "datasets.Dataset"
    options: TrainingOptions

    def trainer(
        self, arguments: "TextClassificationTrainingArguments", callbacks: list[Any]
    ) -> "TextClassificationTrainer":
        """The trainer, in the process that calls this.

        Args:
            arguments: of the trainer.
            callbacks: further ones, of this process alone.

        Raises:
            ConfigurationError: if a tracker or an accelerator is missing.
        """
        from hfbertcls.training.callbacks.early_stopping import MetricEarlyStoppingCallback

        options, metric = self.options, selection_metric(self.options, self.task)
        if options.metric is None and metric != arguments.metric_for_best_model:
            arguments.choose_by(metric)
        callbacks = list(callbacks)
        if options.early_stopping is not None:
            extent = (options.early_stopping_threshold, options.early_stopping_min_steps)
            callbacks.append(MetricEarlyStoppingCallback(options.early_stopping, *extent))
        callbacks += [CALLBACKS.get(name)() for name in options.callbacks]
        smoothing = float(arguments.label_smoothing_factor)
        gold = gold_of(self.train, self.task)
        loss = label_loss(options.loss, options.class_weights, self.task, gold, smoothing)
        trainer: TextClassificationTrainer = _built(
            trainer_class(options),
            model=self.model,
            args=arguments,
            train_dataset=self.train,
            eval_dataset=self.validation,
            processing_class=self.tokenizer,
            callbacks=callbacks,
            **({} if loss is None else {"compute_loss_func": loss}),
        )
        return trainer


def train_together(trainer: "TextClassificationTrainer", packed: bytes, checkpoint: Path | None, log: Log) -> None:
    """Train in all processes of the run.

    Args:
        trainer: of this process, the first one.
        packed: the `TrainerParts` for the others, by `processes.pack`, from before the trainer was made.
        checkpoint: to resume from.
        log: called with each line of progress, for a person.

    Raises:
        TrainingInterruptedError: if somebody asked for a stop.
        TrainingError: if nothing can be trained.
    """
    with _interruptible(trainer, log):
        processes.everywhere(
            _train_beside, packed, checkpoint, here=lambda: trainer.train(str(checkpoint) if checkpoint else None)
        )
    if trainer.state.global_step == 0:
        raise TrainingError(
            "no update was made: the train split has fewer rows than a batch, and incomplete batches are dropped. Choose a "
            "smaller --batch-size"
        )


def _train_beside(packed: bytes, checkpoint: Path | None) -> None:
    """The part of a process that does not lead: it writes nothing that stays."""
    parts: TrainerParts = processes.unpack(packed)
    with tempfile.TemporaryDirectory() as folder:
        arguments = training_arguments(OutputDirectory(Path(folder)), parts.options)
        trainer = parts.trainer(arguments, [])
        with _interruptible(trainer, silent):
            trainer.train(None if checkpoint is None else str(checkpoint))


@contextlib.contextmanager
def _interruptible(trainer: "TextClassificationTrainer", log: Log) -> Iterator[None]:
    """Inside, a signal to any process ends training after the step, with a checkpoint."""
    from hfbertcls.training.callbacks.interruption import InterruptionCallback

    interruption = InterruptionCallback(log)
    trainer.add_callback(interruption)
    try:
        with interruption.listening():
            yield
    except RuntimeError as err:
        if type(err).__module__ not in ("torch._dynamo.exc", "torch._inductor.exc"):
            raise
        raise TrainingError(
            f"torch.compile cannot compile this model on this machine: {shorten(str(err), 200)}. Leave out --torch-compile"
        ) from err


def _built(trainer_class: Any, **arguments: Any) -> Any:
    """Make the trainer; a missing tracker or accelerator is an error here."""
    try:
        return trainer_class(**arguments)
    except (ImportError, ValueError, RuntimeError) as err:
        if isinstance(err, HfBertClsError):
            raise
        raise ConfigurationError(f"the training arguments do not fit: {shorten(str(err), 300)}") from err
