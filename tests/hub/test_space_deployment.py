"""Deploying a Space to the loopback Hub, with the real client."""

import json
import logging
import threading
import time

import pytest
from huggingface_hub import HfApi, constants, set_client_factory

from hfbertcls import ConfigurationError, SharingError
from hfbertcls.hub import retrying
from hfbertcls.hub.space import runtime as space_runtime
from hfbertcls.hub.space.deployment import deploy_space
from hfbertcls.hub.space.destination import SpaceRequest, check_space
from hfbertcls.hub.space.manifest import MANIFEST


MODEL, SPACE = "alice/films", "alice/films-demo"
README = b"---\ntitle: Films\nsdk: gradio\nsdk_version: 6.31.0\npython_version: '3.12'\napp_file: app.py\nmodels:\n- alice/films\n---\n"
FILES = {"app.py": b"print('hello')\n", "README.md": README, "requirements.txt": b"gradio\n"}
THERE = {*FILES, MANIFEST, ".gitattributes"}
TOKEN = "hf_alice"


@pytest.fixture(autouse=True)
def logged_in(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """Time that passes only when somebody sleeps; the list of the pauses."""
    pauses, sleep = [], time.sleep
    monkeypatch.setattr(space_runtime.time, "monotonic", lambda: 1_000.0 + sum(pauses))
    monkeypatch.setattr(retrying.time, "sleep", lambda seconds: pauses.append(seconds) or sleep(0.001))
    return pauses


@pytest.fixture
def model(hub):
    HfApi().create_repo(MODEL)
    return hub.store.repositories["models", MODEL]


@pytest.fixture
def private_model(model):
    model.private = True
    return model


@pytest.fixture
def log_lines():
    return []


def request(**more):
    return SpaceRequest(**({"space_id": SPACE, "model_id": MODEL} | more))


def space(hub, name=SPACE):
    return hub.store.repositories["spaces", name]


def commits(hub, name=SPACE):
    """Commits after the first, which the Hub makes itself."""
    return list(space(hub, name).history("main"))[:-1]


def content(hub, path, name=SPACE):
    return space(hub, name).content(space(hub, name).head.files[path])


def by_hand(hub, path, data, name=SPACE):
    operation = ("deletedFile", {"path": path}) if data is None else ("file", {"path": path, "data": data})
    space(hub, name).commit("alice", {"summary": "by hand"}, [operation], "main")


def changed(hub, since=0):
    """Requests that change something on the Hub, `/preupload/` and the like apart."""
    return [
        f"{entry.method} {entry.path}"
        for entry in hub.log[since:]
        if entry.method in ("POST", "PUT", "DELETE")
        and not any(word in entry.path for word in ("preupload", "validate-yaml", "paths-info"))
    ]


# ---- what is made


def test_one_commit_holds_exactly_the_files_and_a_manifest(hub, model, log_lines):
    deployed = deploy_space(FILES, request(), log_lines.append)
    assert [commit.oid for commit in commits(hub)] == [deployed.oid]
    assert set(space(hub).head.files) == THERE
    assert {path: content(hub, path) for path in FILES} == FILES
    assert (deployed.space_id, deployed.url, deployed.stage) == (SPACE, f"{hub.url}/spaces/{SPACE}", "RUNNING")
    assert space(hub).space.variables["MODEL_ID"]["value"] == MODEL
    assert space(hub).space.secrets == {}
    assert not space(hub).private
    assert log_lines == [
        f"Made the public Space {SPACE}",
        f"Set MODEL_ID to {MODEL}",
        f"Sent the files in one commit: {hub.url}/spaces/{SPACE}/commit/{deployed.oid}",
        "The Space is being built",
        "The Space is starting",
        "The Space is running",
    ]


def test_the_manifest_is_sorted_and_has_the_hash_of_every_file(hub, model):
    import hashlib

    deploy_space(FILES, request())
    text = content(hub, MANIFEST).decode()
    manifest = json.loads(text)
    assert manifest["files"] == {path: hashlib.sha256(data).hexdigest() for path, data in FILES.items()}
    assert text == json.dumps(manifest, indent=2, sort_keys=True) + "\n"
    assert manifest["renderer"].startswith("hfbertcls 0.")


def test_the_settings_are_there_before_the_build_begins(hub, model):
    deploy_space(FILES, request(hardware="zero-a10g"))
    made = changed(hub)
    assert made[-1] == f"POST /api/spaces/{SPACE}/commit/main"
    assert made[-2] == f"POST /api/spaces/{SPACE}/variables"
    assert space(hub).space.restarts == 0
    assert space(hub).space.hardware == "zero-a10g"


def test_an_unchanged_space_gets_no_commit_and_no_setting(hub, private_model, log_lines):
    wish = request(with_token=True, hardware="zero-a10g")
    deploy_space(FILES, wish)
    before, number = space(hub).head.oid, len(hub.log)
    deployed = deploy_space(FILES, wish, log_lines.append)
    assert (deployed.oid, deployed.stage) == (None, "RUNNING")
    assert space(hub).head.oid == before
    assert changed(hub, number) == []
    assert log_lines == ["The Space has exactly these files already", "The Space is running"]


def test_another_release_with_the_same_files_makes_no_commit(hub, model, monkeypatch):
    deploy_space(FILES, request())
    monkeypatch.setattr("hfbertcls.hub.space.manifest.package_version", lambda _: "99.0")
    assert deploy_space(FILES, request()).oid is None


def test_only_what_differs_is_sent_and_what_is_no_longer_ours_is_deleted(hub, model, log_lines):
    deploy_space({**FILES, "examples.json": b"[]\n"}, request())
    by_hand(hub, "notes.md", b"mine\n")
    deployed = deploy_space({**FILES, "app.py": b"print('new')\n"}, request(), log_lines.append)
    assert set(space(hub).head.files) == THERE | {"notes.md"}
    assert len(commits(hub)) == 3
    assert commits(hub)[0].oid == deployed.oid
    body = hub.requests(f"POST /api/spaces/{SPACE}/commit/")[-1].body
    lines = [json.loads(line) for line in body.splitlines()]
    assert [(line["key"], line["value"].get("path")) for line in lines[1:]] == [
        ("file", MANIFEST),
        ("file", "app.py"),
        ("deletedFile", "examples.json"),
    ]
    assert lines[0]["value"]["parentCommit"] == commits(hub)[1].oid


def test_a_large_file_is_compared_by_its_hash(hub, model):
    files = {**FILES, "picture.png": b"\x89PNG\0" + bytes(range(256))}
    deploy_space(files, request())
    assert space(hub).head.files["picture.png"].sha256 is not None
    assert deploy_space(files, request()).oid is None
    by_hand(hub, "picture.png", b"\x89PNG\0other")
    with pytest.raises(SharingError, match="picture.png: 10 bytes in the Space, 261 here; no text"):
        deploy_space(files, request())


def test_a_bare_name_is_a_space_of_the_account_and_organizations_work(hub, model):
    assert deploy_space(FILES, request(space_id="films-demo")).space_id == SPACE
    assert deploy_space(FILES, request(space_id="acme/films")).url == f"{hub.url}/spaces/acme/films"
    assert set(space(hub, "acme/films").head.files) == THERE


def test_another_model_in_the_same_space_is_logged(hub, model, log_lines):
    deploy_space(FILES, request())
    HfApi().create_repo("alice/books")
    deploy_space(FILES, request(model_id="alice/books"), log_lines.append)
    assert f"Set MODEL_ID to alice/books (it was {MODEL})" in log_lines
    assert space(hub).space.variables["MODEL_ID"]["value"] == "alice/books"


# ---- visibility and the token


def everything_said(log_lines, capfd, caplog, tmp_path):
    captured = capfd.readouterr()
    files = [path.read_bytes().decode(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    return "\n".join([*log_lines, captured.out, captured.err, caplog.text, *files])


def test_a_private_model_without_a_token_is_explained_before_anything_is_made(hub, private_model, log_lines):
    number = len(hub.log)
    with pytest.raises(SharingError) as refused:
        deploy_space(FILES, request(), log_lines.append)
    message = str(refused.value)
    assert f"the model {MODEL} is private, so the Space {SPACE} could not read it. Nothing was changed" in message
    for choice in ("make the model public", "--with-token", "YOUR token as the secret HF_TOKEN", "fine-grained"):
        assert choice in message
    assert changed(hub, number) == []
    assert log_lines == []


@pytest.mark.parametrize("debug", [False, True])
def test_with_a_token_it_is_logged_and_stored_and_its_value_is_nowhere(
    hub, private_model, log_lines, capfd, caplog, tmp_path, monkeypatch, debug
):
    token = "hf_" + "aZ9" * 12
    hub.store.add_account("alice", token)
    monkeypatch.setenv("HF_TOKEN", token)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_DEBUG", debug)
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.DEBUG):
        deployed = deploy_space(FILES, request(with_token=True), log_lines.append)
        by_hand(hub, "app.py", b"print('edited')\n")
        with pytest.raises(SharingError) as refused:
            deploy_space(FILES, request(with_token=True), log_lines.append)
        deploy_space(FILES, request(with_token=True, overwrite=True), log_lines.append)
    entry = space(hub).space.secrets["HF_TOKEN"]
    assert entry["value"] == token
    assert token not in entry["description"]
    assert space(hub).private
    notes = [line for line in log_lines if line.startswith("note: --with-token stores your token")]
    assert len(notes) == 1
    assert f"can only read {MODEL} is safer" in notes[0]
    assert log_lines.index(notes[0]) < log_lines.index("Stored your token as the secret HF_TOKEN")
    text = everything_said([*log_lines, str(deployed), repr(refused.value)], capfd, caplog, tmp_path)
    assert "Stored your token" in text
    assert token not in text
    for commit in space(hub).commits.values():
        for file in commit.files.values():
            assert token.encode() not in space(hub).content(file)


def test_a_refused_secret_is_not_repeated_by_the_error(hub, private_model, log_lines, clock):
    """Neither in the message nor in an error that hangs on it, even if the Hub repeats the request."""
    token = "hf_" + "bY8" * 12
    hub.store.add_account("alice", token)
    hub.fail("/secrets", method="POST", status=503, times=9, message=f"cannot store {token}")
    with pytest.raises(
        SharingError, match="the secret HF_TOKEN of alice/films-demo could not be stored: the Hub answe"
    ) as e:
        deploy_space(FILES, request(with_token=True), log_lines.append, HfApi(token=token))
    assert token not in "\n".join([*log_lines, str(e.value)])
    assert (e.value.__cause__, e.value.__context__) == (None, None)
    assert commits(hub) == []


def test_a_token_that_was_stored_before_is_stored_again_only_if_it_is_another(hub, private_model, log_lines):
    deploy_space(FILES, request(with_token=True))
    hub.store.add_account("alice", "hf_alice_new")
    number = len(hub.log)
    deploy_space(FILES, request(with_token=True), log_lines.append, HfApi(token="hf_alice_new"))
    assert space(hub).space.secrets["HF_TOKEN"]["value"] == "hf_alice_new"
    assert changed(hub, number) == [f"POST /api/spaces/{SPACE}/secrets"]
    number = len(hub.log)
    deploy_space(FILES, request(), log_lines.append, HfApi(token="hf_alice_new"))
    assert changed(hub, number) == []


def test_a_token_that_somebody_put_there_serves_and_stays(hub, private_model, log_lines):
    """The way that the message names for a token that can only read."""
    api = HfApi()
    api.create_repo(SPACE, repo_type="space", space_sdk="gradio", private=True)
    api.add_space_secret(SPACE, "HF_TOKEN", "hf_fine_grained")
    deploy_space(FILES, request(), log_lines.append)
    assert not any("token" in line for line in log_lines)
    deploy_space(FILES, request(with_token=True), log_lines.append)
    assert any("has a secret HF_TOKEN that hfbertcls did not store; it stays" in line for line in log_lines)
    assert space(hub).space.secrets["HF_TOKEN"]["value"] == "hf_fine_grained"
    deploy_space(FILES, request(with_token=True, overwrite=True), log_lines.append)
    assert space(hub).space.secrets["HF_TOKEN"]["value"] == TOKEN


def test_a_public_model_needs_no_token(hub, model, log_lines):
    deploy_space(FILES, request(with_token=True), log_lines.append)
    assert space(hub).space.secrets == {}
    assert any("can be read by anyone; the Space needs no token, so none is stored" in line for line in log_lines)


FEEDBACK = "alice/films-feedback"


def test_the_data_set_for_feedback_is_a_variable_and_its_token_is_spoken_of(hub, model, log_lines):
    deploy_space(FILES, request(feedback_dataset=FEEDBACK), log_lines.append)
    assert space(hub).space.variables["FEEDBACK_DATASET"]["value"] == FEEDBACK
    assert space(hub).space.secrets == {}
    assert f"Set FEEDBACK_DATASET to {FEEDBACK}" in log_lines
    (note,) = (line for line in log_lines if line.startswith("note: "))
    assert f"the secret HF_TOKEN of {SPACE} must hold a token that may write to the data set {FEEDBACK}" in note
    number = len(hub.log)
    deploy_space(FILES, request(feedback_dataset=FEEDBACK))
    deploy_space(FILES, request())  # (it stays)
    assert changed(hub, number) == []
    assert space(hub).space.variables["FEEDBACK_DATASET"]["value"] == FEEDBACK
    deploy_space(FILES, request(feedback_dataset="acme/other"), log_lines.append)
    assert f"Set FEEDBACK_DATASET to acme/other (it was {FEEDBACK})" in log_lines


def test_with_a_token_a_public_model_stores_feedback(hub, model, log_lines):
    deploy_space(FILES, request(feedback_dataset=FEEDBACK, with_token=True), log_lines.append)
    assert space(hub).space.secrets["HF_TOKEN"]["value"] == TOKEN
    assert f"A fine-grained token that can only write to the data set {FEEDBACK} is safer" in log_lines[0]
    log_lines.clear()
    deploy_space(FILES, request(), log_lines.append)
    assert not any("does not need" in line for line in log_lines)


def test_a_private_model_with_feedback_names_both_rights(hub, private_model, log_lines):
    deploy_space(FILES, request(feedback_dataset=FEEDBACK, with_token=True), log_lines.append)
    assert f"can only read {MODEL} and write to the data set {FEEDBACK} is safer" in log_lines[0]


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("feedback", ConfigurationError, "--feedback-dataset 'feedback' is an invalid value. Expected USER/NAME"),
        ("alice/no..name", ConfigurationError, "accepts no repository called"),
        ("museum/feedback", SharingError, "alice may not write to a data set of 'museum'. Take .* alice/feedback"),
    ],
)
def test_a_data_set_that_cannot_take_feedback_is_refused_before_anything_is_sent(hub, model, name, error, message):
    with pytest.raises(error, match=message):
        deploy_space(FILES, request(feedback_dataset=name))
    assert changed(hub) == ["POST /api/repos/create"]  # (of the model)


