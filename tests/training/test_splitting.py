"""When memory runs out, the run continues in smaller parts, with the result of a smaller batch."""

import pytest
import torch
from tiny import arguments, rows, tiny_classifier, weights
from transformers import TrainerCallback

from hfbertcls import TextClassificationTrainer, TrainingError
from hfbertcls.modeling.memory import parts_of


class Losses(TrainerCallback):
    def __init__(self) -> None:
        self.values = []

    def on_log(self, args, state, control, logs=None, **kwargs):
        if "loss" in logs:
            self.values.append(logs["loss"])


class Cramped(torch.nn.Module):
    """Stands in for a device with little memory: fails like one when too many tokens come at once."""

    def __init__(self, model, room: int, when: str, number: int = 0) -> None:
        super().__init__()
        self.forward_of = model.forward
        self.room, self.when, self.number = room, when, number
        self.calls = 0
        self.refused = 0

    def __call__(self, *args, **kwargs):
        self.calls += 1
        too_large = kwargs["input_ids"].numel() > self.room
        output = self.forward_of(*args, **kwargs)
        if too_large and self.calls > self.number:
            self.refused += 1
            if self.when == "backward":
                output.loss.register_hook(self.fail)
            else:
                self.fail()
        return output

    def fail(self, *_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")


def train(folder, *, batch_size=16, accumulation=1, cramped=None, dropout=0.1, lengths=None, **changes):
    data = rows(64)
    if lengths is not None:
        data = data.map(lambda row, i: {"input_ids": (row["input_ids"] * 5)[: lengths[i]]}, with_indices=True)
    data = data.add_column("length", [len(ids) for ids in data["input_ids"]])
    data = data.add_column("attention_mask", [[1] * length for length in data["length"]])
    model = tiny_classifier(dropout)
    losses = Losses()
    args = arguments(
        folder,
        per_device_train_batch_size=batch_size,
        gradient_accumulation_steps=accumulation,
        logging_steps=1,
        num_train_epochs=2,
        eval_every="no",
        remove_unused_columns=False,
        **{"train_sampling_strategy": "random", "padding_free": False} | changes,  # (`Cramped` counts padding, too)
    )
    trainer = TextClassificationTrainer(model, args, pad, data, callbacks=[losses])
    device = None
    if cramped is not None:
        device = Cramped(model, **cramped)
        model.forward = device.__call__
    trainer.train()
    return trainer, losses.values, device


def pad(features):
    longest = max(len(feature["input_ids"]) for feature in features)
    return {
        "input_ids": torch.tensor([f["input_ids"] + [0] * (longest - len(f["input_ids"])) for f in features]),
        "attention_mask": torch.tensor(
            [[1] * len(f["input_ids"]) + [0] * (longest - len(f["input_ids"])) for f in features]
        ),
        "labels": torch.tensor([feature["labels"] for feature in features]),
    }


@pytest.mark.parametrize("when", ["forward", "backward"])
def test_a_first_batch_that_does_not_fit_gives_the_run_of_the_smaller_batch_to_the_bit(tmp_path, when):
    expected, losses, _ = train(tmp_path / "small", batch_size=4, accumulation=4)
    halved, halved_losses, device = train(tmp_path / "large", cramped={"room": 4 * 6, "when": when})
    assert halved.part_size.rows_ == 4
    assert device.refused == 2  # 16, then 8
    assert halved_losses == pytest.approx(losses, rel=1e-6)
    for name, value in weights(expected.model).items():
        assert torch.equal(value, halved.model.state_dict()[name]), name


@pytest.mark.parametrize("when", ["forward", "backward"])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_middle_batch_that_does_not_fit_gives_the_same_loss_curve(tmp_path, when, accumulation):
    """Without dropout; with it, the parts draw other numbers from there on."""
    _, losses, _ = train(tmp_path / "small", batch_size=8 // accumulation, accumulation=2 * accumulation, dropout=0.0)
    batch = 16 // accumulation
    halved, halved_losses, _ = train(
        tmp_path / "large",
        batch_size=batch,
        accumulation=accumulation,
        dropout=0.0,
        cramped={"room": batch // 2 * 6, "when": when, "number": 5},
    )
    assert halved.part_size.rows_ == batch // 2
    assert len(losses) == 8
    assert halved_losses == pytest.approx(losses, abs=1e-6)


@pytest.mark.parametrize("strategy", ["random", "group_by_length"])
def test_a_longest_batch_that_does_not_fit_gives_the_same_loss_curve(tmp_path, strategy):
    lengths = [4] * 40 + [30] * 4 + [6] * 20
    setting = {"dropout": 0.0, "lengths": lengths, "train_sampling_strategy": strategy}
    _, losses, _ = train(tmp_path / "small", batch_size=8, accumulation=2, **setting)
    halved, halved_losses, device = train(tmp_path / "large", cramped={"room": 8 * 30, "when": "forward"}, **setting)
    assert device.refused >= 1
    assert halved.part_size.rows_ == 8
    assert halved_losses == pytest.approx(losses, abs=1e-6)


def test_batch_size_auto_finds_the_parts_before_the_first_update(tmp_path):
    lengths = [4] * 60 + [30] * 4
    expected, losses, _ = train(tmp_path / "small", batch_size=4, accumulation=4, lengths=lengths)
    fitted, fitted_losses, device = train(
        tmp_path / "auto",
        lengths=lengths,
        cramped={"room": 4 * 30, "when": "backward"},
        try_longest_batch_first=True,
    )
    assert device.refused == 2
    assert fitted_losses == pytest.approx(losses, rel=1e-6)
    for name, value in weights(expected.model).items():
        assert torch.equal(value, fitted.model.state_dict()[name]), name


def test_the_parts_are_remembered_over_a_resume(tmp_path):
    first, _, _ = train(tmp_path, cramped={"room": 8 * 6, "when": "forward"}, save_strategy="epoch")
    args = first.args
    again = TextClassificationTrainer(tiny_classifier(), args, pad, first.train_dataset)
    assert again.part_size.rows_ is None
    again.train(resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-4"))
    assert again.part_size.rows_ == 8


def test_if_nothing_fits_three_things_to_try_are_named(tmp_path):
    with pytest.raises(
        TrainingError, match=r"a single text\. Three things.*--max-length.*--gradient-checkpointing, a smaller model"
    ):
        train(tmp_path, cramped={"room": 1, "when": "forward"})


def test_evaluation_continues_in_parts_with_the_same_metrics(tmp_path):
    def evaluate(room):
        model = tiny_classifier()
        args = arguments(tmp_path, remove_unused_columns=False)
        trainer = TextClassificationTrainer(model, args, None, rows(32), rows(30, seed=1))
        if room is not None:
            model.forward = Cramped(model, room, "forward").__call__
        return trainer, trainer.evaluate()

    _, whole = evaluate(None)
    trainer, parts = evaluate(8 * 6)
    assert trainer.part_size.evaluation_rows_ == 8
    names = ("eval_loss", "eval_accuracy", "eval_f1_macro", "eval_log_loss", "eval_ece")
    assert [parts[name] for name in names] == pytest.approx([whole[name] for name in names], abs=1e-6)
    with pytest.raises(TrainingError, match=r"in evaluation with a single text\. Three things"):
        evaluate(1)


def test_an_error_that_is_not_about_memory_is_raised(tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("the size of tensor a must match")

    monkeypatch.setattr(Cramped, "fail", fail)
    with pytest.raises(RuntimeError, match="tensor a must match"):
        train(tmp_path, cramped={"room": 1, "when": "forward"})


def test_parts_are_padded_to_their_own_longest_row():
    batch = {
        "input_ids": torch.tensor([[7, 8, 0, 0], [7, 0, 0, 0], [7, 8, 9, 6]]),
        "attention_mask": torch.tensor([[1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1]]),
        "labels": torch.tensor([0, 1, 0]),
    }
    first, second = parts_of(batch, 2)
    assert first["input_ids"].tolist() == [[7, 8], [7, 0]]
    assert first["labels"].tolist() == [0, 1]
    assert second["input_ids"].tolist() == [[7, 8, 9, 6]]
