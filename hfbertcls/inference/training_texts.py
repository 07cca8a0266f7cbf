"""How many of the measured texts a model was trained on, as far as its directory tells."""

from hfbertcls.data.dataset import TextSplit
from hfbertcls.data.fingerprints import FINGERPRINTS, known_texts
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
    path = source.path / "checkpoints" / FINGERPRINTS if source.is_local else None
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
