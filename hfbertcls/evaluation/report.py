"""The report: every metric and fact that the card may state, in the form of `report.json`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

from hfbertcls.errors import DatasetError
from hfbertcls.evaluation.json_form import Check, DamagedError, Section, Sha256, optional_mapping, schema_of
from hfbertcls.evaluation.report_consistency import contradiction
from hfbertcls.evaluation.report_evaluation import Evaluation, shown_first
from hfbertcls.evaluation.report_sections import CardFacts, DataFacts, ModelFacts, TaskFacts
from hfbertcls.evaluation.report_training import TrainingFacts
from hfbertcls.tasks.known import task_of_report
from hfbertcls.tasks.task import Task


SCHEMA_VERSION = 1
_Version = Annotated[
    int,
    Check(
        str(SCHEMA_VERSION),
        lambda value: value == SCHEMA_VERSION and not isinstance(value, bool),
        {"const": SCHEMA_VERSION},
    ),
]


@dataclass(frozen=True, kw_only=True)
class Report(Section):
    """`report.json` as a value: one field for each of its keys, one type for each of its sections.

    Each split is an attribute (`report.test`), and each metric is an attribute of its split. `training` is None where
    a model was evaluated and not trained.

    ```python
    >>> report = Report.from_json(Path("my-model/report.json").read_text())
    >>> report.test.accuracy
    Metric(value=..., low=..., high=...)
    >>> report.task.labels
    ('negative', 'positive')
    ```
    """

    schema_version: _Version = SCHEMA_VERSION
    task: TaskFacts
    model: ModelFacts
    data: DataFacts
    evaluation: Mapping[str, Evaluation]
    """The metrics of each split that was evaluated."""
    card: CardFacts
    environment: Mapping[str, str | int | None]
    command: str
    training: TrainingFacts | None = None
    files_sha256: Mapping[str, Sha256] = optional_mapping()
    """SHA-256 of the other files that were written with the report and decide no answer: plots, arguments."""

    def to_json(self) -> str:
        """The text of `report.json`: keys in a fixed order, no NaN."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Report":
        """Read `report.json`.

        Raises:
            DatasetError: if it is no report, is damaged (the message names the key), or is of a newer version.
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
        try:
            report = cls.from_dict(values)
        except DamagedError as err:
            raise DatasetError(f"report.json is damaged: {err}") from err
        if fault := contradiction(
            report.task, report.model, report.data, report.evaluation, report.training, report.files_sha256
        ):
            raise DatasetError(f"report.json is damaged: {fault}")
        return report

    @cached_property
    def resolved_task(self) -> Task:
        """The task: what an answer is, and how it is decided."""
        return task_of_report(self.task.to_dict())

    @property
    def shown_split(self) -> str:
        """The split whose metrics stand first."""
        return shown_first(self.evaluation)

    @property
    def shown(self) -> Evaluation:
        """The metrics that stand first."""
        return self.evaluation[self.shown_split]

    def __getattr__(self, name: str) -> Evaluation:
        evaluation: Mapping[str, Evaluation] = self.__dict__.get("evaluation", {})
        if name in evaluation:
            return evaluation[name]
        raise AttributeError(f"the report has no {name!r}; it has metrics of {', '.join(evaluation) or 'no split'}")

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.evaluation})

    def __repr__(self) -> str:
        does = self.resolved_task.summary(are_pairs=self.task.text_pair_column is not None)
        lines = [f"Report on {self.model.base_model!r} and {self.data.source!r}: {does}"]
        lines += [f"{name}: {one!r}" for name, one in self.evaluation.items()]
        return "\n".join([*lines, *([] if self.shown.verdict is None else [f"{self.shown.verdict.sentence}."])])


def report_schema() -> dict[str, Any]:
    """The JSON schema of `report.json`; the package has it as `evaluation/report.schema.json`."""
    return schema_of(Report, "report.json of hfbertcls")


def _refuse_constant(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")
