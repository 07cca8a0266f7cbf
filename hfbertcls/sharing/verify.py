"""Deriving a model repository again from its own files: report from predictions, card from report, hashes from bytes."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from math import isclose
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from jinja2 import UndefinedError

from hfbertcls.errors import DatasetError, HfBertClsError, ModelError, SharingError, shorten
from hfbertcls.evaluation.power_law import CurvePoint, learning_curve_figures
from hfbertcls.evaluation.repeats import average_figures, summary_of_runs
from hfbertcls.evaluation.report import Report, split_figures
from hfbertcls.evaluation.temperature import FITTED_ON, Temperature, fit_temperature
from hfbertcls.evaluation.thresholds import fit_thresholds
from hfbertcls.modeling.heads import TEMPERATURE, THRESHOLDS
from hfbertcls.modeling.predictions import Predictions
from hfbertcls.progress import work
from hfbertcls.sharing.card import RENDERER, Fence, render_model_card, sha256_of_text
from hfbertcls.sharing.card_metadata import OWNED_KEYS, TAG, parse_front_matter, split_card
from hfbertcls.sharing.model_repository import sha256_of, stated_exports
from hfbertcls.sharing.retrying import reason_of, tried


_TOLERANCE = 1e-6  # relative; other versions of numpy may sum in another order
_FITTING_TOLERANCE = 1e-3  # relative; the logits are rounded to fp32 and the temperature to five digits


@dataclass(frozen=True)
class Verification:
    """What was found: an empty list of differences says that every figure could be derived again."""

    differences: tuple[str, ...]
    notes: tuple[str, ...] = ()
    """What could not be derived, because the files for it are not there."""


@work("Deriving the metrics again")
def verify_directory(directory: str | Path) -> Verification:
    """Derive report and card of a model repository again, and compare all hashes. Nothing is run, nothing is fetched.

    It proves that the files belong together, not who made them.

    Args:
        directory: a model repository that hfbertcls wrote.

    Raises:
        ModelError: if it has no report or no card of hfbertcls.
    """
    folder = Path(directory).expanduser()
    report, card = _read(folder)
    fence = Fence.find(split_card(card)[1])
    if fence is None:
        raise ModelError(
            f"README.md of {folder.resolve().name!r} has no part that hfbertcls generated: nothing to verify"
        )
    differences = [*_files(folder, report, fence)]
    notes = []
    for name, stated in report.evaluation.items():
        path = folder / "predictions" / f"{name}.parquet"
        if path.is_file():
            differences += _split(path, name, stated, report)
        else:
            notes.append(f"the figures of the {name} split cannot be derived: predictions/{name}.parquet is not there")
    differences += [*_seeds(report), *_learning_curve(report), *_card(card, fence, report)]
    return Verification(tuple(dict.fromkeys(differences)), tuple(notes))


@work("Fetching the repository")
def verify_repository(repo_id: str, revision: str | None = None) -> Verification:
    """Like `verify_directory`, for a repository on the Hub; only the files that it needs are fetched.

    Raises:
        SharingError: if it cannot be fetched.
        ModelError: if it has no report or no card of hfbertcls.
    """
    from huggingface_hub import snapshot_download  # noqa: PLC0415

    wanted = [
        "README.md",
        "report.json",
        "config.json",
        "*.safetensors",
        "*.safetensors.index.json",
        "predictions/*.parquet",
        "onnx/*.onnx",
    ]
    with TemporaryDirectory() as folder:
        try:
            path = tried(
                lambda: snapshot_download(repo_id, revision=revision, allow_patterns=wanted, local_dir=folder),
                lambda _: None,
            )
        except Exception as err:
            raise SharingError(f"{repo_id} cannot be fetched: {reason_of(err)}") from err
        return verify_directory(path)


def _read(folder: Path) -> tuple[Report, str]:
    try:
        report = Report.from_json((folder / "report.json").read_text(encoding="utf-8"))
        return report, (folder / "README.md").read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError, DatasetError) as err:
        reason = str(err) if isinstance(err, HfBertClsError) else f"{type(err).__name__}"
        raise ModelError(
            f"{folder.resolve().name!r} is no model repository of hfbertcls: report.json and README.md are needed ({reason})"
        ) from err


def _files(folder: Path, report: Report, fence: Fence) -> Iterator[str]:
    found = sha256_of(folder / "report.json")
    if found != fence.report_sha256:
        yield f"report.json: its SHA-256 is {found[:16]}…, the card was made from one with {fence.report_sha256[:16]}…"
    weights = folder / "model.safetensors"
    stated = report.model.get("weights_sha256")
    if weights.is_file() and stated is not None and sha256_of(weights) != stated:
        yield f"model.safetensors: its SHA-256 is not the one that report.json states ({str(stated)[:16]}…)"
    elif not weights.is_file() and not list(folder.glob("model-*.safetensors")):
        yield "model.safetensors: it is not there"
    for name, digest in stated_exports(report).items():
        path = folder / name
        if folder.resolve() not in path.resolve().parents or not path.is_file():
            yield f"{name}: it is not there"
        elif sha256_of(path) != digest:
            yield f"{name}: its SHA-256 is not the one that report.json states"
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        names = [config["id2label"][str(index)] for index in range(len(config["id2label"]))]
    except (OSError, ValueError, LookupError, TypeError):
        yield "config.json: its id2label cannot be read"
        return
    if names != list(report.task["labels"]):
        yield "config.json: its labels are not those of report.json"
    if report.task.get("thresholds") != config.get(THRESHOLDS):
        yield f"config.json: its {THRESHOLDS} are not those that report.json states"
    for name, stated in report.evaluation.items():
        if _temperature(stated) != config.get(TEMPERATURE):
            yield f"config.json: its {TEMPERATURE} is not the one that report.json states for the {name} split"


def _seeds(report: Report) -> list[str]:
    """Mean and deviation over several runs, from what each has scored, and what is shipped: one of them, or an average."""
    seeds = (report.training or {}).get("seeds")
    if not seeds:
        return []
    place = "report.json: training.seeds"
    splits = list(report.evaluation)
    differences = []
    for run in seeds["runs"]:
        if run["seed"] == seeds["chosen"]:
            for split in splits:
                values = {name: report.evaluation[split]["metrics"][name]["value"] for name in run[split]}
                differences += compare(run[split], values, f"{place}.runs, seed {run['seed']}, {split}")
    derived = summary_of_runs(seeds["runs"], splits, list(seeds["runs"][0][splits[0]]))
    differences += compare(seeds["summary"], derived, f"{place}.summary")
    average = seeds.get("average")
    if average:
        value = report.evaluation["validation"]["metrics"][average["metric"]]["value"]
        value = value if average["shipped"] else average["validation"]
        figures = average_figures(average["method"], average["seeds"], average["metric"], seeds["runs"], value)
        differences += compare(average, figures, f"{place}.average")
        chosen = None if average["shipped"] else figures["best_seed"]
        differences += compare(seeds["chosen"], chosen, f"{place}.chosen")
    return differences


def _learning_curve(report: Report) -> list[str]:
    """The law through the points of a learning curve, the last of which is that of the shipped weights."""
    stated = (report.training or {}).get("learning_curve")
    if not stated:
        return []
    points = [CurvePoint(point["rows"], point["right"], point["measured"]) for point in stated["points"]]
    derived = {"split": stated["split"], **learning_curve_figures(points)}
    place = "report.json: training.learning_curve"
    accuracy = report.evaluation[stated["split"]]["metrics"]["accuracy"]["value"]
    last = compare(stated["points"][-1]["accuracy"]["value"], accuracy, f"{place}.points[-1].accuracy.value")
    return [*compare(stated, derived, place), *last]


def _temperature(stated: Mapping[str, Any]) -> Temperature | None:
    value = (stated.get("calibration") or {}).get("temperature")
    if isinstance(value, list) and all(isinstance(one, float | int) for one in value):
        return [float(one) for one in value]
    return float(value) if isinstance(value, float | int) else None


def _split(path: Path, name: str, stated: Mapping[str, Any], report: Report) -> list[str]:
    """Every figure of a split, computed again from its predictions."""
    place = f"predictions/{name}.parquet"
    digest = sha256_of(path)
    differences = []
    if digest != stated.get("predictions_sha256"):
        differences.append(f"{place}: its SHA-256 is not the one that report.json states")
    try:
        stored = path.read_bytes()
        predictions = Predictions.from_parquet(stored, report.task["labels"], report.task.get("thresholds"))
    except (HfBertClsError, OSError, ValueError) as err:
        return [*differences, f"{place}: it cannot be read ({shorten(str(err), 120)})"]
    if not predictions.agree_with(stored):
        differences.append(f"{place}: its predictions do not follow from its logits")
    temperature = _temperature(stated)
    derived = split_figures(predictions, digest, stated.get("baselines"), temperature)
    derived.pop("predictions_sha256")
    differences += compare({key: stated.get(key) for key in derived}, derived, f"report.json: evaluation.{name}")
    if temperature is not None and name == FITTED_ON:
        before = (predictions.logits * np.asarray(temperature)).astype(np.float32)
        fitted = fit_temperature(predictions.gold, before)
        place = f"report.json: evaluation.{name}.calibration.temperature"
        differences += compare(temperature, fitted, place, _FITTING_TOLERANCE)
    if predictions.thresholds is not None and name == FITTED_ON:
        chosen = fit_thresholds(predictions.gold, predictions.logits).tolist()
        differences += compare(report.task["thresholds"], chosen, "report.json: task.thresholds")
    counts = {label: row["support"] for label, row in derived["per_label"].items()}
    facts = report.data["splits"].get(name, {})
    differences += compare(facts.get("label_counts", {}), counts, f"report.json: data.splits.{name}.label_counts")
    return differences


def compare(stated: Any, derived: Any, place: str, tolerance: float = _TOLERANCE) -> list[str]:
    """Name each value that differs, by its path; `tolerance` is relative."""
    if isinstance(stated, Mapping) and isinstance(derived, Mapping):
        keys = list(dict.fromkeys([*stated, *derived]))
        return [
            line for key in keys for line in compare(stated.get(key), derived.get(key), f"{place}.{key}", tolerance)
        ]
    if isinstance(stated, list) and isinstance(derived, list) and len(stated) == len(derived):
        pairs = enumerate(zip(stated, derived, strict=True))
        return [line for index, (one, other) in pairs for line in compare(one, other, f"{place}[{index}]", tolerance)]
    if isinstance(stated, float | int) and isinstance(derived, float | int) and not isinstance(stated, bool):
        same = isclose(stated, derived, rel_tol=tolerance, abs_tol=1e-9)
    else:
        same = stated == derived
    return [] if same else [f"{place} states {shorten(str(stated))}, the files give {shorten(str(derived))}"]


def _card(card: str, fence: Fence, report: Report) -> list[str]:
    """The generated part and our keys of the front matter, rendered again; an older part is judged by its values."""
    try:
        rendered = render_model_card(report)
    except (UndefinedError, LookupError, TypeError, ValueError, AttributeError) as err:
        return [f"report.json: the card cannot be rendered from it ({shorten(str(err), 120)})"]
    expected = Fence.find(split_card(rendered)[1])
    first_line = card[: card.index(fence.body)].count("\n") + 1 if fence.body else 1
    differences = []
    if sha256_of_text(fence.body) != fence.body_sha256:
        differences.append("README.md: the generated part was changed (its SHA-256 is not the one in its first line)")
    if report.card.get("renderer") != RENDERER:
        differences += _values(fence.body, report, expected.body if expected else "", first_line)
    elif expected is not None and expected.body != fence.body:
        differences += _lines(fence.body, expected.body, first_line)
    stated, ours = parse_front_matter(split_card(card)[0]), parse_front_matter(split_card(rendered)[0])
    for key in OWNED_KEYS:
        differences += compare(stated.get(key), ours.get(key), f"README.md: front matter, {key}")
    tags = stated.get("tags") or []
    if TAG not in (tags if isinstance(tags, list) else [tags]):
        differences.append(f"README.md: front matter, tags lack {TAG!r}")
    return differences


_NUMERAL = re.compile(r"\d+(?:[.,]\d+)*")


def _values(body: str, report: Report, rendered: str, first_line: int) -> list[str]:
    """The numerals of a part that another release rendered, which must all be those of the report."""
    known = {*_NUMERAL.findall(rendered), *_NUMERAL.findall(report.to_json())}
    for number in _numbers_of(json.loads(report.to_json())):
        known |= {f"{number:,}", *(f"{number:.{places}f}" for places in range(5)), f"{100 * number:.1f}"}
    differences = []
    for offset, line in enumerate(body.splitlines()):
        for numeral in _NUMERAL.findall(line):
            if numeral not in known:
                differences.append(
                    f"README.md, line {first_line + offset}: states {numeral}, which the report does not give"
                )
    return differences


def _numbers_of(value: Any) -> Iterator[float | int]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for entry in value:
            yield from _numbers_of(entry)
    elif isinstance(value, float | int) and not isinstance(value, bool):
        yield abs(value)


def _lines(stated: str, derived: str, first_line: int) -> list[str]:
    old, new = stated.splitlines(), derived.splitlines()
    differences = []
    for kind, start, end, other_start, other_end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind != "equal":
            states = " / ".join(old[start:end]) or "nothing"
            gives = " / ".join(new[other_start:other_end]) or "nothing"
            differences.append(
                f"README.md, line {first_line + start}: states {_around(states, gives)}, the report gives {_around(gives, states)}"
            )
    return differences


def _around(text: str, other: str) -> str:
    """The part of a line where it differs from another, with a little of what stands beside it."""
    start = next(
        (index for index, (a, b) in enumerate(zip(text, other, strict=False)) if a != b), min(len(text), len(other))
    )
    begin = max(0, start - 20)
    return shorten(f"{'…' if begin else ''}{text[begin : begin + 60]}", 64)
