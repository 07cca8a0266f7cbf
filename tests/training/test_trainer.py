"""The trainer does what its parent does, without its traps."""

import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from tiny import arguments, rows, tiny_classifier, weights
from transformers import BertForSequenceClassification, Trainer, TrainingArguments

from hfbertcls import ConfigurationError, TextClassificationTrainer, TrainingError
from hfbertcls.tasks.multi_label import MultiLabel
from hfbertcls.tasks.single_label import SingleLabel
from hfbertcls.tasks.thresholds import fit_thresholds


def test_every_parameter_moves(tmp_path):
    model = tiny_classifier()
    before = weights(model)
    trainer = TextClassificationTrainer(
        model, arguments(tmp_path, num_train_epochs=2), None, rows(64), rows(16, seed=1)
    )
    trainer.train()
    still = [
        name
        for name, value in weights(model).items()
        # Only position 0 to 5 and token type 0 occur in the data; the key's bias cancels in the softmax.
        if torch.equal(value, before[name]) and not name.endswith("key.bias")
    ]
    assert still == []


def updated_by(
    tmp_path, num_rows: int, batch_size: int, accumulation: int, *, multi_label: bool = False
) -> dict[str, torch.Tensor]:
    """The weights after one update by plain gradient descent, which shows the size of the gradient."""
    args = arguments(
        tmp_path,
        per_device_train_batch_size=batch_size,
        gradient_accumulation_steps=accumulation,
        max_steps=1,
        optim="sgd",
        learning_rate=0.1,
        max_grad_norm=0.0,
        eval_every="no",
        warmup_steps=0,
    )
    model, dataset = tiny_classifier(dropout=0.0), rows(num_rows)
    if multi_label:
        model.config.problem_type = "multi_label_classification"
        lists = [[float(label), float(number % 3 == 0)] for number, label in enumerate(dataset["labels"])]
        dataset = dataset.remove_columns("labels").add_column("labels", lists)
    TextClassificationTrainer(model=model, args=args, train_dataset=dataset).train()
    return weights(model)


@pytest.mark.parametrize(
    "num_rows", [pytest.param(16, id="4 x 4"), pytest.param(13, id="4 + 4 + 4 + 1: the last row counts no more")]
)
@pytest.mark.parametrize("multi_label", [False, True])
def test_accumulated_batches_give_the_same_update_as_one_large_batch(tmp_path, num_rows, multi_label):
    whole = updated_by(tmp_path, num_rows, num_rows, 1, multi_label=multi_label)
    accumulated = updated_by(tmp_path, num_rows, 4, 4, multi_label=multi_label)
    for name, value in whole.items():
        torch.testing.assert_close(accumulated[name], value, atol=1e-6, rtol=0)


def test_the_stock_trainer_takes_a_step_four_times_as_large(tmp_path):
    """The defect that `compute_loss` cures; when this fails, transformers has cured it and ours can go."""
    start = weights(tiny_classifier(dropout=0.0))
    steps = {}
    for batch_size, accumulation in ((16, 1), (4, 4)):
        args = TrainingArguments(
            output_dir=str(tmp_path),
            per_device_train_batch_size=batch_size,
            gradient_accumulation_steps=accumulation,
            max_steps=1,
            optim="sgd",
            learning_rate=0.1,
            max_grad_norm=0.0,
            train_sampling_strategy="sequential",
            use_cpu=True,
            disable_tqdm=True,
            save_strategy="no",
        )
        model = tiny_classifier(dropout=0.0)
        Trainer(model=model, args=args, train_dataset=rows(16)).train()
        after = weights(model)
        steps[batch_size] = sum((after[name] - start[name]).norm().item() for name in start)
    assert steps[4] / steps[16] == pytest.approx(4, rel=1e-3)


def test_evaluation_is_in_fp32_while_training_is_in_bf16(tmp_path):
    model = tiny_classifier()
    trainer = TextClassificationTrainer(model, arguments(tmp_path, precision="bf16"), None, rows(32), rows(16, seed=1))
    trainer.train()
    inside = trainer.predict(rows(16, seed=1)).predictions
    model.eval()
    with torch.no_grad():
        plain = BertForSequenceClassification.forward(model, input_ids=torch.tensor(rows(16, seed=1)["input_ids"]))
    assert torch.equal(torch.as_tensor(inside), plain.logits)
    with torch.no_grad():
        trained_as = model(input_ids=torch.tensor(rows(16, seed=1)["input_ids"]))
    assert not torch.equal(trained_as.logits.float(), plain.logits), "bf16 was not in use, so the test shows nothing"


