"""What a process of our own may do that a library must not: settings for the whole of it."""

import ctypes
import platform
import sys


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
