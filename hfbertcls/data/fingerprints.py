"""Salted hashes of the training texts, kept in the directory of the run."""

import hashlib
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hfbertcls.data.dataset import TextSplit
from hfbertcls.data.duplicates import row_codes


FINGERPRINTS = "training_texts.bin"
"""In `checkpoints/`: a random salt, then a sorted number for each different text. It is never uploaded."""
_SALT_BYTES = 16


def write_fingerprints(path: Path, train: TextSplit) -> None:
    """Write the fingerprints of the texts of a split, readable by their owner alone.

    Capitals, blanks and Unicode forms make no difference between two texts.

    Args:
        path: of the file; its folder must exist.
        train: the training rows.
    """
    salt = os.urandom(_SALT_BYTES)
    partial = path.with_name(f"{path.name}.partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(salt + np.unique(_salted(train, salt)).tobytes())
    partial.replace(path)


def known_texts(path: Path, rows: TextSplit) -> int | None:
    """How many rows have a text whose fingerprint is in a file; None if there is no such file.

    Args:
        path: that `write_fingerprints` wrote.
        rows: to look for.
    """
    try:
        data = path.read_bytes()
    except OSError:
        return None
    if len(data) < _SALT_BYTES or len(data) % 8:
        return None
    fingerprints = np.frombuffer(data, dtype=np.int64, offset=_SALT_BYTES)
    return int(np.isin(_salted(rows, data[:_SALT_BYTES]), fingerprints).sum())


def _salted(split: TextSplit, salt: bytes) -> npt.NDArray[np.int64]:
    """A number of 64 bits for each text (pair of texts), of shape `(rows,)`, meaningless without the salt."""
    codes = row_codes(split, split.text_fields)
    hashed = (hashlib.blake2b(code.tobytes(), digest_size=8, key=salt).digest() for code in codes)
    return np.frombuffer(b"".join(hashed), dtype=np.int64)
