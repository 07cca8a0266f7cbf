"""The files of a model repository beside the model itself, and the facts that they state."""

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hfbertcls.data.dataset import TextDataset
from hfbertcls.data.duplicates import find_duplicates
from hfbertcls.data.texts import TextPair
from hfbertcls.data.tokenization import TokenizedSplit
from hfbertcls.environment import directory_name
from hfbertcls.errors import OutputDirectoryError, listing
from hfbertcls.evaluation.report import Report
from hfbertcls.evaluation.report_sections import (
    CardFacts,
    DataFacts,
    DoctorFacts,
    Example,
    LongTextFacts,
    ModelFacts,
    SplitFacts,
    TaskFacts,
)
from hfbertcls.evaluation.splits import reliability_of
from hfbertcls.files import files_below, hashes_of, regular_file, sha256_of
from hfbertcls.modeling.heads import write_config_values
from hfbertcls.modeling.loading import ModelSource
from hfbertcls.modeling.pooling import pooling_of
from hfbertcls.modeling.predictions import Predictions
from hfbertcls.progress import work
from hfbertcls.repository import plots
from hfbertcls.repository.card import RENDERER, join_card, render_model_card
from hfbertcls.repository.card_metadata import facts_of_author, split_card
from hfbertcls.repository.stated_files import (
    CARD,
    REPORT,
    TOKENIZER_FILES,
    WEIGHTS,
    read_report,
    stated_files,
    with_hashes,
)
from hfbertcls.tasks.probabilities import Answers, Logits
from hfbertcls.tasks.task import Task


if TYPE_CHECKING:
    from transformers import PreTrainedModel


NO_DOCTOR = DoctorFacts()
USAGE_TEXT = "This is an example. Put a text of your own here."
USAGE_TEXT_PAIR = "And this is the second text of the pair."


def task_facts(data: TextDataset, task: Task, tokenized: TokenizedSplit, truncation_side: str = "right") -> TaskFacts:
    """The `task` of a report."""
    return TaskFacts(
        type=task.name,
        labels=task.labels,
        text_column=data.text_column,
        text_pair_column=data.text_pair_column,
        label_column=tuple(data.label_columns) or data.label_column,
        slice_column=data.slice_column,
        max_length=tokenized.max_length,
        long_text=LongTextFacts.of(tokenized.long_text),
        truncation_side="left" if truncation_side == "left" else "right",
        label_separator=data.label_separator,
        quoting=data.quoting,
        header=data.header,
        extra=task.report_values,
    )


def model_facts(source: ModelSource, model: "PreTrainedModel", weights: Path) -> ModelFacts:
    """The `model` of a report; `weights` is the file that was scored, if it lies here."""
    base = source.path / weights.name
    hashes = {path: sha256_of(path) for path in {base, weights} if path.is_file()}
    return ModelFacts(
        base_model=source.public_name,
        base_model_is_hub_id=not source.is_local,
        base_revision=source.revision,
        base_weights_sha256=hashes.get(base),
        architecture=type(model).__name__,
        pooling=pooling_of(model.config),
        num_parameters=int(model.num_parameters()),
        weights_sha256=hashes.get(weights),
        files_sha256=hashes_of(weights.parent, ("config.json", *TOKENIZER_FILES)) if weights in hashes else {},
    )


def data_facts(data: TextDataset, splits: Mapping[str, SplitFacts], doctor: DoctorFacts = NO_DOCTOR) -> DataFacts:
    """The `data` of a report."""
    return DataFacts(
        source=data.source,
        is_hub_id=data.is_from_hub,
        config=data.config,
        revision=data.revision,
        split_method=data.split_method,
        split_seed=data.split_seed,
        split_by=data.split_by,
        notes=tuple(data.notes),
        **asdict(find_duplicates(data)),
        splits=splits,
        doctor=doctor,
    )


def with_fitted_decision(task: Task, staging: Path, model: "PreTrainedModel", gold: Answers, logits: Logits) -> Task:
    """The task with its decision fitted on the validation split; also written into the model's configuration.

    Args:
        task: of the model.
        staging: where its configuration lies.
        model: as it was loaded.
        gold: answers of the validation split.
        logits: of the model.
    """
    fitted = task.fit_decision(gold, logits)
    if fitted.config_values:
        write_config_values(staging, fitted.config_values)
        vars(model.config).update(fitted.config_values)
    return fitted


def usage_of(
    classifier: Callable[[Any], Any], card: Mapping[str, Any], *, are_pairs: bool = False
) -> list[dict[str, Any]]:
    """The output of a pipeline for the text, or the pair, that the card shows."""
    text = _usage_text(card)
    return usage_answers(classifier, text, USAGE_TEXT_PAIR if are_pairs else None)


def usage_answers(classifier: Callable[[Any], Any], text: str, text_pair: str | None) -> list[dict[str, Any]]:
    """The output of a pipeline; for a pair transformers returns one answer without a list around it."""
    answers = classifier(text if text_pair is None else TextPair(text, text_pair)._asdict())
    return [
        {"label": one["label"], "score": round(one["score"], 4)}
        for one in (answers if isinstance(answers, list) else [answers])
    ]


def card_facts(
    inputs: Mapping[str, Any],
    name: str,
    answers: Iterable[Mapping[str, Any]],
    examples: Sequence[Example] = (),
    *,
    are_pairs: bool = False,
) -> CardFacts:
    """Facts from the author, and the call that the card shows with its output (`usage_of`)."""
    facts = CardFacts.from_dict({"title": name, **inputs})
    return replace(
        facts,
        renderer=RENDERER,
        usage_model=name,
        usage_text=_usage_text(inputs),
        usage_text_pair=USAGE_TEXT_PAIR if are_pairs else None,
        usage_output=tuple(map(dict, answers)),
        examples=tuple(examples),
    )


