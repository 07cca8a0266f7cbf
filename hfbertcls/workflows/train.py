"""Training as one function: from labelled text to a complete model repository."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from hfbertcls import processes
from hfbertcls.data.checks import require_trainable
from hfbertcls.data.dataset import TextDataset
from hfbertcls.data.description import describe_dataset, describe_tokens
from hfbertcls.data.fingerprints import fingerprints_of, write_fingerprints
from hfbertcls.data.loading import data_to_train
from hfbertcls.data.long_text import LongText, require_windows
from hfbertcls.data.sources import Data
from hfbertcls.data.splits import are_few
from hfbertcls.data.tokenization import tokenize_split
from hfbertcls.diagnosis.doctor import ALREADY_SAID, Diagnosis, examine
from hfbertcls.diagnosis.repeats import MOST_ROWS
from hfbertcls.errors import ConfigurationError
from hfbertcls.evaluation.report import Report
from hfbertcls.evaluation.report_training import TrainingFacts
from hfbertcls.inference.training_texts import recorded_texts, warn_of_training_texts
from hfbertcls.modeling.heads import write_config_values
from hfbertcls.modeling.lengths import find_max_length
from hfbertcls.modeling.loading import ModelSource, load_config, load_tokenizer
from hfbertcls.modeling.text_fields import text_field_values
from hfbertcls.progress import Log, silent
from hfbertcls.repository.model_repository import write_report
from hfbertcls.repository.output_directory import OutputDirectory
from hfbertcls.repository.stated_files import read_report
from hfbertcls.training.options import TrainingOptions
from hfbertcls.workflows.few_rows import FewRows
from hfbertcls.workflows.fine_tuning import FineTuning
from hfbertcls.workflows.options import (
    check_for_task,
    cross_validation_of,
    long_text_of,
    refuse_widget_of_pairs,
    training_arguments,
)
from hfbertcls.workflows.procedure import OutOfFold, Procedure
from hfbertcls.workflows.saved_folds import SavedFolds
from hfbertcls.workflows.starting import starts_from_probe


if TYPE_CHECKING:
    import torch

    from hfbertcls.modeling.pooling import Pooling
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

    Fewer than 300 training rows, or fewer than five of a label on average, are trained on as a whole and cross-validated,
    if there is no validation split. Of several processes, the first one reads and writes, and all train.

    Args:
        model: a Hub id, a directory, or a `ModelSource`.
        dataset: what `load_text_dataset` takes, or its result.
        output_dir: where to write a complete model repository.
        options: everything else.
        log: called with each line of progress, for a person.

    Raises:
        DatasetError, ModelError, ConfigurationError, OutputDirectoryError: before training, with the fix.
    """
    began = time.perf_counter()
    options = options or TrainingOptions()
    source = model if isinstance(model, ModelSource) else ModelSource(model)
    directory = OutputDirectory(Path(output_dir))
    if processes.is_first():
        directory.check(overwrite=options.overwrite, resume=options.resume)
    arguments = training_arguments(directory, options)
    return processes.lead(lambda: _read_and_train(source, dataset, directory, arguments, options, log, began))


def _read_and_train(
    source: ModelSource,
    dataset: Data | TextDataset,
    directory: OutputDirectory,
    arguments: "TextClassificationTrainingArguments",
    options: TrainingOptions,
    log: Log,
    began: float,
) -> Report:
    mode = cross_validation_of(options)
    data = data_to_train(dataset, options.seed, mode)
    if options.tuning and _could_be_cross_validated(data):
        log(
            f"  note: {', '.join(options.tuning)} need{'s' if len(options.tuning) == 1 else ''} validation rows. They are "
            "held out of the train split, which is then not cross-validated"
        )
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
        procedure: Procedure
        if "validation" in inputs.tokenized:
            procedure = FineTuning(inputs, directory, arguments, options, log)
        else:
            procedure = FewRows(inputs, directory, arguments, options, log)
        identity = _identity(inputs, procedure, options)
        checkpoint = _checkpoint_of(identity, directory, log) if options.resume else None
        if options.resume and directory.holds_a_model:
            log(f"The run in {directory.path.name!r} is complete: there is nothing to resume")
            return read_report(directory.path)
        log(f"Disk: {directory.require_space(*procedure.space())}")
        if not options.resume:
            directory.start_over(log)
        identity.write(directory.checkpoints)
        procedure.run(checkpoint, log)
        procedure.save(directory.staging)
        report = finish(
            inputs,
            directory,
            options,
            procedure.arguments.device,
            lambda: _facts(inputs, procedure, options, time.perf_counter() - began),
            log,
            procedure.out_of_fold,
        )
        report = write_report(directory.staging, report)
        write_fingerprints(
            fingerprints_of(directory.staging), inputs.data.splits["train"], recorded_texts(inputs.source)
        )
        directory.replace(log)
        procedure.finish()
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
    if "widget" in options.card:
        refuse_widget_of_pairs(data)
    data = _with_validation_if_needed(source, data, options, log)
    describe_dataset(data, log)
    diagnosis = _examined(data, options, log)
    warn_of_training_texts(source, data.splits, log)
    config, tokenizer = load_config(source), load_tokenizer(source)
    max_length = find_max_length(tokenizer, config, options.max_length, texts=len(data.text_columns))
    tokenizer.model_max_length = max_length
    long_text = long_text_of(
        options, LongText.of_config(config), max_length, are_pairs=data.text_pair_column is not None
    )
    require_windows(tokenizer, long_text)
    tokenized = {
        name: tokenize_split(split, tokenizer, max_length, task, long_text) for name, split in data.splits.items()
    }
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
    out_of_fold: OutOfFold | None = None,
) -> Report:
    """Adjust and calibrate the staged weights, score them, write predictions and plots, and return the report.

    Args:
        inputs: what the run began with.
        directory: with model and tokenizer in `directory.staging`, and `metrics.jsonl`.
        options: of the run.
        device: where to score.
        training: as `report_on_training` takes it.
        log: called with each line of progress, for a person.
        out_of_fold: the predictions of cross-validation, where there is no validation split.
    """
    from hfbertcls.training.adjusting import adjust, shift_of_options
    from hfbertcls.training.calibrating import Staged, calibrate
    from hfbertcls.workflows.reporting import report_on_training

    staging = directory.staging
    write_config_values(staging, text_field_values(are_pairs=inputs.data.text_pair_column is not None))
    shift = shift_of_options(options, inputs.tokenized["train"])
    if shift is not None:
        adjust(staging, shift, inputs.tokenized["train"], device, log)
        if out_of_fold is not None:
            shifted = (out_of_fold.logits + shift).astype(np.float32)
            out_of_fold = replace(out_of_fold, logits=shifted)
    split, logits = ("validation", None) if out_of_fold is None else ("train", out_of_fold.logits)
    if options.calibration and inputs.task.states_probabilities:
        staged = calibrate(staging, inputs.tokenized[split], device, log, logits)
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
        out_of_fold,
    )


