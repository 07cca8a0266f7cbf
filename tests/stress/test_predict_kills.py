"""`predict`, really killed ten times at random: in the end the bytes of a run that was left alone."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest


pytestmark = pytest.mark.stress
SCRIPT = """
import sys
from hfbertcls.data.readers import streaming
from hfbertcls.cli import main
streaming.ROWS_PER_CHUNK = 50
sys.exit(main(sys.argv[1:]))
"""


def start(words):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *words], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environment
    )


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".jsonl.gz"])
def test_ten_kills_and_resumes_lose_and_double_nothing(tmp_path, finished_run, vocabulary, ending):
    generator = random.Random(5)
    lines = [" ".join(generator.choices(vocabulary, k=generator.randint(0, 30))) for _ in range(6_000)]
    (tmp_path / "in.csv").write_text("text\n" + "".join(f'"{line}"\n' for line in lines))
    words = ["predict", str(finished_run), "--input", str(tmp_path / "in.csv"), "--keep-columns", "--output"]
    whole, output = tmp_path / f"whole{ending}", tmp_path / f"answers{ending}"
    process = start([*words, str(whole)])
    assert process.wait(timeout=600) == 0
    folder = tmp_path / f".{output.name}.parts"
    total = len(lines) // 50
    kills = 0
    while kills < 10:
        process = start([*words, str(output)])
        # At random moments of the scoring, the last kill while the parts are put together.
        goal = total if kills == 9 else min(total - 1, len(list(folder.glob("0*.parquet"))) + generator.randint(0, 20))
        while len(list(folder.glob("0*.parquet"))) < goal and process.poll() is None:
            time.sleep(0.001)
        time.sleep(generator.random() * 0.02)
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
        assert not output.exists() or kills == 10
    if not output.exists():
        assert start([*words, str(output)]).wait(timeout=600) == 0
    assert kills >= 9
    assert output.read_bytes() == whole.read_bytes()
    assert not folder.exists() or output.exists()
