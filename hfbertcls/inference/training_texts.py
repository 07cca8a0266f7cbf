"""How many of the measured texts a model was trained on, as far as its directory tells."""

from collections.abc import Mapping
from pathlib import Path

from hfbertcls.data.dataset import TextSplit
from hfbertcls.data.fingerprints import FINGERPRINTS, fingerprints_of, known_texts
from hfbertcls.modeling.loading import ModelSource
from hfbertcls.progress import Log


def count_training_texts(source: ModelSource, rows: TextSplit, log: Log) -> int | None:
    """Count the rows whose text the model was trained on, and log it.

    Args:
        source: the model.
        rows: to measure it on.
        log: gets one line.

    Returns:
        None where that is unknown: the model is not in the directory of its run.
    """
    name, total = source.public_name, len(rows)
    path = recorded_texts(source)
    seen_rows = None if path is None else known_texts(path, rows)
    if seen_rows is None:
        log(
            f"  note: whether {name} was trained on any of these texts cannot be told: checkpoints/{FINGERPRINTS} of its run "
            "is not there"
        )
    elif seen_rows:
        log(
            f"  note: {seen_rows:,} of the {total:,} measured texts ({seen_rows / total:.1%}) were in the training data of {name}: the "
            "metrics do not measure how it does on new texts"
        )
    else:
        log(f"  note: none of the {total:,} measured texts was in the training data of {name}")
    return seen_rows


def recorded_texts(source: ModelSource) -> Path | None:
    """Where the fingerprints of a model's training texts may be; None for a model on the Hub."""
    return fingerprints_of(source.path) if source.is_local else None


def warn_of_training_texts(source: ModelSource, splits: Mapping[str, TextSplit], log: Log) -> None:
    """Log a warning for each split, but train, with texts that the model to begin with was trained on.

    Args:
        source: the model to begin with.
        splits: of the new training.
        log: gets a line for each such split.
    """
    path = recorded_texts(source)
    for name, rows in splits.items():
        count = None if path is None or name == "train" else known_texts(path, rows)
        if count:
            log(
                f"  warning: {count:,} of the {len(rows):,} {name} rows were in the training data of {source.public_name}. Metrics "
                f"on them are too good. Keep rows that it has not seen in a {name} split of their own"
            )
