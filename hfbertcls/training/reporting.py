"""The report of a training run: the figures of exactly the weights that were written, and how they came about."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from hfbertcls.data.dataset import TextDataset, TextSplit
from hfbertcls.data.tokenization import TokenizedSplit, gold_of
from hfbertcls.environment import describe_environment, directory_name, public_command, public_word
from hfbertcls.errors import ConfigurationError
from hfbertcls.evaluation import plots
from hfbertcls.evaluation.baselines import Baselines
from hfbertcls.evaluation.report import Report, split_facts, split_figures
from hfbertcls.inference.pipelines import load_pipeline
from hfbertcls.modeling.engine import in_bf16, score
from hfbertcls.modeling.heads import temperature_of, write_config_values
from hfbertcls.modeling.loading import ModelSource, load_for_inference, load_tokenizer, reading_length
from hfbertcls.modeling.predictions import Predictions, require_finite
from hfbertcls.sharing.card import CARD_FACTS, RENDERER
from hfbertcls.sharing.model_repository import (
    data_facts,
    model_facts,
    task_facts,
    write_plots,
    write_predictions,
    write_report,
)
from hfbertcls.sharing.output_directory import OutputDirectory
from hfbertcls.tasks.known import task_of_config
from hfbertcls.tasks.probabilities import Answers, Logits
from hfbertcls.tasks.task import Task
from hfbertcls.training.callbacks.metric_logging import FILE_NAME, read_events
from hfbertcls.training.precision import choose_precision


if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

    from hfbertcls.training.trainer import TextClassificationTrainer

USAGE_TEXT = "This is an example. Put a text of your own here."


@dataclass(frozen=True)
class RunInput:
    """What a run begins with, read, examined and tokenised."""

    source: ModelSource
    """The encoder."""
    data: TextDataset
    task: Task
    tokenizer: "PreTrainedTokenizerBase"
    tokenized: Mapping[str, TokenizedSplit]
    """The splits as token ids."""
    doctor: Mapping[str, Any]
    """What was found in the data, for the key of that name."""


def report_on_training(
    inputs: RunInput,
    directory: OutputDirectory,
    device: "torch.device",
    training: Callable[[], Mapping[str, Any]],
    card: Mapping[str, Any],
    publish_examples: int,
    seed: int,
    command: str,
) -> Report:
    """Score the staged weights, and write predictions and plots beside them.

    The report is not written: who has more to say of the weights adds it first.

    Args:
        inputs: what the run began with.
        directory: with the model in `directory.staging`.
        device: where to score.
        training: gives the `training` of the report; called after scoring, so that its times and memory contain that.
        card: facts for the card that only a person knows.
        publish_examples: how many rows may stand on the card, with their texts.
        seed: of the choice of these rows.
        command: what to print under "reproduce".
    """
    data, task, tokenized, staging = inputs.data, inputs.task, inputs.tokenized, directory.staging
    model: Any = load_for_inference(ModelSource(str(staging)))
    model.to(device)
    gold = {name: split.gold for name, split in tokenized.items()}
    baselines = Baselines(task, data.splits["train"].texts, gold["train"])
    tokenizer = load_tokenizer(ModelSource(str(staging)))
    evaluation = {}
    for name in [name for name in ("validation", "test") if name in data.splits]:
        logits = score(model, tokenizer, tokenized[name])
        require_finite(logits, name, data.splits[name].rows)
        if name == "validation":
            task = _with_fitted_decision(task, staging, gold[name], logits)
        slices = data.splits[name].values(data.slice_column) if data.slice_column is not None else None
        tokens = tokenized[name].num_tokens
        beside = baselines.predict(data.splits[name].texts)
        predictions = Predictions(task, data.splits[name].rows, gold[name], logits, tokens, slices, beside)
        digest = write_predictions(staging, name, predictions)
        evaluation[name] = split_figures(predictions, digest, baselines.facts, temperature_of(model.config))
        if name == "validation" and choose_precision("auto", use_cpu=model.device.type == "cpu").name == "bf16":
            rough = score(in_bf16(model), tokenizer, tokenized[name])
            same = task.is_right(predictions.predicted, task.decide(rough))
            evaluation[name]["bf16_agreement"] = float(same.mean())
    facts = {
        name: split_facts(split, data, tokenized[name].truncated_rows, tokenized[name].unknown_share)
        for name, split in data.splits.items()
    }
    facts_of_training = training()
    examples = _examples(data.splits[name], predictions, publish_examples, seed)
    report = Report(
        task=task_facts(data, task, tokenized["train"].max_length, str(tokenizer.truncation_side)),
        model=model_facts(inputs.source, model, staging / "model.safetensors"),
        data={**data_facts(data, facts), "doctor": inputs.doctor},
        evaluation=evaluation,
        training=facts_of_training,
        card={**_card_facts(card, directory_name(directory.path), staging), "examples": examples},
        environment=describe_environment(),
        command=command,
    )
    events = read_events(directory.path / FILE_NAME)
    curves = plots.learning_curves_plot(events, facts_of_training["selection_metric"], facts_of_training["best_step"])
    write_plots(staging, report, predictions, {"learning_curves": curves})
    return report


def report_on_trainer(trainer: "TextClassificationTrainer", staging: Path, card: Mapping[str, Any]) -> Report:
    """The same for a trainer in anybody's script, which knows its token ids and labels, but not where they came from.

    Args:
        trainer: after training.
        staging: where its model and tokenizer were saved.
        card: facts that only a person knows; `dataset` names the data, by its Hub id if it has one.

    Raises:
        ConfigurationError: if the trainer has no evaluation data or tokenizer, so that there is nothing to report.
    """
    tokenizer: Any = trainer.processing_class
    datasets_by_name = {"train": trainer.train_dataset, "validation": trainer.eval_dataset}
    for name, dataset in datasets_by_name.items():
        if not {"input_ids", "labels"} <= set(getattr(dataset, "column_names", ())):
            raise ConfigurationError(
                f"sharing needs figures, and figures need a {name} data set (of the datasets library) with the columns "
                "input_ids and labels. Give the trainer train_dataset and eval_dataset"
            )
    if tokenizer is None:
        raise ConfigurationError("sharing needs the tokenizer: give it to the trainer as processing_class")
    config: Any = cast(Any, trainer.model).config
    task = task_of_config(config)
    if task is None:
        raise ConfigurationError(
            f"sharing needs metrics, and there are none for the problem_type {config.problem_type!r}. Share a classifier of labels"
        )
    model: Any = load_for_inference(ModelSource(str(staging)))
    model.to(trainer.args.device)
    max_length = reading_length(tokenizer, config)
    validation: Any = trainer.eval_dataset
    lengths = np.array([len(ids) for ids in validation["input_ids"]], dtype=np.int64)
    plain = validation.select_columns([name for name in validation.column_names if name != "length"])
    tokenized = TokenizedSplit(plain.add_column("length", lengths), task, lengths, max_length, 0)
    gold, logits = gold_of(validation, task), score(model, tokenizer, tokenized)
    require_finite(logits, "validation")
    task = _with_fitted_decision(task, staging, gold, logits)
    predictions = Predictions(task, np.arange(len(gold)), gold, logits, lengths)
    source = str(card.get("dataset") or "data that the author did not name")
    splits = {name: _bare_facts(dataset, task) for name, dataset in datasets_by_name.items()}
    base = str(getattr(config, "_name_or_path", "") or "a model that the author did not name")
    is_hub_id = base.count("/") == 1 and not base.startswith(("/", ".", "~")) and not ModelSource(base).is_local
    origin = ModelSource(
        base, known_as=None if is_hub_id else public_word(base)
    )  # (a directory that may be elsewhere)
    report = Report(
        task={
            "type": task.name, "labels": list(task.labels), "text_column": None,
            "text_pair_column": None, "label_column": None, "max_length": max_length,
            **({} if tokenizer.truncation_side == "right" else {"truncation_side": tokenizer.truncation_side}),
            **task.report_values,
        },
        model={**model_facts(origin, model, staging / "model.safetensors"), "base_model_is_hub_id": is_hub_id},
        data={
            "source": source, "is_hub_id": source.count("/") == 1, "config": card.get("dataset_config"), "revision": None,
            "split_method": "as given to the trainer", "notes": [], "splits": splits,
        },
        evaluation={"validation": split_figures(predictions, write_predictions(staging, "validation", predictions), {})},
        training=training_facts(trainer, trainer.throughput.seconds_),
        card=_card_facts(
            {key: card[key] for key in CARD_FACTS if card.get(key)}, str(card.get("title") or "model"), staging
        ),
        environment=describe_environment(),
        command=public_command([]) + " (a script of its author, with TextClassificationTrainer)",
    )  # fmt: skip
    events = [
        {"step": entry["step"], "split": split, "values": {name.removeprefix("eval_"): entry[name] for name in entry}}
        for entry in trainer.state.log_history
        for split in ["validation" if "eval_loss" in entry else "train"]
    ]
    training = report.training or {}
    curves = plots.learning_curves_plot(events, training["selection_metric"], training["best_step"])
    write_plots(staging, report, predictions, {"learning_curves": curves})
    return write_report(staging, report)


def _with_fitted_decision(task: Task, staging: Path, gold: Answers, logits: Logits) -> Task:
    """The task with its decision fitted on the validation split, which the staged configuration states then."""
    fitted = task.fit_decision(gold, logits)
    if fitted.config_values:
        write_config_values(staging, fitted.config_values)
    return fitted


def _bare_facts(dataset: Any, task: Task) -> dict[str, Any]:
    """What is known of a split of which only token ids and labels are known."""
    counts = task.support(gold_of(dataset, task))
    return {
        "rows": len(dataset), "rows_read": len(dataset), "dropped": {}, "sha256": None,
        "label_counts": dict(zip(task.labels, map(int, counts), strict=True)), "truncated_rows": None,
        "longest_tokens": max(map(len, dataset["input_ids"])),
        "unknown_token_share": None,
    }  # fmt: skip


def _examples(split: TextSplit, predictions: Predictions, count: int, seed: int) -> list[dict[str, Any]]:
    """Rows drawn from a split (seeded), for the card: only if somebody asked for them."""
    drawn = np.sort(np.random.default_rng(seed).permutation(len(split))[:count])
    texts = split.texts
    labels, predicted = (predictions.task.shown(answers) for answers in (predictions.gold, predictions.predicted))
    return [
        {
            "row": int(split.rows[position]),
            "text": texts[position] if len(texts[position]) <= 300 else f"{texts[position][:299]}…",
            "label": labels[position],
            "prediction": predicted[position],
        }
        for position in drawn
    ]


def training_facts(trainer: "TextClassificationTrainer", wall_seconds: float) -> dict[str, Any]:
    """The `training` of a report: what a trainer did, and `wall_seconds` from the beginning of the run."""
    args: Any = trainer.args
    state = trainer.state
    names = (
        "learning_rate", "num_train_epochs", "max_steps", "per_device_train_batch_size", "gradient_accumulation_steps",
        "lr_scheduler_type", "warmup_steps", "weight_decay", "max_grad_norm", "label_smoothing_factor", "optim",
        "train_sampling_strategy", "precision", "eval_every", "seed",
    )  # fmt: skip
    values = args.sanitised()
    if args.max_steps > 0:  # (transformers does not look at the epochs then)
        values.pop("num_train_epochs", None)
    return {
        "best_step": state.best_global_step or state.global_step,
        "steps": state.global_step,
        "planned_steps": state.max_steps,
        "epochs": state.epoch,
        "seconds": trainer.throughput.seconds_,
        "wall_seconds": wall_seconds,
        **trainer.speed(),
        "seed": args.seed,
        "selection_metric": str(args.metric_for_best_model).removeprefix("eval_") if state.best_global_step else None,
        "selection_value": state.best_metric,
        "hyperparameters": {name: values[name] for name in names if name in values}
        | {"precision": "bf16" if args.bf16 else "fp16" if args.fp16 else "fp32"},
        "arguments": {name: value for name, value in sorted(values.items()) if value not in (None, "", [], {})},
    }


def _card_facts(inputs: Mapping[str, Any], name: str, staging: Path) -> dict[str, Any]:
    """Facts that a person gave, and the output of the snippet that the card shows, run on the saved model."""
    text = (inputs.get("widget") or [USAGE_TEXT])[0]
    answers: Any = load_pipeline(str(staging))(text)
    facts: dict[str, Any] = dict.fromkeys(CARD_FACTS)
    return facts | {
        "renderer": RENDERER,
        "repo_id": None,
        "space_id": None,
        "title": name,
        "usage_model": name,
        "usage_text": text,
        "usage_output": [{"label": answer["label"], "score": round(answer["score"], 4)} for answer in answers],
        **inputs,
    }
