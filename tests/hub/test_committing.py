"""Progress of one slow commit."""

import threading

from hfbertcls import progress
from hfbertcls.hub.committing import commit_once


def test_a_slow_upload_is_logged(monkeypatch):
    logged, lines = threading.Event(), []
    monkeypatch.setattr(progress, "FIRST_SECONDS", 0.01)

    def write(line):
        lines.append(line)
        logged.set()

    with progress.shown(write):
        assert commit_once(lambda: logged.wait(30), lambda: None, print) is True
    assert lines[0].startswith("  Sending to the Hub: ")