def _usage_text(card: Mapping[str, Any]) -> str:
    text: str = (card.get("widget") or [USAGE_TEXT])[0]
    return text


def write_predictions(directory: Path, name: str, predictions: Predictions) -> str:
    """Write a predictions file and return its hash."""
    path = directory / "predictions" / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(predictions.to_parquet())
    return sha256_of(path)


@work("Drawing the plots")
def write_plots(directory: Path, report: Report, predictions: Predictions, more: Mapping[str, bytes]) -> None:
    """Write the pictures; `predictions` are those of the split that the card shows."""
    folder = directory / "plots"
    folder.mkdir(parents=True, exist_ok=True)
    pictures, matrix = dict(more), report.shown.confusion_matrix
    if (bins := reliability_of(predictions)) is not None:
        pictures["reliability"] = plots.reliability_plot(bins, of_each_label=predictions.task.answers_are_lists)
    if matrix is not None:
        pictures["confusion_matrix"] = plots.confusion_matrix_plot(matrix, report.task.labels)
    if baselines := report.shown.baselines:
        key, names = predictions.task.key_metrics[0], predictions.task.names_of_baselines
        values = {names[name]: one.metrics[key] for name, one in baselines.items()}
        metric = f"{predictions.task.metric_names[key]} ({report.shown_split.replace('_', '-')})"
        pictures["baselines"] = plots.baselines_plot(metric, report.shown.metrics[key], values)
    if not predictions.task.has_labels:
        pictures["residuals"] = plots.residual_plot(predictions.gold, predictions.predicted)
    for name, picture in pictures.items():
        (folder / f"{name}.png").write_bytes(picture)


def write_report(staging: Path, report: Report) -> Report:
    """Write the report of a staged repository, with the hashes of its files, and the card."""
    further = [name for name in files_below(staging) if name != WEIGHTS and not name.startswith("predictions/")]
    report = with_hashes(report, hashes_of(staging, further))
    (staging / REPORT).write_text(report.to_json(), encoding="utf-8")
    (staging / CARD).write_text(render_model_card(report), encoding="utf-8")
    return report


def repository_files(directory: Path, *, predictions: bool = True) -> list[str]:
    """The files of a directory that belong to the model repository: those that its report states.

    Args:
        directory: that a run wrote.
        predictions: whether the files with logits and gold labels belong to it.

    Returns:
        Paths relative to the directory, with `/`.

    Raises:
        OutputDirectoryError: if it is no model repository that hfbertcls wrote, or one of its files is a link.
    """
    report = read_report(directory)
    names = [CARD, REPORT, *stated_files(report)]
    if not predictions:
        names = [name for name in names if not name.startswith("predictions/")]
    links = [name for name in names if (directory / name).exists() and regular_file(directory, name) is None]
    if links:
        raise OutputDirectoryError(
            f"{listing(links)} of {directory.resolve().name!r} is a link or no regular file, and nothing outside of the "
            "directory is sent. Put the file itself there"
        )
    there = [name for name in names if (directory / name).is_file()]
    missing = [name for name in (CARD, "config.json") if name not in there]
    if not any(name.endswith(".safetensors") for name in there):
        missing.append(WEIGHTS)
    if missing:
        raise OutputDirectoryError(
            f"the directory {directory.resolve().name!r} is no complete model repository: it lacks {listing(missing)}. Name "
            "one that hfbertcls train wrote"
        )
    return there


def address(directory: Path, **facts: Any) -> None:
    """Write the ids of the model and its Space into report and card; the author's text in the card is kept.

    Args:
        directory: a model repository that hfbertcls wrote.
        facts: of the report's `card`: `repo_id`, `usage_model`, `usage_revision`, `space_id`.
    """
    report = read_report(directory)
    card = replace(report.card, **facts)
    if card.repo_id and card.title == directory_name(directory):  # (its author gave it no title)
        card = replace(card, title=card.repo_id.rpartition("/")[2])
    rewrite_report(directory, replace(report, card=card))


def rewrite_report(
    directory: Path, report: Report, *, added: Iterable[str] = (), removed: Iterable[str] = ()
) -> Report:
    """Replace the report of a finished directory and its card; what its author wrote into the card is kept.

    Licence, language and base model of its front matter are taken into the report, from which the text of the card follows.

    Args:
        directory: a model repository that hfbertcls wrote.
        report: the new report.
        added: files that were written since the last report.
        removed: files that the new report does not state.
    """
    gone = set(removed)
    kept = {name: digest for name, digest in stated_files(report).items() if name not in gone}
    existing = (directory / CARD).read_text(encoding="utf-8-sig")
    report = replace(report, card=replace(report.card, **facts_of_author(split_card(existing)[0], report)))
    report = with_hashes(report, kept | hashes_of(directory, added))
    card, _ = join_card(render_model_card(report), existing)
    texts = {directory / REPORT: report.to_json(), directory / CARD: card}
    partials = {path: path.with_name(f".{path.name}.partial") for path in texts}
    try:
        for path, text in texts.items():
            partials[path].write_text(text, encoding="utf-8")
    except OSError:  # (a full or read-only disk: both files stay as they were)
        with contextlib.suppress(OSError):
            for partial in partials.values():
                partial.unlink(missing_ok=True)
        raise
    for path, partial in partials.items():
        partial.replace(path)
    return report
