"""The workflow of the README as one function: from labelled text to a complete model repository."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hfbertcls.data.checks import require_trainable
from hfbertcls.data.dataset import TextDataset
from hfbertcls.data.description import describe_dataset, describe_tokens
from hfbertcls.data.fingerprints import FINGERPRINTS, write_fingerprints
from hfbertcls.data.loading import data_to_train
from hfbertcls.data.sources import Data
from hfbertcls.data.tokenization import tokenize_split
from hfbertcls.diagnosis.doctor import ALREADY_SAID, Diagnosis, examine
from hfbertcls.diagnosis.repeats import MOST_ROWS
from hfbertcls.errors import ConfigurationError, HfBertClsError, TrainingError, shorten
from hfbertcls.evaluation.report import Report
from hfbertcls.evaluation.report_training import TrainingFacts
from hfbertcls.modeling.loading import (
    ModelSource,
    find_max_length,
    load_config,
    load_tokenizer,
)
from hfbertcls.progress import Log, silent
from hfbertcls.registry import CALLBACKS
from hfbertcls.repository.model_repository import write_report
from hfbertcls.repository.output_directory import OutputDirectory
from hfbertcls.repository.stated_files import read_report
from hfbertcls.training.options import TrainingOptions
from hfbertcls.workflows.options import check_for_task, selection_metric, trainer_class, training_arguments
from hfbertcls.workflows.starting import Start, better_start, load_start


if TYPE_CHECKING:
    import torch

    from hfbertcls.modeling.pooling import Pooling
    from hfbertcls.trainer import TextClassificationTrainer
    from hfbertcls.training.arguments import TextClassificationTrainingArguments
    from hfbertcls.training.identity import RunIdentity
    from hfbertcls.workflows.reporting import RunInput


def train_and_evaluate(
    model: str | ModelSource,
    dataset: Data | TextDataset,
    output_dir: str | Path,
    options: TrainingOptions | None = None,
    log: Log = silent,
) -> Report:
    """Fine-tune an encoder, choose the best checkpoint on validation, and write a complete model repository.

    Args:
        model: a Hub id, a directory, or a `ModelSource`.
        dataset: what `load_text_dataset` takes, or its result.
        output_dir: where to write; see "What you get" in the README.
        options: everything else.
        log: called with each line of progress, for a person.

    Raises:
        DatasetError, ModelError, ConfigurationError, OutputDirectoryError: before training, with the fix.
    """
    began = time.perf_counter()
    options = options or TrainingOptions()
    source = model if isinstance(model, ModelSource) else ModelSource(model)
    directory = OutputDirectory(Path(output_dir))
    directory.check(overwrite=options.overwrite, resume=options.resume)
    arguments = training_arguments(directory, options)
    data = data_to_train(dataset, options.seed)
    inputs = prepare(source, data, options, arguments.device, log)
    return train_prepared(inputs, directory, arguments, options, log, began)


def train_prepared(
    inputs: "RunInput",
    directory: OutputDirectory,
    arguments: "TextClassificationTrainingArguments",
    options: TrainingOptions,
    log: Log,
    began: float,
) -> Report:
    """The part of `train_and_evaluate` that begins with the directory: data and tokenizer are those of `prepare`.

    Args:
        inputs: the result of `prepare`, common to runs of different seeds.
        directory: where to write, checked.
        arguments: of its trainer.
        options: of the run.
        log: called with each line of progress, for a person.
        began: when the run began, by `time.perf_counter`.
    """
    with directory.claimed():
        trainer, start = _make_trainer(inputs, directory, arguments, options, log)
        identity = _identity(inputs, trainer, options)
        checkpoint = _checkpoint_of(identity, directory, log) if options.resume else None
        if options.resume and directory.holds_a_model:
            log(f"The run in {directory.path.name!r} is complete: there is nothing to resume")
            return read_report(directory.path)
        log(f"Disk: {directory.require_space(*_space(trainer))}")
        if not options.resume:
            directory.clear(log)
        identity.write(directory.checkpoints)
        write_fingerprints(directory.checkpoints / FINGERPRINTS, inputs.data.splits["train"])
        _train(trainer, checkpoint, log)
        of_start = _return_to_start(trainer, start, inputs, log)
        trainer.save_model(str(directory.staging))
        report = finish(
            inputs,
            directory,
            options,
            trainer.args.device,
            lambda: _with_start(_facts(inputs, trainer, options, time.perf_counter() - began), start, of_start),
            log,
        )
        report = write_report(directory.staging, report)
        directory.publish(log)
    return report


def prepare(
    source: ModelSource, data: TextDataset, options: TrainingOptions, device: "torch.device", log: Log = silent
) -> "RunInput":
    """Examine the rows, raise the errors of the doctor, and tokenize them.

    Raises:
        DatasetError, ModelError, ConfigurationError: with the fix.
    """
    from hfbertcls.workflows.reporting import RunInput

    task = require_trainable(data)
    check_for_task(options, task)
    describe_dataset(data, log)
    diagnosis = _examined(data, options, log)
    config, tokenizer = load_config(source), load_tokenizer(source)
    max_length = find_max_length(tokenizer, config, options.max_length)
    tokenizer.model_max_length = max_length
    tokenized = {name: tokenize_split(split, tokenizer, max_length, task) for name, split in data.splits.items()}
    describe_tokens(tokenized, log)
    pooling = None if options.pooling == "auto" else cast("Pooling", options.pooling)
    return RunInput(source, data, task, tokenizer, tokenized, diagnosis.facts, pooling, device)


def finish(
    inputs: "RunInput",
    directory: OutputDirectory,
    options: TrainingOptions,
    device: "torch.device",
    training: Callable[[], TrainingFacts],
    log: Log = silent,
) -> Report:
    """Calibrate the staged weights, score them, write predictions and plots, and return the report.

    Args:
        inputs: what the run began with.
        directory: with model and tokenizer in `directory.staging`, and `metrics.jsonl`.
        options: of the run.
        device: where to score.
        training: as `report_on_training` takes it.
        log: called with each line of progress, for a person.
    """
    from hfbertcls.training.calibrating import Staged, calibrate
    from hfbertcls.workflows.reporting import report_on_training

    staging = directory.staging
    if options.calibration:
        staged = calibrate(staging, inputs.tokenized["validation"], device, log)
    else:
        staged = Staged.load(staging, device)
    log("Evaluating the chosen weights in fp32 ...")
    return report_on_training(
        inputs,
        directory,
        staged,
        training,
        options.card,
        options.publish_examples,
        options.seed,
        options.command,
    )


def _examined(data: TextDataset, options: TrainingOptions, log: Log) -> Diagnosis:
    """Log the findings of the doctor, and raise an error if one of them stops training."""
    diagnosis = examine(data, refused=(), allow_leakage=options.allow_leakage, most_rows=MOST_ROWS)
    for finding in diagnosis.findings:
        if finding.severity != "error" and finding.code not in ALREADY_SAID:
            log(f"  {finding.severity}: {finding.message}")
    diagnosis.require_trainable()
    return diagnosis


def _make_trainer(
    inputs: "RunInput",
    directory: OutputDirectory,
    args: "TextClassificationTrainingArguments",
    options: TrainingOptions,
    log: Log,
) -> "tuple[TextClassificationTrainer, Start]":
    """The trainer, and the start of its model."""
    from hfbertcls.training.callbacks.backup import BackupCallback
    from hfbertcls.training.callbacks.early_stopping import MetricEarlyStoppingCallback
    from hfbertcls.training.callbacks.metric_logging import FILE_NAME, MetricLoggingCallback

    metric = selection_metric(options, inputs.task)
    if options.metric is None and metric != args.metric_for_best_model:
        args.choose_by(metric)
    start = load_start(inputs, options, args, log)
    callbacks: list[Any] = [MetricLoggingCallback(directory.path / FILE_NAME)]
    if options.early_stopping is not None:
        extent = (options.early_stopping_threshold, options.early_stopping_min_steps)
        callbacks.append(MetricEarlyStoppingCallback(options.early_stopping, *extent))
    callbacks += [CALLBACKS.get(name)() for name in options.callbacks]
    if options.backup is not None:
        callbacks.append(BackupCallback(options.backup))
    trainer: TextClassificationTrainer = _built(
        trainer_class(options),
        model=start.model,
        args=args,
        train_dataset=inputs.tokenized["train"].dataset,
        eval_dataset=inputs.tokenized["validation"].sorted_by_length(),
        processing_class=inputs.tokenizer,
        callbacks=callbacks,
    )
    return trainer, start


def _return_to_start(trainer: "TextClassificationTrainer", start: Start, inputs: "RunInput", log: Log) -> float | None:
    """Take the weights of the start if no checkpoint is as good on validation; returns its metric there, else None."""
    args: Any = trainer.args
    metric = str(args.metric_for_best_model).removeprefix("eval_")
    best, more_is_better = trainer.state.best_metric, bool(args.greater_is_better)
    value = better_start(start, inputs, metric, best, more_is_better=more_is_better)
    if value is not None:
        log(f"No checkpoint beats the start on validation ({metric} {value:.4f}): its weights are kept")
        cast(Any, trainer.model).load_state_dict(start.weights())
    return value


def _built(trainer_class: Any, **arguments: Any) -> Any:
    """Make the trainer; a missing tracker or accelerator is an error here."""
    try:
        return trainer_class(**arguments)
    except (ImportError, ValueError, RuntimeError) as err:
        if isinstance(err, HfBertClsError):
            raise
        raise ConfigurationError(f"the training arguments do not fit: {shorten(str(err), 300)}") from err


def _identity(inputs: "RunInput", trainer: "TextClassificationTrainer", options: TrainingOptions) -> "RunIdentity":
    from hfbertcls.training.identity import RunIdentity, determining, digest_of

    args = trainer.args
    rows_per_update = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
    return RunIdentity(
        model="@".join(filter(None, (inputs.source.public_name, inputs.source.revision))),
        labels=list(inputs.task.labels),
        options=options.beside_arguments(_chosen(inputs)),
        rows={name: digest_of(split) for name, split in inputs.tokenized.items()},
        arguments=determining(cast(Any, args).sanitised(), rows_per_update=rows_per_update),
    )


def _chosen(inputs: "RunInput") -> dict[str, Any]:
    """The values of the options that were left open and are no training arguments."""
    return {"max_length": inputs.tokenized["train"].max_length}


def _facts(
    inputs: "RunInput", trainer: "TextClassificationTrainer", options: TrainingOptions, wall_seconds: float
) -> TrainingFacts:
    """The `training` of the report: the facts of the trainer, and the options of the run."""
    facts = trainer.facts(wall_seconds)
    run = {**_chosen(inputs), **facts.arguments, **facts.hyperparameters}
    rows = {**facts.hyperparameters, **options.rows(run)}
    return replace(facts, options=options.determining(run), hyperparameters=rows)


def _with_start(facts: TrainingFacts, start: Start, of_start: float | None) -> TrainingFacts:
    """The facts with notes and phases of the start; its weights are shipped if `of_start`, its metric on validation, is set."""
    facts = replace(facts, notes=start.notes, phases=start.phases)
    return facts if of_start is None else replace(facts, best_step=0, selection_value=of_start)


def _checkpoint_of(identity: "RunIdentity", directory: OutputDirectory, log: Log) -> Path | None:
    """Find the checkpoint to resume from, and check that it belongs to this run.

    Raises:
        ConfigurationError: if the run in the directory is another one.
    """
    from hfbertcls.training.checkpoints import discard, latest_complete, step_of
    from hfbertcls.training.identity import RunIdentity

    earlier = RunIdentity.read(directory.checkpoints)
    checkpoint = latest_complete(directory.checkpoints)
    if earlier is not None and (checkpoint is not None or directory.holds_a_model):
        differences = earlier.differences(identity)
        if differences:
            raise ConfigurationError(
                f"--resume continues the run in {directory.path.name!r}, but these settings differ: "
                f"{', '.join(differences)}. Repeat the command of that run, or restart with --overwrite"
            )
    if directory.holds_a_model:
        return None
    step = (step_of(checkpoint) or 0) if checkpoint is not None else 0
    for name in discard(directory.checkpoints, after=step):
        log(f"  note: {name} cannot be resumed from; it is removed")
    if checkpoint is not None:
        log(f"Resuming from step {step:,}")
    return checkpoint


def _space(trainer: "TextClassificationTrainer") -> tuple[int, int]:
    """Least and largest disk space of a run in bytes: checkpoints with AdamW's two states, then the model."""
    args: Any = trainer.args
    weights = sum(4 * parameter.numel() for parameter in cast(Any, trainer.model).parameters())
    if args.save_strategy == "no":
        return weights, weights
    checkpoint = weights * (3 if str(args.optim.value).startswith("adamw_torch") else 1)
    kept = args.save_total_limit or 1
    return checkpoint + weights, checkpoint * (kept + 1) + weights


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