def test_a_model_that_became_public_leaves_a_token_with_a_note(hub, private_model, log_lines):
    deploy_space(FILES, request(with_token=True))
    private_model.private = False
    deploy_space(FILES, request(), log_lines.append)
    assert log_lines[0] == "note: the Space has a secret HF_TOKEN that it does not need; remove it in its settings"


def test_a_private_model_in_a_public_space_is_logged(hub, private_model, log_lines):
    deploy_space(FILES, request(public=True, with_token=True), log_lines.append)
    assert not space(hub).private
    assert log_lines[0] == f"note: the Space is public, so anyone can use the model {MODEL} there"


def test_a_private_space_for_a_public_model(hub, model):
    deploy_space(FILES, request(public=False))
    assert space(hub).private


def test_an_existing_public_space_does_not_show_a_private_model_by_accident(hub, private_model):
    HfApi().create_repo(SPACE, repo_type="space", space_sdk="gradio")
    with pytest.raises(
        SharingError, match="is public and the model alice/films is private: anyone could use it there"
    ):
        deploy_space(FILES, request(with_token=True))
    assert space(hub).space.secrets == {}
    assert commits(hub) == []


@pytest.mark.parametrize("private", [True, False])
def test_the_visibility_of_a_space_that_exists_is_not_changed(hub, model, private):
    HfApi().create_repo(SPACE, repo_type="space", space_sdk="gradio", private=private)
    now, flag = ("private", "--public") if private else ("public", "--private")
    with pytest.raises(ConfigurationError, match=f"exists and is {now}; {flag} does not change that"):
        deploy_space(FILES, request(public=private))


