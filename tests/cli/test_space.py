"""`hfbertcls space`, and `train --space`: from a directory or the Hub to a Space, and back by a link on the card."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from hfbertcls.cli import main, space
from hfbertcls.hub import retrying
from hfbertcls.hub.space import runtime as space_runtime


REPO = "alice/film-reviews"


@pytest.fixture(autouse=True)
def logged_in(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_alice")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    sleep = time.sleep
    monkeypatch.setattr(retrying.time, "sleep", lambda seconds: sleep(min(seconds, 0.001)))
    monkeypatch.setattr(space_runtime.time, "sleep", lambda seconds: sleep(min(seconds, 0.001)))


def files_of(hub, kind, name) -> dict:
    api = HfApi()
    entries = api.list_repo_files(name, repo_type=kind)
    return {path: Path(api.hf_hub_download(name, path, repo_type=kind)).read_bytes() for path in entries}


def commits(name, kind="model") -> int:
    return len(HfApi().list_repo_commits(name, repo_type=kind))


@pytest.fixture
def shared(hub, model_dir):
    assert main(["push", str(model_dir), REPO, "--public"]) == 0
    return model_dir


def test_from_a_directory_to_a_space_and_both_lead_to_each_other(hub, shared, capsys):
    before = commits(REPO)
    assert main(["space", str(shared)]) == 0
    assert f"The Space: {os.environ['HF_ENDPOINT']}/spaces/{REPO}" in capsys.readouterr().out
    there = files_of(hub, "space", REPO)
    assert f'models:\n- "{REPO}"' in there["README.md"].decode()
    assert {"app.py", "classifier.py", "requirements.txt", ".hfbertcls.json"} <= set(there)
    assert HfApi().get_space_variables(REPO)["MODEL_ID"].value == REPO
    assert commits(REPO, "space") == 2  # the Hub's own, and ours
    model = files_of(hub, "model", REPO)
    assert commits(REPO) == before + 1
    for card in (model["README.md"].decode(), (shared / "README.md").read_text()):
        assert f"[{REPO}](https://huggingface.co/spaces/{REPO})" in card
        assert 'api_name="/classify_file"' in card
    assert main(["verify", REPO]) == 0
    assert main(["verify", str(shared)]) == 0


def test_feedback_goes_to_a_data_set(hub, shared, capsys):
    assert main(["space", REPO, "--feedback-dataset", "alice/feedback", "--with-token"]) == 0
    assert HfApi().get_space_variables(REPO)["FEEDBACK_DATASET"].value == "alice/feedback"
    assert "HF_TOKEN" in HfApi().get_space_secrets(REPO)
    hub.fail("/variables", method="POST", status=403, times=99)
    assert main(["space", REPO, "--feedback-dataset", "alice/other"]) == 1
    assert "--feedback-dataset alice/other" in capsys.readouterr().err


def test_doing_it_again_changes_nothing(hub, shared):
    assert main(["space", REPO]) == 0
    before = commits(REPO), commits(REPO, "space")
    assert main(["space", REPO]) == 0
    assert (commits(REPO), commits(REPO, "space")) == before


def test_a_space_keeps_its_hardware_and_what_goes_with_it(hub, shared):
    assert main(["space", REPO, "--hardware", "zero-a10g"]) == 0
    before = files_of(hub, "space", REPO)
    assert b"torch==2.11" in before["requirements.txt"]
    assert main(["space", REPO]) == 0
    assert files_of(hub, "space", REPO) == before


def test_a_taken_port_is_an_error(model_dir, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["space", str(model_dir), "--launch", "--port", str(taken.getsockname()[1])]) == 2
    assert "cannot be used: Address already in use" in capsys.readouterr().err


def test_the_next_push_keeps_the_link(hub, shared, finished_run, tmp_path):
    assert main(["space", REPO]) == 0
    another = Path(shutil.copytree(finished_run, tmp_path / "trained-again"))
    assert main(["push", str(another), REPO]) == 0
    assert f"spaces/{REPO}" in files_of(hub, "model", REPO)["README.md"].decode()


def test_json_is_one_object(hub, shared, capsys):
    capsys.readouterr()
    assert main(["space", REPO, "--json", "--no-wait"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["space_id"] == REPO
    assert result["stage"] is None
    assert len(result["oid"]) == 40


def test_what_people_wrote_into_the_card_survives_the_link(hub, shared):
    api = HfApi()
    card = Path(api.hf_hub_download(REPO, "README.md")).read_text() + "\nWritten by a person.\n"
    api.upload_file(path_or_fileobj=card.encode(), path_in_repo="README.md", repo_id=REPO)
    assert main(["space", REPO]) == 0
    linked = files_of(hub, "model", REPO)["README.md"].decode()
    assert "Written by a person." in linked
    assert f"spaces/{REPO}" in linked


def test_a_model_of_somebody_else_and_one_without_our_card(hub, capsys, monkeypatch):
    HfApi(token="hf_bob").create_repo("bob/plain")
    HfApi().create_repo("alice/plain")
    assert main(["space", "bob/plain"]) == 0
    assert "bob/plain belongs to somebody else" in capsys.readouterr().err
    assert commits("bob/plain") == 1
    assert main(["space", "alice/plain", "--space-id", "alice/other"]) == 0
    assert "hfbertcls did not write the card of alice/plain" in capsys.readouterr().err
    assert commits("alice/plain") == 1


def test_the_link_is_committed_once_when_the_answer_is_lost(hub, shared):
    assert main(["space", REPO, "--space-id", "alice/first"]) == 0
    before = commits(REPO)
    hub.fail(f"/api/models/{REPO}/commit/", lose_response=True)
    assert main(["space", REPO, "--space-id", "alice/second"]) == 0
    assert commits(REPO) == before + 1


def test_a_link_that_cannot_be_made_is_an_error_with_the_space(hub, shared, capsys):
    hub.fail(f"/api/models/{REPO}/commit/", status=403, times=99)
    assert main(["space", REPO]) == 1
    err = capsys.readouterr().err
    assert f"the Space is at {os.environ['HF_ENDPOINT']}/spaces/{REPO}" in err
    assert "403" in err


def test_a_dry_run_writes_the_files_and_sends_nothing(hub, model_dir, tmp_path, capsys):
    hub.log.clear()
    assert main(["space", str(model_dir), "--dry-run", str(tmp_path / "files")]) == 0
    assert (tmp_path / "files" / "app.py").is_file()
    assert "models:" not in (tmp_path / "files" / "README.md").read_text()  # (it is not on the Hub)
    assert hub.log == []
    assert main(["space", str(model_dir), "--dry-run", str(tmp_path / "files")]) == 1
    assert "it is there and not empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["DIR"], 2, "is not on the Hub yet.*hfbertcls push"),
        (["DIR", "--port", "1"], 2, "--port goes with --launch"),
        (["./nowhere"], 1, "there is no directory 'nowhere'"),
        (["EMPTY"], 1, "has no report.json"),
        (["alice/no..name"], 2, "accepts no repository called"),
        (["alice/nothing"], 1, "the model alice/nothing cannot be looked at"),
        (["DIR", "--launch", "--port", "70000"], 2, "--port 70000 is an invalid value"),
        (["DIR", "--launch", "--hardware", "zero-a10"], 2, "no hardware 'zero-a10' .did you mean 'zero-a10g'"),
        (["DIR", "--feedback-dataset", "name"], 2, "--feedback-dataset 'name' is an invalid value"),
        (["DIR", "--feedback-dataset", "a/b", "--dry-run", "x"], 2, "--feedback-dataset does not go with --dry-run"),
        ([""], 2, "MODEL is empty"),
        (["LATIN"], 2, "is no text in UTF-8"),
        (["DIR", "--wrong"], 2, "no option --wrong"),
    ],
)
def test_what_cannot_be_is_an_error_in_one_line(hub, model_dir, tmp_path, capsys, words, code, message):
    (tmp_path / "empty").mkdir()
    latin = shutil.copytree(model_dir, tmp_path / "latin")
    (latin / "README.md").write_bytes(b"caf\xe9")
    places = {"DIR": str(model_dir), "EMPTY": str(tmp_path / "empty"), "LATIN": str(latin)}
    assert main(["space", *(places.get(word, word) for word in words)]) == code
    err = capsys.readouterr().err.strip()
    assert re.search(message, err)
    assert "Traceback" not in err


def test_without_gradio_launch_says_what_to_install(model_dir, capsys, monkeypatch):
    monkeypatch.setattr(space, "find_spec", lambda name: None)
    assert main(["space", str(model_dir), "--launch"]) == 1
    assert "pip install 'hfbertcls[demo]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("stop", "feedback"), [(signal.SIGINT, []), (signal.SIGTERM, ["--feedback-dataset", "alice/asked"])]
)
def test_launch_runs_the_app_until_it_is_stopped(model_dir, tmp_path, hub, stop, feedback):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "hfbertcls", "space", str(model_dir), "--launch", "--port", str(port)]
    command += feedback
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    (temporary / "gradio").touch()  # as the folder that gradio takes, where it is of another user
    environment = {key: value for key, value in os.environ.items() if key != "GRADIO_TEMP_DIR"}
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**environment, "TMPDIR": str(temporary)},
    )
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=10).close()
            break
        except OSError:
            time.sleep(0.2)
    assert process.poll() is None, process.stdout.read()
    process.send_signal(stop)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 0, output
    assert [path.name for path in temporary.iterdir()] == ["gradio"]
    assert [key for key in hub.store.repositories if key[0] == "datasets"] == [
        ("datasets", name) for name in feedback[1:]
    ]
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=5)


TRAIN = ["--max-steps", "4", "--eval-every", "2"]


def test_train_ends_with_the_space(hub, tmp_path, tiny_model_dir, reviews_dir, capsys):
    words = [
        "train",
        "--model",
        str(tiny_model_dir),
        "--dataset",
        str(reviews_dir),
        "--output-dir",
        str(tmp_path / "o"),
    ]
    assert main([*words, *TRAIN, "--push-to-hub", "alice/films", "--public", "--space"]) == 0
    assert f"The Space: {os.environ['HF_ENDPOINT']}/spaces/alice/films" in capsys.readouterr().out
    assert "app.py" in files_of(hub, "space", "alice/films")
    assert "spaces/alice/films" in files_of(hub, "model", "alice/films")["README.md"].decode()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--space"], "--space needs --push-to-hub"),
        (["--push-to-hub", "alice/films", "--space"], "alice/films is private, so its Space could not read it"),
        (["--push-to-hub", "alice/films", "--public", "--with-token"], "go with --space"),
        (["--push-to-hub", "alice/films", "--space", "--hub-revision", "x"], "--space shows the main branch"),
    ],
)
def test_a_space_that_cannot_be_is_an_error_before_training(
    hub, tmp_path, tiny_model_dir, reviews_dir, capsys, words, message
):
    train = [
        "train",
        "--model",
        str(tiny_model_dir),
        "--dataset",
        str(reviews_dir),
        "--output-dir",
        str(tmp_path / "o"),
    ]
    assert main([*train, *TRAIN, *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
