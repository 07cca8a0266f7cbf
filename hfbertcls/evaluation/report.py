"""The report: every figure and fact that the card may state, as plain values in the form of `report.json`."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from hfbertcls.data.dataset import TextDataset, TextSplit
from hfbertcls.errors import DatasetError
from hfbertcls.evaluation.abstaining import accuracy_by_coverage
from hfbertcls.evaluation.against_baselines import baseline_metrics, verdict_on_baselines
from hfbertcls.evaluation.intervals import score_with_intervals
from hfbertcls.evaluation.report_shape import first_fault
from hfbertcls.evaluation.slices import slices_of
from hfbertcls.evaluation.temperature import calibration_metrics
from hfbertcls.modeling.predictions import Predictions
from hfbertcls.progress import work
from hfbertcls.tasks.calibration_error import reliability
from hfbertcls.tasks.task import Temperature


SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Report:
    """`report.json` as a value; each field is one of its top-level keys, described in the README.

    `training` is None for a report of a model that was evaluated, not trained.
    """

    task: Mapping[str, Any]
    model: Mapping[str, Any]
    data: Mapping[str, Any]
    evaluation: Mapping[str, Any]
    card: Mapping[str, Any]
    environment: Mapping[str, Any]
    command: str
    training: Mapping[str, Any] | None = None
    files_sha256: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of the other files that were written with the report and decide no answer: plots, arguments."""
    schema_version: int = SCHEMA_VERSION
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Keys of a newer version, kept as they are."""

    def to_json(self) -> str:
        """The text of `report.json`: keys in a fixed order, no NaN."""
        values = asdict(self)
        values |= values.pop("extra")
        ordered = {"schema_version": values.pop("schema_version"), **values}
        return json.dumps(ordered, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Report":
        """Read `report.json`.

        Raises:
            DatasetError: if it is no report, or one of a version that this release cannot read.
        """
        try:
            values = json.loads(text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as err:
            reason = "it is nested too deeply" if isinstance(err, RecursionError) else str(err)
            raise DatasetError(f"report.json is not valid JSON: {reason}") from err
        if not isinstance(values, dict) or "schema_version" not in values:
            raise DatasetError("report.json has no schema_version; it is not a report of hfbertcls")
        version = values["schema_version"]
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise DatasetError(
                f"report.json has schema version {version}, this release reads {SCHEMA_VERSION}. Update hfbertcls"
            )
        if fault := first_fault(values):
            raise DatasetError(f"report.json is damaged: {fault}")
        known = {key: values.pop(key) for key in [one.name for one in fields(cls)] if key in values}
        return cls(**known, extra=values)


def _refuse_constant(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def split_facts(split: TextSplit, dataset: TextDataset, truncated_rows: int, unknown_share: float) -> dict[str, Any]:
    """What the report says of the rows of a split."""
    counts = split.label_counts(dataset.task.labels) if dataset.task is not None else {}
    return {
        "rows": len(split),
        "rows_read": split.rows_read,
        "dropped": dict(split.dropped),
        "sha256": split.sha256,
        "rows_sha256": split.rows_sha256,
        "label_counts": counts,
        "truncated_rows": truncated_rows,
        "unknown_token_share": unknown_share,
    }


@work("Computing metrics and intervals")
def split_figures(
    predictions: Predictions,
    predictions_sha256: str,
    baseline_facts: Mapping[str, Mapping[str, Any]],
    temperature: Temperature | None = None,
) -> dict[str, Any]:
    """Every metric of a split, those of the baselines too, computed from its predictions alone.

    Args:
        predictions: of the weights as they are.
        predictions_sha256: of the predictions file.
        baseline_facts: what each baseline was fitted on, by its name.
        temperature: that the weights contain; None where they contain none.
    """
    task, gold, logits = predictions.task, predictions.gold, predictions.logits
    per_label = task.per_label(gold, predictions.predicted)
    intervals = score_with_intervals(task, gold, logits)
    baselines = baseline_metrics(predictions, baseline_facts)
    return {
        "rows": len(predictions),
        "predictions_sha256": predictions_sha256,
        "metrics": {name: asdict(interval) for name, interval in intervals.items()},
        "per_label": dict(zip(task.labels, per_label, strict=True)),
        "confusion_matrix": task.confusion_matrix(gold, predictions.predicted),
        "reliability": reliability(*task.statements(gold, task.probabilities(logits))).as_rows(),
        "slices": slices_of(predictions),
        "abstaining": accuracy_by_coverage(task, gold, logits) if task.abstains else [],
        "calibration": None if temperature is None else calibration_metrics(task, gold, logits, temperature),
        "baselines": baselines,
        "verdict": verdict_on_baselines(predictions, baselines),
    }
