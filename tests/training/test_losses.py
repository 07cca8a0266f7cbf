"""Class weights and the focal loss: their formulas, and the same update however it is split."""

import numpy as np
import pytest
import torch
from tiny import arguments, rows, tiny_classifier, weights
from torch.nn import functional

from hfbertcls import TextClassificationTrainer
from hfbertcls.tasks.multi_label import MultiLabel
from hfbertcls.tasks.single_label import SingleLabel
from hfbertcls.training.losses import LabelLoss, class_weights, label_loss


LABELS = ("a", "b")
SINGLE, MULTI = SingleLabel(LABELS), MultiLabel(LABELS)
ROWS = 13  # (13 rows in batches of 4: the last batch has one row)


def data(*, is_multi_label=False):
    dataset = rows(ROWS).add_column("length", [6] * ROWS)
    if is_multi_label:
        lists = [[float(label), float(number % 3 == 0)] for number, label in enumerate(dataset["labels"])]
        dataset = dataset.remove_columns("labels").add_column("labels", lists)
    return dataset


def updated_by(folder, batch_size, accumulation, loss, *, is_multi_label=False, part=None, **changes):
    """The weights after one update by plain gradient descent, which shows the size of the gradient."""
    args = arguments(
        folder, per_device_train_batch_size=batch_size, gradient_accumulation_steps=accumulation, max_steps=1,
        optim="sgd", learning_rate=0.1, max_grad_norm=0.0, eval_every="no", warmup_steps=0, weight_decay=0.0, **changes,
    )  # fmt: skip
    model = tiny_classifier(dropout=0.0)
    if is_multi_label:
        model.config.problem_type = "multi_label_classification"
    dataset = data(is_multi_label=is_multi_label)
    trainer = TextClassificationTrainer(model=model, args=args, train_dataset=dataset, compute_loss_func=loss)
    trainer.part_size.rows_ = part
    trainer.train()
    return weights(model)


def expected(loss_of, *, is_multi_label=False):
    """The weights after one step along the gradient of a loss of all rows, by torch alone."""
    model, dataset = tiny_classifier(dropout=0.0), data(is_multi_label=is_multi_label)
    logits = model(input_ids=torch.tensor(dataset["input_ids"])).logits
    loss_of(logits, torch.tensor(dataset["labels"])).backward()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter -= 0.1 * parameter.grad
    return weights(model)


def same(one, other):
    for name, value in one.items():
        torch.testing.assert_close(other[name], value, atol=1e-6, rtol=0)


