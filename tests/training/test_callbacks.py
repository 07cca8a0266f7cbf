"""Early stopping and the record of the run."""

import inspect
import json
import math
from types import SimpleNamespace

import pytest
import torch
from tiny import rows, tiny_classifier
from transformers import TrainerCallback, TrainerControl, TrainerState

from hfbertcls import (
    CALLBACKS,
    ConfigurationError,
    MetricEarlyStoppingCallback,
    MetricLoggingCallback,
    TextClassificationTrainer,
    TextClassificationTrainingArguments,
    TrainingError,
)
from hfbertcls.training.callbacks.metric_logging import read_events


ARGS = SimpleNamespace(metric_for_best_model="f1_macro", greater_is_better=True)


def stopped_at(callback: MetricEarlyStoppingCallback, values: list[float], args=ARGS) -> int | None:
    """The number of the evaluation after which training stops."""
    state, control = TrainerState(), TrainerControl()
    callback.on_train_begin(args, state, control)
    for number, value in enumerate(values, start=1):
        state.global_step = number
        callback.on_evaluate(args, state, control, metrics={"eval_f1_macro": value})
        if control.should_training_stop:
            return number
    return None


def test_gains_below_the_threshold_add_up():
    creeping = [0.80, 0.808, 0.816, 0.824, 0.832, 0.840]
    assert stopped_at(MetricEarlyStoppingCallback(patience=3, threshold=0.01), creeping) is None


def test_no_gain_for_patience_evaluations_stops():
    assert stopped_at(MetricEarlyStoppingCallback(patience=2), [0.8, 0.79, 0.8]) == 3


def test_nan_is_no_gain():
    assert stopped_at(MetricEarlyStoppingCallback(patience=2), [math.nan, math.nan, 0.9]) == 2


def test_it_never_stops_before_min_steps():
    assert stopped_at(MetricEarlyStoppingCallback(patience=1, min_steps=4), [0.9, 0.1, 0.1, 0.1, 0.1]) == 4


def test_smaller_can_be_better():
    args = SimpleNamespace(metric_for_best_model="f1_macro", greater_is_better=False)
    assert stopped_at(MetricEarlyStoppingCallback(patience=1), [0.5, 0.4, 0.45], args) == 3


def test_a_metric_that_is_not_reported_is_named_with_those_that_are():
    callback, control = MetricEarlyStoppingCallback(), TrainerControl()
    with pytest.raises(TrainingError, match="watches 'f1_macro'.*Choose one of: accuracy"):
        callback.on_evaluate(ARGS, TrainerState(), control, metrics={"eval_accuracy": 0.5})


@pytest.mark.parametrize("wrong", [{"patience": 0}, {"threshold": -0.1}, {"min_steps": -1}])
def test_invalid_settings_are_errors(wrong):
    with pytest.raises(ConfigurationError, match="has an invalid value: patience must be at least 1"):
        MetricEarlyStoppingCallback(**wrong)


@pytest.mark.parametrize("name", CALLBACKS.names())
def test_every_hook_takes_further_keyword_arguments(name):
    kind = CALLBACKS.get(name)
    for hook, function in inspect.getmembers(kind, inspect.isfunction):
        if hook.startswith("on_") and hook in kind.__dict__:
            kinds = {parameter.kind for parameter in inspect.signature(function).parameters.values()}
            assert inspect.Parameter.VAR_KEYWORD in kinds, hook


class StopAt(TrainerCallback):
    """Stops at a step, like a user."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            control.should_training_stop = True


def trainer(tmp_path, name: str, callbacks: list, scores: list[float]) -> TextClassificationTrainer:
    values = iter(scores)
    args = TextClassificationTrainingArguments(
        output_dir=str(tmp_path / name), num_train_epochs=6, learning_rate=1e-3, precision="fp32", logging_steps=1,
        per_device_train_batch_size=16, eval_every="epoch",
        load_best_model_at_end=False,
    )  # fmt: skip
    return TextClassificationTrainer(
        tiny_classifier(),
        args,
        None,
        rows(32),
        rows(8, seed=1),
        callbacks=callbacks,
        compute_metrics=lambda _: {"f1_macro": next(values)},
    )


def test_early_stopping_equals_a_run_of_the_same_schedule_stopped_there(tmp_path):
    scores = [0.5, 0.6, 0.55, 0.58, 0.9, 0.9]
    early = trainer(tmp_path, "early", [MetricEarlyStoppingCallback(patience=2)], scores)
    early.train()
    assert early.state.global_step == 8
    manual = trainer(tmp_path, "manual", [StopAt(8)], scores)
    manual.train()
    for name, value in early.model.state_dict().items():
        assert torch.equal(value, manual.model.state_dict()[name]), name


def test_early_stopping_goes_on_counting_after_a_resume(tmp_path):
    first = trainer(tmp_path, "run", [MetricEarlyStoppingCallback(patience=2), StopAt(6)], [0.5, 0.6, 0.55])
    first.train()
    second = trainer(tmp_path, "run", [MetricEarlyStoppingCallback(patience=2)], [0.58, 0.9, 0.9])
    second.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-6"))
    assert second.state.global_step == 8


def test_each_event_is_recorded_once_also_after_a_resume(tmp_path):
    record = tmp_path / "metrics.jsonl"
    scores = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    first = trainer(tmp_path, "run", [MetricLoggingCallback(record), StopAt(7)], scores)
    first.train()
    with record.open("a") as file:
        file.write('{"step": 7, "cut sho')
    second = trainer(tmp_path, "run", [MetricLoggingCallback(record)], scores[3:])
    second.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-6"))

    events = read_events(record)
    keys = [(event["step"], event["split"], tuple(event["values"])) for event in events]
    assert len(keys) == len(set(keys))
    assert [event["step"] for event in events if event["split"] == "validation"] == [2, 4, 6, 8, 10, 12]
    assert [event["step"] for event in events if "loss" in event["values"] and event["split"] == "train"] == list(
        range(1, 13)
    )
    assert all(set(event) == {"step", "epoch", "seconds", "split", "values"} for event in events)
    seconds = [event["seconds"] for event in events]
    assert seconds == sorted(seconds)


def test_values_that_json_has_not_are_written_as_text(tmp_path):
    callback = MetricLoggingCallback(tmp_path / "metrics.jsonl")
    state, control = TrainerState(), TrainerControl()
    callback.on_train_begin(SimpleNamespace(output_dir=str(tmp_path)), state, control)
    callback.on_log(SimpleNamespace(), state, control, logs={"loss": math.nan})
    line = (tmp_path / "metrics.jsonl").read_text()
    assert json.loads(line, parse_constant=pytest.fail)["values"] == {"loss": "nan"}


def test_a_record_of_somebody_else_is_kept(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"loss": 3}\n')
    state, control = TrainerState(is_world_process_zero=True), TrainerControl()
    MetricLoggingCallback(tmp_path / "metrics.jsonl").on_train_begin(ARGS, state, control)
    assert (tmp_path / "metrics.jsonl.kept").read_text() == '{"loss": 3}\n'
    assert (tmp_path / "metrics.jsonl").read_text() == ""
