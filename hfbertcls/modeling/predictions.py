"""What a model said about the rows of a split: the one source of every figure."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from hfbertcls.errors import DatasetError, listing


@dataclass(frozen=True)
class Predictions:
    """Logits for the rows of a split, beside the gold labels.

    Args:
        rows: 0-based positions in the source, int64 of shape `(n,)`.
        gold: ids of the gold labels, int64 of shape `(n,)`.
        logits: float32 of shape `(n, num_labels)`, in label order.
        label_names: the labels, in the order of their ids.
        tokens: how long each text is, int64 of shape `(n,)`; None where it is not known.
        slices: the part of the split that each row belongs to, by a column of the data; None where none was named.
    """

    rows: npt.NDArray[np.int64]
    gold: npt.NDArray[np.int64]
    logits: npt.NDArray[np.float32]
    label_names: tuple[str, ...]
    tokens: npt.NDArray[np.int64] | None = None
    slices: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def predicted(self) -> npt.NDArray[np.int64]:
        """Ids of the predicted labels, of shape `(n,)`; of equal logits the first wins, as in `pipeline()`."""
        ids: npt.NDArray[np.int64] = self.logits.argmax(axis=1).astype(np.int64)
        return ids

    def to_parquet(self) -> bytes:
        """The bytes of the predictions file: row, label, prediction, logits, and tokens and slice where they are known.

        The same predictions give the same bytes.
        """
        names = np.array(self.label_names, dtype=object)
        columns = {
            "row": pa.array(self.rows, pa.int64()),
            "label": pa.array(names[self.gold], pa.string()),
            "prediction": pa.array(names[self.predicted], pa.string()),
            "logits": pa.array(list(self.logits), pa.list_(pa.float32())),
        }
        if self.tokens is not None:
            columns["tokens"] = pa.array(self.tokens, pa.int64())
        if self.slices is not None:
            columns["slice"] = pa.array(self.slices, pa.string())
        sink = io.BytesIO()
        pq.write_table(pa.table(columns), sink, compression="zstd")
        return sink.getvalue()

    @classmethod
    def from_parquet(cls, data: bytes, label_names: Sequence[str]) -> "Predictions":
        """Read a predictions file back.

        Raises:
            DatasetError: if a label in it is not among `label_names`.
        """
        table = pq.read_table(io.BytesIO(data))
        ids = {name: index for index, name in enumerate(label_names)}
        unknown = set(table.column("label").to_pylist()) - ids.keys()
        if unknown:
            raise DatasetError(
                f"the predictions file has labels that the model has not: {listing(sorted(unknown))}. "
                f"The model has {listing(label_names)}. Use the predictions of this model"
            )
        return cls(
            rows=table.column("row").to_numpy(),
            gold=np.array([ids[name] for name in table.column("label").to_pylist()], dtype=np.int64),
            logits=np.array(table.column("logits").to_pylist(), dtype=np.float32).reshape(-1, len(label_names)),
            label_names=tuple(label_names),
            tokens=table.column("tokens").to_numpy() if "tokens" in table.column_names else None,
            slices=tuple(table.column("slice").to_pylist()) if "slice" in table.column_names else None,
        )
