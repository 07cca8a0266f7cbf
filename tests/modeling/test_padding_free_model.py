"""Padding-free: the same logits, the same gradients, the same training."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertTokenizer,
    DebertaV2Config,
    DebertaV2ForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    ElectraConfig,
    ElectraForSequenceClassification,
    ModernBertConfig,
    ModernBertForSequenceClassification,
    MPNetConfig,
    MPNetForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from hfbertcls.data.texts import TextPair
from hfbertcls.data.tokenization import tokenize_texts
from hfbertcls.modeling import padding_free
from hfbertcls.modeling.engine import score
from hfbertcls.modeling.padding_free import enable_padding_free, is_padding_free


LONGEST = 24
SIZES = {
    "vocab_size": 40,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
}
WITH_LIMIT = {**SIZES, "max_position_embeddings": LONGEST + 2, "num_labels": 3}
DISTIL = {"vocab_size": 40, "dim": 32, "n_layers": 3, "n_heads": 4, "hidden_dim": 48, "num_labels": 3}
SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
ARCHITECTURES = {
    "bert": lambda: BertForSequenceClassification(BertConfig(**WITH_LIMIT)),
    "roberta": lambda: RobertaForSequenceClassification(RobertaConfig(**WITH_LIMIT, pad_token_id=1)),
    "electra": lambda: ElectraForSequenceClassification(ElectraConfig(**WITH_LIMIT, embedding_size=16)),
    "distilbert": lambda: DistilBertForSequenceClassification(
        DistilBertConfig(**DISTIL, max_position_embeddings=LONGEST)
    ),
    "modernbert": lambda: ModernBertForSequenceClassification(
        ModernBertConfig(**WITH_LIMIT, **SPECIAL, local_attention=8, global_attn_every_n_layers=2)
    ),
    "modernbert, mean": lambda: ModernBertForSequenceClassification(
        ModernBertConfig(
            **WITH_LIMIT, **SPECIAL, local_attention=8, global_attn_every_n_layers=2, classifier_pooling="mean"
        )
    ),
}


def pair(name: str):
    """The same model twice: as it is, and free."""
    torch.manual_seed(0)
    plain = ARCHITECTURES[name]()
    for parameter in plain.parameters():  # away from the tiny initial weights, with which everything is alike
        torch.nn.init.normal_(parameter, std=0.2)
    plain.train(False)
    free = copy.deepcopy(plain)
    assert enable_padding_free(free) is None
    return plain, free


MODELS = {name: pair(name) for name in ARCHITECTURES}


def batch_of(lengths, seed: int, padding: int):
    generator = torch.Generator().manual_seed(seed)
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    ids = torch.randint(5, 40, mask.shape, generator=generator)
    labels = torch.randint(0, 3, (len(lengths),), generator=generator)
    return {"input_ids": torch.where(mask.bool(), ids, padding), "attention_mask": mask, "labels": labels}


@pytest.mark.parametrize("name", ARCHITECTURES)
@settings(max_examples=25, deadline=None)
@given(lengths=st.lists(st.integers(1, LONGEST), min_size=1, max_size=64), seed=st.integers(0, 1000))
def test_logits_and_gradients_are_those_of_the_padded_batch(name, lengths, seed):
    plain, free = MODELS[name]
    batch = batch_of(lengths, seed, plain.config.pad_token_id)
    expected, actual = plain(**batch), free(**batch)
    torch.testing.assert_close(actual.logits, expected.logits, rtol=0, atol=1e-5)
    torch.testing.assert_close(actual.loss, expected.loss, rtol=0, atol=1e-5)
    of_plain = torch.autograd.grad(expected.loss, list(plain.parameters()), allow_unused=True)
    of_free = torch.autograd.grad(actual.loss, list(free.parameters()), allow_unused=True)
    for (parameter, _), one, other in zip(plain.named_parameters(), of_plain, of_free, strict=True):
        if one is None:
            assert other is None, parameter
        else:
            torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-5, msg=lambda m, p=parameter: f"{p}: {m}")


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_no_layer_sees_padding(name):
    _, free = MODELS[name]
    seen = set()
    handles = [
        module.register_forward_hook(lambda module, inputs, output: seen.add(tuple(output.shape)))
        for module in free.base_model.modules()
        if isinstance(module, torch.nn.Linear)
    ]
    with torch.no_grad():
        free(**batch_of([3, 20, 5], 0, free.config.pad_token_id))
    for handle in handles:
        handle.remove()
    # 28 tokens, computed as 32; after the encoder three texts. (The padded batch has 60 positions.)
    assert {shape[:2] for shape in seen} <= {(1, 32), (3, 32)}
    assert (1, 32) in {shape[:2] for shape in seen}


def test_token_types_reach_the_model():
    plain, free = MODELS["bert"]
    batch = batch_of([4, 9, 2], 0, 0)
    batch["token_type_ids"] = (torch.arange(9) > 1).long() * batch["attention_mask"]
    with torch.no_grad():
        torch.testing.assert_close(free(**batch).logits, plain(**batch).logits, rtol=0, atol=1e-5)
        other = free(**{**batch, "token_type_ids": torch.zeros_like(batch["input_ids"])}).logits
    assert (other - plain(**batch).logits).abs().max() > 1e-3


OF_PAIRS = {
    **{name: ARCHITECTURES[name] for name in ("bert", "roberta", "electra", "distilbert", "modernbert")},
    "mpnet": lambda: MPNetForSequenceClassification(MPNetConfig(**WITH_LIMIT, pad_token_id=1)),
    "deberta-v2": lambda: DebertaV2ForSequenceClassification(DebertaV2Config(**WITH_LIMIT, type_vocab_size=2)),
}


@pytest.mark.parametrize("name", OF_PAIRS)
def test_pairs_get_the_logits_of_plain_transformers_one_by_one(name, vocabulary):
    """Through the tokenizer, in batches by length, without padding where the model can be."""
    torch.manual_seed(0)
    plain = OF_PAIRS[name]()
    plain.train(False)
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *vocabulary]
    tokenizer = BertTokenizer(vocab={token: index for index, token in enumerate(tokens)}, model_max_length=LONGEST)
    if name in ("roberta", "mpnet"):  # (whose padding has the id 1)
        tokenizer = BertTokenizer(
            vocab={token: index for index, token in enumerate([tokens[1], tokens[0], *tokens[2:]])},
            model_max_length=LONGEST,
        )
    if name in ("distilbert", "modernbert", "mpnet"):
        tokenizer.model_input_names = ["input_ids", "attention_mask"]
    pairs = [
        TextPair(" ".join(vocabulary[: 1 + 5 * n % 13]), " ".join(vocabulary[n : n + 1 + 7 * n % 11]))
        for n in range(12)
    ]
    tokenized = tokenize_texts(pairs, tokenizer, LONGEST)
    actual = score(copy.deepcopy(plain), tokenizer, tokenized, tokens_per_batch=100)
    with torch.no_grad():
        expected = [
            plain(**tokenizer(*one, truncation=True, max_length=LONGEST, return_tensors="pt")).logits[0]
            for one in pairs
        ]
    torch.testing.assert_close(torch.from_numpy(actual), torch.stack(expected), rtol=0, atol=1e-4)
    if "token_type_ids" in tokenizer.model_input_names:
        assert 1 in tokenized.dataset["token_type_ids"][0]


@pytest.mark.parametrize("changes", ["left", "embeddings", "hidden", "tuple", "no mask", "positional"])
def test_other_batches_are_left_as_they_are(changes):
    plain, free = MODELS["bert"]
    batch = batch_of([4, 9, 2], 0, 0)
    del batch["labels"]
    arguments = ()
    if changes == "left":
        batch = {name: value.flip(1) for name, value in batch.items()}
    elif changes == "embeddings":
        batch["inputs_embeds"] = plain.get_input_embeddings()(batch.pop("input_ids"))
    elif changes == "hidden":
        batch["output_hidden_states"] = True
    elif changes == "tuple":
        batch["return_dict"] = False
    elif changes == "no mask":
        del batch["attention_mask"]
    else:
        arguments = (batch.pop("input_ids"),)
    with torch.no_grad():
        expected, actual = plain(*arguments, **batch), free(*arguments, **batch)
    if changes == "hidden":
        assert actual.hidden_states[0].shape == (3, 9, 32)
    torch.testing.assert_close(actual[0], expected[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["bert", "modernbert"])
def test_the_ways_for_other_devices_and_very_long_texts_give_the_same(name, monkeypatch):
    monkeypatch.setattr(padding_free, "_LONGEST_IN_PLAIN_PRODUCTS", 0)
    monkeypatch.setattr(padding_free, "_SHORT", 0)
    plain, free = MODELS[name]
    batch = batch_of([24, 1, 13, 7], 0, plain.config.pad_token_id)
    expected, actual = plain(**batch), free(**batch)
    torch.testing.assert_close(actual.logits, expected.logits, rtol=0, atol=1e-5)
    one = torch.autograd.grad(expected.loss, plain.get_input_embeddings().weight)[0]
    other = torch.autograd.grad(actual.loss, free.get_input_embeddings().weight)[0]
    torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (
            lambda: MPNetForSequenceClassification(MPNetConfig(**WITH_LIMIT)),
            "its attention has a position bias of its own",
        ),
        (
            lambda: DebertaV2ForSequenceClassification(DebertaV2Config(**WITH_LIMIT)),
            "its attention has a position bias of its own",
        ),
        (lambda: BertForTokenClassification(BertConfig(**WITH_LIMIT)), "it has not been tried with BertForToken"),
        (lambda: BertForSequenceClassification(BertConfig(**WITH_LIMIT, is_decoder=True)), "it is a decoder"),
    ],
)
def test_other_models_are_left_alone_with_a_reason(model, reason):
    model = model()
    before = model.config._attn_implementation
    assert enable_padding_free(model).startswith(reason)
    assert not is_padding_free(model)
    assert model.config._attn_implementation == before


def test_a_model_with_other_logits_is_left_alone(monkeypatch):
    monkeypatch.setattr(padding_free, "bucketed_attention", lambda query, *rest: query * 0)
    torch.manual_seed(0)
    model = ARCHITECTURES["bert"]()
    batch = batch_of([4, 9], 0, 0)
    model.train(False)
    before = model(**batch).logits
    assert "away from those with padding" in enable_padding_free(model)
    assert not is_padding_free(model)
    assert torch.equal(model(**batch).logits, before)


def test_enabling_changes_neither_mode_nor_weights_nor_what_is_saved(tmp_path):
    model = ARCHITECTURES["bert"]()
    model.train()
    model.save_pretrained(tmp_path / "plain")
    state = torch.get_rng_state()
    assert enable_padding_free(model) is None
    assert enable_padding_free(model) is None
    assert torch.equal(torch.get_rng_state(), state)
    assert all(module.training for module in model.modules())
    model.save_pretrained(tmp_path / "free")
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "plain" / name).read_bytes() == (tmp_path / "free" / name).read_bytes()


def test_gradient_checkpointing_gives_the_same_gradients():
    torch.manual_seed(0)
    model = ARCHITECTURES["bert"]()
    enable_padding_free(model)
    batch = batch_of([4, 9, 20], 0, 0)
    gradients = []
    for checkpointing in (False, True):
        if checkpointing:
            model.activation_checkpointing_enable({"use_reentrant": False})
        model.train()
        torch.manual_seed(1)
        gradients.append(torch.autograd.grad(model(**batch).loss, model.bert.encoder.layer[0].output.dense.weight)[0])
    torch.testing.assert_close(gradients[1], gradients[0])
    assert gradients[0].abs().max() > 0


def test_a_trial_that_failed_is_not_repeated(monkeypatch):
    model = BertForSequenceClassification(BertConfig(**WITH_LIMIT)).eval()
    trials, trial = [], padding_free._trial
    monkeypatch.setattr(padding_free, "TOLERANCE", -1.0)
    monkeypatch.setattr(padding_free, "_trial", lambda one: trials.append(one) or trial(one))
    first = enable_padding_free(model)
    assert first is not None
    assert "away from those with padding" in first
    assert enable_padding_free(model) == first
    assert len(trials) == 2
    assert not is_padding_free(model)
