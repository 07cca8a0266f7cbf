"""Everything that hfbertcls raises on purpose.

HfBertClsError
├── ConfigurationError (ValueError)        an argument, flag or configuration key is wrong      exit code 2
│   └── RegistryError (LookupError)        no such callback, trainer or other registered name   exit code 2
├── DatasetError (ValueError)              the data cannot be used as they are                  exit code 1
├── ModelError (ValueError)                a model or tokenizer cannot be used as it is         exit code 1
├── TrainingError (RuntimeError)           training failed and cannot continue                  exit code 1
│   └── TrainingInterruptedError           somebody asked the run to stop, and it did           exit code 1
├── OutputDirectoryError (FileExistsError) the place to write to is taken or not writable       exit code 1
├── SharingError (ConnectionError)         the Hub could not be reached, or refused             exit code 1
└── MissingAssetError (FileNotFoundError)  something that must be installed is not there        exit code 1

Each message says what happened, what was expected, and what to do next.
"""

import errno
import os
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from hfbertcls.option_names import as_callers_type_it


class HfBertClsError(Exception):
    """Base class of all errors that hfbertcls raises on purpose.

    ```python
    >>> try:
    ...     load_text_dataset("no-such.csv")
    ... except HfBertClsError as err:
    ...     print(err)
    there is no file or folder 'no-such.csv' ...
    ```
    """

    exit_code = 1

    def __str__(self) -> str:
        """The message; its options are flags on the command line and keyword arguments in Python."""
        return as_callers_type_it(self.as_written)

    @property
    def as_written(self) -> str:
        """The message with flags, the same for all callers: for what is written into files."""
        return super().__str__()


class ConfigurationError(HfBertClsError, ValueError):
    """An argument, a flag or a configuration key is wrong.

    ```python
    >>> load_text_dataset("reviews.csv", slice_by="shop")
    Traceback (most recent call last):
    hfbertcls.errors.ConfigurationError: reviews.csv has no column 'shop', which slice_by names. ...
    ```
    """

    exit_code = 2


class RegistryError(ConfigurationError, LookupError):
    """A name that is looked up in a registry is not there.

    ```python
    >>> CALLBACKS.get("early-stoping")
    Traceback (most recent call last):
    hfbertcls.errors.RegistryError: no callback is called 'early-stoping' (did you mean 'early-stopping'?). ...
    ```
    """


class DatasetError(HfBertClsError, ValueError):
    """The data cannot be used as they are.

    ```python
    >>> load_text_dataset("no-such.csv")
    Traceback (most recent call last):
    hfbertcls.errors.DatasetError: there is no file or folder 'no-such.csv' ...
    ```
    """


class ModelError(HfBertClsError, ValueError):
    """A model or a tokenizer cannot be used as it is.

    ```python
    >>> TextClassifier.from_pretrained("encoder", log=None)
    Traceback (most recent call last):
    hfbertcls.errors.ModelError: 'encoder' is no trained classifier: ...
    ```
    """


class TrainingError(HfBertClsError, RuntimeError):
    """Training failed and cannot continue.

    ```python
    >>> TextClassifier.train("encoder", "reviews.csv", "film-reviews", learning_rate=999.0)  # doctest: +SKIP
    Traceback (most recent call last):
    hfbertcls.errors.TrainingError: the loss is nan at step 3. ...
    ```
    """


class TrainingInterruptedError(TrainingError):
    """Somebody asked the run to stop; it has saved what it had.

    ```python
    >>> TextClassifier.train("encoder", "reviews.csv", "film-reviews")  # (and Ctrl-C) # doctest: +SKIP
    Traceback (most recent call last):
    hfbertcls.errors.TrainingInterruptedError: stopped at step 40 of 120, and saved. ...
    ```
    """


class OutputDirectoryError(HfBertClsError, FileExistsError):
    """The directory to write to is taken or cannot be written.

    ```python
    >>> TextClassifier.train("encoder", "reviews.csv", "my-model", log=None)
    Traceback (most recent call last):
    hfbertcls.errors.OutputDirectoryError: ...overwrite=True...
    ```
    """


class SharingError(HfBertClsError, ConnectionError):
    """The Hub could not be reached, or refused, or the content must not be uploaded.

    ```python
    >>> TextClassifier.from_pretrained("my-model").push_to_hub("museum/reviews")  # doctest: +SKIP
    Traceback (most recent call last):
    hfbertcls.errors.SharingError: me may not write in 'museum'. Push to me/reviews, ...
    ```
    """


class MissingAssetError(HfBertClsError, FileNotFoundError):
    """Something that must be installed beside the package is not there, or is not what it should be.

    ```python
    >>> export_onnx("my-model")  # doctest: +SKIP
    Traceback (most recent call last):
    hfbertcls.errors.MissingAssetError: ONNX Runtime is not installed. Run: pip install 'hfbertcls[onnx]'
    ```
    """


def trouble_with_the_disk(err: BaseException) -> str | None:
    """The message if `err` is about a file that cannot be written or is gone; None for any other error."""
    advice = _DISK.get(err.errno or 0) if isinstance(err, OSError) else None
    if not isinstance(err, OSError) or advice is None:
        return None
    name = shorten(Path(os.fsdecode(err.filename)).name) if isinstance(err.filename, str | bytes) else "the output"
    return f"{name} cannot be read or written: {err.strerror}. {advice}, then repeat the command"


_DISK = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "Free disk space, or choose another location"),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), "Allow it, or name another place"),
    errno.ENOENT: "Find out whether it was moved or removed meanwhile",
    errno.EIO: "Check the disk",
}


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `" (did you mean 'x'?)"` for the closest known name, or an empty string if none is close."""
    by_folded = {option.casefold().lstrip("-"): option for option in known}
    close = get_close_matches(name.casefold().lstrip("-"), by_folded, n=1, cutoff=0.6)
    return f" (did you mean {by_folded[close[0]]!r}?)" if close else ""


def similar_neighbour(path: Path, *, directories: bool = False) -> str:
    """`did_you_mean` for a path that is not there, among what lies in its folder (or only the directories)."""
    try:
        return did_you_mean(
            path.name, (entry.name for entry in path.parent.iterdir() if not directories or entry.is_dir())
        )
    except OSError:
        return ""


def no_directory(path: Path) -> str:
    """The message for a directory that does not exist, with a similar name beside it."""
    return f"there is no directory {shorten(path.name)}{similar_neighbour(path, directories=True)}"


def shorten(text: str, limit: int = 60) -> str:
    """Quote `text` for a message: one line, at most `limit` characters."""
    return repr(cut(text, limit))


def cut(text: str, limit: int) -> str:
    """One line of at most `limit` characters, which ends with a whole word where one ends behind its first third."""
    flat = " ".join(text.split())
    if len(flat) <= limit:
        return flat
    end = flat.rfind(" ", limit // 3, limit)
    return flat[: end if end > 0 else limit - 1].rstrip(" ,;:(") + "…"


def printable(text: str, limit: int = 60) -> str:
    """`text` for a terminal: one line, nothing that would steer the terminal, at most `limit` characters."""
    flat = "".join(letter if letter.isprintable() or letter == "\u200d" else repr(letter)[1:-1] for letter in text)
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def listing(names: Iterable[str], limit: int = 8) -> str:
    """At most `limit` of the names, quoted with their blanks, and the number of the others."""
    all_names = list(names)
    shown = ", ".join(repr(name) if len(repr(name)) <= 42 else shorten(name, 40) for name in all_names[:limit])
    more = len(all_names) - limit
    return f"{shown} and {more:,} more" if more > 0 else shown
