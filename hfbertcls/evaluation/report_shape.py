"""What `report.json` looks like: the guard at its door, so that a damaged report is refused by the key that is wrong."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from hfbertcls.tasks.known import TASKS
from hfbertcls.tasks.multi_label import MultiLabel


_HASH = re.compile(r"[0-9a-f]{64}")
Shape = Any
"""A type, a `Check`, a list of one shape, or a mapping of shapes: a key that ends in `?` may be missing, `*` is any other."""


@dataclass(frozen=True)
class Check:
    """A value by a predicate.

    Args:
        expected: what it must be, in words.
        holds: whether it is.
    """

    expected: str
    holds: Callable[[Any], bool]


@dataclass(frozen=True)
class Maybe:
    """A shape, or null."""

    shape: Shape


def _is_number(value: Any) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool) and isfinite(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _is_one_or_several_texts(value: Any) -> bool:
    values = value if isinstance(value, list) else [value]
    return value is None or all(isinstance(one, str) for one in values)


NUMBER = Check("a number", _is_number)
COUNT = Check("a count", _is_count)
ROWS = Check("a count of at least 1", lambda value: _is_count(value) and value > 0)
TEXT = Check("a text", lambda value: isinstance(value, str))
FLAG = Check("true or false", lambda value: isinstance(value, bool))
SHA256 = Check("a SHA-256 in hexadecimal", lambda value: isinstance(value, str) and bool(_HASH.fullmatch(value)))
ANYTHING = Check("anything", lambda _: True)
_SPLIT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_FILE_NAME = re.compile(r"(?:(?:plots|onnx)/)?[A-Za-z0-9_][A-Za-z0-9_.+-]*")

_METRIC = {"value": Maybe(NUMBER), "low": Maybe(NUMBER), "high": Maybe(NUMBER)}
_KNOWN_METRIC = {"value": NUMBER, "low": NUMBER, "high": NUMBER}
_SLICE = {"name": TEXT, "rows": COUNT, "accuracy?": Maybe(_METRIC), "f1_macro?": Maybe(_METRIC)}
_BASELINE = {
    "accuracy": NUMBER,
    "f1_macro": NUMBER,
    "train_rows?": COUNT,
    "analyzer?": TEXT,
    "difference?": {"metric": TEXT, **_KNOWN_METRIC},
}
_EVALUATION = {
    "rows": ROWS,
    "predictions_sha256": SHA256,
    "metrics": {"accuracy": _KNOWN_METRIC, "f1_macro": _KNOWN_METRIC, "ece": _METRIC, "*": _METRIC},
    "per_label": {"*": {"precision": NUMBER, "recall": NUMBER, "f1": NUMBER, "support": COUNT}},
    "confusion_matrix": Maybe([[COUNT]]),
    "reliability": [{"rows": COUNT, "confidence": Maybe(NUMBER), "accuracy": Maybe(NUMBER)}],
    "slices": {"*": {"slices": [_SLICE], "worst": Maybe(TEXT), "p_value": Maybe(NUMBER)}},
    "abstaining": [{"coverage": NUMBER, "rows": COUNT, "score": NUMBER, "accuracy": _METRIC}],
    "calibration": Maybe({"temperature": ANYTHING, "fitted_on": TEXT, "*": Maybe(NUMBER)}),
    "baselines": Maybe({"*": _BASELINE}),
    "verdict?": Maybe({"code": TEXT, "sentence": TEXT}),
    "bf16_agreement?": NUMBER,
    "trained_on?": Maybe(COUNT),
}
_SPLIT = {
    "rows": ROWS,
    "rows_read": COUNT,
    "dropped": {"*": COUNT},
    "sha256": Maybe(TEXT),
    "rows_sha256?": Maybe(TEXT),
    "label_counts": {"*": COUNT},
    "truncated_rows": Maybe(COUNT),
    "longest_tokens?": COUNT,
    "unknown_token_share": Maybe(NUMBER),
}
_EXPORT = {
    "file": TEXT,
    "precision": TEXT,
    "bytes": COUNT,
    "original_bytes": Maybe(COUNT),
    "sha256": SHA256,
    "agreement": {"split": Maybe(TEXT), "rows": COUNT, "*": ANYTHING},
}
_RUN = {"seed": COUNT, "best_step": Maybe(COUNT), "*": {"*": Maybe(NUMBER)}}
_SUMMARY = {"*": {"*": Maybe({"mean": NUMBER, "sd": NUMBER})}}
_AVERAGE = {
    "method": TEXT,
    "seeds": [COUNT],
    "metric": TEXT,
    "validation": Maybe(NUMBER),
    "best_run": Maybe(NUMBER),
    "best_seed": COUNT,
    "shipped": FLAG,
}
_SEEDS = {"chosen": Maybe(COUNT), "metric": TEXT, "runs": [_RUN], "summary": _SUMMARY, "average?": Maybe(_AVERAGE)}
_CURVE = {
    "split": TEXT,
    "points": [{"rows": ROWS, "right": COUNT, "measured": ROWS, "accuracy": _KNOWN_METRIC}],
    "fit": {"a": NUMBER, "b": NUMBER},
    "twice": {"rows": COUNT, "gain": NUMBER, "low": NUMBER, "high": NUMBER},
}
_TRAINING = {
    "best_step": Maybe(COUNT),
    "steps": COUNT,
    "planned_steps?": COUNT,
    "epochs": Maybe(NUMBER),
    "seconds": NUMBER,
    "seed": Maybe(COUNT),
    "selection_metric": Maybe(TEXT),
    "hyperparameters": {"*": ANYTHING},
    "arguments": {"*": ANYTHING},
    "seeds?": Maybe(_SEEDS),
    "learning_curve?": Maybe(_CURVE),
}
_EXAMPLE = {"row": COUNT, "text": TEXT, "label": TEXT, "prediction": TEXT}
_CARD = {
    "title?": TEXT,
    "repo_id?": Maybe(TEXT),
    "space_id?": Maybe(TEXT),
    "usage_model?": TEXT,
    "usage_text?": TEXT,
    "usage_output?": [ANYTHING],
    "examples?": [_EXAMPLE],
    "widget?": Maybe([TEXT]),
}
_FINDING = {"code": TEXT, "severity": TEXT, "fact": TEXT}
REPORT = {
    "schema_version": Check("1", lambda value: value == 1 and not isinstance(value, bool)),
    "task": {
        "type": Check(" or ".join(TASKS), lambda value: isinstance(value, str) and value in TASKS),
        "labels": [TEXT],
        "text_column": Maybe(TEXT),
        "text_pair_column": Maybe(TEXT),
        "label_column": Check("a text, a list of texts or null", _is_one_or_several_texts),
        "quoting?": TEXT,
        "header?": FLAG,
        "max_length": COUNT,
        "truncation_side?": TEXT,
        "slice_column?": Maybe(TEXT),
        "label_separator?": Maybe(TEXT),
        "thresholds?": Maybe([NUMBER]),
    },
    "model": {
        "base_model": TEXT,
        "base_model_is_hub_id": FLAG,
        "base_revision": Maybe(TEXT),
        "num_parameters": COUNT,
        "weights_sha256": Maybe(SHA256),
        "files_sha256?": {"*": SHA256},
        "exports?": [_EXPORT],
    },
    "data": {
        "source": TEXT,
        "is_hub_id": FLAG,
        "config": Maybe(TEXT),
        "revision": Maybe(TEXT),
        "split_method": TEXT,
        "split_seed?": Maybe(COUNT),
        "split_by?": Maybe(TEXT),
        "notes": [TEXT],
        "splits": {"*": _SPLIT},
        "overlap?": {"*": COUNT},
        "doctor?": {"findings?": [_FINDING], "*": ANYTHING},
    },
    "evaluation": {"*": _EVALUATION},
    "training?": Maybe(_TRAINING),
    "card": _CARD,
    "environment": {"*": Maybe(Check("a text or a number", lambda value: isinstance(value, str | int)))},
    "command": TEXT,
    "files_sha256?": {"*": SHA256},
}


def first_fault(report: Any) -> str | None:
    """What is wrong with a report that was read from JSON, beginning with the key; None if nothing is.

    >>> first_fault({"schema_version": 1})
    'task is missing'
    """
    return _fault(report, REPORT, "") or _contradiction(report)


def _fault(value: Any, shape: Shape, place: str) -> str | None:
    if isinstance(shape, Maybe):
        return None if value is None else _fault(value, shape.shape, place)
    if isinstance(shape, Check):
        return None if shape.holds(value) else f"{place or 'the report'} is {_told(value)}; expected {shape.expected}"
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"{place} is {_told(value)}; expected a list"
        faults = (_fault(entry, shape[0], f"{place}[{index}]") for index, entry in enumerate(value))
        return next(filter(None, faults), None)
    if not isinstance(value, Mapping):
        return f"{place or 'the report'} is {_told(value)}; expected an object"
    named = {key.removesuffix("?"): (entry, key.endswith("?")) for key, entry in shape.items() if key != "*"}
    for key, (_, optional) in named.items():
        if key not in value and not optional:
            return f"{_joined(place, key)} is missing"
    for key, entry in value.items():
        inner = named[key][0] if key in named else shape.get("*", ANYTHING)
        if fault := _fault(entry, inner, _joined(place, key)):
            return fault
    return None


def _contradiction(report: Mapping[str, Any]) -> str | None:
    """What fits its shape and still cannot be: parts that speak of different splits or labels."""
    labels, splits, evaluation = report["task"]["labels"], report["data"]["splits"], report["evaluation"]
    kind = TASKS[report["task"]["type"]]
    if (kind.has_labels and not labels) or len(set(labels)) != len(labels):
        return "task.labels must be at least one label, none twice"
    if fault := kind.fault_in_report(report["task"]):
        return fault
    if not evaluation:
        return "evaluation has no split"
    for name, facts in splits.items():
        if not _SPLIT_NAME.fullmatch(name):
            return f"data.splits has the key {_told(name)}; expected the name of a split"
        if set(facts["label_counts"]) != set(labels):
            return f"data.splits.{name}.label_counts must have the keys of task.labels"
    for place, files in (("model.files_sha256", report["model"]), ("files_sha256", report)):
        for name in files.get(place.rpartition(".")[2], {}):
            if not is_repository_path(name):
                return f"{place} has the key {_told(name)}; expected the path of a file of the repository"
    for name, entry in evaluation.items():
        place = f"evaluation.{name if _SPLIT_NAME.fullmatch(name) else _told(name)}"
        if name not in splits:
            return f"{place} has no counterpart in data.splits"
        if list(entry["per_label"]) != labels:
            return f"{place}.per_label must have the keys of task.labels, in this order"
        matrix = entry["confusion_matrix"]
        if (matrix is not None) != kind.is_one_label or (matrix and {len(matrix), *map(len, matrix)} != {len(labels)}):
            return f"{place}.confusion_matrix must have a row and a column for each label, and be null for {MultiLabel.name}"
        temperature = (entry["calibration"] or {"temperature": None})["temperature"]
        if not (
            temperature is None
            or (kind.is_one_label and _is_number(temperature))
            or (
                isinstance(temperature, list) and len(temperature) == len(labels) and all(map(_is_number, temperature))
            )
        ):
            return f"{place}.calibration.temperature must be a number, or one for each label"
    training = report.get("training") or {}
    return _contradiction_of_runs(training.get("seeds"), evaluation) or _contradiction_of_curve(
        training.get("learning_curve"), evaluation
    )


def is_repository_path(name: str) -> bool:
    """Whether a further file of a model repository may have this path: nothing outside of it, nothing hidden.

    >>> is_repository_path("plots/reliability.png"), is_repository_path("../notes.txt")
    (True, False)
    """
    return bool(_FILE_NAME.fullmatch(name))


def _contradiction_of_runs(seeds: Mapping[str, Any] | None, evaluation: Mapping[str, Any]) -> str | None:
    if not seeds:
        return None
    if "validation" not in evaluation or len(seeds["runs"]) < 2:
        return "training.seeds needs at least two runs and an evaluation of validation"
    for index, run in enumerate(seeds["runs"]):
        for split, entry in evaluation.items():
            values = run.get(split)
            if (
                values is None
                or set(values) != set(seeds["runs"][0][split])
                or not set(values) <= set(entry["metrics"])
            ):
                return f"training.seeds.runs[{index}].{split} must have metrics of evaluation.{split}"
        if seeds["metric"] not in run["validation"]:
            return f"training.seeds.metric is {_told(seeds['metric'])}; expected a metric of the runs"
    if seeds.get("average") and seeds["average"]["metric"] not in evaluation["validation"]["metrics"]:
        return f"training.seeds.average.metric is {_told(seeds['average']['metric'])}; expected a metric of validation"
    return None


def _contradiction_of_curve(curve: Mapping[str, Any] | None, evaluation: Mapping[str, Any]) -> str | None:
    if not curve:
        return None
    if curve["split"] not in evaluation:
        return f"training.learning_curve.split is {_told(curve['split'])}; expected a split of evaluation"
    rows = [point["rows"] for point in curve["points"]]
    if len(rows) < 2 or rows != sorted(set(rows)):
        return "training.learning_curve.points must be at least two, with rising numbers of rows"
    if any(point["right"] > point["measured"] for point in curve["points"]):
        return "training.learning_curve.points must not have more right rows than measured ones"
    return None


def _joined(place: str, key: str) -> str:
    name = key if len(key) <= 40 and key.isprintable() else f"{key[:40]!r}…"
    return f"{place}.{name}" if place else name


def _told(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping | list):
        return "a list" if isinstance(value, list) else "an object"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:39]}…"
