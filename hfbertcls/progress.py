"""Progress of long work: a bar in a terminal, elsewhere a line now and then, with an estimate of the time left.

`work` is a context manager and decorator for whatever may take more than a few seconds. It shows nothing outside of
`shown`, which the command line and `TextClassifier` use.
"""

import enum
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TextIO


Log = Callable[[str], None]
"""Called with each line of progress, for a person."""
FIRST_SECONDS, SECONDS_BETWEEN = 4.0, 10.0


class _Unset(enum.Enum):
    """The value of `_write` outside of every `shown`."""

    UNSET = enum.auto()


_write: ContextVar[Log | _Unset | None] = ContextVar("_write", default=_Unset.UNSET)
_running: ContextVar["_Work | None"] = ContextVar("_running", default=None)


def silent(_: str) -> None:
    """A `Log` that shows nothing."""


def in_notebook() -> bool:
    """Whether this process is the kernel of a Jupyter notebook."""
    ipython = sys.modules.get("IPython")  # (a kernel has imported it)
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and "IPKernelApp" in shell.config


def stream() -> TextIO | None:
    """The stream for progress: standard error, which scripts do not redirect; in a notebook, standard output.

    A notebook shows standard error on red, as if something were wrong.
    """
    return sys.stdout if in_notebook() else sys.stderr


def print_line(line: str) -> None:
    """A `Log` that prints each line to `stream`."""
    if (where := stream()) is not None:
        print(line, file=where, flush=True)


def has_bar() -> bool:
    """Whether bars are shown: in a terminal and in a notebook."""
    where = stream()
    return in_notebook() or (where is not None and where.isatty())


def writer() -> Log | None:
    """The `Log` that `shown` has set; `print_line` outside of every `shown`; None where nothing is to be shown."""
    write = _write.get()
    return print_line if isinstance(write, _Unset) else write


@contextmanager
def shown(write: Log | None) -> Iterator[None]:
    """Inside, each line of progress goes to `write`; None shows none."""
    token = _write.set(write)
    try:
        yield
    finally:
        _write.reset(token)


@contextmanager
def watched(log: Log | None) -> Iterator[Log]:
    """Inside, progress goes to `log`, and libraries show no bars of their own; None shows nothing at all.

    Yields:
        `log`, or `silent`.
    """
    import datasets  # noqa: PLC0415  (the ground floor loads nothing)
    from huggingface_hub import utils as hub  # noqa: PLC0415
    from transformers.utils import logging as library  # noqa: PLC0415

    transformers: Any = library
    settings: Any = hub
    verbosity = transformers.get_verbosity()
    to_restore = [
        *([] if datasets.are_progress_bars_disabled() else [datasets.enable_progress_bars]),
        *([transformers.enable_progress_bar] if transformers.is_progress_bar_enabled() else []),
        *([] if log is not None or settings.are_progress_bars_disabled() else [settings.enable_progress_bars]),
    ]
    datasets.disable_progress_bars()
    transformers.disable_progress_bar()
    transformers.set_verbosity_error()
    if log is None:  # (else a download may show how far it is)
        settings.disable_progress_bars()
    try:
        with shown(log):
            yield log or silent
    finally:
        transformers.set_verbosity(verbosity)
        for restore in to_restore:
            restore()


@contextmanager
def work(what: str, total: int | None = None, unit: str = "rows") -> Iterator[Callable[[int], None]]:
    """Log the progress of a piece of work that takes a while; of nested pieces, only that of the innermost.

    Args:
        what: the name of the work, such as `"Tokenizing"`.
        total: number of units; None if unknown.
        unit: of `total`.

    Yields:
        a function to call with each number of finished units.
    """
    write = _write.get()
    if write is None or isinstance(write, _Unset):
        yield lambda _: None
        return
    outer = _running.get()
    piece = _Work(what, total, unit, write)
    token = _running.set(piece)
    if outer is not None:
        outer.is_quiet = True
    try:
        with piece.logged():
            yield piece.advance
    finally:
        _running.reset(token)
        if outer is not None:
            outer.is_quiet = False


def time_left(seconds: float) -> str:
    """A duration for people: `40 s`, `3 min`, `2.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class _Work:
    """A piece of work, logged by a thread of its own, so that a long single step is logged, too."""

    def __init__(self, what: str, total: int | None, unit: str, write: Log) -> None:
        self.what, self.total, self.unit, self.write = what, total, unit, write
        self.done = 0
        self.began = time.monotonic()
        self.is_quiet = False
        self._ended = threading.Event()

    def advance(self, count: int) -> None:
        """Add finished units."""
        self.done += count

    @contextmanager
    def logged(self) -> Iterator[None]:
        """Log until the block ends."""
        logger = threading.Thread(target=self._log, daemon=True)
        logger.start()
        try:
            yield
        finally:
            self._ended.set()
            logger.join()

    def _log(self) -> None:
        if self._ended.wait(FIRST_SECONDS):
            return
        if self.total is not None and has_bar():
            self._show_bar(self.total)
            return
        while True:
            if not self.is_quiet:
                self.write(f"  {self}")
            if self._ended.wait(SECONDS_BETWEEN):
                return

    def _show_bar(self, total: int) -> None:
        from tqdm.auto import tqdm  # noqa: PLC0415  (the ground floor loads nothing)

        bar: Any
        shape = {"desc": f"  {self.what}", "unit": f" {self.unit}", "unit_scale": True, "leave": False}
        with tqdm(total=total, file=stream(), **shape) as bar:
            if not bar.disable:  # (by TQDM_DISABLE)
                bar.start_t -= FIRST_SECONDS
            while not self._ended.wait(0.5):
                bar.update(self.done - bar.n)

    def __str__(self) -> str:
        seconds = time.monotonic() - self.began
        if self.total is None or not 0 < self.done < self.total:
            return f"{self.what}: {time_left(seconds)} so far"
        left = seconds / self.done * (self.total - self.done)
        return f"{self.what}: {self.done:,} of {self.total:,} {self.unit}, about {time_left(left)} left"
