"""The app as it runs in a Space: a folder that was rendered, a process of its own, no hfbertcls, no network."""

import csv
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from warm import WarmPython

from hfbertcls.cli import main
from hfbertcls.hub.space.render import SpaceFacts, app_directory, render_space


@pytest.fixture(scope="session", autouse=True)
def no_folders_left_behind(tmp_path_factory):
    """gradio's client makes a folder in the machine's own temporary one for each file that it fetches."""
    machines = tempfile.tempdir
    tempfile.tempdir = str(tmp_path_factory.mktemp("gradio-client"))
    yield
    tempfile.tempdir = machines


EXAMPLES = ("the film was great", "a dull plot and poor acting")
HOSTILE = (
    "<img src=x onerror=\"document.title='broken-in'\">",
    "[a](javascript:alert`1`)|**b**",
    "=cmd|' /C calc'!A0",
)

# Every process that finds this on its path cannot import hfbertcls, and notes each address that it looks up or connects to.
_GUARD = """
import os, socket, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "hfbertcls":
            raise ModuleNotFoundError("hfbertcls is not here", name=name)

sys.meta_path.insert(0, Absent())
def note(address):
    host = address[0] if isinstance(address, tuple) else address
    if isinstance(host, bytes):
        host = host.decode()
    if host not in ("127.0.0.1", "localhost", "::1", "0.0.0.0", None, ""):
        with open(os.environ["GUARD_LOG"], "a") as file:
            file.write(f"{host}\\n")
        raise OSError(f"{host} is not to be asked")

look_up, connect = socket.getaddrinfo, socket.socket.connect

def guarded_look_up(host, *rest, **more):
    note((host,))
    return look_up(host, *rest, **more)

def guarded_connect(self, address):
    if self.family != socket.AF_UNIX:
        note(address)
    return connect(self, address)

socket.getaddrinfo, socket.socket.connect = guarded_look_up, guarded_connect
"""


@dataclass(frozen=True)
class App:
    """A running app.

    Args:
        url: of its page.
        model: the directory that it shows.
        log: what it printed.
        asked: a file that names each foreign address that it asked for.
        environment: its variables.
        pid: of its process.
    """

    url: str
    model: Path
    log: Path
    asked: Path
    environment: Mapping[str, str]
    pid: int

    def megabytes(self, entry: str) -> float:
        """VmRSS: resident now; VmHWM: the most since `forget_peak`."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(entry))

    def forget_peak(self) -> None:
        """Count the most resident memory from now on."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")


def environment_of_the_app(folder: Path) -> dict[str, str]:
    """Variables for a process that has no hfbertcls and no network."""
    guard = folder / "guard"
    guard.mkdir()
    (guard / "sitecustomize.py").write_text(_GUARD)
    (folder / "asked.txt").touch()
    (folder / "temporary").mkdir()
    (folder / "temporary" / "gradio").touch()  # as the folder that gradio takes, where it is of another user
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "GRADIO_", "FEEDBACK_"))}
    return kept | {
        "PYTHONPATH": str(guard),
        "GUARD_LOG": str(folder / "asked.txt"),
        "HF_HOME": str(folder / "home"),
        "TMPDIR": str(folder / "temporary"),
        "PYTHONUNBUFFERED": "1",
    }


def start_app(model: Path, folder: Path, variables: Mapping[str, str] | None = None) -> tuple[App, subprocess.Popen]:
    """Render the Space of a model and run it, with further variables."""
    place = folder / "space"
    place.mkdir(parents=True)
    for name, content in render_space(SpaceFacts("a model", examples=EXAMPLES)).items():
        (place / name).write_bytes(content)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = environment_of_the_app(folder) | {"MODEL_ID": str(model), "GRADIO_SERVER_PORT": str(port)}
    environment |= variables or {}
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen([sys.executable, "app.py"], cwd=place, env=environment, stdout=log, stderr=log)
    app = App(f"http://127.0.0.1:{port}", model, folder / "log.txt", folder / "asked.txt", environment, process.pid)
    deadline = time.monotonic() + 180
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(app.url, timeout=30):
                return app, process
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    process.kill()
    raise RuntimeError(f"the app does not answer:\n{app.log.read_text()[-3000:]}")


def running(model: Path, folder: Path):
    """An app for the length of a fixture."""
    app, process = start_app(model, folder)
    yield app
    process.terminate()
    process.wait(30)


@pytest.fixture(scope="session")
def app(tmp_path_factory, finished_run):
    """The app of a model of two labels."""
    yield from running(finished_run, tmp_path_factory.mktemp("app"))


@pytest.fixture(scope="session")
def multi_label_app(tmp_path_factory, multi_label_dir):
    """The app of a model that can give several labels to a text."""
    yield from running(multi_label_dir, tmp_path_factory.mktemp("multi-label-app"))


