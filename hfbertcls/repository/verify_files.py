"""The files of a model repository against its report: hashes, missing and additional files, `config.json`."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hfbertcls.data.long_text import LONG_TEXT
from hfbertcls.evaluation.report import Report
from hfbertcls.evaluation.report_evaluation import Evaluation
from hfbertcls.files import files_below, sha256_of
from hfbertcls.modeling.heads import SHIFT, TEMPERATURE
from hfbertcls.modeling.label_matching import nameless
from hfbertcls.modeling.pooling import POOLING
from hfbertcls.modeling.text_fields import TEXT_FIELDS_KEY, states_pairs
from hfbertcls.repository.stated_files import CARD, EXPORT, REPORT, TOKENIZER_FILES, WEIGHTS, stated_files
from hfbertcls.tasks.task import Temperature


_RUN_FILES = ("checkpoints/", "seeds/", "learning-curve/", "metrics.jsonl", EXPORT)
"""What a run keeps beside its model repository."""
_LOADED = ("adapter_", "added_tokens", "config.", "merges", "model", "special_tokens", "tokenizer", "vocab")


def hash_differences(folder: Path, report: Report, report_sha256: str, names: Sequence[str]) -> Iterator[str]:
    """Differences from the hashes of the report; missing predictions are no difference.

    Args:
        folder: with the files.
        report: that states them.
        report_sha256: of report.json, as the card states it.
        names: of all files of the repository, also those that are not in the folder.
    """
    actual = sha256_of(folder / REPORT)
    if actual != report_sha256:
        yield f"report.json: its SHA-256 is {actual[:16]}…, the card was made from one with {report_sha256[:16]}…"
    stated_hashes = stated_files(report)
    for name, digest in stated_hashes.items():
        path = folder / name
        if not path.is_file():
            if not name.startswith("predictions/"):
                yield f"{name}: it is not there"
        elif sha256_of(path) != digest:
            yield f"{name}: its SHA-256 is not the one that report.json states ({digest[:16]}…)"
    if WEIGHTS not in stated_hashes and not _shards(folder) <= set(stated_hashes):
        yield f"report.json: it states no SHA-256 of {WEIGHTS}, nor of all its parts"
    if "config.json" not in stated_hashes or not {"tokenizer.json", "tokenizer_config.json"} & set(stated_hashes):
        yield "report.json: model.files_sha256 does not state config.json and the tokenizer"
    exports = {one.file: one.sha256 for one in report.model.exports}
    for name, digest in exports.items():
        if stated_hashes.get(name) != digest:
            yield f"report.json: model.exports states another SHA-256 of {name} than model.files_sha256, or that none"
    for name in unstated(report, names):
        if is_loaded(name):
            yield f"{name}: report.json does not state it, and it can change what the model answers"


def _shards(folder: Path) -> set[str]:
    """The shards of the weights and their index; the name of unsharded weights if the index cannot be read."""
    index = f"{WEIGHTS}.index.json"
    try:
        weights = json.loads((folder / index).read_text(encoding="utf-8"))["weight_map"]
        return {index, *map(str, weights.values())}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {WEIGHTS}


def unstated(report: Report, names: Sequence[str]) -> list[str]:
    """Files of a repository that its report does not state, without hidden files and those of a run."""
    stated_names = {CARD, REPORT, *stated_files(report)}
    return [name for name in names if name not in stated_names and not name.startswith((".", *_RUN_FILES))]


def is_loaded(name: str) -> bool:
    """Whether transformers (or peft) may read a file when it loads a model."""
    if "/" in name:
        return False
    return name in TOKENIZER_FILES or (
        name.startswith(_LOADED) and name.endswith((".json", ".safetensors", ".txt", ".model"))
    )


def names_in(folder: Path) -> list[str]:
    """All files of a directory that may belong to a model repository."""
    return [name for name in files_below(folder) if not name.startswith(_RUN_FILES)]


def configuration_differences(folder: Path, report: Report) -> Iterator[str]:
    """Differences of `config.json` and the tokenizer from the report."""
    config = _json_object(folder / "config.json")
    # transformers leaves out what is its default: two labels without names.
    unnamed = {str(index): name for index, name in enumerate(nameless(2))} if config else None
    id2label = config.get("id2label", unnamed)
    if not isinstance(id2label, Mapping):
        yield "config.json: its id2label cannot be read"
        return
    task = report.resolved_task
    if task.has_labels and [id2label.get(str(index)) for index in range(len(id2label))] != list(task.labels):
        yield "config.json: its labels are not those of report.json"
    if not task.is_of_config(config.get("problem_type"), config):
        yield f"config.json: its problem_type does not fit the task {task.name} of report.json"
    for key in task.config_keys:
        if config.get(key) != task.config_values.get(key):
            yield f"config.json: its {key} are not those that report.json states"
    for name, entry in report.evaluation.items():
        if temperature_in(entry) != config.get(TEMPERATURE):
            yield f"config.json: its {TEMPERATURE} is not the one that report.json states for the {name} split"
        if shift_in(entry) != config.get(SHIFT):
            yield f"config.json: its {SHIFT} is not the one that report.json states for the {name} split"
    architecture = report.model.architecture
    if architecture is not None and config.get("architectures") != [architecture]:
        yield f"config.json: its architectures are not {architecture}, which report.json states"
    reads_mean = config.get(POOLING) == "mean" or config.get("classifier_pooling") == "mean"
    if report.model.pooling not in (None, "mean" if reads_mean else "first"):
        yield f"config.json: its pooling is not {report.model.pooling}, which report.json states"
    if report.task.text_column is not None and states_pairs(config) != (report.task.text_pair_column is not None):
        yield f"config.json: its {TEXT_FIELDS_KEY} are not the texts of a row that report.json states"
    if config.get(LONG_TEXT) != report.task.reading.as_config:
        yield f"config.json: its {LONG_TEXT} is not how report.json says that long texts are read"
    length = _json_object(folder / "tokenizer_config.json").get("model_max_length")
    if isinstance(length, int) and length != report.task.max_length:
        yield f"tokenizer_config.json: its model_max_length is {length:,}, report.json states {report.task.max_length:,}"


def _json_object(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def temperature_in(entry: Evaluation) -> Temperature | None:
    """The temperature that the evaluation of a split states; None if it states none."""
    value = None if entry.calibration is None else entry.calibration.temperature
    if value is None:
        return None
    return [float(one) for one in value] if isinstance(value, tuple) else float(value)


def shift_in(entry: Evaluation) -> list[float] | None:
    """The shift of the logits that the evaluation of a split states, in label order; None if it states none."""
    return None if entry.adjustment is None else [float(one) for one in entry.adjustment.shift.values()]
