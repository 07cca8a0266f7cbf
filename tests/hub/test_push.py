"""Pushing against the loopback Hub, with the real client: one commit or none, whatever goes wrong."""

import json
import os
import re
import time

import pytest
from huggingface_hub import HfApi, constants

from hfbertcls import ConfigurationError, OutputDirectoryError, SharingError
from hfbertcls.cli import main, make_parser
from hfbertcls.cli.push import request_of
from hfbertcls.commands import command
from hfbertcls.hub import retrying
from hfbertcls.hub.push import PushRequest, check_destination, push_directory
from hfbertcls.repository.model_repository import rewrite_report
from hfbertcls.repository.stated_files import read_report


REPO = "alice/film-reviews"
FILES = {
    ".gitattributes", "README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
    "report.json", "training_args.json", "predictions/validation.parquet", "predictions/test.parquet",
    "plots/baselines.png", "plots/confusion_matrix.png", "plots/reliability.png", "plots/learning_curves.png",
}  # fmt: skip
UNSAID = "note: the card states no license and no language. Write it at the top of README.md here, and push again"


@pytest.fixture(autouse=True)
def logged_in(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_alice")


@pytest.fixture
def no_waiting(monkeypatch):
    """Record the waits instead of waiting; huggingface_hub's own retries are quick, too."""
    waits = []
    sleep = time.sleep
    monkeypatch.setattr(retrying.time, "sleep", lambda seconds: waits.append(seconds) or sleep(0.001))
    return waits


@pytest.fixture(params=["xet", "lfs", "multipart"])
def transfer(request, monkeypatch, hub):
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", request.param != "xet")
    if request.param == "multipart":
        hub.multipart_over, hub.part_size = 1_000, 30_000
    return request.param


def repository(hub, name=REPO):
    return hub.store.repositories["models", name]


def commits(hub, name=REPO):
    """Commits on main after the first, which the Hub makes itself."""
    return list(repository(hub, name).history("main"))[:-1]


def change_the_model(model_dir):
    """Another content of a file, which the report states: there is something to push."""
    (model_dir / "training_args.json").write_text("{}\n")
    rewrite_report(model_dir, read_report(model_dir), added=["training_args.json"])


def test_one_commit_holds_exactly_the_list(hub, model_dir, transfer):
    (model_dir / ".env").write_text("HF_TOKEN=hf_" + "x" * 34)
    (model_dir / "notes.txt").write_text("private")
    (model_dir / "predictions" / "private.parquet").write_text("private")
    (model_dir / "model-x.safetensors.bak").write_text("private")
    (model_dir / "vocab.txt").symlink_to("notes.txt")
    log_lines = []
    pushed = push_directory(model_dir, PushRequest(REPO), log_lines.append)
    made = commits(hub)
    assert [commit.oid for commit in made] == [pushed.oid]
    assert set(made[0].files) == FILES
    assert repository(hub).private
    for name in FILES - {".gitattributes"}:
        assert repository(hub).content(made[0].files[name]) == (model_dir / name).read_bytes(), name
    assert log_lines == [
        UNSAID,
        "note: not sent, because report.json does not state it: 'model-x.safetensors.bak', 'notes.txt', "
        "'predictions/private.parquet', 'vocab.txt'",
        f"Made the private repository {REPO}",
    ]
    assert bool(hub.requests("/_s3/")) == (transfer != "xet")
    assert bool(hub.requests("/_cas/")) == (transfer == "xet")


def test_no_request_before_anything_was_asked(hub, model_dir, finished_run):
    assert hub.log == []


def test_the_card_names_the_repository_and_follows_from_the_pushed_report(hub, model_dir):
    push_directory(model_dir, PushRequest(REPO))
    card = repository(hub).content(repository(hub).head.files["README.md"]).decode()
    assert f'pipeline("text-classification", model="{REPO}", truncation=True)' in card
    assert main(["verify", REPO]) == 0
    assert main(["verify", str(model_dir)]) == 0


def test_nothing_is_sent_when_the_hub_has_it_already(hub, model_dir):
    first = push_directory(model_dir, PushRequest(REPO))
    log_lines = []
    again = push_directory(model_dir, PushRequest(REPO), log_lines.append)
    assert again.oid == first.oid
    assert log_lines == [UNSAID, "The Hub has exactly these files already"]
    assert len(commits(hub)) == 1


def test_predictions_may_stay_here(hub, model_dir, capsys):
    push_directory(model_dir, PushRequest(REPO, predictions=False))
    assert not [name for name in repository(hub).head.files if name.startswith("predictions/")]
    assert main(["verify", REPO]) == 1
    assert "missing: the metrics of test: predictions/test.parquet is not there" in capsys.readouterr().out
    assert main(["verify", REPO, "--without-predictions"]) == 0
    assert "All of it holds" not in capsys.readouterr().out


FOREIGN = {
    "README.txt": b"theirs", "data/x.bin": b"\0theirs", "train.parquet": b"theirs", "photo.png": b"theirs",
    "model.onnx": b"theirs", "pytorch_model.bin": b"\0theirs", "plots/mine.png": b"theirs", "predictions/old.parquet": b"x",
    "model-00001-of-00002.safetensors": b"\0theirs",
}  # fmt: skip


def put_on_the_hub(files):
    for name, content in files.items():
        HfApi().upload_file(path_or_fileobj=content, path_in_repo=name, repo_id=REPO)


def on_the_hub(hub, name):
    return repository(hub).content(repository(hub).head.files[name])


def with_another_plot(model_dir):
    """State and write one more file, as a learning curve does."""
    (model_dir / "plots" / "data_curve.png").write_bytes(b"curve")
    rewrite_report(model_dir, read_report(model_dir), added=["plots/data_curve.png"])


def without_it_again(model_dir):
    (model_dir / "plots" / "data_curve.png").unlink()
    rewrite_report(model_dir, read_report(model_dir), removed=["plots/data_curve.png"])


@pytest.mark.filterwarnings("ignore:It seems that you are about to commit a data file")
def test_what_an_earlier_push_stated_is_removed_in_the_same_commit_and_nothing_of_others(hub, model_dir):
    HfApi().create_repo(REPO, private=True)
    put_on_the_hub(FOREIGN)
    with_another_plot(model_dir)
    push_directory(model_dir, PushRequest(REPO))
    assert set(repository(hub).head.files) == FILES | set(FOREIGN) | {"plots/data_curve.png"}
    without_it_again(model_dir)
    before, log_lines = len(commits(hub)), []
    push_directory(model_dir, PushRequest(REPO), log_lines.append)
    assert set(repository(hub).head.files) == FILES | set(FOREIGN)
    assert {name: on_the_hub(hub, name) for name in FOREIGN} == FOREIGN
    assert len(commits(hub)) == before + 1
    assert log_lines == [
        UNSAID,
        "Replacing 'report.json'",
        "Removing 'plots/data_curve.png', which an earlier push wrote and this model does not have",
        "Leaving 9 other files there as they are",
    ]


def test_what_people_changed_since_an_earlier_push_is_not_removed(hub, model_dir):
    with_another_plot(model_dir)
    push_directory(model_dir, PushRequest(REPO))
    put_on_the_hub({"plots/data_curve.png": b"theirs now"})
    without_it_again(model_dir)
    push_directory(model_dir, PushRequest(REPO))
    assert on_the_hub(hub, "plots/data_curve.png") == b"theirs now"


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "report.json"])
def test_a_model_of_somebody_else_is_not_replaced_unless_asked(hub, model_dir, name):
    HfApi().create_repo(REPO)
    put_on_the_hub({name: b'{"architectures": ["Theirs"]}'})
    before = len(commits(hub))
    message = rf"{REPO} has '{name}', which no push of hfbertcls wrote .* pass --overwrite-hub"
    with pytest.raises(SharingError, match=message):
        check_destination(PushRequest(REPO))
    with pytest.raises(SharingError, match=message):
        push_directory(model_dir, PushRequest(REPO))
    assert len(commits(hub)) == before
    assert on_the_hub(hub, name) == b'{"architectures": ["Theirs"]}'
    log_lines = []
    push_directory(model_dir, PushRequest(REPO, overwrite=True), log_lines.append)
    assert on_the_hub(hub, name) == (model_dir / name).read_bytes()
    assert f"Replacing '{name}'" in log_lines


