"""Batched scoring: each row keeps its place in any batches, also when memory runs out."""

import numpy as np
import pytest
import torch

from hfbertcls.data.tokenization import tokenize_texts
from hfbertcls.modeling import engine, memory
from hfbertcls.modeling.engine import Pace, batches_by_length, in_bf16, pace_of, score
from hfbertcls.modeling.loading import ModelSource, load_tokenizer


@pytest.fixture(scope="module")
def model(tiny_model_dir):
    from transformers import AutoModelForSequenceClassification

    torch.manual_seed(0)
    return AutoModelForSequenceClassification.from_pretrained(tiny_model_dir, num_labels=3).eval()


@pytest.fixture(scope="module")
def tokenized(tiny_model_dir, vocabulary):
    tokenizer = load_tokenizer(ModelSource(str(tiny_model_dir)))
    generator = np.random.default_rng(0)
    texts = [" ".join(generator.choice(vocabulary, generator.integers(1, 40))) for _ in range(70)]
    return tokenizer, texts, tokenize_texts(texts, tokenizer, 32)


def test_each_row_has_the_logits_of_its_own_text(model, tokenized):
    tokenizer, texts, rows = tokenized
    logits = score(model, tokenizer, rows)
    assert (logits.shape, logits.dtype) == ((70, 3), np.float32)
    for position in range(0, 70, 7):
        alone = tokenizer(texts[position], truncation=True, max_length=32, return_tensors="pt")
        with torch.inference_mode():
            expected = model(**alone).logits[0].numpy()
        np.testing.assert_allclose(logits[position], expected, atol=1e-5)


@pytest.mark.parametrize("room", [1, 3, 20])
def test_rows_that_do_not_fit_together_are_scored_in_halves(model, tokenized, monkeypatch, room):
    tokenizer, _, rows = tokenized
    whole = score(model, tokenizer, rows)
    forward, seen = type(model).forward, []

    def cramped(self, cu_seq_lens_q, **kwargs):
        if len(cu_seq_lens_q) - 1 > room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        seen.append(len(cu_seq_lens_q) - 1)
        return forward(self, cu_seq_lens_q=cu_seq_lens_q, **kwargs)

    monkeypatch.setattr(type(model), "forward", cramped)
    monkeypatch.setattr(memory, "free_memory", lambda: None)  # (a search for garbage, half a second for each batch)
    np.testing.assert_allclose(score(model, tokenizer, rows), whole, atol=1e-5)
    assert sum(seen) == 70
    assert max(seen) <= room


def test_an_error_that_is_not_about_memory_is_raised(model, tokenized, monkeypatch):
    def broken(self, **kwargs):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    score(model, tokenized[0], tokenized[2])
    monkeypatch.setattr(type(model), "forward", broken)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        score(model, tokenized[0], tokenized[2])


def test_bf16_agrees_with_fp32_where_it_is_asked_for(model, tokenized):
    tokenizer, _, rows = tokenized
    exact, rough = score(model, tokenizer, rows), score(in_bf16(model), tokenizer, rows)
    assert model.dtype == torch.float32
    assert 0 < np.abs(rough - exact).max() < 0.02


def test_batches_hold_each_row_once_and_keep_to_the_budget():
    lengths = np.random.default_rng(0).integers(1, 512, 1_000)
    batches = list(batches_by_length(lengths, tokens_per_batch=2_000))
    assert sorted(np.concatenate(batches)) == list(range(1_000))
    assert all(lengths[batch].max() * len(batch) <= 2_000 for batch in batches)


def test_a_gpu_takes_large_batches_and_a_cpu_those_of_before():
    assert pace_of(torch.device("cpu")) == Pace(8_192, 256, 0)
    assert pace_of(torch.device("cuda:1")).tokens == 65_536
    lengths = np.full(10_000, 13)
    assert len(list(batches_by_length(lengths))) == 40
    gpu = pace_of(torch.device("cuda"))
    assert len(list(batches_by_length(lengths, gpu.tokens, rows_per_batch=gpu.rows))) == 3


@pytest.mark.parametrize(("numbers_kept", "copies"), [(0, 35), (10, 18), (1_000_000, 1)])
def test_outputs_are_copied_to_the_host_together(model, tokenized, monkeypatch, numbers_kept, copies):
    """On a CPU a copy costs nothing, and each batch is put in its place at once."""
    tokenizer, _, rows = tokenized
    monkeypatch.setattr(engine, "_PACE", Pace(8_192, 2, 0))
    each = score(model, tokenizer, rows)
    monkeypatch.setattr(engine, "_PACE", Pace(8_192, 2, numbers_kept))
    fetch, count = engine._Outputs._fetch, []

    def counting(self):
        count.extend([1] if self._waiting else [])
        fetch(self)

    monkeypatch.setattr(engine._Outputs, "_fetch", counting)
    assert np.array_equal(score(model, tokenizer, rows), each)
    assert len(count) == copies
