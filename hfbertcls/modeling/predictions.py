"""What a model said about the rows of a split: the one source of every figure."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hfbertcls.data.dataset import LabelSchema
from hfbertcls.errors import DatasetError, ModelError, listing


Thresholds = npt.NDArray[np.float64]
_BASELINE = "baseline_"


def sigmoid(logits: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Scores of labels that do not exclude each other, of the shape of the logits."""
    with np.errstate(over="ignore"):  # (of a very low logit: the score is 0 then)
        scores: npt.NDArray[np.float64] = 1.0 / (1.0 + np.exp(-logits.astype(np.float64)))
    return scores


def predict_labels(logits: npt.NDArray[np.float32], thresholds: Thresholds | None = None) -> npt.NDArray[Any]:
    """The labels that logits of shape `(n, num_labels)` say.

    Args:
        logits: of the rows.
        thresholds: the scores from which each label is given, of shape `(num_labels,)`; None where a text has one label.

    Returns:
        With thresholds int8 of shape `(n, num_labels)`, 1 where the label is given. Without them ids, int64 of shape `(n,)`;
        of equal logits the first wins, as in `pipeline()`.
    """
    if thresholds is not None:
        return (sigmoid(logits) >= thresholds).astype(np.int8)
    ids: npt.NDArray[np.int64] = logits.argmax(axis=1).astype(np.int64)
    return ids


def finite_rows(logits: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.bool_]:
    """Which rows of logits, of shape `(n, num_labels)`, are an answer: those without NaN and infinity."""
    return np.asarray(np.isfinite(logits).all(axis=1))


def require_finite(
    logits: npt.NDArray[np.floating[Any]], split: str, rows: npt.NDArray[np.int64] | None = None, what: str = "logits"
) -> None:
    """Refuse to compute metrics from logits of which some are no answer.

    Args:
        logits: of shape `(n, num_labels)`.
        split: what the rows are called.
        rows: their 0-based positions in the source; None counts those that are here.
        what: the name of the values.

    Raises:
        ModelError: saying how many and which.
    """
    broken = np.flatnonzero(~finite_rows(logits))
    if not len(broken):
        return
    named = broken if rows is None else rows[broken]
    more = f" and {len(named) - 10:,} more" if len(named) > 10 else ""
    raise ModelError(
        f"the model gives NaN or infinite {what} for {len(broken):,} of the {len(logits):,} rows of {split}: "
        f"{', '.join(str(row) for row in named[:10])}{more}, counted from 0. Metrics of the others would not be those of {split}. "
        "Leave these rows out, or train the model again"
    )


def label_names(answers: npt.NDArray[Any], names: Sequence[str]) -> list[Any]:
    """What `predict_labels` gives by the names of the labels: one for each row, or a list of them."""
    known = np.array(names, dtype=object)
    if answers.ndim == 1:
        return known[answers].tolist()  # type: ignore[no-any-return]
    return [known[np.flatnonzero(row)].tolist() for row in answers]


def label_cells(answers: npt.NDArray[Any], names: Sequence[str]) -> list[str]:
    """The same as one text for each row, for tables."""
    return [one if isinstance(one, str) else "; ".join(one) or "(none)" for one in label_names(answers, names)]