def test_a_file_that_people_changed_on_the_hub_is_not_replaced_unless_asked(hub, model_dir):
    push_directory(model_dir, PushRequest(REPO))
    put_on_the_hub({"tokenizer_config.json": b"{}"})
    with pytest.raises(SharingError, match=r"has 'tokenizer_config\.json', which no push of hfbertcls wrote or which"):
        push_directory(model_dir, PushRequest(REPO))
    assert on_the_hub(hub, "tokenizer_config.json") == b"{}"
    assert main(["push", str(model_dir), REPO, "--overwrite-hub"]) == 0
    assert on_the_hub(hub, "tokenizer_config.json") == (model_dir / "tokenizer_config.json").read_bytes()


@pytest.mark.parametrize("name", ["training_args.json", "predictions", "plots/reliability.png"])
def test_no_link_is_followed(hub, model_dir, tmp_path, name):
    outside = tmp_path / "private"
    (model_dir / name).rename(outside)  # (with the content that the report states)
    (model_dir / name).symlink_to(outside)
    with pytest.raises(
        OutputDirectoryError, match="is a link or no regular file, and nothing outside of the directory"
    ):
        push_directory(model_dir, PushRequest(REPO))
    assert hub.log == []


def test_public_is_logged_and_kept(hub, model_dir, capsys):
    assert main(["push", str(model_dir), REPO, "--public"]) == 0
    captured = capsys.readouterr()
    assert not repository(hub).private
    assert "is public, and the gold labels of validation and test are in predictions/" in captured.err
    assert f'load_pipeline("{REPO}")' in captured.out
    repository(hub).private = True
    with pytest.raises(ConfigurationError, match="exists and is private; --public does not change that"):
        check_destination(PushRequest(REPO, public=True))


