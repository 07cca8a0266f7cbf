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


def test_what_another_program_registered_stays(tmp_path):
    folder = tmp_path / ".local" / "share" / "hf" / "extensions" / "hf-bertcls"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text('{"owner": "somebody"}')
    for what in ("register", "remove"):
        refused = call("hfbertcls", "extension", what, home=tmp_path)
        assert refused.returncode == 2
        assert "another program registered `hf bertcls`" in refused.stderr
    assert (folder / "manifest.json").read_text() == '{"owner": "somebody"}'


def test_files_beside_the_manifest_stay(tmp_path):
    folder = tmp_path / ".local" / "share" / "hf" / "extensions" / "hf-bertcls"
    assert call("hfbertcls", "extension", "register", home=tmp_path).returncode == 0
    (folder / "notes.txt").write_text("mine")
    assert call("hfbertcls", "extension", "remove", home=tmp_path).returncode == 0
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
