"""A function in a process of its own: its result, its errors, its end, and what it sees of the launcher."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hfbertcls import own_process, processes
from hfbertcls.errors import DatasetError, TrainingError
from hfbertcls.own_process import in_own_process


MODULE = """
import os, time
from hfbertcls.errors import DatasetError

def variables(names, log):
    log("said")
    print("a library prints this")
    return [os.environ.get(name) for name in names]

def fail(log):
    raise DatasetError("the rows are wrong")

def fail_oddly(log):
    raise DatasetError(lambda: "no pickle")

def end(log):
    os._exit(3)

def wait(place, log):
    with open(place, "w") as file:
        file.write(str(os.getpid()))
    time.sleep(300)
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "of_child.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    import of_child

    yield of_child
    del sys.modules["of_child"]


def test_it_knows_no_launcher_and_gives_its_result(module, monkeypatch, capfd):
    for name in processes.LAUNCHED:
        monkeypatch.setenv(name, "1")
    names = [*processes.LAUNCHED, "PYTHONPATH"]
    assert in_own_process(module.variables, names, speaks=False)[:-1] == [None] * len(processes.LAUNCHED)
    assert "said" not in capfd.readouterr().err
    found = []
    thread = threading.Thread(target=lambda: found.append(in_own_process(module.variables, names, speaks=True)))
    thread.start()
    thread.join()
    assert found[0][-1] == os.environ["PYTHONPATH"]
    assert "said" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("fail", DatasetError, "the rows are wrong"),
        ("fail_oddly", TrainingError, "<function"),
        ("end", TrainingError, r"has ended with exit code 3\..*--resume"),
    ],
)
def test_errors_reach_the_caller(module, name, error, message):
    with pytest.raises(error, match=message):
        in_own_process(getattr(module, name), speaks=False)


def test_a_process_that_cannot_start_is_an_error(module, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(TrainingError, match="has ended with exit code 1"):
        in_own_process(module.variables, ["x" * 10_000_000], speaks=False)


def test_it_ends_with_the_process_that_started_it(module, tmp_path):
    place = tmp_path / "id"
    code = f"from hfbertcls.own_process import in_own_process\nimport of_child\nin_own_process(of_child.wait, {str(place)!r}, speaks=False)"
    with subprocess.Popen([sys.executable, "-c", code]) as parent:
        within(60, lambda: place.exists() and place.read_text())
        parent.kill()
    within(20, lambda: not Path(f"/proc/{place.read_text()}").exists())


def within(seconds, happened):
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("visible", "device", "expected"), [("", "cuda:1", "1"), ("4,6", "cuda:1", "6"), ("7", None, "7")]
)
def test_it_sees_the_gpu_of_its_process_alone(monkeypatch, visible, device, expected):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(processes, "cuda_device", lambda: device)
    assert own_process._environment()["CUDA_VISIBLE_DEVICES"] == expected