def test_a_branch_a_tag_and_a_pull_request(hub, model_dir):
    push_directory(model_dir, PushRequest(REPO, tag="v1"))
    assert repository(hub).tags == {"v1": repository(hub).head.oid}
    with pytest.raises(SharingError, match="has a tag 'v1' already"):
        push_directory(model_dir, PushRequest(REPO, tag="v1"))
    (model_dir / "README.md").write_text((model_dir / "README.md").read_text() + "\nMore.\n")
    push_directory(model_dir, PushRequest(REPO, revision="try"))
    assert len(list(repository(hub).history("try"))) == 3
    assert len(commits(hub)) == 1
    pushed = push_directory(model_dir, PushRequest(REPO, create_pr=True))
    assert pushed.pr_url.endswith(f"/{REPO}/discussions/1")
    assert len(commits(hub)) == 1
    assert set(repository(hub).commit_at("refs/pr/1").files) == FILES


def test_somebody_without_rights_may_propose(hub, model_dir, monkeypatch):
    push_directory(model_dir, PushRequest(REPO, public=True))
    (model_dir / "README.md").write_text((model_dir / "README.md").read_text() + "\nMore.\n")
    monkeypatch.setenv("HF_TOKEN", "hf_bob")
    with pytest.raises(
        SharingError, match="bob has no write access to 'alice'.*--create-pr.*After fixing this, run: .* bob/"
    ):
        push_directory(model_dir, PushRequest(REPO))
    assert push_directory(model_dir, PushRequest(REPO, create_pr=True)).pr_url