def _examined(data: TextDataset, options: TrainingOptions, log: Log) -> Diagnosis:
    """Log the findings of the doctor, and raise an error if one of them stops training."""
    diagnosis = examine(data, refused=(), allow_leakage=options.allow_leakage, most_rows=MOST_ROWS)
    for finding in diagnosis.findings:
        if finding.severity != "error" and finding.code not in ALREADY_SAID:
            log(f"  {finding.severity}: {finding.message}")
    diagnosis.require_trainable()
    return diagnosis


def _could_be_cross_validated(data: TextDataset) -> bool:
    """Whether validation rows were held out of a train split that could be cross-validated."""
    if data.whole is None or data.split_seed is None or "validation" not in data.splits:
        return False
    before = data.whole.splits
    num_labels = 0 if data.task is None else len(data.task.labels)
    return "validation" not in before and are_few(len(before.get("train", before.get("test", ()))), num_labels)


def _with_validation_if_needed(
    source: ModelSource, data: TextDataset, options: TrainingOptions, log: Log
) -> TextDataset:
    """The data with validation rows if their model cannot be cross-validated.

    Raises:
        ConfigurationError: if cross-validation was asked for.
    """
    if "validation" in data.splits or starts_from_probe(source, data):
        return data
    reason = (
        f"{source.public_name} does not start from a linear probe, because its head is trained or is of another kind"
    )
    if options.cross_validation == "on":
        raise ConfigurationError(f"--cross-validation on is not possible: {reason}. Leave it out")
    log(f"  note: validation rows are held out of the train split, which is not cross-validated: {reason}")
    return data_to_train(data, options.seed, "off")


def _identity(inputs: "RunInput", procedure: Procedure, options: TrainingOptions) -> "RunIdentity":
    from hfbertcls.training.identity import RunIdentity, determining, digest_of

    args: Any = procedure.arguments
    rows_per_update = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
    return RunIdentity(
        model="@".join(filter(None, (inputs.source.public_name, inputs.source.revision))),
        labels=list(inputs.task.labels),
        options=options.beside_arguments(_chosen(inputs)),
        rows={name: digest_of(split) for name, split in inputs.tokenized.items()},
        arguments=determining(args.sanitised(), rows_per_update=rows_per_update),
    )


def _chosen(inputs: "RunInput") -> dict[str, Any]:
    """The values of the options that were left open and are no training arguments."""
    train = inputs.tokenized["train"]
    chosen = {"max_length": train.max_length, "long_text": train.long_text.mode}
    if train.long_text.mode == "windows":
        chosen |= {"max_windows": train.long_text.max_windows, "window_overlap": train.long_text.overlap}
    return chosen


def _facts(inputs: "RunInput", procedure: Procedure, options: TrainingOptions, wall_seconds: float) -> TrainingFacts:
    """The `training` of the report: the facts of the training, and the options of the run."""
    facts = procedure.facts(wall_seconds)
    run = {**_chosen(inputs), **facts.arguments, **facts.hyperparameters}
    rows = {**facts.hyperparameters, **options.rows(run)}
    return replace(facts, options=options.determining(run), hyperparameters=rows)


def _checkpoint_of(identity: "RunIdentity", directory: OutputDirectory, log: Log) -> Path | None:
    """Find the checkpoint to resume from, and check that it belongs to this run.

    Raises:
        ConfigurationError: if the run in the directory is another one.
    """
    from hfbertcls.training.checkpoints import discard, latest_complete, step_of
    from hfbertcls.training.identity import RunIdentity

    earlier = RunIdentity.read(directory.checkpoints)
    checkpoint = latest_complete(directory.checkpoints)
    is_begun = checkpoint is not None or directory.holds_a_model or SavedFolds(directory.checkpoints)
    if earlier is not None and is_begun:
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