def test_a_space_that_became_public_against_the_wish_gets_nothing(hub, private_model):
    hub.fail(f"/api/spaces/{SPACE}$", after=1, act=lambda: setattr(space(hub), "private", False))
    with pytest.raises(
        SharingError, match="the Hub made the Space alice/films-demo public, not as asked; nothing was put"
    ):
        deploy_space(FILES, request(with_token=True))
    assert space(hub).space.secrets == {}
    assert commits(hub) == []


# ---- what people edited


def test_an_edited_file_is_kept_and_its_difference_is_shown(hub, private_model, log_lines, clock):
    deploy_space(FILES, request(with_token=True))
    by_hand(hub, "app.py", b"print('hello')\nprint('mine')\n")
    number, before = len(hub.log), space(hub).head.oid
    del clock[:]
    with pytest.raises(SharingError) as refused:
        deploy_space(FILES, request(with_token=True, hardware="zero-a10g"), log_lines.append)
    assert (clock, log_lines) == ([], []), "a refusal of ours was tried again"
    message = str(refused.value)
    assert f"hfbertcls did not write what the Space {SPACE} holds in app.py" in message
    assert "--- app.py (the Space)\n+++ app.py (hfbertcls)\n" in message
    assert "\n-print('mine')\n" in message
    assert f"hfbertcls space {MODEL} --space-id {SPACE} --hardware zero-a10g --with-token --overwrite" in message
    assert changed(hub, number) == []
    assert space(hub).head.oid == before
    deploy_space(FILES, request(with_token=True, overwrite=True), log_lines.append)
    assert content(hub, "app.py") == FILES["app.py"]
    assert f"Replacing app.py; what was there stays in the history of the Space, at {before[:8]}" in log_lines
    assert space(hub).content(space(hub).commits[before].files["app.py"]).endswith(b"print('mine')\n")