@pytest.mark.parametrize(
    ("token", "repo_id", "message"),
    [
        ("hf_nobody", REPO, "the Hub answered 401, the token is not valid"),
        ("hf_rita", "rita/m", "the token can only read"),
        ("hf_alice", "museum/m", "alice has no write access to 'museum'"),
        (None, REPO, "nobody is logged in"),
    ],
)
def test_missing_rights_are_an_error_before_anything_is_sent(hub, model_dir, monkeypatch, token, repo_id, message):
    monkeypatch.delenv("HF_TOKEN")
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(SharingError, match=message):
        push_directory(model_dir, PushRequest(repo_id))
    assert not hub.requests("POST|PUT")


def test_an_organization_with_rights_is_pushed_to(hub, model_dir):
    push_directory(model_dir, PushRequest("acme/film-reviews"))
    assert len(commits(hub, "acme/film-reviews")) == 1


@pytest.mark.parametrize("name", ["a/b/c", "alice/x--y", "alice/x y", "-x"])
def test_a_name_that_the_hub_does_not_accept_is_an_error(hub, model_dir, name):
    with pytest.raises(ConfigurationError, match="the Hub accepts no repository called"):
        push_directory(model_dir, PushRequest(name))
    assert hub.log == []


def test_an_incomplete_directory_is_an_error(hub, model_dir):
    (model_dir / "model.safetensors").unlink()
    with pytest.raises(OutputDirectoryError, match=r"no complete model repository: it lacks 'model\.safetensors'"):
        push_directory(model_dir, PushRequest(REPO))
    assert hub.log == []


# ---- what must not leave the machine


def plant(model_dir, place, secret):
    if place == "a label name":
        import numpy as np

        from hfbertcls.modeling.predictions import Predictions
        from hfbertcls.tasks.single_label import SingleLabel

        path = model_dir / "predictions" / "test.parquet"
        predictions = Predictions(SingleLabel(("a", secret)), np.arange(2), np.arange(2), np.eye(2, dtype=np.float32))
        path.write_bytes(predictions.to_parquet())
    elif place == "the arguments":
        values = json.loads((model_dir / "training_args.json").read_text())
        (model_dir / "training_args.json").write_text(json.dumps(values | {"run_name": secret}))
    else:
        (model_dir / "README.md").write_text((model_dir / "README.md").read_text() + secret)


SECRETS = [
    "hf_" + "a1B2" * 9, "AKIA" + "Z" * 16, "ghp_" + "k" * 36, "-----BEGIN RSA PRIVATE KEY-----", "sk-ant-" + "x" * 40,
    "AIza" + "b" * 35, "glpat-" + "c" * 20, "xoxb-" + "1" * 12,
]  # fmt: skip


@pytest.mark.parametrize("place", ["a label name", "the arguments", "the card"])
@pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: secret[:5])
def test_a_planted_secret_stops_the_push_and_is_not_repeated(hub, model_dir, place, secret):
    plant(model_dir, place, secret)
    name = {
        "a label name": "predictions/test.parquet",
        "the arguments": "training_args.json",
        "the card": "README.md",
    }[place]
    with pytest.raises(SharingError, match=rf"nothing was sent: {re.escape(name)} holds what looks like") as refused:
        push_directory(model_dir, PushRequest(REPO))
    assert secret not in str(refused.value)
    assert not hub.requests("POST|PUT")


def test_what_does_not_verify_is_not_sent(hub, model_dir):
    text = (model_dir / "report.json").read_text()
    accuracy = json.loads(text)["evaluation"]["test"]["metrics"]["accuracy"]["value"]
    (model_dir / "report.json").write_text(text.replace(f'"value": {accuracy}', '"value": 0.999', 1))
    with pytest.raises(
        SharingError, match=r"nothing was sent: .* evaluation\.\w+\.metrics\.accuracy\.value states '0.999'"
    ):
        push_directory(model_dir, PushRequest(REPO))


