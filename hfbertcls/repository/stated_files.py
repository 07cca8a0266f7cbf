"""The files that a report states: these are the model repository, and nothing else in the directory."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from hfbertcls.errors import DatasetError, OutputDirectoryError
from hfbertcls.evaluation.report import Report
from hfbertcls.evaluation.report_consistency import is_repository_path


REPORT, CARD, WEIGHTS, EXPORT = "report.json", "README.md", "model.safetensors", "export.json"
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt", "vocab.json",
    "merges.txt", "spiece.model", "sentencepiece.bpe.model", "spm.model", "bpe.codes", "chat_template.jinja",
)  # fmt: skip


def stated_files(report: Report) -> dict[str, str]:
    """SHA-256 of every file that a report states, by its path with `/`; without report and card."""
    weights = report.model.weights_sha256
    predictions = {f"predictions/{name}.parquet": one.predictions_sha256 for name, one in report.evaluation.items()}
    further = {**report.model.files_sha256, **report.files_sha256}
    return {**({} if weights is None else {WEIGHTS: weights}), **further, **predictions}


def files_of_export(directory: Path) -> dict[str, str]:
    """SHA-256 of every file that the `export.json` of a directory states; empty if it cannot be read."""
    try:
        hashes = json.loads((directory / EXPORT).read_text(encoding="utf-8"))["files_sha256"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return {}
    fits = isinstance(hashes, dict) and all(is_repository_path(name) for name in hashes)
    return {name: str(digest) for name, digest in hashes.items()} if fits else {}


def earlier_files(directory: Path) -> dict[str, str]:
    """SHA-256 of the files that an earlier run wrote into a directory, without report and card."""
    try:
        hashes = stated_files(read_report(directory))
    except OutputDirectoryError:
        hashes = {}
    return hashes | files_of_export(directory)


def decides_an_answer(name: str) -> bool:
    """Whether a staged file is part of the model: not a plot, nor the record of the arguments."""
    return not name.startswith("plots/") and name != "training_args.json"


def with_hashes(report: Report, hashes: Mapping[str, str]) -> Report:
    """The report with the SHA-256 of the files beside it, sorted by whether they decide an answer."""
    own_fields = (REPORT, CARD, WEIGHTS)
    further = {name: digest for name, digest in sorted(hashes.items()) if name not in own_fields}
    further = {name: digest for name, digest in further.items() if not name.startswith("predictions/")}
    decisive = {name: digest for name, digest in further.items() if decides_an_answer(name)}
    others = {name: digest for name, digest in further.items() if not decides_an_answer(name)}
    weights = hashes.get(WEIGHTS, report.model.weights_sha256)
    model = replace(report.model, weights_sha256=weights, files_sha256=decisive)
    return replace(report, model=model, files_sha256=others)


def read_report(directory: Path) -> Report:
    """The report of a directory.

    Raises:
        OutputDirectoryError: if there is none, or it cannot be read.
    """
    try:
        return Report.from_json((directory / REPORT).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, DatasetError) as err:
        reason = str(err) if isinstance(err, DatasetError) else "report.json is not there, or cannot be read"
        raise OutputDirectoryError(
            f"the directory {directory.resolve().name!r} is no model repository that hfbertcls wrote: {reason}. Name one "
            "that hfbertcls train wrote"
        ) from err