def test_a_file_that_is_to_go_is_kept_if_it_was_edited(hub, model):
    deploy_space({**FILES, "notes.txt": b"ours\n"}, request())
    by_hand(hub, "notes.txt", b"mine\n")
    with pytest.raises(SharingError, match="holds in notes.txt"):
        deploy_space(FILES, request())
    deploy_space(FILES, request(overwrite=True))
    assert set(space(hub).head.files) == THERE


def test_a_space_that_was_never_ours_is_not_overwritten(hub, model):
    HfApi().create_repo(SPACE, repo_type="space", space_sdk="gradio")
    by_hand(hub, "app.py", b"import gradio\n")
    with pytest.raises(SharingError, match=r"holds in README.md, app.py\."):
        deploy_space(FILES, request())
    assert len(commits(hub)) == 1


def test_the_readme_that_the_hub_made_is_no_edit_but_one_that_was_changed_is(hub, model):
    HfApi().create_repo(SPACE, repo_type="space", space_sdk="gradio")
    check_space(request())
    by_hand(hub, "README.md", README + b"Mine.\n")
    with pytest.raises(SharingError, match=r"holds in README.md\.") as refused:
        deploy_space(FILES, request())
    assert "\n-Mine." in str(refused.value)
    assert content(hub, "README.md").endswith(b"Mine.\n")