def test_a_token_in_the_training_arguments_is_an_error(tmp_path):
    from hfbertcls import TextClassificationTrainingArguments

    with pytest.raises(ConfigurationError, match="hub_token does not belong in the arguments"):
        TextClassificationTrainingArguments(output_dir=str(tmp_path), hub_token="hf_x")


# ---- faults

LIMITED = {"status": 429, "headers": {"Retry-After": "1"}}
FAULTS = {
    "whoami 429": ("whoami", LIMITED),
    "whoami 503": ("whoami", {"status": 503}),
    "create 503": ("repos/create", {"status": 503}),
    "create 409": (
        "repos/create",
        {"status": 409, "message": "Cannot create repo: another conflicting operation is in progress"},
    ),
    "validate 502": ("validate-yaml", {"status": 502}),
    "preupload 429": ("preupload", LIMITED),
    "preupload 500": ("preupload", {"status": 500}),
    "xorb reset": ("/_cas/v1/xorbs", {"reset_after": 10}),
    "xorb 503": ("/_cas/v1/xorbs", {"status": 503}),
    "shard 503": ("/_cas/v1/shards", {"status": 503}),
    "commit 500": (r"/commit/", {"status": 500}),
    "commit 503 twice": (r"/commit/", {"status": 503, "times": 2}),
    "commit 429": (r"/commit/", LIMITED),
    "commit reset": (r"/commit/", {"reset_after": 100}),
    "commit answer lost": (r"/commit/", {"lose_response": True}),
    "slow Hub": (r"/commit/", {"delay": 1.0}),
    "tree 503": ("/tree/", {"status": 503}),
    "paths-info 503": ("/paths-info/", {"status": 503}),
    "tag answer lost": ("/tag/", {"lose_response": True}),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_that_passes_is_survived_with_one_commit(hub, model_dir, no_waiting, name, monkeypatch, outcome):
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)
    path, how = FAULTS[name]
    fault = hub.fail(path, **how)
    with (model_dir / "plots" / "learning_curves.png").open("ab") as file:
        file.write(os.urandom(64))  # (something that the content-addressed storage has not seen)
    rewrite_report(model_dir, read_report(model_dir), added=["plots/learning_curves.png"])
    pushed = push_directory(model_dir, PushRequest(REPO, tag="v1"))
    assert [commit.oid for commit in commits(hub)] == [pushed.oid]
    assert set(repository(hub).head.files) == FILES
    assert repository(hub).tags == {"v1": pushed.oid}
    assert fault.seen > 0, "the fault did not strike"
    outcome(name, "retried; pushed with one commit")


