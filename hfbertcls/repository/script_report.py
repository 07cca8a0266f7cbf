"""The report of a trainer in a user's script, which has token ids and labels, but not their source."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from transformers import Trainer
from transformers.utils import logging

from hfbertcls.data.long_text import LongText
from hfbertcls.data.tokenization import TokenizedSplit, gold_of
from hfbertcls.environment import describe_environment, directory_name, public_word
from hfbertcls.errors import ConfigurationError
from hfbertcls.evaluation.report import Report
from hfbertcls.evaluation.report_sections import DataFacts, LongTextFacts, SplitFacts, TaskFacts
from hfbertcls.evaluation.report_training import TrainingFacts
from hfbertcls.evaluation.splits import evaluate_split
from hfbertcls.files import files_below
from hfbertcls.inference.pipelines import pipeline_of
from hfbertcls.modeling.engine import score
from hfbertcls.modeling.lengths import reading_length
from hfbertcls.modeling.loading import ModelSource, load_for_inference, load_tokenizer
from hfbertcls.modeling.predictions import Predictions, require_finite
from hfbertcls.modeling.text_fields import reads_pairs
from hfbertcls.repository import plots
from hfbertcls.repository.card import CARD_FACTS
from hfbertcls.repository.card_metadata import check_metadata
from hfbertcls.repository.model_repository import (
    card_facts,
    model_facts,
    usage_of,
    with_fitted_decision,
    write_plots,
    write_predictions,
    write_report,
)
from hfbertcls.repository.output_directory import OutputDirectory
from hfbertcls.tasks.known import task_of_config
from hfbertcls.tasks.probabilities import Answers
from hfbertcls.tasks.task import Task


logger: Any = logging.get_logger(__name__)


def write_repository(trainer: Any, card: Mapping[str, Any]) -> OutputDirectory:
    """Write a complete model repository into the output directory of a trainer: model, card, report, predictions, plots.

    Args:
        trainer: a `TextClassificationTrainer`, after training. All processes call this.
        card: facts from the author, as in `push_to_hub`.

    Raises:
        ConfigurationError: if the trainer has no evaluation data or no tokenizer.
    """
    directory = OutputDirectory(Path(str(trainer.args.output_dir)))
    if not trainer.is_world_process_zero():
        trainer.save_model(str(directory.staging), _internal_call=True)  # (weights that are divided come together)
        return directory
    check_metadata({key: card[key] for key in ("license", "language") if card.get(key)})
    title = card.get("title") or card.get("model_name") or directory_name(directory.path)
    with directory.claimed():
        trainer.save_model(str(directory.staging), _internal_call=True)
        saved = files_below(directory.staging)
        report_on_trainer(trainer, trainer.facts(), directory.staging, {**card, "title": title})
        directory.publish(logger.info, replacing=saved)
    return directory


def report_on_trainer(trainer: Trainer, training: TrainingFacts, staging: Path, card: Mapping[str, Any]) -> Report:
    """Write report, card, predictions and plots of a trainer in a user's script.

    Args:
        trainer: after training.
        training: the `training` of the report.
        staging: where its model and tokenizer were saved.
        card: facts from the author; `dataset` is the name of the data, or its Hub id.

    Raises:
        ConfigurationError: if the trainer has no evaluation data or no tokenizer.
    """
    tokenizer: Any = trainer.processing_class
    datasets_by_name = {
        "train": _with_labels(trainer.train_dataset),
        "validation": _with_labels(trainer.eval_dataset),
    }
    for name, dataset in datasets_by_name.items():
        if not {"input_ids", "labels"} <= set(getattr(dataset, "column_names", ())):
            raise ConfigurationError(
                f"a push needs metrics, and metrics need a {name} data set (of the datasets library) with the columns "
                "input_ids and labels. Pass the trainer train_dataset and eval_dataset"
            )
    if tokenizer is None:
        raise ConfigurationError("a push needs the tokenizer: pass it to the trainer as processing_class")
    config: Any = cast(Any, trainer.model).config
    task = task_of_config(config)
    if task is None:
        raise ConfigurationError(
            f"a push needs metrics, and there are none for the problem_type {config.problem_type!r}. Push a classifier of labels"
        )
    model: Any = load_for_inference(ModelSource(str(staging)))
    model.to(trainer.args.device)
    max_length = reading_length(tokenizer, config)
    if tokenizer.model_max_length != max_length:
        saved = load_tokenizer(ModelSource(str(staging)))
        saved.model_max_length = max_length
        saved.save_pretrained(staging)
    validation: Any = datasets_by_name["validation"]
    lengths = np.array([len(ids) for ids in validation["input_ids"]], dtype=np.int64)
    read = {*tokenizer.model_input_names, "labels"}  # (`map` of a script keeps the texts beside them, as a rule)
    plain = validation.select_columns([name for name in validation.column_names if name in read])
    tokenized = TokenizedSplit(
        plain.add_column("length", lengths), task, lengths, max_length, 0, long_text=LongText.of_config(config)
    )
    gold, logits = gold_of(validation, task), score(model, tokenizer, tokenized)
    require_finite(logits, "validation")
    task = with_fitted_decision(task, staging, model, gold, logits)
    predictions = Predictions(
        task,
        np.arange(len(gold)),
        gold,
        logits,
        lengths,
        baselines=_constant_answers(task, gold_of(datasets_by_name["train"], task), len(gold)),
    )
    source = str(card.get("dataset") or "data that the author did not name")
    splits = {name: _bare_facts(dataset, task) for name, dataset in datasets_by_name.items()}
    base = str(getattr(config, "_name_or_path", "") or "a model that the author did not name")
    is_hub_id = base.count("/") == 1 and not base.startswith(("/", ".", "~")) and not ModelSource(base).is_local
    origin = ModelSource(
        base, known_as=None if is_hub_id else public_word(base)
    )  # (a directory that may be elsewhere)
    classifier = pipeline_of(model, load_tokenizer(ModelSource(str(staging))))
    facts = {key: card[key] for key in CARD_FACTS if card.get(key)}
    report = Report(
        task=TaskFacts(
            type=task.name,
            labels=task.labels,
            text_column=None,
            text_pair_column=None,
            label_column=None,
            max_length=max_length,
            long_text=LongTextFacts.of(LongText.of_config(config)),
            truncation_side="left" if tokenizer.truncation_side == "left" else "right",
            extra=task.report_values,
        ),
        model=replace(model_facts(origin, model, staging / "model.safetensors"), base_model_is_hub_id=is_hub_id),
        data=DataFacts(
            source=source,
            is_hub_id=source.count("/") == 1,
            config=card.get("dataset_config"),
            revision=None,
            split_method="as the trainer got them",
            notes=(),
            splits=splits,
        ),
        evaluation={
            "validation": evaluate_split(predictions, write_predictions(staging, "validation", predictions), {})
        },
        training=training,
        card=card_facts(
            facts,
            str(card.get("title") or "model"),
            usage_of(classifier, facts, are_pairs=reads_pairs(config)),
            are_pairs=reads_pairs(config),
        ),
        environment=describe_environment(),
        command="a script of its author, with TextClassificationTrainer",
    )
    events = [
        {"step": entry["step"], "split": split, "values": {name.removeprefix("eval_"): entry[name] for name in entry}}
        for entry in trainer.state.log_history
        for split in ["validation" if "eval_loss" in entry else "train"]
    ]
    curves = plots.learning_curves_plot(events, training.selection_metric, training.best_step)
    write_plots(staging, report, predictions, {"learning_curves": curves})
    return write_report(staging, report)


def _with_labels(dataset: Any) -> Any:
    """A data set whose labels are called as the model calls them; the collators of transformers accept both names."""
    names = getattr(dataset, "column_names", ())
    return dataset.rename_column("label", "labels") if "label" in names and "labels" not in names else dataset


def _constant_answers(task: Task, train_gold: Answers, rows: int) -> dict[str, Answers]:
    """What the best constant answer to the training rows predicts; the other baselines need texts."""
    constant = task.constant_baseline(train_gold)
    return {next(iter(task.baseline_names)): np.broadcast_to(constant, (rows, *constant.shape))}


def _bare_facts(dataset: Any, task: Task) -> SplitFacts:
    """The facts on a split that has only token ids and labels."""
    counts = task.support(gold_of(dataset, task))
    return SplitFacts(
        rows=len(dataset),
        rows_read=len(dataset),
        dropped={},
        sha256=None,
        label_counts=dict(zip(task.labels, map(int, counts), strict=True)),
        truncated_rows=None,
        longest_tokens=max(map(len, dataset["input_ids"])),
        unknown_token_share=None,
    )
