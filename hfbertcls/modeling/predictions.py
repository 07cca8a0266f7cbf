"""Logits of a model for the rows of a split: the one source of every metric."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hfbertcls.errors import DatasetError, ModelError, listing
from hfbertcls.tasks.cells import names_in
from hfbertcls.tasks.probabilities import Answers, Logits
from hfbertcls.tasks.task import Task


_BASELINE, _TRUNCATED = "baseline_", "prediction_truncated"


def finite_rows(logits: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.bool_]:
    """Which rows of logits, of shape `(n, num_labels)`, are an answer: those without NaN and infinity."""
    return np.asarray(np.isfinite(logits).all(axis=1))


def require_finite(
    logits: npt.NDArray[np.floating[Any]], split: str, rows: npt.NDArray[np.int64] | None = None, what: str = "logits"
) -> None:
    """Raise an error if some logits are NaN or infinite.

    Args:
        logits: of shape `(n, num_labels)`.
        split: the name of the rows, for the message.
        rows: their 0-based positions in the source; None counts those that are here.
        what: the name of the values.

    Raises:
        ModelError: with the number of such rows and their positions.
    """
    broken = np.flatnonzero(~finite_rows(logits))
    if not len(broken):
        return
    positions = broken if rows is None else rows[broken]
    more = f" and {len(positions) - 10:,} more" if len(positions) > 10 else ""
    raise ModelError(
        f"the model gives NaN or infinite {what} for {len(broken):,} of the {len(logits):,} rows of {split}: "
        f"{', '.join(str(row) for row in positions[:10])}{more}, counted from 0. Metrics of the others would not be those of {split}. "
        "Leave these rows out, or train the model again"
    )


@dataclass(frozen=True)
class Predictions:
    """Logits for the rows of a split, beside the gold answers.

    ```python
    >>> data = Path("my-model/predictions/test.parquet").read_bytes()
    >>> predictions = Predictions.from_parquet(data, TextClassifier.from_pretrained("my-model").task)
    >>> predictions
    Predictions(single-label, 64 rows, labels: negative, positive)
    >>> predictions.logits.shape
    (64, 2)
    ```

    Args:
        task: what an answer is, and how logits become one.
        rows: 0-based positions in the source, int64 of shape `(n,)`.
        gold: the gold answers of the rows, in the form of the task.
        logits: float32 of shape `(n, num_outputs)`, in the order of the labels.
        tokens: how long each text is, int64 of shape `(n,)`; None where it is not known.
        slices: the slice of each row, by a column of the data; None without a slice column.
        baselines: what each baseline predicts for the same rows, by its name, in the form of `gold`.
        folds: of out-of-fold predictions, the fold of each row, from 0, int64 of shape `(n,)`; else None.
        truncated: what the model predicts where long texts are truncated, in the form of `gold`; None where that is
            how it reads them.
    """

    task: Task
    rows: npt.NDArray[np.int64]
    gold: Answers
    logits: Logits
    tokens: npt.NDArray[np.int64] | None = None
    slices: tuple[str, ...] | None = None
    baselines: Mapping[str, Answers] = field(default_factory=dict)
    folds: npt.NDArray[np.int64] | None = None
    truncated: Answers | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        kind, _, labels = self.task.in_brief.partition(", ")
        return f"{type(self).__name__}({', '.join(filter(None, (kind, f'{len(self):,} rows', labels)))})"

    @property
    def predicted(self) -> Answers:
        """The predicted answers, in the form of `gold`."""
        return self.task.decide(self.logits)

    def agree_with(self, data: bytes) -> bool:
        """Whether the column `prediction` of a predictions file follows from the logits."""
        predictions = pq.read_table(io.BytesIO(data), columns=["prediction"]).column("prediction").to_pylist()
        return bool(predictions == self.task.decode(self.predicted))

    def to_parquet(self) -> bytes:
        """The bytes of the predictions file: row, label, prediction, logits; the others if they are set.

        The same predictions give the same bytes.
        """
        columns = {
            "row": pa.array(self.rows, pa.int64()),
            "label": self._cells(self.gold),
            "prediction": self._cells(self.predicted),
            "logits": pa.array(list(self.logits), pa.list_(pa.float32())),
        }
        if self.tokens is not None:
            columns["tokens"] = pa.array(self.tokens, pa.int64())
        if self.slices is not None:
            columns["slice"] = pa.array(self.slices, pa.string())
        if self.folds is not None:
            columns["fold"] = pa.array(self.folds, pa.int64())
        if self.truncated is not None:
            columns[_TRUNCATED] = self._cells(self.truncated)
        columns |= {f"{_BASELINE}{name}": self._cells(answers) for name, answers in self.baselines.items()}
        sink = io.BytesIO()
        pq.write_table(pa.table(columns), sink, compression="zstd")
        return sink.getvalue()

    def _cells(self, answers: Answers) -> pa.Array:
        return pa.array(self.task.decode(answers), self.task.cells)

    @classmethod
    def from_parquet(cls, data: bytes, task: Task) -> "Predictions":
        """Read a predictions file back.

        Args:
            data: the bytes of the file.
            task: of the model that made it.

        Raises:
            DatasetError: if a column is missing or has another type, a value is missing, a row occurs twice, a logit
                is not finite, or a label is not in the task.
        """
        table = pq.read_table(io.BytesIO(data))
        baseline_columns = [name for name in table.column_names if name.startswith(_BASELINE)]
        further = [name for name in table.column_names if name == _TRUNCATED]
        types = {"row": pa.int64(), "label": task.cells, "prediction": task.cells, "logits": pa.list_(pa.float32())}
        _require_columns(table, types | dict.fromkeys([*baseline_columns, *further], task.cells))
        gold = _encoded(table, "label", task)
        rows = table.column("row").to_numpy()
        if len(np.unique(rows)) != len(rows) or (rows < 0).any():
            raise DatasetError(
                "the predictions file has rows twice, or with numbers below 0. Use the predictions of this model"
            )
        logits = pc.list_flatten(table.column("logits")).to_numpy()
        if len(logits) != len(rows) * task.num_outputs or not np.isfinite(logits).all():
            raise DatasetError(
                f"the predictions file must have {task.num_outputs} finite logits a row. Use the predictions of this model"
            )
        return cls(
            task=task,
            rows=rows,
            gold=gold,
            logits=logits.astype(np.float32).reshape(-1, task.num_outputs),
            tokens=table.column("tokens").to_numpy() if "tokens" in table.column_names else None,
            slices=tuple(table.column("slice").to_pylist()) if "slice" in table.column_names else None,
            folds=table.column("fold").to_numpy() if "fold" in table.column_names else None,
            truncated=_encoded(table, _TRUNCATED, task) if further else None,
            baselines={name.removeprefix(_BASELINE): _encoded(table, name, task) for name in baseline_columns},
        )


def _require_columns(table: pa.Table, kinds: Mapping[str, pa.DataType]) -> None:
    """Raise an error unless the columns are those that `to_parquet` writes."""
    optional = {"tokens": pa.int64(), "slice": pa.string(), "fold": pa.int64()}
    missing = [name for name in kinds if name not in table.column_names]
    if missing:
        raise DatasetError(
            f"the predictions file lacks the columns {listing(missing)}. Use the predictions of this model"
        )
    for name in table.column_names:
        expected = kinds.get(name, optional.get(name))
        actual = table.schema.field(name).type
        if expected is None or table.column_names.count(name) > 1:
            raise DatasetError(
                f"the predictions file has an unexpected column {name!r}. Use the predictions of this model"
            )
        if not actual.equals(expected):
            raise DatasetError(
                f"the column {name!r} of the predictions file has the type {actual}; expected {expected}. Use the predictions "
                "of this model"
            )
        column = table.column(name)
        if column.null_count or names_in(column).null_count:
            raise DatasetError(
                f"the column {name!r} of the predictions file lacks values. Use the predictions of this model"
            )


def _encoded(table: pa.Table, name: str, task: Task) -> Answers:
    """A column of cells as answers."""
    column = table.column(name)
    unknown = set(pc.unique(names_in(column)).to_pylist()) - set(task.labels) if task.has_labels else set()
    if unknown:
        raise DatasetError(
            f"the predictions file has labels that the model has not: {listing(sorted(unknown))}. "
            f"The model has {listing(task.labels)}. Use the predictions of this model"
        )
    return task.encode(column)