def test_the_same_files_put_there_by_hand_become_ours(hub, model):
    HfApi().create_repo(SPACE, repo_type="space", space_sdk="gradio")
    for path, data in FILES.items():
        by_hand(hub, path, data)
    assert deploy_space(FILES, request()).oid is not None
    assert set(space(hub).head.files) == THERE


def test_an_edit_that_gives_what_we_would_write_is_no_conflict(hub, model):
    deploy_space(FILES, request())
    new = {**FILES, "app.py": b"print('new')\n"}
    by_hand(hub, "app.py", new["app.py"])
    deploy_space(new, request())
    assert json.loads(content(hub, MANIFEST))["files"].keys() == FILES.keys()
    assert deploy_space(new, request()).oid is None


@pytest.mark.parametrize("damaged", [b"{", b"[]", b'{"files": 1}', b"null", b"\xff"])
def test_a_damaged_manifest_is_not_trusted(hub, model, damaged):
    deploy_space(FILES, request())
    by_hand(hub, MANIFEST, damaged)
    with pytest.raises(SharingError, match=r"holds in \.hfbertcls\.json, app\.py"):
        deploy_space({**FILES, "app.py": b"print('new')\n"}, request())


def test_a_file_that_somebody_deleted_is_written_again(hub, model):
    deploy_space(FILES, request())
    by_hand(hub, "requirements.txt", None)
    deploy_space(FILES, request())
    assert set(space(hub).head.files) == THERE


def test_a_difference_shows_no_secret_no_control_character_and_not_everything(hub, model):
    deploy_space(FILES, request())
    secret = "hf_" + "cX7" * 12
    by_hand(hub, "requirements.txt", f"# {secret}\n".encode())
    by_hand(hub, "app.py", b"\x1b[31mred\n" + b"line\n" * 50)
    by_hand(hub, "README.md", README.replace(b"\n", b"\r\n"))
    with pytest.raises(SharingError) as refused:
        deploy_space(FILES, request())
    message = str(refused.value)
    assert secret not in message
    assert "requirements.txt: not shown, the Space's version holds what looks like a Hugging Face token" in message
    assert "\x1b" not in message
    assert "-\\x1b[31mred" in message
    assert "… and 35 more lines" in message
    assert "README.md: other line ends, the same text" in message


# ---- errors before anything is changed


@pytest.mark.parametrize(
    ("token", "more", "kind", "message"),
    [
        (None, {}, SharingError, "nobody is logged in to the Hub"),
        ("hf_nobody", {}, SharingError, "the Hub answered 401, the token is not valid"),
        ("hf_rita", {"space_id": "rita/demo"}, SharingError, "the token can only read"),
        (TOKEN, {"space_id": "museum/demo"}, SharingError, "alice may not make or change a Space in 'museum'. Take --space-id"),
        (TOKEN, {"model_id": "alice/nothing"}, SharingError, "there is no model alice/nothing.*hfbertcls push DIR alice/n"),
        (TOKEN, {"space_id": "a/b/c"}, ConfigurationError, "the Hub accepts no repository called 'a/b/c'"),
        (TOKEN, {"model_id": "./films"}, ConfigurationError, "the Hub accepts no repository called './films'"),
        (TOKEN, {"hardware": "zero-a10"}, ConfigurationError, "no hardware 'zero-a10' .did you mean 'zero-a10g'.*cpu-basic"),
    ],
)  # fmt: skip
def test_missing_rights_are_an_error_before_anything_is_changed(hub, model, monkeypatch, token, more, kind, message):
    monkeypatch.delenv("HF_TOKEN")
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    number = len(hub.log)
    with pytest.raises(kind, match=message):
        deploy_space(FILES, request(**more))
    assert changed(hub, number) == []


