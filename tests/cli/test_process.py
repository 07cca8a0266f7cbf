"""Settings of our own process."""

import ctypes
import gc
import os
import platform
import signal
import sys
import time

import pytest

from hfbertcls.cli import env, main, process


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


def test_libraries_are_loaded_without_the_garbage_collector_and_never_gone_through_again():
    before = gc.get_freeze_count()
    with process.loading_libraries():
        assert not gc.isenabled()
        loaded = [[] for _ in range(100)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= before + len(loaded)
    gc.unfreeze()


def test_a_collector_that_is_off_stays_off():
    gc.disable()
    try:
        with process.loading_libraries():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
        gc.unfreeze()


def test_sigterm_stops_a_command_as_ctrl_c_does(monkeypatch, capsys):
    """Locks and half-written files are removed on the way out."""
    cleaned = []

    def run(options):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        finally:
            cleaned.append(True)

    monkeypatch.setattr(env, "run", run)
    before = signal.getsignal(signal.SIGTERM)
    assert main(["env"]) == 1
    assert capsys.readouterr().err == "hfbertcls: stopped\n"
    assert cleaned == [True]
    assert signal.getsignal(signal.SIGTERM) == before
