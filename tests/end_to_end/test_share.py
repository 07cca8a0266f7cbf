"""Somebody else's machine: an empty cache, a fresh process, plain `pipeline()` on a pushed model."""

import json
import os
import subprocess
import sys

import pytest
from huggingface_hub import constants

from hfbertcls.cli import main


REPO = "alice/film-reviews"
TEXTS = ["the film was superb", "a dull plot", "good " * 400]
ASK = """
import json, sys
from transformers import pipeline
model, revision, texts = json.loads(sys.argv[1])
answers = pipeline("text-classification", model=model, revision=revision, truncation=True)(texts, top_k=None)
print(json.dumps(answers))
"""


def ask(model, tmp_path, token, revision=None, script=ASK):
    """The answers of a new process with an empty HF_HOME."""
    environment = {name: value for name, value in os.environ.items() if name != "HF_TOKEN"}
    environment |= {"HF_HOME": str(tmp_path / f"home-{os.urandom(4).hex()}"), **({"HF_TOKEN": token} if token else {})}
    words = json.dumps([str(model), revision, TEXTS])
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, words],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )


@pytest.mark.parametrize("transfer", ["xet", "lfs"])
def test_a_pushed_model_answers_as_the_directory_does(hub, model_dir, tmp_path, monkeypatch, transfer):
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", transfer != "xet")
    hub.serves_xet = transfer == "xet"
    assert main(["push", str(model_dir), REPO]) == 0
    hub.log.clear()
    there = ask(REPO, tmp_path, "hf_alice")
    assert there.returncode == 0, there.stderr
    assert bool(hub.requests("/_cas/v1/reconstructions")) == (transfer == "xet")
    here = ask(model_dir, tmp_path, None)
    for one, other in zip(json.loads(there.stdout), json.loads(here.stdout), strict=True):
        assert [answer["label"] for answer in one] == [answer["label"] for answer in other]
        assert [answer["score"] for answer in one] == pytest.approx([answer["score"] for answer in other], abs=1e-6)


def test_a_private_model_is_an_error_without_a_token(hub, model_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    assert main(["push", str(model_dir), REPO]) == 0
    for token in (None, "hf_bob"):
        refused = ask(REPO, tmp_path, token)
        assert refused.returncode != 0
        assert "is not a valid model identifier" in refused.stderr or "not found" in refused.stderr.lower()


def test_load_pipeline_takes_a_revision(hub, model_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    assert main(["push", str(model_dir), REPO, "--tag", "v1"]) == 0
    oid = hub.store.repositories["models", REPO].head.oid
    script = ASK.replace("from transformers import pipeline", "from hfbertcls import load_pipeline").replace(
        'pipeline("text-classification", model=model, revision=revision, truncation=True)',
        "load_pipeline(model, revision=revision)",
    )
    for revision in ("v1", oid):
        answered = ask(REPO, tmp_path, "hf_alice", revision, script)
        assert answered.returncode == 0, answered.stderr
        assert len(json.loads(answered.stdout)) == 3
    assert ask(REPO, tmp_path, "hf_alice", "v2", script).returncode != 0