def test_a_secret_in_a_file_stops_the_deployment_and_is_not_repeated(hub, model):
    secret = "hf_" + "dW6" * 12
    with pytest.raises(
        SharingError, match="nothing was sent: app.py holds what looks like a Hugging Face token"
    ) as refused:
        deploy_space({**FILES, "app.py": f"TOKEN = '{secret}'\n".encode()}, request())
    assert secret not in str(refused.value)
    assert ("spaces", SPACE) not in hub.store.repositories


def test_what_the_hub_finds_wrong_with_the_readme_is_an_error(hub, model):
    with pytest.raises(
        SharingError, match=r"ValueError.*\"short_description\" length must be less.*Repeat: .*hfbertcls space"
    ) as e:
        deploy_space(
            {**FILES, "README.md": b"---\nsdk: gradio\nshort_description: " + b"x" * 61 + b"\n---\n"}, request()
        )
    assert "reachable" not in str(e.value)


# ---- plans and hardware


def test_402_names_the_free_way(hub, model):
    hub.store.requires_plan = True
    with pytest.raises(SharingError) as refused:
        deploy_space(FILES, request())
    message = str(refused.value)
    assert "the Hub answered 402" in message
    assert "a Gradio Space on CPU hardware (cpu-basic) needs a paid plan" in message
    assert "two Spaces on ZeroGPU under its own name: add --hardware zero-a10g" in message
    assert "--dry-run DIR" in message
    assert ("spaces", SPACE) not in hub.store.repositories
    assert deploy_space(FILES, request(hardware="zero-a10g")).stage == "RUNNING"


def test_402_for_a_third_zero_gpu_space_and_for_paid_hardware(hub, model):
    hub.store.requires_plan = True
    for name in ("one", "two"):
        deploy_space(FILES, request(space_id=f"alice/{name}", hardware="zero-a10g"))
    with pytest.raises(SharingError, match="two Spaces on ZeroGPU under its own name: delete one that is there"):
        deploy_space(FILES, request(hardware="zero-a10g"))
    with pytest.raises(SharingError, match="t4-small costs money, and needs a means of payment"):
        deploy_space(FILES, request(hardware="t4-small"))


def test_402_for_other_hardware_leaves_the_files_as_they_were(hub, model):
    hub.store.requires_plan = True
    deploy_space(FILES, request(hardware="zero-a10g"))
    with pytest.raises(SharingError, match="t4-small costs money"):
        deploy_space({**FILES, "app.py": b"print('new')\n"}, request(hardware="t4-small"))
    assert len(commits(hub)) == 1


def test_a_paying_account_gets_what_it_asks_for(hub, model, log_lines):
    hub.store.requires_plan = True
    hub.store.add_account("alice", TOKEN, is_pro=True)
    deploy_space(FILES, request())
    deploy_space(FILES, request(hardware="t4-small"), log_lines.append)
    assert space(hub).space.hardware == "t4-small"
    assert "Asked for the hardware t4-small" in log_lines
    assert len(commits(hub)) == 1


# ---- waiting


def test_each_stage_is_logged_once_and_the_pauses_grow(hub, model, log_lines, clock):
    hub.store.space_stages = ["BUILDING"] * 6 + ["APP_STARTING"] * 3 + ["RUNNING"]
    deploy_space(FILES, request(), log_lines.append)
    stages = ["The Space is being built", "The Space is starting", "The Space is running"]
    assert log_lines[-3:] == stages
    assert clock == pytest.approx([2, 3, 4.5, 6.75, 10.125, 15.1875, 20, 20, 20])


@pytest.mark.parametrize("tells_commit", [True, False])
def test_the_stage_of_the_former_version_does_not_count(hub, model, log_lines, clock, tells_commit):
    hub.store.tells_running_commit = tells_commit
    deploy_space(FILES, request())
    hub.store.stale_polls = 4
    hub.store.space_stages = ["RUNNING_BUILDING", "BUILD_ERROR"]
    with pytest.raises(SharingError, match="could not be built"):
        deploy_space({**FILES, "app.py": b"broken\n"}, request(), log_lines.append)
    hub.store.space_stages = ["RUNNING_BUILDING", "RUNNING"]
    del log_lines[:]
    deploy_space({**FILES, "app.py": b"print('well')\n"}, request(), log_lines.append)
    assert log_lines[-2:] == ["The Space is being built; its former version still runs", "The Space is running"]


