"""The files of a model repository beside the model itself, and the facts that they state."""

import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hfbertcls.data.dataset import LabelSchema, TextDataset
from hfbertcls.data.duplicates import find_duplicates
from hfbertcls.errors import OutputDirectoryError, listing
from hfbertcls.evaluation import plots
from hfbertcls.evaluation.calibration import reliability
from hfbertcls.evaluation.report import Report
from hfbertcls.evaluation.scores import probabilities
from hfbertcls.modeling.loading import ModelSource
from hfbertcls.modeling.predictions import Predictions, Thresholds
from hfbertcls.progress import work
from hfbertcls.sharing.card import join_card, render_model_card, shown_split


if TYPE_CHECKING:
    from transformers import PreTrainedModel


def task_facts(
    data: TextDataset, schema: LabelSchema, max_length: int, thresholds: Thresholds | None = None
) -> dict[str, Any]:
    """The `task` of a report."""
    return {
        "type": data.task,
        "labels": list(schema.names),
        "text_column": data.text_column,
        "text_pair_column": data.text_pair_column,
        "label_column": data.label_column,
        "slice_column": data.slice_column,
        "max_length": max_length,
        **({} if data.label_separator is None else {"label_separator": data.label_separator}),
        **({} if thresholds is None else {"thresholds": thresholds.tolist()}),
    }


def sha256_of(path: Path) -> str:
    """SHA-256 of the bytes of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def model_facts(source: ModelSource, model: "PreTrainedModel", weights: Path) -> dict[str, Any]:
    """The `model` of a report; `weights` is the file that was scored, if it lies here."""
    base = Path(source.name).expanduser() / weights.name
    hashes = {path: sha256_of(path) for path in {base, weights} if path.is_file()}
    return {
        "base_model": source.public_name,
        "base_model_is_hub_id": not source.is_local,
        "base_revision": source.revision,
        "base_weights_sha256": hashes.get(base),
        "architecture": type(model).__name__,
        "num_parameters": model.num_parameters(),
        "weights_sha256": hashes.get(weights),
    }


def data_facts(data: TextDataset, splits: Mapping[str, Any]) -> dict[str, Any]:
    """The `data` of a report."""
    return {
        "source": data.source,
        "is_hub_id": data.is_from_hub,
        "config": data.config,
        "revision": data.revision,
        "split_method": data.split_method,
        "notes": list(data.notes),
        **asdict(find_duplicates(data)),
        "splits": splits,
    }


def write_predictions(directory: Path, name: str, predictions: Predictions) -> str:
    """Write a predictions file and return its hash."""
    path = directory / "predictions" / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(predictions.to_parquet())
    return sha256_of(path)


@work("Drawing the plots")
def write_plots(directory: Path, report: Report, predictions: Predictions, more: Mapping[str, bytes]) -> None:
    """Write the pictures; `predictions` are those of the split that the card shows."""
    figures = report.evaluation[shown_split(report)]
    folder = directory / "plots"
    folder.mkdir(parents=True, exist_ok=True)
    several = predictions.thresholds is not None
    bins = reliability(predictions.gold, probabilities(predictions.gold, predictions.logits))
    pictures = {"reliability": plots.reliability_plot(bins, of_each_label=several), **more}
    if not several:
        pictures["confusion_matrix"] = plots.confusion_matrix_plot(figures["confusion_matrix"], report.task["labels"])
    for name, picture in pictures.items():
        (folder / f"{name}.png").write_bytes(picture)


def write_report(directory: Path, report: Report) -> None:
    """Write the report, and the card that is rendered from it."""
    (directory / "report.json").write_text(report.to_json(), encoding="utf-8")
    (directory / "README.md").write_text(render_model_card(report), encoding="utf-8")


TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt", "vocab.json",
    "merges.txt", "spiece.model", "sentencepiece.bpe.model", "spm.model", "bpe.codes",
)  # fmt: skip
_PLOTS = ("confusion_matrix.png", "reliability.png", "learning_curves.png", "data_curve.png")
_NEEDED = ("README.md", "config.json", "report.json", "tokenizer_config.json")


def stated_exports(report: Report) -> dict[str, str]:
    """The exports that a report states: SHA-256 by file; whatever is not of that form is left out."""
    stated = report.model.get("exports")
    entries = [one for one in stated if isinstance(one, dict)] if isinstance(stated, list) else []
    return {str(one.get("file")): str(one.get("sha256")) for one in entries}


def repository_files(directory: Path, *, predictions: bool = True) -> list[str]:
    """What of a directory is the model repository: an explicit list, whatever else lies there.

    Args:
        directory: that a run wrote.
        predictions: whether the files with logits and gold labels belong to it.

    Returns:
        Paths relative to the directory, with `/`.

    Raises:
        OutputDirectoryError: if it is no model repository that hfbertcls wrote.
    """
    weights = sorted(path.name for path in directory.glob("model*.safetensors*"))
    missing = [name for name in _NEEDED if not (directory / name).is_file()]
    if missing or not weights:
        raise OutputDirectoryError(
            f"the directory {directory.resolve().name!r} is no complete model repository: it lacks "
            f"{listing([*missing, *([] if weights else ['model.safetensors'])])}. Name one that hfbertcls train wrote"
        )
    report = Report.from_json((directory / "report.json").read_text(encoding="utf-8"))
    stated = stated_exports(report)
    # Of what the report states, only what lies in onnx/: a report from elsewhere must not name files of this machine.
    exports = [name for path in sorted((directory / "onnx").glob("*.onnx")) if (name := f"onnx/{path.name}") in stated]
    plots = [f"plots/{name}" for name in _PLOTS]
    names = [*_NEEDED, *weights, *exports, "training_args.json", *TOKENIZER_FILES, *plots]
    if predictions:
        names += sorted(f"predictions/{path.name}" for path in (directory / "predictions").glob("*.parquet"))
    return [name for name in dict.fromkeys(names) if (directory / name).is_file()]


def address(directory: Path, **facts: str | None) -> None:
    """Write into report and card where the model and its Space are found; what people wrote into the card stays.

    Args:
        directory: a model repository that hfbertcls wrote.
        facts: of the report's `card`: `repo_id`, `usage_model`, `usage_revision`, `space_id`.
    """
    report = Report.from_json((directory / "report.json").read_text(encoding="utf-8"))
    rewrite_report(directory, replace(report, card={**report.card, **facts}))


def rewrite_report(directory: Path, report: Report) -> None:
    """Put another report into a finished directory, with its card; what people wrote into the card stays."""
    existing = (directory / "README.md").read_text(encoding="utf-8-sig")
    card, _ = join_card(render_model_card(report), existing)
    texts = {directory / "report.json": report.to_json(), directory / "README.md": card}
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
