"""Long texts: what is read of them, and that a row of windows gets the mean of the logits of its windows."""

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoTokenizer

from hfbertcls.data.long_text import LONG_TEXT, LongText
from hfbertcls.data.tokenization import tokenize_texts
from hfbertcls.errors import ConfigurationError, ModelError
from hfbertcls.inference.pipelines import pipeline_of
from hfbertcls.modeling.engine import PaddedRows, score
from hfbertcls.modeling.loading import ModelSource, load_for_training
from hfbertcls.modeling.padding_free import enable_padding_free, is_padding_free
from hfbertcls.modeling.pooling import append_mean_pooling
from hfbertcls.tasks.multi_label import MultiLabel
from hfbertcls.tasks.single_label import SingleLabel


WINDOWS = LongText.of("windows", 16, max_windows=3, overlap=4)
WORDS = ["the", "film", "was", "great", "and", "the", "plot", "was", "dull"]
TEXTS = [" ".join(WORDS[(start + i) % 9] for i in range(count)) for start, count in enumerate((3, 14, 15, 24, 30, 60))]


def model_of(source, long_text, kind=SingleLabel):
    model = load_for_training(source, kind(("x", "y", "z")), seed=1, long_text=long_text).model
    model.train(False)
    return model


@pytest.fixture
def source(tiny_model_dir):
    return ModelSource(str(tiny_model_dir))


@pytest.fixture
def tokenizer(tiny_model_dir):
    return AutoTokenizer.from_pretrained(tiny_model_dir)


@pytest.mark.parametrize("side", ["right", "left"])
def test_windows_hold_the_tokens_of_the_text_in_order(tokenizer, side):
    tokenizer.truncation_side = side
    tokenized = tokenize_texts(TEXTS, tokenizer, 16, WINDOWS)
    for text, row in zip(TEXTS, tokenized.dataset["input_ids"], strict=True):
        words = tokenizer(text, add_special_tokens=False)["input_ids"]
        windows = [row[start : start + 16] for start in range(0, len(row), 16)]
        assert [one[0] for one in windows] == [tokenizer.cls_token_id] * len(windows)
        assert [one[-1] for one in windows] == [tokenizer.sep_token_id] * len(windows)
        inside = [one[1:-1] for one in windows]
        if side == "left":
            inside.reverse()
        whole = inside[0] + [token for one in inside[1:] for token in one[4:]]
        read = min(len(words), 14 + 2 * 10)
        assert whole == (words[:read] if side == "right" else words[len(words) - read :])
    assert tokenized.truncated_rows == 1
    assert tokenized.lengths.tolist() == [len(row) for row in tokenized.dataset["input_ids"]]


def test_head_tail_reads_a_quarter_from_the_beginning_and_the_rest_from_the_end(tokenizer):
    tokenized = tokenize_texts(TEXTS, tokenizer, 16, LongText.of("head-tail", 16))
    whole = tokenizer(TEXTS)["input_ids"]
    for row, ids in zip(tokenized.dataset["input_ids"], whole, strict=True):
        assert row == (ids if len(ids) <= 16 else ids[:4] + ids[-12:])
    assert tokenized.truncated_rows == sum(len(ids) > 16 for ids in whole)


@pytest.mark.parametrize("mean_pooling", [False, True])
def test_a_text_gets_the_mean_of_the_logits_of_its_windows(source, tokenizer, mean_pooling):
    model, plain = model_of(source, WINDOWS), model_of(source, None)
    if mean_pooling:
        for one in (model, plain):
            assert append_mean_pooling(one) is None
    tokenized = tokenize_texts(TEXTS, tokenizer, 16, WINDOWS)
    expected = []
    with torch.inference_mode():
        for row in tokenized.dataset["input_ids"]:
            windows = [plain(input_ids=torch.tensor([row[i : i + 16]])).logits[0] for i in range(0, len(row), 16)]
            expected.append(torch.stack(windows).mean(dim=0).numpy())
        batch = PaddedRows(tokenizer, tokenized).padded(np.arange(len(TEXTS)))
        padded = model(**{name: torch.from_numpy(values) for name, values in batch.items()}).logits.numpy()
    assert np.abs(padded - expected).max() < 1e-5
    assert enable_padding_free(model) is None
    assert is_padding_free(model)
    assert np.abs(score(model, tokenizer, tokenized) - expected).max() < 1e-4
    tokenizer.model_max_length = 16
    answers = pipeline_of(model, tokenizer, top_k=None, function_to_apply="none")
    for inputs in (TEXTS, [TEXTS[-1]]):
        logits = [[{one["label"]: one["score"] for one in row}[label] for label in "xyz"] for row in answers(inputs)]
        assert np.abs(np.array(logits) - expected[-len(inputs) :]).max() < 1e-4


@pytest.mark.parametrize("kind", [SingleLabel, MultiLabel])
def test_the_loss_of_a_batch_is_that_of_the_mean_logits_and_has_gradients(source, tokenizer, kind):
    model = model_of(source, WINDOWS, kind)
    tokenized = tokenize_texts(TEXTS, tokenizer, 16, WINDOWS)
    batch = {
        name: torch.from_numpy(values)
        for name, values in PaddedRows(tokenizer, tokenized).padded(np.arange(len(TEXTS))).items()
    }
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    if kind is MultiLabel:
        labels = torch.nn.functional.one_hot(labels, 3).float()
        expected = torch.nn.functional.binary_cross_entropy_with_logits
    else:
        expected = torch.nn.functional.cross_entropy
    output = model(**batch, labels=labels)
    assert output.logits.shape == (6, 3)
    assert output.loss.item() == pytest.approx(expected(output.logits, labels).item(), abs=1e-6)
    output.loss.backward()
    assert all(one.grad is not None for name, one in model.named_parameters() if "pooler" not in name)


def test_batches_of_another_form_are_refused(source, tokenizer):
    model = model_of(source, WINDOWS)
    ids = torch.ones((1, 20), dtype=torch.long)
    mask = torch.ones_like(ids)
    mask[0, 0] = 0
    with pytest.raises(ModelError, match="read in windows of 16, for which this batch has the wrong form"):
        model(input_ids=ids, attention_mask=mask)


@pytest.mark.parametrize(
    "stated",
    ["windows", {"mode": "truncate"}, {"mode": "windows"}, {"mode": "windows", "window": 8, "max_windows": 2.5}],
)
def test_a_damaged_configuration_is_refused(tiny_model_dir, stated):
    config = AutoConfig.from_pretrained(tiny_model_dir)
    setattr(config, LONG_TEXT, stated)
    with pytest.raises(ModelError, match="hfbertcls_long_text in config.json is"):
        LongText.of_config(config)


def test_invalid_values_are_refused():
    with pytest.raises(ConfigurationError, match=r"--long-text window is an invalid value \(did you mean 'windows'"):
        LongText.of("window", 16)
    with pytest.raises(ConfigurationError, match="--window-overlap 9 is an invalid value: windows have 16 tokens"):
        LongText.of("windows", 16, overlap=9)
