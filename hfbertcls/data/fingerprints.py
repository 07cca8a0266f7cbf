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


def fingerprints_of(directory: Path) -> Path:
    """Where the fingerprints of a run are, if they are anywhere."""
    return directory / "checkpoints" / FINGERPRINTS


def write_fingerprints(path: Path, train: TextSplit, earlier: Path | None = None) -> None:
    """Write the fingerprints of the texts of a split, readable by their owner alone.

    Capitals, blanks and Unicode forms make no difference between two texts.

    Args:
        path: of the file; its folder is made if it is not there.
        train: the training rows.
        earlier: the file of the model that training began with, whose fingerprints are added; None if there is none.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    known = None if earlier is None else _read(earlier)
    salt, numbers = known or (os.urandom(_SALT_BYTES), np.zeros(0, dtype=np.int64))
    partial = path.with_name(f"{path.name}.partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(salt + np.union1d(_salted(train, salt), numbers).tobytes())
    partial.replace(path)


def known_texts(path: Path, rows: TextSplit) -> int | None:
    """How many rows have a text whose fingerprint is in a file; None if there is no such file.

    Args:
        path: that `write_fingerprints` wrote.
        rows: to look for.
    """
    known = _read(path)
    return None if known is None else int(np.isin(_salted(rows, known[0]), known[1]).sum())


def _read(path: Path) -> tuple[bytes, npt.NDArray[np.int64]] | None:
    """Salt and fingerprints of a file; None if it is not there or is damaged."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    if len(data) < _SALT_BYTES or len(data) % 8:
        return None
    return data[:_SALT_BYTES], np.frombuffer(data, dtype=np.int64, offset=_SALT_BYTES)


def _salted(split: TextSplit, salt: bytes) -> npt.NDArray[np.int64]:
    """A number of 64 bits for each text (pair of texts), of shape `(rows,)`, meaningless without the salt."""
    codes = row_codes(split, split.text_fields)
    hashed = (hashlib.blake2b(code.tobytes(), digest_size=8, key=salt).digest() for code in codes)
    return np.frombuffer(b"".join(hashed), dtype=np.int64)
