"""One commit, told about while it takes its time."""

import threading

from hfbertcls import progress
from hfbertcls.hub.committing import commit_once


def test_a_person_who_waits_for_an_upload_is_told_so(monkeypatch):
    told, lines = threading.Event(), []
    monkeypatch.setattr(progress, "FIRST_SECONDS", 0.01)

    def write(line):
        lines.append(line)
        told.set()

    with progress.shown(write):
        assert commit_once(lambda: told.wait(30), lambda: None, print) is True
    assert lines[0].startswith("  Sending to the Hub: ")