def test_the_best_checkpoint_is_loaded_at_the_end(tmp_path):
    scores = iter([0.9, 0.5, 0.4])
    model = tiny_classifier()
    trainer = TextClassificationTrainer(
        model,
        arguments(tmp_path, num_train_epochs=3),
        None,
        rows(32),
        rows(16, seed=1),
        compute_metrics=lambda _: {"f1_macro": next(scores)},
    )
    trainer.train()
    assert trainer.state.best_global_step == 2
    saved = BertForSequenceClassification.from_pretrained(tmp_path / "out" / "checkpoint-2")
    for name, value in weights(saved).items():
        assert torch.equal(value, model.state_dict()[name])
    assert sorted(path.name for path in (tmp_path / "out").glob("checkpoint-*")) == ["checkpoint-2", "checkpoint-6"]


def test_of_equal_metrics_the_lower_validation_loss_is_better(tmp_path, monkeypatch):
    losses = iter([0.5, 0.4, 0.6, 0.3])
    scores = iter([0.9, 0.9, 0.9, 0.8])
    trainer = TextClassificationTrainer(
        tiny_classifier(),
        arguments(tmp_path, num_train_epochs=4),
        None,
        rows(32),
        rows(16, seed=1),
        compute_metrics=lambda _: {"f1_macro": next(scores)},
    )
    log = trainer.log

    def with_loss(values, *arguments):
        if "eval_loss" in values:
            values["eval_loss"] = next(losses)
        log(values, *arguments)

    monkeypatch.setattr(trainer, "log", with_loss)
    trainer.train()
    assert (trainer.state.best_metric, trainer.state.best_global_step) == (0.9, 4)
    assert Path(trainer.state.best_model_checkpoint).name == "checkpoint-4"


def test_checkpoints_hold_no_path_and_no_pickled_arguments(tmp_path):
    TextClassificationTrainer(tiny_classifier(), arguments(tmp_path), None, rows(32), rows(16, seed=1)).train()
    for path in (tmp_path / "out").rglob("*"):
        if path.is_file():
            assert str(tmp_path).encode() not in path.read_bytes(), path.name
            assert path.name != "training_args.bin"
    saved = json.loads((tmp_path / "out" / "checkpoint-2" / "training_args.json").read_text())
    assert saved["output_dir"] == "out"
    assert not [name for name in saved if "token" in name and "tokens" not in name]


def test_without_validation_data_the_defaults_give_way(tmp_path, caplog):
    args = arguments(tmp_path)
    trainer = TextClassificationTrainer(tiny_classifier(), args, None, rows(32))
    trainer.train()
    assert trainer.state.global_step == 2
    assert args.load_best_model_at_end is False


def test_learning_rate_and_epochs_are_chosen_where_left_open(tmp_path):
    args = arguments(tmp_path, learning_rate=0.0, num_train_epochs=0.0)
    TextClassificationTrainer(tiny_classifier(), args, None, rows(32), rows(16, seed=1))
    assert (args.learning_rate, args.num_train_epochs) == (8e-5, 10)


def test_metrics_need_no_compute_metrics(tmp_path):
    trainer = TextClassificationTrainer(tiny_classifier(), arguments(tmp_path), None, rows(32), rows(16, seed=1))
    metrics = trainer.evaluate()
    output = trainer.predict(rows(16, seed=1))
    expected = SingleLabel(("a", "b")).answer_metrics(output.label_ids, output.predictions.argmax(axis=1))
    assert metrics["eval_f1_macro"] == pytest.approx(expected["f1_macro"])
    assert math.isfinite(metrics["eval_log_loss"])


def test_a_loss_that_is_no_number_ends_the_run_and_names_the_step(tmp_path):
    model = tiny_classifier()
    with torch.no_grad():
        model.classifier.weight[0, 0] = math.nan
    trainer = TextClassificationTrainer(model, arguments(tmp_path, logging_steps=1), None, rows(32), rows(16, seed=1))
    with pytest.raises(TrainingError, match="the training loss is nan at step 1: .*Try a lower --learning-rate"):
        trainer.train()


def test_biases_and_norms_are_not_decayed(tmp_path):
    trainer = TextClassificationTrainer(tiny_classifier(), arguments(tmp_path), None, rows(32), rows(16, seed=1))
    decayed = trainer.get_decay_parameter_names(trainer.model)
    assert decayed
    assert not [name for name in decayed if "bias" in name or "LayerNorm" in name]


def test_a_token_in_the_arguments_is_an_error(tmp_path):
    with pytest.raises(ConfigurationError, match="hub_token does not belong in the arguments.*hf auth login"):
        arguments(tmp_path, hub_token="hf_" + "x" * 34)


def test_evaluation_strategy_is_translated_with_a_warning(tmp_path):
    with pytest.warns(FutureWarning, match="evaluation_strategy is now called eval_strategy"):
        args = arguments(tmp_path, evaluation_strategy="epoch")
    assert (args.eval_strategy.value, args.save_strategy.value) == ("epoch", "epoch")


