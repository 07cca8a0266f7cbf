"""What a process of our own may do that a library must not: settings for the whole of it."""

import contextlib
import ctypes
import gc
import io
import os
import platform
import sys
from collections.abc import Iterator
from typing import TextIO


def keep_freed_memory() -> None:
    """Let the process keep what it frees, for its next batch.

    glibc gives large blocks back to the system at once, and each batch then waits for the same pages again: a tenth of a
    training step on a CPU. Only for processes of our own; elsewhere than with glibc it does nothing.
    """
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return
    library = ctypes.CDLL(None)
    library.mallopt(_M_MMAP_MAX, 0)
    library.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # (malloc.h)


@contextlib.contextmanager
def loading_libraries() -> Iterator[None]:
    """Inside, libraries are loaded without the garbage collector, which would go through their objects again and again.

    It finds next to nothing there, and takes a third of the time. What is there at the end is never gone through again.
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
    """Let no letter end a command that the terminal's encoding lacks: it is written as an escape."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def readers_may_leave() -> Iterator[None]:
    """End quietly, with exit code 1, where who reads standard output closes it, as `head` does.

    Python would complain once more when it ends and flushes what is left; so it is flushed here, and what cannot be written
    goes nowhere.
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
    """Tell a person what is going on, on standard error; standard output is kept for the result.

    Work goes on when nobody reads it any more.
    """
    if sys.stderr is None:
        return
    try:
        print(line, file=sys.stderr, flush=True)
    except BrokenPipeError:
        _to_nowhere(sys.stderr)


def _to_nowhere(stream: TextIO) -> None:
    """Let what is written to a stream go nowhere from now on."""
    with contextlib.suppress(OSError, ValueError):  # (a stream of somebody's own has no file)
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