def test_a_stage_that_stays_counts_after_a_minute(hub, model, log_lines, clock):
    hub.store.space_stages = ["PAUSED"]
    hub.store.tells_running_commit = False
    assert deploy_space(FILES, request(), log_lines.append).stage == "PAUSED"
    assert log_lines[-1] == "The Space is paused; restart it on its page"
    assert 60 <= sum(clock) < 90


def test_a_stage_that_is_unknown_is_named(hub, model, log_lines):
    hub.store.space_stages = ["SLEEPING"]
    assert deploy_space(FILES, request(), log_lines.append).stage == "SLEEPING"
    assert log_lines[-1] == "The Space has the stage SLEEPING"


def test_nobody_has_to_wait(hub, model):
    deployed = deploy_space(FILES, request(wait=False))
    assert deployed.stage is None
    assert hub.requests("/runtime") == []


def test_what_takes_too_long_is_an_error(hub, model, clock):
    hub.store.space_stages = ["BUILDING"]
    with pytest.raises(
        SharingError, match=r"has its files, but after 100 s its stage is BUILDING, and RUNNING was expected"
    ):
        deploy_space(FILES, request(), timeout=100)
    assert sum(clock) == pytest.approx(100)
    assert len(commits(hub)) == 1


@pytest.mark.parametrize(
    ("stages", "log", "message"),
    [
        (["BUILDING", "BUILD_ERROR"], "build", "could not be built .BUILD_ERROR."),
        (["BUILDING", "APP_STARTING", "RUNTIME_ERROR"], "run", "its app ended with an error .RUNTIME_ERROR."),
        (["CONFIG_ERROR"], "build", "is refused for the settings at the top of its README.md .CONFIG_ERROR."),
    ],
)
def test_a_failure_is_reported_with_the_end_of_its_log(hub, model, stages, log, message):
    hub.store.space_stages = stages
    hub.store.space_errors = {stages[-1]: "exit code 1"}
    hub.store.space_logs[log] = [f"step {n}\n" for n in range(40)] + [
        "\x1b[31mERROR: No matching distribution for torch==9\x1b[0m\n"
    ]
    with pytest.raises(SharingError, match=message) as refused:
        deploy_space(FILES, request())
    lines = str(refused.value).splitlines()
    assert lines[1:3] == ["the Hub says: exit code 1", f"the {log} log ends with:"]
    assert lines[3:5] == ["  step 29", "  step 30"]
    assert lines[-2] == "  ERROR: No matching distribution for torch==9"
    assert lines[-1] == f"The whole log stands at {hub.url}/spaces/{SPACE}?logs={log}"


def test_a_log_that_repeats_the_token_is_not_repeated(hub, private_model):
    hub.store.space_stages = ["RUNTIME_ERROR"]
    other = "hf_" + "eV5" * 12
    hub.store.space_logs["run"] = ["first\n", f"os.environ: {TOKEN}\n", f"other {other}\n", "KeyError"]
    with pytest.raises(SharingError, match="  first") as refused:
        deploy_space(FILES, request(with_token=True))
    message = str(refused.value)
    assert TOKEN not in message
    assert other not in message
    assert message.count("(a line that is not shown, because it holds what looks like a secret)") == 2
    assert "\n  KeyError\n" in message


def test_a_log_that_is_empty_or_cannot_be_read_is_an_error(hub, model):
    hub.store.space_stages = ["BUILD_ERROR"]
    with pytest.raises(SharingError, match="the build log is empty"):
        deploy_space(FILES, request())
    hub.fail("/logs/", status=403, times=9)
    with pytest.raises(SharingError, match="the build log cannot be read: the Hub answered 403"):
        deploy_space(FILES, request())


def test_a_space_without_an_app_is_an_error(hub, model):
    files = {path: data for path, data in FILES.items() if path != "app.py"}
    with pytest.raises(SharingError, match="it has no app file .NO_APP_FILE."):
        deploy_space(files, request())


# ---- faults

