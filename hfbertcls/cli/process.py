"""Settings of the whole process, which a library must not change."""

import contextlib
import ctypes
import gc
import io
import os
import platform
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import TextIO

from hfbertcls import processes


def keep_freed_memory() -> None:
    """Keep freed memory for the next batch.

    glibc gives large blocks back to the system at once, and each batch then waits for the same pages: a tenth of a
    training step on a CPU. Without glibc, this does nothing.
    """
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return
    library = ctypes.CDLL(None)
    library.mallopt(_M_MMAP_MAX, 0)
    library.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # (malloc.h)


def end_soon_when_told() -> None:
    """On SIGTERM, which a launcher sends when another process has ended: have 5 seconds to find that out and say so."""
    signal.signal(signal.SIGTERM, _end_soon)


@contextlib.contextmanager
def stopping_when_told() -> Iterator[None]:
    """Let SIGTERM stop this process as Ctrl-C does, so that locks and half-written files are removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _end_soon(_number: int, _frame: FrameType | None) -> None:
    timer = threading.Timer(5.0, os._exit, [1])
    timer.daemon = True
    timer.start()


@contextlib.contextmanager
def loading_libraries() -> Iterator[None]:
    """Load libraries without the garbage collector.

    It finds almost nothing there, and takes a third of the time. At the end, all objects are frozen.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


def write_any_letter() -> None:
    """Escape characters that the encoding of the terminal lacks, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def readers_may_leave() -> Iterator[None]:
    """End quietly, with exit code 1, when the reader of standard output closes it, as `head` does.

    Python would report the error once more on exit, so the output is flushed here.
    """
    try:
        try:
            yield
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:
        _to_nowhere(sys.stdout)
        raise SystemExit(1) from None
    except OSError as err:
        _to_nowhere(sys.stdout)
        if sys.stderr is not None:
            print(f"hfbertcls: error: standard output cannot be written: {err.strerror}", file=sys.stderr)
        raise SystemExit(1) from err


def log(line: str) -> None:
    """Log progress to standard error; standard output is for the result.

    Work continues when nobody reads it.
    """
    if sys.stderr is None or not processes.is_first():
        return
    write_error(line)


def write_error(line: str) -> None:
    """Write a line to standard error, from any process."""
    if sys.stderr is None:
        return
    try:
        print(line, file=sys.stderr, flush=True)
    except BrokenPipeError:
        _to_nowhere(sys.stderr)


def _to_nowhere(stream: TextIO) -> None:
    """Discard all further output of a stream."""
    with contextlib.suppress(OSError, ValueError):  # (a stream of somebody's own has no file)
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
