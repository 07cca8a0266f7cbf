"""Settings of our own process."""

import ctypes
import platform
import sys

import pytest

from hfbertcls.cli import process


def test_freed_memory_is_kept_where_glibc_decides(monkeypatch):
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        pytest.skip("another allocator")
    calls = []

    class Library:
        @staticmethod
        def mallopt(*values):
            calls.append(values)

    monkeypatch.setattr(ctypes, "CDLL", lambda name: Library)
    process.keep_freed_memory()
    assert calls == [(-4, 0), (-1, 2**31 - 1)]
    monkeypatch.setattr(process.sys, "platform", "darwin")
    process.keep_freed_memory()
    assert len(calls) == 2
