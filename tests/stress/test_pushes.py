"""Main is always one complete model: while faults strike, and when the process that pushes is killed."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest
import torch
from safetensors.torch import load_file, save_file

from hfbertcls.hub import retrying
from hfbertcls.hub.push import PushRequest, push_directory
from hfbertcls.repository.verify import verify_directory


pytestmark = pytest.mark.stress
REPO = "alice/film-reviews"
FAULTS = [
    {},
    {"path": "/preupload/", "status": 503},
    {"path": "/commit/", "status": 500},
    {"path": "/commit/", "lose_response": True},
    {"path": "/commit/", "reset_after": 200},
    {"path": "/_cas/v1/shards", "status": 503},
    {"path": "/tree/", "status": 502},
    {"path": "whoami", "status": 429, "headers": {"Retry-After": "1"}},
]


@pytest.fixture
def versions(tmp_path, model_dir, reviews_dir):
    """Two complete directories with different weights, each true to itself."""
    from dataclasses import replace

    from hfbertcls import Report
    from hfbertcls.data.loading import load_text_dataset
    from hfbertcls.data.tokenization import tokenize_split
    from hfbertcls.evaluation.splits import evaluate_split
    from hfbertcls.modeling.engine import score
    from hfbertcls.modeling.loading import ModelSource, load_for_inference, load_tokenizer
    from hfbertcls.modeling.predictions import Predictions
    from hfbertcls.repository.model_repository import rewrite_report, write_predictions

    other = tmp_path / "other" / "film-reviews"
    shutil.copytree(model_dir, other)
    weights = load_file(other / "model.safetensors")
    weights["classifier.weight"] += torch.randn(weights["classifier.weight"].shape)
    save_file(weights, other / "model.safetensors", {"format": "pt"})
    config = json.loads((other / "config.json").read_text())
    config.pop("hfbertcls_temperature", None)  # (that of the first version was fitted to its weights)
    (other / "config.json").write_text(json.dumps(config))
    report = Report.from_json((other / "report.json").read_text())
    data = load_text_dataset(str(reviews_dir))
    model, tokenizer = load_for_inference(ModelSource(str(other))), load_tokenizer(ModelSource(str(other)))
    figures = {}
    for name in report.evaluation:
        split = data.splits[name]
        logits = score(model, tokenizer, tokenize_split(split, tokenizer, 32, data.task))
        predictions = Predictions(data.task, split.rows, data.task.encode(split.label_cells), logits)
        figures[name] = evaluate_split(predictions, write_predictions(other, name, predictions), {})
    rewrite_report(other, replace(report, evaluation=figures), added=["config.json", "model.safetensors"])
    assert verify_directory(other).differences == ()
    return model_dir, other


def belongs_together(hub, commit, folder) -> list[str]:
    """Write the files of a commit to a folder, and verify them."""
    repo = hub.store.repositories["models", REPO]
    for name, file in commit.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(repo.content(file))
    return list(verify_directory(folder).differences)


def test_a_reader_never_sees_parts_of_two_models(hub, versions, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)
    monkeypatch.setattr(retrying, "_FIRST_WAIT", 0.01)
    generator = random.Random(3)
    seen, stop = {}, threading.Event()

    def poll():
        while not stop.is_set():
            repo = hub.store.repositories.get(("models", REPO))
            if repo is not None and len(repo.commits) > 1:
                seen[repo.head.oid] = repo.head
            time.sleep(0.002)

    reader = threading.Thread(target=poll)
    reader.start()
    for number in range(100):
        fault = dict(generator.choice(FAULTS))
        if fault:
            hub.fail(**fault)
        push_directory(versions[number % 2], PushRequest(REPO))
        hub.faults.clear()
    stop.set()
    reader.join()
    repo = hub.store.repositories["models", REPO]
    assert len(list(repo.history("main"))) == 101, "one commit for each push, and the Hub's own first one"
    assert len(seen) > 50
    for number, commit in enumerate(seen.values()):
        assert belongs_together(hub, commit, tmp_path / f"seen-{number}") == []


def test_a_push_that_is_killed_leaves_the_old_or_the_new_model(hub, versions, tmp_path):
    environment = os.environ | {"HF_TOKEN": "hf_alice", "OMP_NUM_THREADS": "1"}
    generator = random.Random(5)

    def start(folder):
        words = [sys.executable, "-m", "hfbertcls", "push", str(folder), REPO]
        return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)

    assert start(versions[0]).wait() == 0
    repo = hub.store.repositories["models", REPO]
    heads = []
    for number in range(1, 21):
        hub.log.clear()
        process = start(versions[number % 2])
        while not hub.log and process.poll() is None:
            time.sleep(0.001)
        time.sleep(generator.uniform(0, 0.6))
        process.send_signal(signal.SIGKILL)
        process.wait()
        heads.append(repo.head.oid)
        assert belongs_together(hub, repo.head, tmp_path / f"killed-{number}") == []
    print(f"of 20 killed pushes {len(set(heads))} different heads")
    assert start(versions[1]).wait() == 0
    weights = (versions[1] / "model.safetensors").read_bytes()
    assert repo.content(repo.head.files["model.safetensors"]) == weights
    assert belongs_together(hub, repo.head, tmp_path / "last") == []