@pytest.fixture(scope="session")
def pairs_model(tmp_path_factory, tiny_model_dir, tiny_tokenizer) -> Path:
    """A classifier with a random head, whose configuration states that it reads pairs."""
    import torch
    from transformers import BertForSequenceClassification

    torch.manual_seed(1)
    model = BertForSequenceClassification.from_pretrained(tiny_model_dir, id2label={0: "different", 1: "same"})
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    model.config.hfbertcls_text_fields = ["text", "text_pair"]
    folder = tmp_path_factory.mktemp("pairs") / "moods"
    model.save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def pairs_app(tmp_path_factory, pairs_model):
    """The app of that model."""
    yield from running(pairs_model, tmp_path_factory.mktemp("pairs-app"))


@pytest.fixture(scope="session")
def hostile_model(tmp_path_factory, tiny_model_dir) -> Path:
    """A model whose labels are made to do harm."""
    folder = tmp_path_factory.mktemp("hostile")
    with (folder / "texts.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows((f"the film {index} was so-so", HOSTILE[index % 3]) for index in range(90))
    words = ["train", "--model", str(tiny_model_dir), "--dataset", str(folder / "texts.csv"), "--max-steps", "2"]
    assert main([*words, "--output-dir", str(folder / "model")]) == 0
    return folder / "model"


@pytest.fixture(scope="session")
def hostile_app(tmp_path_factory, hostile_model):
    """The app of that model."""
    yield from running(hostile_model, tmp_path_factory.mktemp("hostile-app"))


@pytest.fixture(scope="session")
def number_model(tmp_path_factory, tiny_model_dir, vocabulary) -> Path:
    """A model that predicts numbers near 1,000."""
    folder = tmp_path_factory.mktemp("numbers")
    generator = np.random.default_rng(0)
    rows = [" ".join(generator.choice(vocabulary, 6)) for _ in range(90)]
    lines = [f"{text},{1000 + 30 * ('great' in text) + generator.standard_normal():.2f}" for text in rows]
    (folder / "rows.csv").write_text("\n".join(["text,points", *lines]) + "\n")
    words = [
        "train",
        "--model",
        str(tiny_model_dir),
        "--dataset",
        str(folder / "rows.csv"),
        "--label-column",
        "points",
    ]
    assert main([*words, "--task", "regression", "--output-dir", str(folder / "model")]) == 0
    return folder / "model"


@pytest.fixture(scope="session")
def number_app(tmp_path_factory, number_model):
    """The app of that model."""
    yield from running(number_model, tmp_path_factory.mktemp("number-app"))


@pytest.fixture(scope="session")
def sliders_app(tmp_path_factory, multi_label_dir):
    """The app of the same model; its labels do harm, its thresholds have more digits than a slider."""
    folder = tmp_path_factory.mktemp("sliders")
    model = Path(shutil.copytree(multi_label_dir, folder / "model"))
    config = json.loads((model / "config.json").read_text())
    config |= {"id2label": dict(enumerate(HOSTILE)), "label2id": {label: index for index, label in enumerate(HOSTILE)}}
    config["hfbertcls_thresholds"] = [0.604321, 0.504321, 0.304321]
    (model / "config.json").write_text(json.dumps(config))
    yield from running(model, folder / "app")


@pytest.fixture(scope="session")
def warm(tmp_path_factory):
    """Runs programs without hfbertcls and without a network, each in a process of its own."""
    python = WarmPython(environment_of_the_app(tmp_path_factory.mktemp("warm")))
    yield python
    python.end()


@pytest.fixture(scope="session")
def said_by_the_app(warm):
    """What Python code prints that runs beside an app, for its model or another."""

    def say(app: App, code: str, model: Path | None = None) -> str:
        code = f"import sys; sys.path.insert(0, {str(app_directory())!r})\n{code}"
        done = warm.run(code, environment={**app.environment, "MODEL_ID": str(model or app.model)})
        assert done.returncode == 0, done.stderr
        return done.stdout

    return say


@pytest.fixture
def start():
    """Start an app, for tests that end it themselves."""
    begun = []

    def begin(model: Path, folder: Path, variables: Mapping[str, str] | None = None) -> tuple[App, subprocess.Popen]:
        begun.append(start_app(model, folder, variables))
        return begun[-1]

    yield begin
    for _, process in begun:
        if process.poll() is None:
            process.kill()
            process.wait(30)


def chromium() -> str | None:
    """The browser, where there is one."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="session")
def browser():
    """A real browser; tests that need it are skipped where there is none."""
    path = chromium()
    if path is None:
        pytest.skip("no Chromium is installed (Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()
