"""The story of the README as one function: from labelled text to a complete model repository."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hfbertcls.data.checks import require_trainable
from hfbertcls.data.dataset import LabelSchema, TextDataset
from hfbertcls.data.description import Say, describe_dataset, describe_tokens, silent
from hfbertcls.data.loading import load_text_dataset
from hfbertcls.data.tokenization import TokenizedSplit, tokenize_split
from hfbertcls.environment import describe_environment, public_command
from hfbertcls.errors import ConfigurationError, did_you_mean, listing
from hfbertcls.evaluation import plots
from hfbertcls.evaluation.baselines import Baselines
from hfbertcls.evaluation.report import Report, split_facts, split_figures
from hfbertcls.evaluation.scores import BINARY_METRICS, METRICS
from hfbertcls.modeling.engine import score
from hfbertcls.modeling.loading import (
    ModelSource,
    find_max_length,
    load_config,
    load_for_inference,
    load_for_training,
    load_tokenizer,
)
from hfbertcls.modeling.predictions import Predictions
from hfbertcls.registry import CALLBACKS, register
from hfbertcls.sharing.card import RENDERER
from hfbertcls.sharing.model_repository import (
    data_facts,
    model_facts,
    task_facts,
    write_plots,
    write_predictions,
    write_report,
)
from hfbertcls.sharing.output_directory import OutputDirectory


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from hfbertcls.training.arguments import TextClassificationTrainingArguments
    from hfbertcls.training.trainer import TextClassificationTrainer

USAGE_TEXT = "This is an example. Put a text of your own here."
CARD_FACTS = ("title", "license", "language", "intended_use", "limitations")


@dataclass(frozen=True)
class TrainingOptions:
    """What a training run is asked for, beside model, data and directory.

    Args:
        max_length: in tokens; None takes the model's limit, at most 512.
        overwrite: replace what an earlier run left in the directory.
        early_stopping: evaluations without improvement after which to stop; None never stops early.
        callbacks: registered names of further callbacks.
        report_to: trackers, by transformers' names.
        arguments: further fields of `TextClassificationTrainingArguments`.
        card: facts for the card that only a person knows (`license`, `language`, `intended_use`, ...).
        command: what to print under "reproduce"; None takes the command line of this process.
    """

    max_length: int | None = None
    overwrite: bool = False
    early_stopping: int | None = None
    callbacks: Sequence[str] = ()
    report_to: Sequence[str] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)
    command: str | None = None


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
    directory.check(overwrite=options.overwrite)
    _check_options(options)
    data = dataset if isinstance(dataset, TextDataset) else load_text_dataset(dataset, seed=seed)
    schema = require_trainable(data)
    describe_dataset(data, say)

    config, tokenizer = load_config(source), load_tokenizer(source)
    max_length = find_max_length(tokenizer, config, options.max_length)
    tokenizer.model_max_length = max_length
    tokenized = {name: tokenize_split(split, tokenizer, max_length, schema) for name, split in data.splits.items()}
    describe_tokens(tokenized, say)
    with directory.claimed():
        directory.clear()
        trainer = _train(source, schema, tokenizer, tokenized, directory, options, say)
        say("Evaluating the chosen weights in fp32 ...")
        trainer.save_model(str(directory.staging))
        report = _report_on_training(
            source, data, schema, tokenized, trainer, directory, options, time.perf_counter() - began
        )
        directory.publish()
    return report


def _check_options(options: TrainingOptions) -> None:
    """Collect what is wrong with the options before anything heavy begins."""
    unknown = [key for key in options.card if key not in CARD_FACTS]
    if unknown:
        raise ConfigurationError(
            f"the card has no fact {listing(unknown)}{did_you_mean(unknown[0], CARD_FACTS)}. "
            f"Known facts: {', '.join(CARD_FACTS)}"
        )
    metric = str(options.arguments.get("metric_for_best_model", "f1_macro")).removeprefix("eval_")
    known = (*METRICS, *BINARY_METRICS, "loss")
    if metric not in known:
        raise ConfigurationError(
            f"--metric {metric} is not known{did_you_mean(metric, known)}. Choose one of {', '.join(known)}"
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
    except (TypeError, ValueError) as err:
        raise ConfigurationError(f"the training arguments do not fit: {err}") from err


def _train(
    source: ModelSource,
    schema: LabelSchema,
    tokenizer: "PreTrainedTokenizerBase",
    tokenized: Mapping[str, TokenizedSplit],
    directory: OutputDirectory,
    options: TrainingOptions,
    say: Say,
) -> "TextClassificationTrainer":
    from hfbertcls.training.callbacks.early_stopping import MetricEarlyStoppingCallback
    from hfbertcls.training.callbacks.metric_logging import FILE_NAME, MetricLoggingCallback
    from hfbertcls.training.trainer import TextClassificationTrainer

    args = _training_arguments(directory, options)
    loaded = load_for_training(source, schema, args.seed)
    callbacks: list[Any] = [MetricLoggingCallback(directory.path / FILE_NAME)]
    if options.early_stopping is not None:
        callbacks.append(MetricEarlyStoppingCallback(options.early_stopping))
    callbacks += [CALLBACKS.get(name)() for name in options.callbacks]
    trainer = TextClassificationTrainer(
        model=loaded.model,
        args=args,
        train_dataset=tokenized["train"].dataset,
        eval_dataset=tokenized["validation"].sorted_by_length(),
        processing_class=tokenizer,
        callbacks=callbacks,
    )
    for note in loaded.notes:
        say(f"  note: {note}")
    say(
        f"Training {source.public_name} ({loaded.model.num_parameters():,} parameters): learning rate "
        f"{args.learning_rate:g}, {args.num_train_epochs:g} epochs, batches of {args.train_batch_size} x "
        f"{args.gradient_accumulation_steps}, {args.precision_.name} ({args.precision_.reason}), "
        f"on {args.device.type}"
    )
    trainer.train()
    return trainer


def _report_on_training(
    source: ModelSource,
    data: TextDataset,
    schema: LabelSchema,
    tokenized: Mapping[str, TokenizedSplit],
    trainer: "TextClassificationTrainer",
    directory: OutputDirectory,
    options: TrainingOptions,
    wall_seconds: float,
) -> Report:
    """Score the staged weights, and write everything that says how good they are beside them."""
    from hfbertcls.training.callbacks.metric_logging import FILE_NAME, read_events

    staging = directory.staging
    model: Any = load_for_inference(ModelSource(str(staging)))
    model.to(trainer.args.device)
    gold = {name: np.asarray(tokenized[name].dataset["labels"], dtype=np.int64) for name in tokenized}
    baselines = Baselines(data.splits["train"].texts, gold["train"])
    tokenizer = load_tokenizer(ModelSource(str(staging)))
    evaluation = {}
    for name in [name for name in ("validation", "test") if name in data.splits]:
        logits = score(model, tokenizer, tokenized[name])
        predictions = Predictions(data.splits[name].rows, gold[name], logits, schema.names)
        digest = write_predictions(staging, name, predictions)
        evaluation[name] = split_figures(predictions, digest, baselines.scores(data.splits[name].texts, gold[name]))
    facts = {
        name: split_facts(split, data, tokenized[name].truncated_rows, tokenized[name].unknown_share)
        for name, split in data.splits.items()
    }
    training = _training_facts(trainer, wall_seconds)
    report = Report(
        task=task_facts(data, schema, tokenized["train"].max_length),
        model=model_facts(source, model, staging / "model.safetensors"),
        data=data_facts(data, facts),
        evaluation=evaluation,
        training=training,
        card=_card_facts(options.card, directory.path.resolve().name, staging),
        environment=describe_environment(),
        command=options.command or public_command(),
    )
    events = read_events(directory.path / FILE_NAME)
    curves = plots.learning_curves_plot(events, training["selection_metric"], training["best_step"])
    write_plots(staging, report, predictions, {"learning_curves": curves})
    write_report(staging, report)
    return report


def _training_facts(trainer: "TextClassificationTrainer", wall_seconds: float) -> dict[str, Any]:
    args: Any = trainer.args
    state, speed = trainer.state, trainer.throughput
    seconds = max(speed.seconds_, 1e-9)
    names = (
        "learning_rate", "num_train_epochs", "max_steps", "per_device_train_batch_size", "gradient_accumulation_steps",
        "lr_scheduler_type", "warmup_steps", "weight_decay", "max_grad_norm", "label_smoothing_factor", "optim",
        "train_sampling_strategy", "precision", "eval_every", "seed",
    )  # fmt: skip
    values = args.sanitised()
    return {
        "best_step": state.best_global_step or state.global_step,
        "steps": state.global_step,
        "planned_steps": state.max_steps,
        "epochs": state.epoch,
        "seconds": speed.seconds_,
        "wall_seconds": wall_seconds,
        "examples_per_second": speed.rows_ / seconds,
        "tokens_per_second": speed.tokens_ / seconds,
        "padding_fraction": speed.padding_fraction,
        "seed": args.seed,
        "selection_metric": str(args.metric_for_best_model).removeprefix("eval_"),
        "selection_value": state.best_metric,
        "hyperparameters": {name: values[name] for name in names if name in values}
        | {"precision": "bf16" if args.bf16 else "fp16" if args.fp16 else "fp32"},
    }


def _card_facts(given: Mapping[str, Any], name: str, staging: Path) -> dict[str, Any]:
    """Facts that a person gave, and the output of the snippet that the card shows, run on the saved model."""
    from hfbertcls.inference.pipelines import load_pipeline

    answers: Any = load_pipeline(str(staging))(USAGE_TEXT)
    facts: dict[str, Any] = dict.fromkeys(CARD_FACTS)
    return facts | {
        "renderer": RENDERER,
        "repo_id": None,
        "space_id": None,
        "title": name,
        "usage_model": name,
        "usage_text": USAGE_TEXT,
        "usage_output": [{"label": answer["label"], "score": round(answer["score"], 4)} for answer in answers],
        **given,
    }
