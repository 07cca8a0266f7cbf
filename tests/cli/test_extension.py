"""`hf bertcls`, with the real `hf` command."""

import os
import subprocess
import sys
from pathlib import Path


def call(script, *words, home):
    environment = os.environ | {"HOME": str(home), "HF_HUB_DISABLE_UPDATE_CHECK": "1"}
    command = [str(Path(sys.executable).parent / script), *words]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_hf_bertcls_works_after_it_was_registered_and_not_after_it_was_removed(tmp_path):
    assert call("hfbertcls", "extension", "register", home=tmp_path).returncode == 0
    helped = call("hf", "bertcls", "train", "--help", home=tmp_path)
    assert helped.returncode == 0
    assert "usage: hfbertcls train" in helped.stdout
    refused = call("hf", "bertcls", "evaluate", "/no/such", "--dataset", "x.csv", home=tmp_path)
    assert refused.returncode == 1
    assert "bertcls" in call("hf", "extensions", "list", "--format", "json", home=tmp_path).stdout
    assert call("hfbertcls", "extension", "remove", home=tmp_path).returncode == 0
    assert not list(tmp_path.rglob("manifest.json"))
