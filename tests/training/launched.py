"""The processes that a launcher has started, for tests that disturb them."""

import subprocess
from pathlib import Path


def rank_of(launcher: subprocess.Popen, rank: int) -> int | None:
    """The id of the process with a rank; None if there is none (yet, or any more)."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == launcher.pid and f"RANK={rank}" in (place / "environ").read_text().split("\0"):
                return int(place.name)
        except OSError:
            continue
    return None
