"""Files beside the weights of a model, in its directory or in its repository on the Hub."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

from hfbertcls.errors import ModelError
from hfbertcls.evaluation.report import Report
from hfbertcls.modeling.loading import ModelSource, load_config


def file_of(source: ModelSource, name: str) -> Path | None:
    """A file of a model; None if it has none of that name.

    Raises:
        ModelError: if the download fails.
    """
    if source.is_local:
        path = source.path / name
        return path if path.is_file() else None
    try:
        return Path(hf_hub_download(source.name, name, revision=source.revision))
    except EntryNotFoundError:
        return None
    except (HfHubHTTPError, OSError) as err:
        raise ModelError(f"{name} of {source.public_name!r} cannot be fetched: {type(err).__name__}") from err


def report_of(source: ModelSource) -> Report | None:
    """The report of a model; None if there is none that we wrote.

    Raises:
        DatasetError: if it is damaged.
        ModelError: if there is no such model.
    """
    if not source.is_local:
        load_config(source)  # (its message explains a wrong name)
    path = file_of(source, "report.json")
    if path is None:
        return None
    text = path.read_text(encoding="utf-8", errors="replace")
    if not source.is_local and not _is_ours(text):
        return None
    return Report.from_json(text)


def predicted_rows(source: ModelSource, split: str) -> npt.NDArray[np.int64] | None:
    """The row numbers of a split in the source, from the predictions of a model; None without predictions.

    Raises:
        ModelError: if the download fails.
    """
    path = file_of(source, f"predictions/{split}.parquet")
    return None if path is None else pq.read_table(path, columns=["row"]).column("row").to_numpy()


def _is_ours(text: str) -> bool:
    """Whether a file of that name on the Hub is a report of this package, not of somebody else's."""
    try:
        report = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(report, dict) and {"schema_version", "task", "evaluation"} <= report.keys()
