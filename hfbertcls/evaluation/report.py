"""The report: every figure and fact that the card may state, as plain values in the form of `report.json`."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from hfbertcls.data.dataset import TextDataset, TextSplit
from hfbertcls.errors import DatasetError
from hfbertcls.evaluation.abstaining import accuracy_by_coverage
from hfbertcls.evaluation.calibration import reliability
from hfbertcls.evaluation.intervals import score_with_intervals
from hfbertcls.evaluation.scores import confusion_matrix, per_label_scores, probabilities
from hfbertcls.evaluation.slices import slices_of
from hfbertcls.evaluation.temperature import Temperature, calibration_figures
from hfbertcls.modeling.predictions import Predictions
from hfbertcls.progress import work


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
        except ValueError as err:
            raise DatasetError(f"report.json is not valid JSON: {err}") from err
        if not isinstance(values, dict):
            raise DatasetError("report.json is not a JSON object; it is not a report of hfbertcls")
        needed = ("task", "model", "data", "evaluation", "card", "environment", "command")
        missing = [key for key in ("schema_version", *needed) if key not in values]
        if missing:
            raise DatasetError(f"report.json lacks {', '.join(missing)}; it is not a report of hfbertcls")
        if values["schema_version"] != SCHEMA_VERSION:
            raise DatasetError(
                f"report.json has schema version {values['schema_version']}, this release reads {SCHEMA_VERSION}. "
                "Update hfbertcls"
            )
        known = {key: values.pop(key) for key in (*needed, "training", "schema_version") if key in values}
        return cls(**known, extra=values)


def _refuse_constant(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def split_facts(split: TextSplit, dataset: TextDataset, truncated_rows: int, unknown_share: float) -> dict[str, Any]:
    """What the report says of the rows of a split."""
    counts = split.label_counts(dataset.schema) if dataset.schema else {}
    return {
        "rows": len(split),
        "rows_read": split.rows_read,
        "dropped": dict(split.dropped),
        "sha256": split.sha256,
        "label_counts": counts,
        "truncated_rows": truncated_rows,
        "unknown_token_share": unknown_share,
    }


@work("Computing metrics and intervals")
def split_figures(
    predictions: Predictions,
    predictions_sha256: str,
    baselines: Mapping[str, Any] | None,
    temperature: Temperature | None = None,
) -> dict[str, Any]:
    """Every figure of a split, computed from its predictions alone (and the baselines of the same rows).

    Where a text can have several labels there is no confusion matrix, and no table of what abstaining gives.

    Args:
        predictions: of the weights as they are.
        predictions_sha256: of the predictions file.
        baselines: what costs nothing, on the same rows; None where it is not known.
        temperature: that the weights contain; None where they contain none.
    """
    gold, logits, names = predictions.gold, predictions.logits, predictions.label_names
    thresholds, one_label = predictions.thresholds, predictions.thresholds is None
    per_label = per_label_scores(gold, predictions.predicted, len(names))
    intervals = score_with_intervals(gold, logits, thresholds=thresholds)
    return {
        "rows": len(predictions),
        "predictions_sha256": predictions_sha256,
        "metrics": {name: asdict(interval) for name, interval in intervals.items()},
        "per_label": dict(zip(names, per_label, strict=True)),
        "confusion_matrix": confusion_matrix(gold, predictions.predicted, len(names)).tolist() if one_label else None,
        "reliability": reliability(gold, probabilities(gold, logits)).as_rows(),
        "slices": slices_of(predictions),
        "abstaining": accuracy_by_coverage(gold, logits) if one_label else [],
        "calibration": None if temperature is None else calibration_figures(gold, logits, temperature),
        "baselines": baselines,
    }
