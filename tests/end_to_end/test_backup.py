"""Checkpoints go to a branch during training, and another machine resumes from there."""

import shutil
import time

import pytest

from hfbertcls.cli import main
from hfbertcls.hub import retrying
from hfbertcls.hub.checkpoint_branch import BRANCH, CheckpointBranch
from hfbertcls.training.callbacks.interruption import InterruptionCallback


REPO = "alice/films"


class Killed(BaseException):
    """As sudden as a signal, as far as Python code can tell."""


@pytest.fixture
def words(tiny_model_dir, reviews_dir, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    monkeypatch.setattr(retrying, "_FIRST_WAIT", 0.01)
    words = ["train", "--model", str(tiny_model_dir), "--dataset", str(reviews_dir), "--learning-rate", "0.001"]
    return [*words, "--max-steps", "12", "--eval-every", "3", "--push-to-hub", REPO, "--push-every-save"]


def heads(hub):
    repo = hub.store.repositories["models", REPO]
    return [commit.title for commit in repo.history(BRANCH)][:-1]


def test_checkpoints_lie_on_their_branch_and_the_model_on_main(hub, words, tmp_path, capsys):
    assert main([*words, "--output-dir", str(tmp_path / "run")]) == 0
    repo = hub.store.repositories["models", REPO]
    assert heads(hub)[0] == "Backup: checkpoint-12"
    backed_up = repo.commit_at(BRANCH).files
    kept = {f"checkpoints/{path.name}" for path in (tmp_path / "run" / "checkpoints").iterdir()}
    assert {name.rpartition("/")[0] or name for name in backed_up if name.startswith("checkpoints/checkpoint")} <= kept
    assert {"checkpoints/run.json", "metrics.jsonl"} <= backed_up.keys()
    assert not [name for name in repo.head.files if name.startswith("checkpoints")]
    assert len(list(repo.history("main"))) == 2
    assert not (tmp_path / "run" / ".hfbertcls-backup").exists()


def test_another_machine_resumes_to_the_same_weights(hub, words, tmp_path, monkeypatch, capsys):
    assert main([*words[:-3], "--output-dir", str(tmp_path / "whole")]) == 0

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 8:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(InterruptionCallback, "on_step_end", on_step_end)
        with pytest.raises(Killed):
            main([*words, "--output-dir", str(tmp_path / "here")])
    shutil.rmtree(tmp_path / "here")
    capsys.readouterr()
    assert main([*words, "--output-dir", str(tmp_path / "there"), "--resume"]) == 0
    err = capsys.readouterr().err
    assert f"Fetched the checkpoints of {REPO} (branch {BRANCH})" in err
    assert "Resuming from step 6" in err
    for name in ("model.safetensors", "predictions/test.parquet"):
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_resume_without_a_branch_begins(hub, words, tmp_path, capsys):
    assert main([*words, "--output-dir", str(tmp_path / "run"), "--resume"]) == 0
    assert "Fetched" not in capsys.readouterr().err


def test_failures_are_logged_and_stop_nothing(hub, words, tmp_path, capsys):
    hub.fail("/branch/", status=403, times=1_000)
    assert main([*words, "--output-dir", str(tmp_path / "run")]) == 0
    captured = capsys.readouterr()
    assert f"the backup of checkpoint-3 to {REPO} failed: the Hub answered 403" in captured.err
    assert "Training continues" in captured.err
    assert f"Pushed: {hub.url}/{REPO}/commit/" in captured.out


def test_the_newest_checkpoint_wins_while_the_hub_is_slow(hub, tmp_path, monkeypatch, model_dir):
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    hub.fail("/commit/", delay=0.5, times=1_000)
    branch = CheckpointBranch(REPO, model_dir, lambda _: None)
    began = time.monotonic()
    for number in range(1, 6):
        (model_dir / "checkpoints" / "run.json").unlink(missing_ok=True)
        (model_dir / "checkpoints" / "run.json").write_text(f'{{"number": {number}}}')
        branch.offer(f"checkpoint-{number}")
        time.sleep(0.05)
    assert time.monotonic() - began < 0.5, "offering must not wait for the Hub"
    branch.finish()
    assert branch.failures_ == []
    assert branch.sent_[-1] == "checkpoint-5"
    assert len(branch.sent_) < 5
    repo = hub.store.repositories["models", REPO]
    assert repo.content(repo.commit_at(BRANCH).files["checkpoints/run.json"]) == b'{"number": 5}'


def test_it_needs_a_repository(words, tmp_path, capsys):
    words = [word for word in words if word not in ("--push-to-hub", REPO)]
    assert main([*words, "--output-dir", str(tmp_path / "run")]) == 2
    assert "--push-every-save needs --push-to-hub USER/NAME" in capsys.readouterr().err