LIMITED = {"status": 429, "headers": {"Retry-After": "1"}}
FAULTS = {
    "whoami 429": ("whoami", LIMITED),
    "model info 503": (f"/api/models/{MODEL}", {"status": 503}),
    "space info 502": (f"/api/spaces/{SPACE}$", {"status": 502}),
    "create 503": ("repos/create", {"status": 503}),
    "create answer lost": ("repos/create", {"lose_response": True}),
    "variables 503": ("/variables", {"status": 503, "method": "GET"}),
    "variable 500": ("/variables", {"status": 500, "method": "POST"}),
    "variable answer lost": ("/variables", {"lose_response": True, "method": "POST"}),
    "secret 503": ("/secrets", {"status": 503, "method": "POST"}),
    "secret answer lost": ("/secrets", {"lose_response": True, "method": "POST"}),
    "hardware 503": ("/hardware", {"status": 503}),
    "tree 503": ("/tree/", {"status": 503}),
    "validate 502": ("validate-yaml", {"status": 502}),
    "preupload 429": ("preupload", LIMITED),
    "commit 500": ("/commit/", {"status": 500}),
    "commit 503 twice": ("/commit/", {"status": 503, "times": 2}),
    "commit 429": ("/commit/", LIMITED),
    "commit reset": ("/commit/", {"reset_after": 100}),
    "commit answer lost": ("/commit/", {"lose_response": True}),
    "commit too slow": ("/commit/", {"delay": 1.0}),
    "paths-info 503": ("/paths-info/", {"status": 503}),
    "runtime 503": ("/runtime", {"status": 503, "times": 2}),
}


@pytest.fixture
def impatient():
    """A client that waits half a second for an answer."""
    import httpx2
    from huggingface_hub.utils._http import default_client_factory

    def make():
        client = default_client_factory()
        client.timeout = httpx2.Timeout(0.5)
        return client

    set_client_factory(make)
    yield
    set_client_factory(default_client_factory)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_that_passes_is_survived_with_one_commit(hub, private_model, monkeypatch, impatient, log_lines, name):
    path, how = FAULTS[name]
    fault = hub.fail(path, **how)
    hub.store.add_account("alice", TOKEN, is_pro=True)
    if name == "hardware 503":
        HfApi().create_repo(SPACE, repo_type="space", space_sdk="gradio", private=True)
    deployed = deploy_space(FILES, request(with_token=True, hardware="t4-small"), log_lines.append)
    assert fault.seen > 0, "the fault did not strike"
    if name == "commit too slow":
        assert any("ReadTimeout" in line for line in log_lines)
        while len(hub.requests("/commit/")) < 2:  # the first is answered when nobody waits any more
            threading.Event().wait(0.05)
    assert [commit.oid for commit in commits(hub)] == [deployed.oid]
    assert set(space(hub).head.files) == THERE
    assert deployed.stage == "RUNNING"
    assert space(hub).space.variables["MODEL_ID"]["value"] == MODEL
    assert space(hub).space.secrets["HF_TOKEN"]["value"] == TOKEN
    assert space(hub).space.hardware == "t4-small"


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("repos/create", 403, "this account or token may not write there"),
        ("/variables", 403, "the variables of alice/films-demo cannot be listed: the Hub answered 403"),
        ("/commit/", 413, "larger than the Hub accepts"),
        ("/commit/", 500, "the Hub answered 500, the Hub has trouble"),
        ("/commit/", 412, "somebody else changed the repository"),
        ("/runtime", 500, "has its files, but its stage cannot be asked for: the Hub answered 500"),
    ],
)
def test_a_fault_that_stays_is_an_error_and_repeating_completes(hub, model, path, status, message):
    hub.fail(path, status=status, times=1_000)
    with pytest.raises(SharingError, match=message) as refused:
        deploy_space(FILES, request())
    assert "--create-pr" not in str(refused.value)
    hub.faults.clear()
    assert deploy_space(FILES, request()).stage == "RUNNING"
    assert len(commits(hub)) == 1


def test_a_dead_hub_is_an_error(model, clock):
    with pytest.raises(SharingError, match="the Hub cannot be asked who you are: ConnectError.*reachable"):
        deploy_space(FILES, request(), api=HfApi(endpoint="http://127.0.0.1:9"))


@pytest.mark.parametrize("theirs", ["NOTES.md", "app.py"])
def test_another_writer_in_between_is_noticed_and_kept(hub, model, log_lines, theirs):
    deploy_space(FILES, request())
    hub.fail("/commit/", act=lambda: by_hand(hub, theirs, b"mine\n"))
    new = {**FILES, "app.py": b"print('new')\n"}
    if theirs == "app.py":
        with pytest.raises(SharingError, match="holds in app.py"):
            deploy_space(new, request(), log_lines.append)
    else:
        deploy_space(new, request(), log_lines.append)
        assert content(hub, "app.py") == new["app.py"]
    assert any("412, somebody else changed the repository" in line for line in log_lines)
    assert content(hub, theirs) == b"mine\n"


def test_what_the_hub_keeps_otherwise_than_sent_is_an_error(hub, model, monkeypatch):
    monkeypatch.setattr("hfbertcls.hub.space.files._holds", lambda remote, data: False)
    with pytest.raises(
        SharingError, match=r"alice/films-demo does not hold what was sent: \.hfbertcls\.json, README\.md"
    ):
        deploy_space(FILES, request())
