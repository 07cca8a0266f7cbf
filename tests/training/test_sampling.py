import numpy as np
import pytest
import torch
from tiny import arguments, rows, tiny_classifier
from transformers import Trainer, set_seed

from hfbertcls import TextClassificationTrainer
from hfbertcls.tasks.multi_label import MultiLabel
from hfbertcls.tasks.single_label import SingleLabel
from hfbertcls.training.recipe import choose_recipe
from hfbertcls.training.trainer.sampling import LengthGroupedSampler, ShuffledSampler


def test_each_row_occurs_once_in_each_epoch():
    sampler = LengthGroupedSampler(np.random.default_rng(0).integers(3, 99, 1003), batch_size=16, seed=1)
    assert sorted(sampler) == list(range(1003))


@pytest.mark.parametrize("data_seed", [None, 7])
def test_the_random_order_is_that_of_the_stock_trainer_in_every_epoch(tmp_path, data_seed):
    data = rows(1_100).add_column("row", range(1_100))
    changes = {"train_sampling_strategy": "random", "data_seed": data_seed, "remove_unused_columns": False}
    args = arguments(tmp_path, **changes)
    orders = []
    for trainer_class in (TextClassificationTrainer, Trainer):
        set_seed(3)
        trainer = trainer_class(tiny_classifier(), args, lambda batch: {"row": torch.tensor([one["row"] for one in batch])},
                                data, data)  # fmt: skip
        loader = trainer.get_train_dataloader()
        assert isinstance(loader.batch_sampler.sampler, ShuffledSampler) == (
            trainer_class is TextClassificationTrainer
        )
        order = []
        for epoch in (0, 1, 5):
            loader.set_epoch(epoch)
            order.append([row for batch in loader for row in batch["row"].tolist()])
        orders.append(order)
    assert orders[0] == orders[1]
    assert sorted(orders[0][0]) == list(range(1_100))
    assert orders[0][0] != orders[0][1]


def test_the_order_depends_on_seed_and_epoch_alone():
    lengths = np.random.default_rng(0).integers(3, 99, 500)
    first = LengthGroupedSampler(lengths, 8, seed=1)
    again = LengthGroupedSampler(lengths, 8, seed=1)
    assert list(first) == list(again)
    again.set_epoch(1)
    assert list(first) != list(again)
    assert list(first) != list(LengthGroupedSampler(lengths, 8, seed=2))


def test_batches_hold_like_lengths_in_no_order_of_length():
    lengths = np.random.default_rng(0).integers(3, 99, 800)
    batches = lengths[list(LengthGroupedSampler(lengths, 16, seed=1))].reshape(-1, 16)
    padded = (batches.max(axis=1) * 16).sum()
    assert 1 - lengths.sum() / padded < 0.05
    assert abs(np.corrcoef(np.arange(50), batches.mean(axis=1))[0, 1]) < 0.3


def test_small_models_get_a_larger_learning_rate():
    rates = [choose_recipe(size, 10_000, 2, 16).learning_rate for size in (22e6, 66e6, 110e6, 340e6)]
    assert rates == sorted(rates, reverse=True)
    assert len(set(rates)) == 4


def test_multi_label_heads_get_twice_the_learning_rate():
    single, multi = (
        choose_recipe(22_000_000, 10_000, 6, 32, rate_factor=kind.learning_rate_factor)
        for kind in (SingleLabel, MultiLabel)
    )
    assert single == choose_recipe(22_000_000, 10_000, 6, 32)
    assert multi.learning_rate == 2 * single.learning_rate
    assert multi.num_train_epochs == single.num_train_epochs


def test_epochs_grow_with_few_rows_and_many_labels():
    assert choose_recipe(22_000_000, 67_000, 2, 32).num_train_epochs == 3
    assert choose_recipe(22_000_000, 500, 2, 32).num_train_epochs == 10
    assert choose_recipe(22_000_000, 10_000, 77, 32).num_train_epochs == 7


def test_the_trainer_uses_it_and_each_epoch_has_its_own_order(tmp_path):
    data = rows(64).add_column("length", [6] * 64)
    args = arguments(tmp_path, train_sampling_strategy="group_by_length", num_train_epochs=2)
    trainer = TextClassificationTrainer(tiny_classifier(), args, None, data)
    loader = trainer.get_train_dataloader()
    assert isinstance(loader.batch_sampler.sampler, LengthGroupedSampler)
    orders = []
    for epoch in range(2):
        loader.set_epoch(epoch)
        orders.append([batch["labels"].tolist() for batch in loader])
    assert orders[0] != orders[1]