REFUSALS = {
    "create 402": ("repos/create", 402, "a paid plan is needed"),
    "create 403": ("repos/create", 403, "may not write there"),
    "commit 401": ("/commit/", 401, "the token is not valid"),
    "commit 403": ("/commit/", 403, "may not write there"),
    "commit 413": ("/commit/", 413, "larger than the Hub accepts"),
    "commit 500": ("/commit/", 500, "the Hub answered 500, the Hub has trouble"),
    "preupload 403": ("/preupload/", 403, "may not write there"),
    "commit 412": ("/commit/", 412, "somebody else changed the repository"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_fault_that_stays_is_an_error_and_repeating_completes_with_one_commit(
    hub, model_dir, no_waiting, name, monkeypatch, capsys, outcome
):
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)
    path, status, meaning = REFUSALS[name]
    hub.fail(path, status=status, times=1_000)
    assert main(["push", str(model_dir), REPO]) == 1
    message = capsys.readouterr().err.splitlines()[-1]
    assert f"the Hub answered {status}" in message
    assert meaning in message
    assert f"Repeat: {command('push', model_dir, REPO)}" in message
    assert ("models", REPO) not in hub.store.repositories or commits(hub) == []
    hub.faults.clear()
    assert main(["push", str(model_dir), REPO]) == 0
    assert len(commits(hub)) == 1
    assert set(repository(hub).head.files) == FILES
    outcome(f"{name} for good", f"exit 1: {meaning}; the command repeated: one commit")


def test_a_dead_hub_is_an_error(model_dir, no_waiting, monkeypatch, outcome):
    api = HfApi(endpoint="http://127.0.0.1:9")
    repeat = re.escape(command("push", model_dir, REPO))
    expected = rf"the Hub cannot be asked who you are: ConnectError.*reachable.*After fixing this, run: {repeat}"
    with pytest.raises(SharingError, match=expected):
        push_directory(model_dir, PushRequest(REPO), api=api)
    outcome("dead Hub", "exit 1: the Hub cannot be asked; the command to repeat")


def test_offline_mode_is_an_error(hub, model_dir, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(SharingError, match="HF_HUB_OFFLINE is set"):
        push_directory(model_dir, PushRequest(REPO))
    assert hub.log == []


def test_another_writer_in_between_is_noticed_and_kept(hub, model_dir, no_waiting):
    push_directory(model_dir, PushRequest(REPO))
    change_the_model(model_dir)

    def interfere():
        bob = hub.store.repositories["models", REPO]
        bob.commit("alice", {"summary": "by hand"}, [("file", {"path": "NOTES.md", "data": b"mine"})], "main")

    hub.fail("/commit/", act=interfere)
    log_lines = []
    push_directory(model_dir, PushRequest(REPO), log_lines.append)
    assert any("412, somebody else changed the repository" in line for line in log_lines)
    assert [commit.title for commit in commits(hub)][:2] == ["Push film-reviews with hfbertcls", "by hand"]
    assert "NOTES.md" in repository(hub).head.files


# ---- what people write into the card


def edit(hub, change):
    repo = repository(hub)
    text = repo.content(repo.head.files["README.md"]).decode()
    repo.commit("alice", {"summary": "edit"}, [("file", {"path": "README.md", "data": change(text).encode()})], "main")


def test_what_people_wrote_on_the_hub_survives(hub, model_dir, finished_run):
    push_directory(model_dir, PushRequest(REPO))
    edit(
        hub,
        lambda text: (
            text.replace("library_name", "license: cc-by-4.0\nthumbnail: t.png\nlibrary_name", 1)
            + "\n## By hand\n\nMore.\n"
        ),
    )
    change_the_model(model_dir)
    push_directory(model_dir, PushRequest(REPO))
    card = repository(hub).content(repository(hub).head.files["README.md"]).decode()
    assert card.endswith("\n## By hand\n\nMore.\n")
    assert "license: cc-by-4.0\nthumbnail: t.png" in card
    assert card == (model_dir / "README.md").read_text()
    assert main(["verify", REPO]) == 0


def test_a_card_that_was_never_ours_stays_below_the_generated_part(hub, model_dir):
    HfApi().create_repo(REPO)
    HfApi().upload_file(path_or_fileobj=b"---\nlicense: mit\n---\n# Mine\n", path_in_repo="README.md", repo_id=REPO)
    push_directory(model_dir, PushRequest(REPO))
    card = repository(hub).content(repository(hub).head.files["README.md"]).decode()
    assert card.endswith("<!-- hfbertcls:end -->\n\n# Mine\n")
    assert "license: mit" in card


def write_here(model_dir, keys: str) -> None:
    """As its author writes keys at the top of the card in the directory."""
    card = model_dir / "README.md"
    card.write_text(card.read_text().replace("library_name", f"{keys}\nlibrary_name", 1))


def card_there(hub) -> str:
    return repository(hub).content(repository(hub).head.files["README.md"]).decode()


@pytest.mark.parametrize("is_first", [True, False])
def test_what_the_author_states_at_the_top_of_the_card_is_pushed_and_stands_in_its_text(hub, model_dir, is_first):
    if not is_first:
        push_directory(model_dir, PushRequest(REPO))
    write_here(model_dir, "license: mit\nlanguage: en\nbase_model: alice/encoder\nthumbnail: t.png")
    push_directory(model_dir, PushRequest(REPO))
    card = card_there(hub)
    assert card == (model_dir / "README.md").read_text()
    for line in ("license: mit", "language: en", "base_model: alice/encoder", "thumbnail: t.png"):
        assert f"\n{line}\n" in card
    assert "Not stated by the author: intended use, known limitations and biases." in card
    assert "Fine-tuned from a local copy of [alice/encoder](https://huggingface.co/alice/encoder)" in card
    assert main(["verify", REPO]) == 0
    write = (model_dir / "README.md").read_text().replace("license: mit", "license: apache-2.0")
    (model_dir / "README.md").write_text(write)
    push_directory(model_dir, PushRequest(REPO))
    assert "license: apache-2.0" in card_there(hub)


def test_keys_that_were_edited_here_and_there_are_both_kept_or_asked_about(hub, model_dir):
    write_here(model_dir, "license: mit")
    push_directory(model_dir, PushRequest(REPO))
    edit(hub, lambda text: text.replace("license: mit", "license: cc-by-4.0\nthumbnail: t.png", 1))
    push_directory(model_dir, PushRequest(REPO))  # (only the Hub's was edited)
    assert "license: cc-by-4.0" in card_there(hub)
    assert "license: cc-by-4.0" in (model_dir / "README.md").read_text()
    write_here(model_dir, "co2_eq_emissions: 1")
    edit(hub, lambda text: text.replace("license: cc-by-4.0", "license: gpl-3.0", 1))
    text = (model_dir / "README.md").read_text().replace("license: cc-by-4.0", "license: bsd")
    (model_dir / "README.md").write_text(text)
    with pytest.raises(
        SharingError, match="different values of 'license' into README.md .* --card hub or --card local"
    ):
        push_directory(model_dir, PushRequest(REPO))
    assert "license: bsd" in (model_dir / "README.md").read_text()
    push_directory(model_dir, PushRequest(REPO, card_of="local"))
    for line in ("license: bsd", "thumbnail: t.png", "co2_eq_emissions: 1"):
        assert f"\n{line}\n" in card_there(hub)


def test_a_base_model_that_can_be_none_is_refused(hub, model_dir):
    write_here(model_dir, "base_model: no..name")
    with pytest.raises(ConfigurationError, match=r"base_model 'no\.\.name' is no name of a model on the Hub"):
        push_directory(model_dir, PushRequest(REPO))


def test_two_different_texts_by_people_are_not_chosen_between(hub, model_dir):
    push_directory(model_dir, PushRequest(REPO))
    edit(hub, lambda text: text + "\nOn the Hub.\n")
    card = model_dir / "README.md"
    card.write_text(card.read_text() + "\nHere.\n")
    with pytest.raises(SharingError, match="--card hub or --card local"):
        push_directory(model_dir, PushRequest(REPO))
    push_directory(model_dir, PushRequest(REPO, card_of="local"))
    assert repository(hub).content(repository(hub).head.files["README.md"]).decode().endswith("\nHere.\n")


@pytest.mark.parametrize("how", ["windows line ends", "byte order mark"])
def test_a_card_saved_by_another_editor_is_still_ours(hub, model_dir, how):
    push_directory(model_dir, PushRequest(REPO))
    if how == "windows line ends":
        edit(hub, lambda text: (text + "\nBy hand.\n").replace("\n", "\r\n"))
    else:
        edit(hub, lambda text: "\ufeff" + text + "\nBy hand.\n")
    change_the_model(model_dir)
    push_directory(model_dir, PushRequest(REPO))
    card = repository(hub).content(repository(hub).head.files["README.md"]).decode()
    assert card.count("## At a glance") == 1
    assert card.endswith("\nBy hand.\n")
    assert card.startswith("---\n")


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (
            lambda text: text.replace("hfbertcls:begin report", "hfbertcls:begin  report"),
            ConfigurationError,
            "marks around the",
        ),
        (
            lambda text: text.replace("<!-- hfbertcls:end -->", ""),
            ConfigurationError,
            "marks around the generated part",
        ),
        (
            lambda text: text.replace("tags:", "tags: [", 1),
            ConfigurationError,
            "front matter of the card is not valid YAML",
        ),
    ],
)
def test_a_damaged_card_is_not_guessed_at(hub, model_dir, change, kind, message):
    push_directory(model_dir, PushRequest(REPO))
    edit(hub, change)
    before = repository(hub).head.oid
    change_the_model(model_dir)
    with pytest.raises(kind, match=message):
        push_directory(model_dir, PushRequest(REPO))
    assert repository(hub).head.oid == before