@dataclass(frozen=True)
class Predictions:
    """Logits for the rows of a split, beside the gold labels.

    Args:
        rows: 0-based positions in the source, int64 of shape `(n,)`.
        gold: ids of the gold labels, int64 of shape `(n,)`; where a text can have several labels, int8 of shape
            `(n, num_labels)`, 1 for each label that it has.
        logits: float32 of shape `(n, num_labels)`, in label order.
        label_names: the labels, in the order of their ids.
        tokens: how long each text is, int64 of shape `(n,)`; None where it is not known.
        slices: the part of the split that each row belongs to, by a column of the data; None where none was named.
        thresholds: where a text can have several labels, the scores from which each is given, of shape `(num_labels,)`.
        baselines: what each baseline predicts for the same rows, by its name, in the form of `gold`.
    """

    rows: npt.NDArray[np.int64]
    gold: npt.NDArray[Any]
    logits: npt.NDArray[np.float32]
    label_names: tuple[str, ...]
    tokens: npt.NDArray[np.int64] | None = None
    slices: tuple[str, ...] | None = None
    thresholds: Thresholds | None = None
    baselines: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def predicted(self) -> npt.NDArray[Any]:
        """The predicted labels, in the form of `gold`."""
        return predict_labels(self.logits, self.thresholds)

    def agree_with(self, data: bytes) -> bool:
        """Whether the column `prediction` of a predictions file is what the logits say."""
        stated = pq.read_table(io.BytesIO(data), columns=["prediction"]).column("prediction").to_pylist()
        return bool(stated == label_names(self.predicted, self.label_names))

    def to_parquet(self) -> bytes:
        """The bytes of the predictions file: row, label, prediction, logits; tokens, slice and baselines where they are known.

        The same predictions give the same bytes.
        """
        kind = pa.string() if self.thresholds is None else pa.list_(pa.string())
        columns = {
            "row": pa.array(self.rows, pa.int64()),
            "label": pa.array(label_names(self.gold, self.label_names), kind),
            "prediction": pa.array(label_names(self.predicted, self.label_names), kind),
            "logits": pa.array(list(self.logits), pa.list_(pa.float32())),
        }
        if self.tokens is not None:
            columns["tokens"] = pa.array(self.tokens, pa.int64())
        if self.slices is not None:
            columns["slice"] = pa.array(self.slices, pa.string())
        for name, answers in self.baselines.items():
            columns[f"{_BASELINE}{name}"] = pa.array(label_names(answers, self.label_names), kind)
        sink = io.BytesIO()
        pq.write_table(pa.table(columns), sink, compression="zstd")
        return sink.getvalue()

    @classmethod
    def from_parquet(
        cls, data: bytes, label_names: Sequence[str], thresholds: Sequence[float] | None = None
    ) -> "Predictions":
        """Read a predictions file back.

        Args:
            data: the bytes of the file.
            label_names: the labels, in the order of their ids.
            thresholds: where a text can have several labels, the scores from which each is given.

        Raises:
            DatasetError: if a column is missing or has another type, a value is missing, a row stands there twice, a logit is
                not finite, or a label is not among `label_names`.
        """
        table = pq.read_table(io.BytesIO(data))
        cells = pa.string() if thresholds is None else pa.list_(pa.string())
        named = [name for name in table.column_names if name.startswith(_BASELINE)]
        kinds = {"row": pa.int64(), "label": cells, "prediction": cells, "logits": pa.list_(pa.float32())}
        _require_columns(table, kinds | dict.fromkeys(named, cells))
        schema = LabelSchema(tuple(label_names))
        gold = _encoded(table, "label", schema)
        rows = table.column("row").to_numpy()
        if len(np.unique(rows)) != len(rows) or (rows < 0).any():
            raise DatasetError(
                "the predictions file has rows twice, or with numbers below 0. Use the predictions of this model"
            )
        logits = pc.list_flatten(table.column("logits")).to_numpy()
        if len(logits) != len(rows) * len(label_names) or not np.isfinite(logits).all():
            raise DatasetError(
                f"the predictions file must have {len(label_names)} finite logits a row. Use the predictions of this model"
            )
        return cls(
            rows=rows,
            gold=gold,
            logits=logits.astype(np.float32).reshape(-1, len(label_names)),
            label_names=tuple(label_names),
            tokens=table.column("tokens").to_numpy() if "tokens" in table.column_names else None,
            slices=tuple(table.column("slice").to_pylist()) if "slice" in table.column_names else None,
            thresholds=None if thresholds is None else np.asarray(thresholds, dtype=np.float64),
            baselines={name.removeprefix(_BASELINE): _encoded(table, name, schema) for name in named},
        )


def _require_columns(table: pa.Table, kinds: Mapping[str, pa.DataType]) -> None:
    """Refuse a predictions file whose columns are not those that `to_parquet` writes."""
    optional = {"tokens": pa.int64(), "slice": pa.string()}
    missing = [name for name in kinds if name not in table.column_names]
    if missing:
        raise DatasetError(
            f"the predictions file lacks the columns {listing(missing)}. Use the predictions of this model"
        )
    for name in table.column_names:
        expected = kinds.get(name, optional.get(name))
        found = table.schema.field(name).type
        if expected is None or table.column_names.count(name) > 1:
            raise DatasetError(
                f"the predictions file has an unexpected column {name!r}. Use the predictions of this model"
            )
        if not found.equals(expected):
            raise DatasetError(
                f"the column {name!r} of the predictions file has the type {found}; expected {expected}. Use the predictions "
                "of this model"
            )
        column = table.column(name)
        values = pc.list_flatten(column) if pa.types.is_list(found) else column
        if column.null_count or values.null_count:
            raise DatasetError(
                f"the column {name!r} of the predictions file lacks values. Use the predictions of this model"
            )


def _encoded(table: pa.Table, name: str, schema: LabelSchema) -> npt.NDArray[Any]:
    """A column of label names as numbers."""
    column = table.column(name)
    found = pc.list_flatten(column) if pa.types.is_list(column.type) else column
    unknown = set(pc.unique(found).to_pylist()) - set(schema.names)
    if unknown:
        raise DatasetError(
            f"the predictions file has labels that the model has not: {listing(sorted(unknown))}. "
            f"The model has {listing(schema.names)}. Use the predictions of this model"
        )
    return schema.encode_column(column)
