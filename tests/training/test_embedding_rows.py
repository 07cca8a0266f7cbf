"""The gradient of the embedding table: the same as PyTorch's, in memory that is used again."""

import copy

import pytest
import torch
from tiny import arguments, rows, tiny_classifier, weights
from torch import nn

from hfbertcls import TextClassificationTrainer
from hfbertcls.training.trainer.embedding_rows import RowGradientEmbedding


def tables(padding_idx: int | None = 0):
    torch.manual_seed(0)
    plain = nn.Embedding(30, 4, padding_idx=padding_idx)
    return plain, RowGradientEmbedding(copy.deepcopy(plain))


def backward(table: nn.Embedding, ids: torch.Tensor) -> None:
    (table(ids) * torch.arange(1.0, ids.numel() + 1).view(*ids.shape, 1)).sum().backward()


BATCHES = [torch.tensor([[3, 3, 0, 7]]), torch.tensor([[7, 29], [5, 0]]), torch.tensor([[1, 2, 1, 2]])]


@pytest.mark.parametrize("padding_idx", [None, 0, 7])
@pytest.mark.parametrize("dropped", [True, False])
def test_each_step_has_the_gradient_of_a_plain_embedding(padding_idx, dropped):
    plain, ours = tables(padding_idx)
    for ids in BATCHES * 2:
        for table in (plain, ours):
            backward(table, ids)
        assert torch.equal(ours.weight.grad, plain.weight.grad)
        ours.recycle()
        for table in (plain, ours):
            table.zero_grad(set_to_none=dropped)


def test_accumulated_gradients_are_summed():
    plain, ours = tables()
    for _ in range(2):
        for ids in BATCHES:
            for table in (plain, ours):
                backward(table, ids)
        assert torch.equal(ours.weight.grad, plain.weight.grad)
        assert ours.rows.tolist() == [0, 1, 2, 3, 5, 7, 29]
        ours.recycle()
        ours.zero_grad()
        plain.zero_grad()


@pytest.mark.parametrize("parts", [1, 2])
def test_memory_is_used_again(parts, monkeypatch):
    _, ours = tables()
    seen = set()
    for ids in BATCHES * 3:
        for _ in range(parts):
            backward(ours, ids)
        monkeypatch.setattr(torch, "zeros_like", None)  # after the first there is no need of more
        seen.add(ours.weight.grad.data_ptr())
        ours.recycle()
        ours.zero_grad()
    assert len(seen) == 1


def test_a_backward_pass_that_fails_leaves_nothing_behind():
    plain, ours = tables()
    backward(ours, BATCHES[0])
    ours.recycle()
    ours.zero_grad()

    def fail(_):
        raise MemoryError("none left")

    vectors = ours(BATCHES[1])
    vectors.register_hook(fail)
    with pytest.raises(MemoryError, match="none left"):
        vectors.sum().backward()
    for table in (plain, ours):
        backward(table, BATCHES[2])
    assert torch.equal(ours.weight.grad, plain.weight.grad)


class WithPlainTable(TextClassificationTrainer):
    """The trainer with PyTorch's own embedding and clipping."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        table = self._embedding
        plain = nn.Embedding(table.num_embeddings, table.embedding_dim, table.padding_idx, _weight=table.weight.data)
        plain.weight = table.weight
        self.model.set_input_embeddings(plain)
        self._embedding = None


@pytest.mark.parametrize("max_grad_norm", [0.05, 0.0, 1e6])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_training_is_that_with_a_plain_table(tmp_path, max_grad_norm, accumulation):
    results = []
    for kind in (WithPlainTable, TextClassificationTrainer):
        args = arguments(
            tmp_path, max_grad_norm=max_grad_norm, gradient_accumulation_steps=accumulation, logging_steps=1,
            per_device_train_batch_size=8,
        )  # fmt: skip
        trainer = kind(tiny_classifier(), args, train_dataset=rows(96), eval_dataset=rows(16, seed=1))
        trainer.train()
        norms = [entry["grad_norm"] for entry in trainer.state.log_history if "grad_norm" in entry]
        results.append((norms, weights(trainer.model)))
    (norms, plain), (ours_norms, ours) = results
    assert ours_norms == pytest.approx(norms, rel=1e-5)
    for name, value in plain.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-5, atol=1e-6, msg=name)


def test_the_saved_model_has_an_ordinary_table(tmp_path):
    trainer = TextClassificationTrainer(
        tiny_classifier(), arguments(tmp_path, eval_every="no", max_steps=2), train_dataset=rows(64)
    )
    trainer.train()
    trainer.save_model(str(tmp_path / "model"))
    loaded = type(trainer.model).from_pretrained(tmp_path / "model")
    assert type(loaded.get_input_embeddings()) is nn.Embedding
    assert torch.equal(loaded.get_input_embeddings().weight, trainer.model.get_input_embeddings().weight)