def test_a_card_that_is_no_text_is_an_error(hub, model_dir):
    push_directory(model_dir, PushRequest(REPO))
    files = [("file", {"path": "README.md", "data": b"\xff\xfe\x00"})]
    repository(hub).commit("alice", {"summary": "edit"}, files, "main")
    with pytest.raises(SharingError, match="is no text in UTF-8. Correct or delete it on the Hub"):
        push_directory(model_dir, PushRequest(REPO))


def test_the_command_to_repeat_is_quoted(hub, model_dir, no_waiting, monkeypatch):
    odd = model_dir.rename(model_dir.parent / "my films é")
    hub.fail("/commit/", status=403, times=9)
    with pytest.raises(SharingError, match=rf"Repeat: .*hfbertcls push '{re.escape(str(odd))}' film-reviews$"):
        push_directory(odd, PushRequest("film-reviews"))
    monkeypatch.chdir(odd.parent)
    other = "alice/other"
    flags = "--public --no-predictions --hub-revision next --tag v1 --card local"
    request = PushRequest(other, True, revision="next", tag="v1", predictions=False, card_of="local")
    with pytest.raises(SharingError, match=rf"é is complete\. Repeat: .*push 'my films é' {other} {flags}$"):
        push_directory("my films é", request)
    assert request_of(make_parser().parse_args(["push", "my films é", other, *flags.split()]), other) == request


