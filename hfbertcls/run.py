"""The story of the README as one function: from labelled text to a complete model repository."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hfbertcls.data.checks import require_trainable
from hfbertcls.data.dataset import LabelSchema, TextDataset
from hfbertcls.data.description import Say, describe_dataset, describe_tokens, silent
from hfbertcls.data.loading import load_text_dataset
from hfbertcls.data.tokenization import TokenizedSplit, tokenize_split
from hfbertcls.diagnosis.doctor import ALREADY_SAID, Diagnosis, examine
from hfbertcls.diagnosis.repeats import MOST_ROWS
from hfbertcls.environment import public_command
from hfbertcls.errors import (
    ConfigurationError,
    HfBertClsError,
    ModelError,
    TrainingError,
    did_you_mean,
    listing,
    shorten,
)
from hfbertcls.evaluation.report import Report
from hfbertcls.evaluation.scores import BINARY_METRICS, METRICS
from hfbertcls.modeling.loading import (
    ModelSource,
    find_max_length,
    load_config,
    load_for_training,
    load_tokenizer,
)
from hfbertcls.registry import CALLBACKS, register
from hfbertcls.sharing.card import CARD_FACTS
from hfbertcls.sharing.output_directory import OutputDirectory


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from hfbertcls.training.arguments import TextClassificationTrainingArguments
    from hfbertcls.training.callbacks.backup import Backup
    from hfbertcls.training.identity import RunIdentity
    from hfbertcls.training.trainer import TextClassificationTrainer


@dataclass(frozen=True)
class TrainingOptions:
    """What a training run is asked for, beside model, data and directory.

    Args:
        max_length: in tokens; None takes the model's limit, at most 512.
        overwrite: replace what an earlier run left in the directory.
        resume: go on with the run that was stopped there; begin if there is none.
        early_stopping: evaluations without improvement after which to stop; None never stops early.
        callbacks: registered names of further callbacks.
        report_to: trackers, by transformers' names.
        arguments: further fields of `TextClassificationTrainingArguments`.
        card: facts for the card that only a person knows (`license`, `language`, `intended_use`, ...).
        command: what to print under "reproduce"; None takes the command line of this process.
        publish_examples: how many rows of the evaluated split may stand on the card, with their texts.
        allow_leakage: train although more than 5 % of the validation or test texts are in train too.
        backup: is offered each checkpoint, such as a `CheckpointBranch`.
        calibrate: fit a temperature on the validation split and put it into the weights.
    """

    max_length: int | None = None
    overwrite: bool = False
    resume: bool = False
    early_stopping: int | None = None
    callbacks: Sequence[str] = ()
    report_to: Sequence[str] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)
    command: str | None = None
    publish_examples: int = 0
    allow_leakage: bool = False
    backup: "Backup | None" = None
    calibrate: bool = True


def train_and_evaluate(
    model: str | ModelSource,
    dataset: str | TextDataset,
    output_dir: str | Path,
    options: TrainingOptions | None = None,
    say: Say = silent,
) -> Report:
    """Fine-tune an encoder, choose the best checkpoint on validation, and write a complete model repository.

    Args:
        model: a Hub id, a directory, or a `ModelSource`.
        dataset: what `load_text_dataset` takes, or its result.
        output_dir: where to write; see "The output directory" in the README.
        options: everything else.
        say: gets each line of what is done, for a person.

    Raises:
        DatasetError, ModelError, ConfigurationError, OutputDirectoryError: before training, with the way out.
    """
    began = time.perf_counter()
    options = options or TrainingOptions()
    source = model if isinstance(model, ModelSource) else ModelSource(model)
    seed = int(options.arguments.get("seed", 42))
    directory = OutputDirectory(Path(output_dir))
    directory.check(overwrite=options.overwrite, resume=options.resume)
    check_options(options)
    data = dataset if isinstance(dataset, TextDataset) else load_text_dataset(dataset, seed=seed)
    schema = require_trainable(data)
    describe_dataset(data, say)
    diagnosis = _examined(data, options, say)

    config, tokenizer = load_config(source), load_tokenizer(source)
    max_length = find_max_length(tokenizer, config, options.max_length)
    tokenizer.model_max_length = max_length
    tokenized = {name: tokenize_split(split, tokenizer, max_length, schema) for name, split in data.splits.items()}
    describe_tokens(tokenized, say)
    with directory.claimed():
        if not options.resume:
            directory.clear()
        trainer = _make_trainer(source, schema, tokenizer, tokenized, directory, options, say)
        checkpoint = _begin_or_go_on(trainer, _identity(source, schema, tokenized, trainer, options), directory, say)
        if directory.holds_a_model:
            say(f"The run in {directory.path.name!r} is complete: there is nothing to go on with")
            return Report.from_json((directory.path / "report.json").read_text(encoding="utf-8"))
        _train(trainer, checkpoint, say)
        trainer.save_model(str(directory.staging))
        from hfbertcls.training.calibrating import calibrate
        from hfbertcls.training.reporting import report_on_training

        if options.calibrate:
            calibrate(directory.staging, tokenized["validation"], trainer.args.device, say)
        say("Evaluating the chosen weights in fp32 ...")

        report = report_on_training(
            source,
            data,
            schema,
            tokenized,
            trainer,
            directory,
            options.card,
            options.publish_examples,
            diagnosis.for_report(),
            options.command or public_command(),
            time.perf_counter() - began,
        )
        directory.publish()
    return report


def _examined(data: TextDataset, options: TrainingOptions, say: Say) -> Diagnosis:
    """Say in brief what the doctor finds, and refuse what no run should begin with."""
    diagnosis = examine(data, allow_leakage=options.allow_leakage, most_rows=MOST_ROWS)
    for finding in diagnosis.findings:
        if finding.severity != "refuses" and finding.code not in ALREADY_SAID:
            say(f"  {finding.severity}: {finding.message}")
    diagnosis.require_trainable()
    return diagnosis


def check_options(options: TrainingOptions) -> None:
    """Find what is wrong with the options before anything is read.

    Raises:
        ConfigurationError: for the first thing that is wrong.
    """
    unknown = [key for key in options.card if key not in CARD_FACTS]
    if unknown:
        raise ConfigurationError(
            f"the card has no fact {listing(unknown)}{did_you_mean(unknown[0], CARD_FACTS)}. "
            f"Known facts: {', '.join(CARD_FACTS)}"
        )
    for key, value in options.card.items():
        texts = value if isinstance(value, list) and key in ("language", "widget") else [value]
        if not all(isinstance(text, str) for text in texts):
            raise ConfigurationError(f"the fact {key!r} of the card must be a text, not {shorten(str(value))}")
        if key == "widget" and not (isinstance(value, list) and all(text.strip() for text in value)):
            raise ConfigurationError(
                "the fact 'widget' of the card must be a list of texts to try, none of them empty"
            )
    metric = str(options.arguments.get("metric_for_best_model", "f1_macro")).removeprefix("eval_")
    known = (*METRICS, *BINARY_METRICS, "loss")
    if metric not in known:
        raise ConfigurationError(
            f"--metric {metric} is not known{did_you_mean(metric, known)}. Choose one of {', '.join(known)}"
        )
    if options.publish_examples < 0:
        raise ConfigurationError(
            f"--publish-examples {options.publish_examples} is not possible. Expected a number from 0"
        )
    for name in options.callbacks:
        CALLBACKS.get(name)
    args = _training_arguments(OutputDirectory(Path("unused")), options)
    if options.early_stopping is not None:
        from hfbertcls.training.callbacks.early_stopping import MetricEarlyStoppingCallback

        MetricEarlyStoppingCallback(options.early_stopping)
        if args.eval_strategy == "no":
            raise ConfigurationError(
                "--early-stopping needs evaluations, and --eval-every no makes none. Leave one out"
            )


def _training_arguments(directory: OutputDirectory, options: TrainingOptions) -> "TextClassificationTrainingArguments":
    from hfbertcls.training.arguments import TextClassificationTrainingArguments

    if "hfbertcls" in options.report_to:
        register()
    values: dict[str, Any] = {
        "output_dir": str(directory.checkpoints),
        "logging_steps": 0.02,  # about fifty points for the learning curve, however long the run
        "report_to": [name for name in options.report_to if name != "hfbertcls"] or "none",
        "disable_tqdm": True,
        **options.arguments,
    }
    if "trackio" in options.report_to:
        # Left open, transformers publishes a Space of its own when the model is pushed (seen in 5.23).
        values |= {"trackio_static_space_id": False, "project": "hfbertcls"}
    try:
        return TextClassificationTrainingArguments(**values)
    except ConfigurationError:
        raise
    except (TypeError, ValueError, ImportError, OSError) as err:
        raise ConfigurationError(f"the training arguments do not fit: {shorten(str(err), 300)}") from err


def _make_trainer(
    source: ModelSource,
    schema: LabelSchema,
    tokenizer: "PreTrainedTokenizerBase",
    tokenized: Mapping[str, TokenizedSplit],
    directory: OutputDirectory,
    options: TrainingOptions,
    say: Say,
) -> "TextClassificationTrainer":
    from hfbertcls.training.callbacks.backup import BackupCallback
    from hfbertcls.training.callbacks.early_stopping import MetricEarlyStoppingCallback
    from hfbertcls.training.callbacks.metric_logging import FILE_NAME, MetricLoggingCallback
    from hfbertcls.training.trainer import TextClassificationTrainer

    args = _training_arguments(directory, options)
    loaded = load_for_training(source, schema, args.seed)
    callbacks: list[Any] = [MetricLoggingCallback(directory.path / FILE_NAME)]
    if options.early_stopping is not None:
        callbacks.append(MetricEarlyStoppingCallback(options.early_stopping))
    callbacks += [CALLBACKS.get(name)() for name in options.callbacks]
    if options.backup is not None:
        callbacks.append(BackupCallback(options.backup))
    for note in loaded.notes:
        say(f"  note: {note}")
    known = int(cast(Any, loaded.model.get_input_embeddings()).num_embeddings)
    largest = max(split.largest_id for split in tokenized.values())
    if largest >= known:
        raise ModelError(
            f"the tokenizer of {source.public_name!r} gives token ids up to {largest:,}, but the model has only {known:,} "
            "embeddings. Tokenizer and weights do not belong together"
        )
    trainer: TextClassificationTrainer = _built(
        TextClassificationTrainer,
        model=loaded.model,
        args=args,
        train_dataset=tokenized["train"].dataset,
        eval_dataset=tokenized["validation"].sorted_by_length(),
        processing_class=tokenizer,
        callbacks=callbacks,
    )
    return trainer


def _built(trainer_class: Any, **arguments: Any) -> Any:
    """Make the trainer; trackers and accelerators that are not there are noticed here."""
    try:
        return trainer_class(**arguments)
    except (ImportError, ValueError, RuntimeError) as err:
        if isinstance(err, HfBertClsError):
            raise
        raise ConfigurationError(f"the training arguments do not fit: {shorten(str(err), 300)}") from err


def _identity(
    source: ModelSource,
    schema: LabelSchema,
    tokenized: Mapping[str, TokenizedSplit],
    trainer: "TextClassificationTrainer",
    options: TrainingOptions,
) -> "RunIdentity":
    from hfbertcls.training.identity import RunIdentity, determining, digest_of

    args = trainer.args
    rows_per_update = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
    further = {
        "early_stopping": options.early_stopping,
        "callbacks": list(options.callbacks),
        "calibrate": options.calibrate,
    }
    return RunIdentity(
        model="@".join(filter(None, (source.public_name, source.revision))),
        max_length=tokenized["train"].max_length,
        labels=list(schema.names),
        rows={name: digest_of(split) for name, split in tokenized.items()},
        arguments=determining(cast(Any, args).sanitised() | further, rows_per_update=rows_per_update),
    )


def _begin_or_go_on(
    trainer: "TextClassificationTrainer", identity: "RunIdentity", directory: OutputDirectory, say: Say
) -> Path | None:
    """Find the checkpoint to go on from, make sure that it belongs to this run, and that the disk is large enough.

    Raises:
        ConfigurationError: if the run in the directory is another one.
        OutputDirectoryError: if the disk has not even room for one checkpoint and the model.
    """
    from hfbertcls.training.checkpoints import discard, latest_complete, step_of
    from hfbertcls.training.identity import RunIdentity

    earlier = RunIdentity.read(directory.checkpoints)
    checkpoint = latest_complete(directory.checkpoints)
    if earlier is not None and (checkpoint is not None or directory.holds_a_model):
        differences = earlier.differences(identity)
        if differences:
            raise ConfigurationError(
                f"--resume goes on with the run in {directory.path.name!r}, but this is another one. What differs: "
                f"{', '.join(differences)}. Repeat the command of that run, or begin anew with --overwrite"
            )
    if directory.holds_a_model:
        return None
    step = (step_of(checkpoint) or 0) if checkpoint is not None else 0
    for name in discard(directory.checkpoints, after=step):
        say(f"  note: {name} cannot be gone on from, and is removed")
    if checkpoint is not None:
        say(f"Going on from step {step:,}")
    say(f"Disk: {directory.require_space(*_space(trainer))}")
    identity.write(directory.checkpoints)
    return checkpoint


def _space(trainer: "TextClassificationTrainer") -> tuple[int, int]:
    """Bytes that a run needs at least, and at most at a time: checkpoints with AdamW's two states, then the model."""
    args: Any = trainer.args
    weights = sum(4 * parameter.numel() for parameter in cast(Any, trainer.model).parameters())
    if args.save_strategy == "no":
        return weights, weights
    checkpoint = weights * (3 if str(args.optim.value).startswith("adamw_torch") else 1)
    kept = args.save_total_limit or 1
    return checkpoint + weights, checkpoint * (kept + 1) + weights


def _train(trainer: "TextClassificationTrainer", checkpoint: Path | None, say: Say) -> None:
    from hfbertcls.training.callbacks.interruption import InterruptionCallback

    args: Any = trainer.args
    model: Any = trainer.model
    say(
        f"Training {model.num_parameters():,} parameters: learning rate {args.learning_rate:g}, "
        f"{args.num_train_epochs:g} epochs, batches of {args.train_batch_size} x "
        f"{args.gradient_accumulation_steps}, {args.precision_.name} ({args.precision_.reason}), on {args.device.type}"
    )
    say(f"Batches: {trainer.padding_}")
    interruption = InterruptionCallback(say)
    trainer.add_callback(interruption)
    with interruption.listening():
        trainer.train(str(checkpoint) if checkpoint is not None else None)
    if trainer.state.global_step == 0:
        raise TrainingError(
            "no update was made: the train split has fewer rows than a batch, and incomplete batches are dropped. Choose a "
            "smaller --batch-size"
        )
