"""How the Space's app answers many requests at once: none may fail, and each must get its own answer.

    python benchmarks/space_load.py MODEL_DIR [--clients 100] [--requests 4] [--at-once 200]

The app runs as in a Space: a rendered folder, a process of its own, no network; the requests come over HTTP from threads on
the same machine. First each text is asked alone. Then `--at-once` short texts come at the same moment, to be classified; then
so many clients send so many requests each, one after the other: short and long texts, to classify and to explain, in turn.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from space import free_port, words

from hfbertcls.hub.space.render import SpaceFacts, render_space


@dataclass(frozen=True)
class Request:
    """What is asked of the app: an endpoint and a text."""

    endpoint: str
    text: str


def answer(url: str, request: Request) -> tuple[object, float]:
    """What the app says, or the error; and the seconds until then."""
    began = time.perf_counter()
    try:
        body = json.dumps({"data": [request.text]}).encode()
        asked = urllib.request.Request(
            f"{url}/gradio_api/call/{request.endpoint}", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(asked, timeout=3600) as response:
            event = json.load(response)["event_id"]
        with urllib.request.urlopen(f"{url}/gradio_api/call/{request.endpoint}/{event}", timeout=3600) as response:
            lines = response.read().decode().split("\n\n")
        kind, _, data = next(line for line in lines if not line.startswith("event: heartbeat")).partition("\ndata: ")
        said = json.loads(data)
        return (said[0] if kind == "event: complete" else f"{kind}: {data}"), time.perf_counter() - began
    except (urllib.error.URLError, ConnectionError, TimeoutError) as err:
        reason = err.read().decode() if isinstance(err, urllib.error.HTTPError) else ""
        return f"{err} {reason}", time.perf_counter() - began


def is_there(url: str) -> bool:
    """Whether the app shows its page."""
    try:
        urllib.request.urlopen(url, timeout=60).close()
    except OSError:
        return False
    return True


def is_same(first: object, second: object) -> bool:
    """Whether two answers are one, up to the last digits of their numbers."""
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(is_same(first[key], second[key]) for key in first)
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(is_same, first, second))
    if isinstance(first, float) and isinstance(second, float):
        return abs(first - second) < 1e-4
    return first == second


def together(url: str, clients: list[list[Request]], alone: dict[Request, object]) -> dict[str, object]:
    """Let clients ask at the same moment, each one thing after the other, and count what they got."""
    start = threading.Barrier(len(clients))

    def ask(requests: list[Request]) -> list[tuple[Request, object, float]]:
        start.wait()
        return [(request, *answer(url, request)) for request in requests]

    began = time.perf_counter()
    with ThreadPoolExecutor(len(clients)) as pool:
        results = [result for client in pool.map(ask, clients) for result in client]
    failed = Counter(said for _, said, _ in results if isinstance(said, str))
    wrong = sum(not is_same(said, alone[request]) for request, said, _ in results if not isinstance(said, str))
    rows = {"requests": len(results), "failed": dict(failed), "wrong": wrong, "seconds": time.perf_counter() - began}
    for endpoint in dict.fromkeys(request.endpoint for request, _, _ in results):
        seconds = [taken for request, _, taken in results if request.endpoint == endpoint]
        rows[f"{endpoint}, median / 95 % / longest s"] = " / ".join(
            f"{value:.1f}" for value in np.percentile(seconds, [50, 95, 100])
        )
    return rows


def resident(process: int) -> float:
    """The most memory that a process had, in MB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--requests", type=int, default=4, help="of each client")
    parser.add_argument("--at-once", type=int, default=200)
    options = parser.parse_args()
    short = [f"{words(5 + number)} {number}" for number in range(10)]
    long = [words(150 + 50 * number) * (1 + number) for number in range(10)]
    mixed = [
        Request(endpoint, text)
        for pair in zip(short, long, strict=True)
        for text in pair
        for endpoint in ("classify", "explain")
    ]
    with tempfile.TemporaryDirectory() as name:
        folder, url = Path(name), f"http://127.0.0.1:{(port := free_port())}"
        for path, content in render_space(SpaceFacts("benchmark")).items():
            (folder / path).write_bytes(content)
        environment = {**os.environ, "MODEL_ID": str(options.model.resolve()), "GRADIO_SERVER_PORT": str(port)}
        environment |= {"HF_HUB_OFFLINE": "1", "GRADIO_TEMP_DIR": str(folder / "uploads")}
        app = subprocess.Popen([sys.executable, "app.py"], cwd=folder, env=environment, stdout=subprocess.DEVNULL)
        try:
            while not is_there(url):
                if app.poll() is not None:
                    sys.exit("The app has ended")
                time.sleep(0.2)
            alone = {request: answer(url, request)[0] for request in mixed}
            at_rest = resident(app.pid)
            at_once = [[Request("classify", short[number % 10])] for number in range(options.at_once)]
            clients = [
                [mixed[(number + step) % len(mixed)] for step in range(options.requests)]
                for number in range(options.clients)
            ]
            for title, requests in (("short texts at once", at_once), ("clients, short and long, mixed", clients)):
                print(f"\n{len(requests)} {title}")
                for key, value in together(url, requests, alone).items():
                    print(f"  {key}: {value:.1f}" if isinstance(value, float) else f"  {key}: {value}")
            print(f"\nmost resident memory: {resident(app.pid):.0f} MB; before, {at_rest:.0f} MB")
        finally:
            app.terminate()
            app.wait()


if __name__ == "__main__":
    main()