# ---- train --push-to-hub


def test_train_pushes_its_model(hub, tmp_path, tiny_model_dir, reviews_dir, capsys):
    words = [
        "train",
        "--model",
        str(tiny_model_dir),
        "--dataset",
        str(reviews_dir),
        "--output-dir",
        str(tmp_path / "m"),
    ]
    assert main([*words, "--max-steps", "2", "--push-to-hub", REPO]) == 0
    captured = capsys.readouterr()
    assert f"Will be pushed to {REPO} (private)" in captured.err
    assert f"Pushed: {hub.url}/{REPO}/commit/" in captured.out
    assert len(commits(hub)) == 1
    assert main(["verify", REPO]) == 0


@pytest.mark.parametrize(
    ("more", "card", "code", "message"),
    [
        (["--push-to-hub", "museum/m"], "", 1, "alice has no write access to 'museum'"),
        (["--push-to-hub", REPO], "license: mitt", 2, "the Hub knows no licence 'mitt' (did you mean 'mit'?)"),
        (["--push-to-hub", REPO], "language: english", 2, "'english' is no language code"),
    ],
)
def test_what_the_hub_would_refuse_is_an_error_before_training(
    hub, tmp_path, tiny_model_dir, reviews_dir, capsys, more, card, code, message
):
    (tmp_path / "run.yaml").write_text(f"card:\n  {card or 'title: x'}\n")
    words = [
        "train",
        "--model",
        str(tiny_model_dir),
        "--dataset",
        str(reviews_dir),
        "--output-dir",
        str(tmp_path / "m"),
    ]
    assert main([*words, *more, "--config", str(tmp_path / "run.yaml")]) == code
    assert message in capsys.readouterr().err
    assert not (tmp_path / "m").exists()
