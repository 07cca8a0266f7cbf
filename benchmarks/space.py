"""How long the Space's app takes from its start to the first answer, and to explain a text.

    python benchmarks/space.py MODEL_DIR [--rounds 5]

The app runs as in a Space: a rendered folder, a process of its own, no network. Each round starts it anew (the disk's
cache is warm from the second on). The text to explain has 200 words of this repository's README.
"""

import argparse
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from gradio_client import Client

from hfbertcls.hub.space.render import SpaceFacts, render_space


README = Path(__file__).resolve().parent.parent / "README.md"


def words(number: int) -> str:
    """The first words of the README that consist of letters."""
    return " ".join(re.findall(r"\b[A-Za-z]+\b", README.read_text(encoding="utf-8"))[:number])


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def seconds_of(code: str, folder: Path, environment: dict[str, str]) -> float:
    """How long a process takes that runs `code`."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, check=True, capture_output=True)
    return time.perf_counter() - began


def one_round(folder: Path, model: Path) -> dict[str, float]:
    """Seconds of each part."""
    port = free_port()
    environment = {**os.environ, "MODEL_ID": str(model), "GRADIO_SERVER_PORT": str(port)}
    environment |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"}
    empty = seconds_of("pass", folder, environment)
    taken = {
        "import gradio": seconds_of("import gradio", folder, environment) - empty,
        "import torch, transformers; load the model": seconds_of("import classifier", folder, environment) - empty,
    }
    began = time.perf_counter()
    app = subprocess.Popen(
        [sys.executable, "app.py"], cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=60).close()
                break
            except OSError:
                time.sleep(0.05)
        taken["start to page"] = time.perf_counter() - began
        client = Client(f"http://127.0.0.1:{port}", verbose=False)
        client.predict("A first text.", api_name="/classify")
        taken["start to first answer"] = time.perf_counter() - began
        for number in (20, 100, 200):
            began = time.perf_counter()
            said = client.predict(words(number), api_name="/explain")
            taken[f"explain {number} words ({len(said['words'])} read)"] = time.perf_counter() - began
    finally:
        app.terminate()
        app.wait()
    return taken


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path, content in render_space(SpaceFacts("benchmark")).items():
            (folder / path).write_bytes(content)
        rounds = [one_round(folder, options.model.resolve()) for _ in range(options.rounds)]
    print("| part | median s | minimum s |\n|:--|--:|--:|")
    for part in rounds[0]:
        values = [taken[part] for taken in rounds]
        print(f"| {part} | {statistics.median(values):.1f} | {min(values):.1f} |")


if __name__ == "__main__":
    main()
