"""A million rows: the one that is bad is named, and memory stays within bounds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


pytestmark = pytest.mark.stress
ROWS = 1_000_000
BAD = 700_003

LOAD = """
import resource, sys
from hfbertcls.errors import HfBertClsError
from hfbertcls.data.loading import load_text_dataset
try:
    data = load_text_dataset(sys.argv[1])
    print(sum(split.rows_read for split in data.splits.values()), dict(data.splits["train"].dropped))
except HfBertClsError as err:
    print(err)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def load(path: Path) -> tuple[str, int]:
    """What loading says, and the largest resident size in MB."""
    done = subprocess.run([sys.executable, "-c", LOAD, str(path)], capture_output=True, text=True, check=True)
    said, size = done.stdout.strip().rsplit("\n", 1)
    return said, int(size)


def write_csv(path: Path, bad: str | None) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write("text,label\n")
        for row in range(ROWS):
            file.write(
                bad if row == BAD and bad else f"the text of review number {row} says this and that,{row % 4}\n"
            )


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        ("one,two,three\n", f"line {BAD + 2:,}"),
        ("a NUL \0 byte,1\n", f"line {BAD + 2:,}"),
        ("no label,\n", "{'missing_label': 1}"),
        (None, f"{ROWS} {{}}"),
    ],
)
def test_one_bad_row_of_a_million_is_named(tmp_path, bad, expected):
    write_csv(tmp_path / "million.csv", bad)
    said, megabytes = load(tmp_path / "million.csv")
    assert expected in said
    assert megabytes < 2_000


@pytest.mark.parametrize(("bad", "expected"), [('{"text": "cut', f"line {BAD + 1:,}"), (None, f"{ROWS} {{}}")])
def test_one_bad_record_of_a_million_is_named(tmp_path, bad, expected):
    path = tmp_path / "million.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for row in range(ROWS):
            record = json.dumps({"text": f"the text of review number {row} says this and that", "label": row % 4})
            file.write((bad if row == BAD and bad else record) + "\n")
    said, megabytes = load(path)
    assert expected in said
    assert megabytes < 2_000
