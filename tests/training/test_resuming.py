"""Checkpoints are whole or not there, and a resumed run ends like one that never stopped."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch
from tiny import TIMES, arguments, rows, tiny_classifier, weights
from transformers import TrainerCallback

from hfbertcls import (
    MetricEarlyStoppingCallback,
    MetricLoggingCallback,
    TextClassificationTrainer,
    TrainingError,
    TrainingInterruptedError,
)
from hfbertcls.training.callbacks.interruption import InterruptionCallback
from hfbertcls.training.callbacks.metric_logging import read_events
from hfbertcls.training.checkpoints import PARTIAL, checkpoints_in, is_complete, latest_complete


class Killed(BaseException):
    """As sudden as a signal, as far as Python code can tell."""


class KillAt(TrainerCallback):
    """Kill the run in an event of a step."""

    def __init__(self, event: str, step: int) -> None:
        setattr(self, event, self._maybe_kill)
        self.step = step

    def _maybe_kill(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise Killed


def make(folder: Path, *callbacks, **changes) -> TextClassificationTrainer:
    data = rows(80).add_column("length", [6] * 80)
    settings = {"num_train_epochs": 4, "eval_every": "3", "logging_steps": 2, "load_best_model_at_end": False}
    args = arguments(folder, **{"train_sampling_strategy": "group_by_length"} | settings | changes)
    return TextClassificationTrainer(
        tiny_classifier(),
        args,
        None,
        data,
        rows(32, seed=1),
        callbacks=[MetricLoggingCallback(folder / "metrics.jsonl"), *callbacks],
    )


def events(folder: Path) -> list[dict]:
    timeless = [dict(event) for event in read_events(folder / "metrics.jsonl")]
    for event in timeless:
        del event["seconds"]
        for name in TIMES:
            event["values"].pop(name, None)
    return timeless


def assert_same(one: TextClassificationTrainer, other: TextClassificationTrainer) -> None:
    for name, value in weights(one.model).items():
        assert torch.equal(value, other.model.state_dict()[name]), name
    kept = ("global_step", "best_global_step", "best_metric", "epoch", "max_steps")
    assert [getattr(one.state, name) for name in kept] == [getattr(other.state, name) for name in kept]
    assert events(Path(one.args.output_dir).parent) == events(Path(other.args.output_dir).parent)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    trainer = make(tmp_path_factory.mktemp("undisturbed"))
    trainer.train()
    assert trainer.state.global_step == 20
    return trainer


@pytest.mark.parametrize(
    ("event", "step"),
    [
        ("on_step_end", 2),  # before the first checkpoint
        ("on_step_end", 3),
        ("on_save", 3),
        ("on_step_end", 8),  # between two checkpoints, in the middle of an epoch and of a logged mean
        ("on_evaluate", 9),
        ("on_save", 9),
        ("on_epoch_end", 15),  # after the last checkpoint of an epoch
        ("on_step_begin", 17),
        ("on_evaluate", 20),
        ("on_save", 20),
        ("on_train_end", 20),
    ],
)
def test_a_killed_run_resumes_to_the_same_bits(tmp_path, undisturbed, event, step):
    with pytest.raises(Killed):
        make(tmp_path, KillAt(event, step)).train()
    resumed = make(tmp_path)
    has_checkpoint = latest_complete(tmp_path / "out") is not None
    resumed.train(resume_from_checkpoint=has_checkpoint)
    assert_same(resumed, undisturbed)
    assert resumed.throughput.rows_ == undisturbed.throughput.rows_


@pytest.mark.parametrize("changes", [{"train_sampling_strategy": "random"}, {"gradient_accumulation_steps": 2}])
def test_other_orders_and_accumulation_resume_to_the_same_bits(tmp_path, changes):
    changes |= {"load_best_model_at_end": True, "per_device_train_batch_size": 8}
    whole = make(tmp_path / "whole", **changes)
    whole.train()
    with pytest.raises(Killed):
        make(tmp_path / "killed", KillAt("on_step_end", 13), **changes).train()
    resumed = make(tmp_path / "killed", **changes)
    resumed.train(resume_from_checkpoint=True)
    assert_same(resumed, whole)


def test_a_run_killed_again_and_again_ends_the_same(tmp_path, undisturbed):
    for step in (1, 4, 5, 9, 13, 14, 19):
        with pytest.raises(Killed):
            make(tmp_path, KillAt("on_step_end", step)).train(
                resume_from_checkpoint=latest_complete(tmp_path / "out") is not None
            )
    resumed = make(tmp_path)
    resumed.train(resume_from_checkpoint=True)
    assert_same(resumed, undisturbed)


def test_a_run_that_early_stopping_ended_is_not_trained_on(tmp_path):
    settings = {"num_train_epochs": 40, "eval_every": "2", "learning_rate": 0.0001}
    whole = make(tmp_path / "whole", MetricEarlyStoppingCallback(patience=2), **settings)
    whole.train()
    assert whole.state.global_step < whole.state.max_steps
    with pytest.raises(Killed):
        make(
            tmp_path / "killed", MetricEarlyStoppingCallback(2), KillAt("on_save", whole.state.global_step), **settings
        ).train()
    resumed = make(tmp_path / "killed", MetricEarlyStoppingCallback(patience=2), **settings)
    resumed.train(resume_from_checkpoint=True)
    assert_same(resumed, whole)


def test_a_run_with_a_longer_schedule_trains_on(tmp_path, undisturbed):
    make(tmp_path, max_steps=6).train()
    longer = make(tmp_path, max_steps=9)
    longer.train(resume_from_checkpoint=True)
    assert longer.state.global_step == 9


@pytest.mark.parametrize(
    "name", ["model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"]
)
@pytest.mark.parametrize("spoil", ["cut", "remove", "empty"])
def test_a_damaged_checkpoint_is_recognized_and_skipped(tmp_path, undisturbed, name, spoil):
    with pytest.raises(Killed):
        make(tmp_path, KillAt("on_save", 9)).train()
    spoilt = tmp_path / "out" / "checkpoint-9"
    assert is_complete(spoilt)
    data = (spoilt / name).read_bytes()
    if spoil == "remove":
        (spoilt / name).unlink()
    else:
        (spoilt / name).write_bytes(data[: len(data) - 10] if spoil == "cut" else b"")
    assert not is_complete(spoilt)
    assert latest_complete(tmp_path / "out").name in ("checkpoint-3", "checkpoint-6")
    resumed = make(tmp_path)
    resumed.train(resume_from_checkpoint=True)
    assert_same(resumed, undisturbed)


def test_a_checkpoint_whose_best_is_gone_is_passed_over(tmp_path):
    trainer = make(tmp_path)
    trainer.compute_metrics = lambda _: {"f1_macro": 1 / trainer.state.global_step}  # the first stays the best
    trainer.add_callback(KillAt("on_save", 9))
    with pytest.raises(Killed):
        trainer.train()
    assert [folder.name for folder in checkpoints_in(tmp_path / "out")] == ["checkpoint-9", "checkpoint-3"]
    assert latest_complete(tmp_path / "out").name == "checkpoint-9"
    (tmp_path / "out" / "checkpoint-3" / "model.safetensors").unlink()
    assert latest_complete(tmp_path / "out") is None


@pytest.mark.parametrize("failing", ["_save_optimizer_and_scheduler", "_save_rng_state", "save_model"])
def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path, undisturbed, monkeypatch, failing):
    trainer = make(tmp_path)
    original = getattr(trainer, failing)

    def full(folder, *args, **kwargs):
        original(folder, *args, **kwargs)
        if trainer.state.global_step == 6:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(trainer, failing, full)
    with pytest.raises(TrainingError, match=r"checkpoint-6 could not be written.*No space.*checkpoint-3 is intact"):
        trainer.train()
    assert [folder.name for folder in checkpoints_in(tmp_path / "out")] == ["checkpoint-3"]
    assert not (tmp_path / "out" / PARTIAL).exists()
    resumed = make(tmp_path)
    resumed.train(resume_from_checkpoint=True)
    assert_same(resumed, undisturbed)


class SignalAt(TrainerCallback):
    def __init__(self, step: int, number: int) -> None:
        self.step, self.number = step, number

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("step", [4, 9])
def test_a_request_to_stop_saves_and_the_run_resumes_from_there(tmp_path, undisturbed, number, step):
    log_lines = []
    interruption = InterruptionCallback(log_lines.append)
    trainer = make(tmp_path, SignalAt(step, number), interruption)
    before = signal.getsignal(number)
    with interruption.listening(), pytest.raises(TrainingInterruptedError, match=rf"step {step + 1} of 20, and saved"):
        trainer.train()
    assert signal.getsignal(number) == before
    assert log_lines == ["Stopping after this step, and saving. Press Ctrl-C again to stop at once, without saving"]
    assert latest_complete(tmp_path / "out").name == f"checkpoint-{step + 1}"
    resumed = make(tmp_path)
    resumed.train(resume_from_checkpoint=True)
    assert_same(resumed, undisturbed)


def test_a_request_at_the_end_of_an_epoch_waits_for_its_evaluation(tmp_path):
    whole = make(tmp_path / "whole", eval_every="epoch")
    whole.train()
    interruption = InterruptionCallback(lambda _: None)
    stopped = make(tmp_path / "stopped", SignalAt(4, signal.SIGINT), interruption, eval_every="epoch")
    with interruption.listening(), pytest.raises(TrainingInterruptedError, match="step 5 of 20"):
        stopped.train()
    resumed = make(tmp_path / "stopped", eval_every="epoch")
    resumed.train(resume_from_checkpoint=True)
    assert_same(resumed, whole)


def test_a_second_request_stops_at_once(tmp_path):
    interruption = InterruptionCallback(lambda _: None)
    with interruption.listening():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_state_names_no_path(undisturbed):
    for folder in checkpoints_in(Path(undisturbed.args.output_dir)):
        state = json.loads((folder / "trainer_state.json").read_text())
        assert state["best_model_checkpoint"] is None