@pytest.mark.parametrize(
    ("value", "strategy", "steps"),
    [("epoch", "epoch", None), ("50", "steps", 50), ("0.25", "steps", 0.25), ("no", "no", None)],
)
def test_eval_every_sets_evaluation_and_saving_together(tmp_path, value, strategy, steps):
    args = arguments(tmp_path, eval_every=value)
    assert args.eval_strategy.value == args.save_strategy.value == strategy
    assert args.eval_steps == steps
    if steps is not None:
        assert args.save_steps == steps


@pytest.mark.parametrize("value", ["sometimes", "-3", "2.5", "0"])
def test_an_invalid_eval_every_is_an_error(tmp_path, value):
    with pytest.raises(ConfigurationError, match=rf"--eval-every {value} is an invalid value. Expected 'epoch'"):
        arguments(tmp_path, eval_every=value)


def test_thresholds_come_from_the_validation_rows_and_never_from_those_that_are_measured(tmp_path):
    def multi_label(dataset):
        lists = [[float(label), float(number % 3 == 0)] for number, label in enumerate(dataset["labels"])]
        return dataset.remove_columns("labels").add_column("labels", lists)

    model = tiny_classifier(dropout=0.0)
    model.config.problem_type = "multi_label_classification"
    validation, test = multi_label(rows(90, seed=1)), multi_label(rows(90, seed=2))
    trainer = TextClassificationTrainer(model, arguments(tmp_path), None, multi_label(rows(64)), validation)
    trainer.train()
    own = trainer.evaluate()
    output = trainer.predict(test)
    chosen = trainer.predict(validation)
    thresholds = fit_thresholds(chosen.label_ids.astype(int), chosen.predictions)
    task = MultiLabel(("a", "b"), tuple(thresholds))
    expected = task.compute_metrics(output.label_ids.astype(int), output.predictions)
    assert output.metrics["test_f1_macro"] == pytest.approx(expected["f1_macro"])
    assert trainer.evaluate(test)["eval_f1_macro"] == pytest.approx(expected["f1_macro"])
    assert (
        trainer.evaluate()["eval_f1_macro"] == own["eval_f1_macro"] == pytest.approx(chosen.metrics["test_f1_macro"])
    )


def test_metrics_of_the_user_stand_beside_ours_which_choose_the_checkpoint(tmp_path):
    def own(prediction):
        return {"accuracy": -1.0, "positive_rate": float(prediction.predictions.argmax(axis=1).mean())}

    trainer = TextClassificationTrainer(
        tiny_classifier(), arguments(tmp_path), None, rows(32), rows(16, seed=1), compute_metrics=own
    )
    trainer.train()
    metrics = trainer.evaluate()
    assert metrics["eval_accuracy"] == -1.0
    assert {"eval_positive_rate", "eval_f1_macro", "eval_log_loss"} <= set(metrics)
    assert trainer.state.best_metric == metrics["eval_f1_macro"]


def test_metrics_of_predictions_that_are_no_logits_stand_alone(tmp_path):
    trainer = TextClassificationTrainer(
        tiny_classifier(), arguments(tmp_path, metric_for_best_model="hits"), None, rows(32), rows(16, seed=1),
        compute_metrics=lambda prediction: {"hits": float((prediction.predictions == prediction.label_ids).sum())},
        preprocess_logits_for_metrics=lambda logits, labels: logits.argmax(dim=-1),
    )  # fmt: skip
    trainer.train()
    assert set(trainer.evaluate()) & {"eval_hits", "eval_f1_macro"} == {"eval_hits"}


def test_an_evaluation_after_training_stands_at_the_step_of_the_weights(tmp_path):
    scores = iter([0.9, 0.5, 0.4, 0.9])
    trainer = TextClassificationTrainer(
        tiny_classifier(), arguments(tmp_path, num_train_epochs=3), None, rows(32), rows(16, seed=1),
        compute_metrics=lambda _: {"f1_macro": next(scores)},
    )  # fmt: skip
    trainer.train()
    metrics = trainer.evaluate()
    evaluations = [entry for entry in trainer.state.log_history if "eval_loss" in entry]
    first, last = evaluations[0], evaluations[-1]
    assert (last["step"], last["epoch"], metrics["epoch"]) == (2, 1.0, 1.0)
    assert first["eval_loss"] == last["eval_loss"]
    assert trainer.state.global_step == 6


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_a_compiled_model_trains_with_padding(tmp_path):
    args = arguments(tmp_path, torch_compile=True, torch_compile_backend="eager", max_steps=2)
    trainer = TextClassificationTrainer(tiny_classifier(), args, None, rows(32), rows(16, seed=1))
    assert trainer.padding_.endswith("(torch.compile takes the model as transformers made it)")
    trainer.train()
    assert trainer.state.global_step == 2
    assert trainer.evaluate()["eval_f1_macro"] >= 0
