"""Work that takes a while is told about: in lines, with the time left; short work is not."""

import os
import subprocess
import sys
import threading
import time

import pytest

from hfbertcls import progress
from hfbertcls.progress import shown, time_left, work


@pytest.fixture
def lines(monkeypatch):
    """What is told, soon: the first line after a hundredth of a second."""
    monkeypatch.setattr(progress, "FIRST_SECONDS", 0.01)
    monkeypatch.setattr(progress, "SECONDS_BETWEEN", 0.01)
    monkeypatch.setattr("sys.stderr", None)
    found = Told()
    with shown(found):
        yield found


class Told(list):
    def __init__(self):
        self.more = threading.Condition()

    def __call__(self, line):
        with self.more:
            self.append(line)
            self.more.notify_all()

    def wait_for(self, text):
        with self.more:
            assert self.more.wait_for(lambda: any(text in line for line in self), timeout=30), self


def test_counted_work_tells_how_much_is_left(lines):
    with work("Scoring", 400) as advance:
        lines.wait_for("Scoring: 0 s so far")
        advance(100)
        lines.wait_for("Scoring: 100 of 400 rows, about ")
    count = len(lines)
    time.sleep(0.05)
    assert len(lines) == count, "it is told about although it has ended"


def test_of_nested_work_the_innermost_speaks_and_errors_end_it(lines):
    @work("Evaluating")
    def evaluate():
        lines.wait_for("Evaluating: ")
        with work("Scoring", 2, "texts"):
            del lines[:]
            lines.wait_for("Scoring")
            lines.wait_for("Scoring")
            assert not [line for line in lines[1:] if "Evaluating" in line]
        raise ZeroDivisionError("x")

    with pytest.raises(ZeroDivisionError, match="x"):
        evaluate()
    assert not [thread for thread in threading.enumerate() if thread.name.endswith("(_tell)")]


def test_short_work_and_work_that_nobody_watches_are_silent(monkeypatch):
    found = []
    with shown(found.append), work("Scoring", 4) as advance:
        advance(4)
    with work("Scoring"):
        assert not [thread for thread in threading.enumerate() if thread.name.endswith("(_tell)")]
    assert found == []


def test_durations():
    assert [time_left(seconds) for seconds in (3.2, 89, 200, 9000)] == ["3 s", "89 s", "3 min", "2.5 h"]


def test_the_first_line_comes_before_the_libraries_are_loaded():
    code = (
        "import sys\n"
        "from hfbertcls.cli import main\n"
        "class Stream:\n"
        "    def write(self, text):\n"
        "        print(text.strip(), {'torch', 'pyarrow', 'transformers'} & set(sys.modules))\n"
        "    def flush(self):\n"
        "        pass\n"
        "sys.stderr = Stream()\n"
        "main(['doctor', 'no-such-file.csv'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] == "Loading the libraries ... set()"


def test_a_bar_that_is_switched_off_is_silent():
    """A user's TQDM_DISABLE: tqdm reads it when it is imported, so in a process of its own."""
    program = (
        "import time\nfrom hfbertcls import progress\n"
        "progress.FIRST_SECONDS, progress.has_bar = 0.01, lambda: True\n"
        "with progress.shown(print), progress.work('Scoring', 4) as advance:\n    time.sleep(1.2)\n    advance(4)\n"
    )
    environment = {**os.environ, "TQDM_DISABLE": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""
