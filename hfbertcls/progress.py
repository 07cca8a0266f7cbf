"""Work that may take a while: a bar in a terminal, elsewhere a line now and then, with the time left where it is known.

`work` stands around whatever may take more than a few seconds, as a block or as a decorator. It shows nothing unless a
program that people watch, such as our command line, says so with `shown`.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any


Log = Callable[[str], None]
"""Called with each line of progress, for a person."""
FIRST_SECONDS, SECONDS_BETWEEN = 4.0, 10.0
_write: ContextVar[Callable[[str], None] | None] = ContextVar("_write", default=None)
_running: ContextVar["_Work | None"] = ContextVar("_running", default=None)


def silent(_: str) -> None:
    """A `Log` that shows nothing."""


@contextmanager
def shown(write: Callable[[str], None] | None) -> Iterator[None]:
    """Inside, each line of progress goes to `write`; None shows none."""
    token = _write.set(write)
    try:
        yield
    finally:
        _write.reset(token)


@contextmanager
def work(what: str, total: int | None = None, unit: str = "rows") -> Iterator[Callable[[int], None]]:
    """Tell how far a piece of work is, if it takes a while; of nested pieces the innermost speaks.

    Args:
        what: is done, such as `"Tokenising"`.
        total: how much there is to do; None if that is not known.
        unit: of `total`.

    Yields:
        what to call with each number of units that are done.
    """
    write = _write.get()
    if write is None:
        yield lambda _: None
        return
    outer = _running.get()
    piece = _Work(what, total, unit, write)
    token = _running.set(piece)
    if outer is not None:
        outer.is_quiet = True
    try:
        with piece.told():
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
    """A piece of work, told about by a thread of its own, so that a step that takes long is told about too."""

    def __init__(self, what: str, total: int | None, unit: str, write: Callable[[str], None]) -> None:
        self.what, self.total, self.unit, self.write = what, total, unit, write
        self.done = 0
        self.began = time.monotonic()
        self.is_quiet = False
        self._ended = threading.Event()

    def advance(self, count: int) -> None:
        """Note that so many units more are done."""
        self.done += count

    @contextmanager
    def told(self) -> Iterator[None]:
        """Tell until the block ends."""
        teller = threading.Thread(target=self._tell, daemon=True)
        teller.start()
        try:
            yield
        finally:
            self._ended.set()
            teller.join()

    def _tell(self) -> None:
        if self._ended.wait(FIRST_SECONDS):
            return
        if self.total is not None and sys.stderr is not None and sys.stderr.isatty():
            self._show_bar(self.total)
            return
        while True:
            if not self.is_quiet:
                self.write(f"  {self}")
            if self._ended.wait(SECONDS_BETWEEN):
                return

    def _show_bar(self, total: int) -> None:
        from tqdm import tqdm  # noqa: PLC0415  (the ground floor loads nothing)

        bar: Any
        with tqdm(total=total, desc=f"  {self.what}", unit=f" {self.unit}", unit_scale=True, leave=False) as bar:
            bar.start_t -= FIRST_SECONDS
            while not self._ended.wait(0.5):
                bar.update(self.done - bar.n)

    def __str__(self) -> str:
        seconds = time.monotonic() - self.began
        if self.total is None or not 0 < self.done < self.total:
            return f"{self.what}: {time_left(seconds)} so far"
        left = seconds / self.done * (self.total - self.done)
        return f"{self.what}: {self.done:,} of {self.total:,} {self.unit}, about {time_left(left)} left"