WEIGHTS = (0.5, 4.0)
TENSOR = torch.tensor(WEIGHTS)
LOSSES = {
    "weights": (LabelLoss(SINGLE, WEIGHTS), lambda z, y: functional.cross_entropy(z, y, TENSOR)),
    "weights and label smoothing": (
        LabelLoss(SINGLE, WEIGHTS, smoothing=0.1),
        lambda z, y: functional.cross_entropy(z, y, TENSOR, label_smoothing=0.1),
    ),
    "focal": (
        LabelLoss(SINGLE, gamma=2.0),
        lambda z, y: (functional.cross_entropy(z, y, reduction="none") * (1 - z.softmax(-1)[range(ROWS), y]) ** 2).mean(),
    ),
    "focal and weights": (
        LabelLoss(SINGLE, WEIGHTS, gamma=2.0),
        lambda z, y: (
            functional.cross_entropy(z, y, TENSOR, reduction="none") * (1 - z.softmax(-1)[range(ROWS), y]) ** 2
        ).sum() / TENSOR[y].sum(),
    ),
    "multi-label, weights": (
        LabelLoss(MULTI, WEIGHTS),
        lambda z, y: functional.binary_cross_entropy_with_logits(z, y, pos_weight=TENSOR),
    ),
    "multi-label, focal": (
        LabelLoss(MULTI, WEIGHTS, gamma=2.0),
        lambda z, y: (
            functional.binary_cross_entropy_with_logits(z, y, pos_weight=TENSOR, reduction="none")
            * (y - z.sigmoid()).abs() ** 2
        ).mean(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LOSSES)
def test_an_accumulated_update_is_the_step_along_the_weighted_mean_of_all_rows(tmp_path, name):
    loss, reference = LOSSES[name]
    is_multi_label = name.startswith("multi-label")
    target = expected(reference, is_multi_label=is_multi_label)
    same(target, updated_by(tmp_path, 4, 4, loss, is_multi_label=is_multi_label))


@pytest.mark.parametrize(
    "split",
    [
        pytest.param({"batch_size": ROWS, "accumulation": 1}, id="one batch"),
        pytest.param({"batch_size": ROWS, "accumulation": 1, "part": 4}, id="one batch that does not fit"),
        pytest.param({"batch_size": 4, "accumulation": 4, "padding_free": False}, id="with padding"),
    ],
)
def test_so_is_each_other_way_to_split_it(tmp_path, split):
    loss, reference = LOSSES["weights and label smoothing"]
    same(expected(reference), updated_by(tmp_path, **split, loss=loss))


def test_label_smoothing_without_weights_is_exact_too(tmp_path):
    target = expected(lambda z, y: functional.cross_entropy(z, y, label_smoothing=0.1))
    same(target, updated_by(tmp_path, 4, 4, None, label_smoothing_factor=0.1))


def sum_by_count(outputs, labels, num_items_in_batch=None):
    return functional.cross_entropy(outputs.logits, labels, reduction="sum") / num_items_in_batch


def mean_of_batch(outputs, labels, num_items_in_batch=None):
    return functional.cross_entropy(outputs.logits, labels)


@pytest.mark.parametrize("loss", [sum_by_count, mean_of_batch])
@pytest.mark.parametrize(("batch_size", "accumulation", "part"), [(4, 4, None), (ROWS, 1, None), (ROWS, 1, 4)])
def test_a_loss_function_of_a_script_gives_the_same_update(tmp_path, loss, batch_size, accumulation, part):
    target = expected(functional.cross_entropy)
    same(target, updated_by(tmp_path, batch_size, accumulation, loss, part=part))


def test_a_script_is_told_that_its_function_is_taken_for_the_mean_of_a_batch(tmp_path, caplog):
    updated_by(tmp_path, 4, 4, mean_of_batch)
    assert caplog.text.count("compute_loss_func ignores num_items_in_batch, so it is taken for the mean") == 1


def test_the_validation_loss_is_the_plain_one(tmp_path):
    model, dataset = tiny_classifier(dropout=0.0), data()
    loss = LabelLoss(SINGLE, (0.1, 30.0), gamma=2.0)
    trainer = TextClassificationTrainer(model, arguments(tmp_path), None, dataset, dataset, compute_loss_func=loss)
    logits = torch.from_numpy(trainer.predict(dataset).predictions)
    plain = functional.cross_entropy(logits, torch.tensor(dataset["labels"]))
    assert trainer.evaluate()["eval_loss"] == pytest.approx(float(plain), abs=1e-6)


def test_balanced_weights_are_those_of_scikit_learn():
    from sklearn.utils.class_weight import compute_class_weight

    gold = np.array([0, 0, 0, 0, 1, 2, 2])
    ours = class_weights("balanced", SingleLabel(("a", "b", "c", "never")), gold)
    theirs = compute_class_weight("balanced", classes=np.arange(3), y=gold)
    np.testing.assert_allclose(ours, [*theirs, 1.0])


def test_balanced_multi_label_weights_let_positive_and_negative_rows_of_a_label_weigh_the_same():
    gold = np.array([[1, 0, 1], [0, 0, 1], [0, 0, 1], [0, 0, 1]], dtype=np.int8)
    assert class_weights("balanced", MultiLabel(("a", "never", "always")), gold).tolist() == [3.0, 1.0, 1.0]


def test_numbers_are_put_into_the_order_of_the_labels():
    assert class_weights({"b": 2.0, "a": 1.0}, SINGLE, np.array([0, 1])).tolist() == [1.0, 2.0]


def test_the_defaults_leave_the_loss_to_the_model():
    assert label_loss("cross_entropy", "none", SINGLE, np.array([0, 1]), 0.0) is None
    assert label_loss("focal", "none", SINGLE, np.array([0, 1]), 0.0) == LabelLoss(SINGLE, gamma=2.0)
    assert label_loss("cross_entropy", {"a": 1.0, "b": 2.0}, SINGLE, np.array([0, 1]), 0.1) == LabelLoss(
        SINGLE, (1.0, 2.0), smoothing=0.1
    )


def test_rows_with_the_label_minus_100_do_not_count():
    loss = LabelLoss(SINGLE, WEIGHTS)
    labels = torch.tensor([0, -100, 1])
    assert float(loss.total_weight(labels)) == 4.5
    logits = torch.tensor([[1.0, 0.0], [5.0, 0.0], [0.0, 2.0]])
    assert float(loss({"logits": logits}, labels)) == pytest.approx(
        float(functional.cross_entropy(logits, labels, TENSOR))
    )
    focal = LabelLoss(SINGLE, gamma=2.0)
    counted = [0, 2]
    assert float(focal({"logits": logits}, labels)) == pytest.approx(
        float(focal({"logits": logits[counted]}, labels[counted]))
    )
