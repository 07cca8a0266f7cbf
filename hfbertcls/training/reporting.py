"""The report of a training run: the figures of exactly the weights that were written, and how they came about."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from hfbertcls.data.dataset import LabelSchema, TextDataset, TextSplit
from hfbertcls.data.tokenization import TokenizedSplit, gold_of
from hfbertcls.environment import describe_environment, directory_name, public_command, public_word
from hfbertcls.errors import ConfigurationError
from hfbertcls.evaluation import plots
from hfbertcls.evaluation.baselines import Baselines
from hfbertcls.evaluation.report import Report, split_facts, split_figures
from hfbertcls.evaluation.scores import is_right
from hfbertcls.evaluation.thresholds import fit_thresholds
from hfbertcls.inference.pipelines import load_pipeline
from hfbertcls.modeling.engine import in_bf16, score
from hfbertcls.modeling.heads import MULTI_LABEL, temperature_of, write_thresholds
from hfbertcls.modeling.loading import ModelSource, load_for_inference, load_tokenizer, reading_length
from hfbertcls.modeling.predictions import Predictions, Thresholds, label_cells, predict_labels, require_finite
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
    schema: LabelSchema
    tokenizer: "PreTrainedTokenizerBase"
    tokenized: Mapping[str, TokenizedSplit]
    """The splits as token ids."""
    doctor: Mapping[str, Any]
    """What was found in the data, for the key of that name."""


def report_on_training(
    given: RunInput,
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
        given: what the run began with.
        directory: with the model in `directory.staging`.
        device: where to score.
        training: gives the `training` of the report; called after scoring, so that its times and memory contain that.
        card: facts for the card that only a person knows.
        publish_examples: how many rows may stand on the card, with their texts.
        seed: of the choice of these rows.
        command: what to print under "reproduce".
    """
    data, schema, tokenized, staging = given.data, given.schema, given.tokenized, directory.staging
    model: Any = load_for_inference(ModelSource(str(staging)))
    model.to(device)
    gold = {name: split.gold for name, split in tokenized.items()}
    thresholds: Thresholds | None = None
    baselines = Baselines(data.splits["train"].texts, gold["train"])
    tokenizer = load_tokenizer(ModelSource(str(staging)))
    evaluation = {}
    for name in [name for name in ("validation", "test") if name in data.splits]:
        logits = score(model, tokenizer, tokenized[name])
        require_finite(logits, name, data.splits[name].rows)
        if name == "validation" and schema.several:
            thresholds = _fitted_thresholds(staging, gold[name], logits)
        slices = data.splits[name].values(data.slice_column) if data.slice_column is not None else None
        tokens = tokenized[name].num_tokens
        beside = baselines.predict(data.splits[name].texts, len(schema))
        predictions = Predictions(
            data.splits[name].rows, gold[name], logits, schema.names, tokens, slices, thresholds, beside
        )
        digest = write_predictions(staging, name, predictions)
        evaluation[name] = split_figures(predictions, digest, baselines.facts, temperature_of(model.config))
        if name == "validation" and choose_precision("auto", use_cpu=model.device.type == "cpu").name == "bf16":
            rough = score(in_bf16(model), tokenizer, tokenized[name])
            same = is_right(predictions.predicted, predict_labels(rough, thresholds))
            evaluation[name]["bf16_agreement"] = float(same.mean())
    facts = {
        name: split_facts(split, data, tokenized[name].truncated_rows, tokenized[name].unknown_share)
        for name, split in data.splits.items()
    }
    facts_of_training = training()
    examples = _examples(data.splits[name], predictions, publish_examples, seed)
    report = Report(
        task=task_facts(data, schema, tokenized["train"].max_length, thresholds, str(tokenizer.truncation_side)),
        model=model_facts(given.source, model, staging / "model.safetensors"),
        data={**data_facts(data, facts), "doctor": given.doctor},
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
    labels = tuple(str(config.id2label[index]) for index in range(config.num_labels))
    model: Any = load_for_inference(ModelSource(str(staging)))
    model.to(trainer.args.device)
    max_length = reading_length(tokenizer, config)
    validation: Any = trainer.eval_dataset
    lengths = np.array([len(ids) for ids in validation["input_ids"]], dtype=np.int64)
    plain = validation.select_columns([name for name in validation.column_names if name != "length"])
    tokenized = TokenizedSplit(plain.add_column("length", lengths), lengths, max_length, 0)
    gold, logits = gold_of(validation), score(model, tokenizer, tokenized)
    require_finite(logits, "validation")
    several = model.config.problem_type == MULTI_LABEL
    thresholds = _fitted_thresholds(staging, gold, logits) if several else None
    predictions = Predictions(np.arange(len(gold)), gold, logits, labels, lengths, thresholds=thresholds)
    source = str(card.get("dataset") or "data that the author did not name")
    splits = {name: _bare_facts(dataset, labels) for name, dataset in datasets_by_name.items()}
    base = str(getattr(config, "_name_or_path", "") or "a model that the author did not name")
    is_hub_id = base.count("/") == 1 and not base.startswith(("/", ".", "~")) and not ModelSource(base).is_local
    origin = ModelSource(
        base, known_as=None if is_hub_id else public_word(base)
    )  # (a directory that may be elsewhere)
    report = Report(
        task={
            "type": "multi_label" if several else "single_label", "labels": list(labels), "text_column": None,
            "text_pair_column": None, "label_column": None, "max_length": max_length,
            **({} if tokenizer.truncation_side == "right" else {"truncation_side": tokenizer.truncation_side}),
            **({} if thresholds is None else {"thresholds": thresholds.tolist()}),
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


def _fitted_thresholds(staging: Path, gold: npt.NDArray[Any], logits: npt.NDArray[np.float32]) -> Thresholds:
    """Choose from which score on each label is given, on the validation split, and state it in the staged configuration."""
    thresholds = fit_thresholds(gold, logits)
    write_thresholds(staging, thresholds.tolist())
    return thresholds


def _bare_facts(dataset: Any, labels: Sequence[str]) -> dict[str, Any]:
    """What is known of a split of which only token ids and labels are known."""
    gold = gold_of(dataset)
    counts = gold.sum(axis=0) if gold.ndim == 2 else np.bincount(gold, minlength=len(labels))
    return {
        "rows": len(dataset), "rows_read": len(dataset), "dropped": {}, "sha256": None,
        "label_counts": dict(zip(labels, map(int, counts), strict=True)), "truncated_rows": None,
        "longest_tokens": max(map(len, dataset["input_ids"])),
        "unknown_token_share": None,
    }  # fmt: skip


def _examples(split: TextSplit, predictions: Predictions, count: int, seed: int) -> list[dict[str, Any]]:
    """Rows drawn from a split (seeded), for the card: only if somebody asked for them."""
    drawn = np.sort(np.random.default_rng(seed).permutation(len(split))[:count])
    texts = split.texts
    names = predictions.label_names
    labels, predicted = (label_cells(answers, names) for answers in (predictions.gold, predictions.predicted))
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


def _card_facts(given: Mapping[str, Any], name: str, staging: Path) -> dict[str, Any]:
    """Facts that a person gave, and the output of the snippet that the card shows, run on the saved model."""
    text = (given.get("widget") or [USAGE_TEXT])[0]
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
        **given,
    }
