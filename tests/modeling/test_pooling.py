"""One more layer whose first token is the mean of the text's tokens, inside an ordinary classifier."""

import copy

import pytest
import torch
import transformers
from torch.nn.functional import layer_norm
from transformers import AutoConfig, AutoModelForSequenceClassification, pipeline

from hfbertcls.errors import ModelError
from hfbertcls.modeling import pooling
from hfbertcls.modeling.flops import training_flops
from hfbertcls.modeling.heads import output_layer
from hfbertcls.modeling.layer_parts import PARTS, layers_of
from hfbertcls.modeling.padding_free import enable_padding_free, is_padding_free
from hfbertcls.modeling.pooling import POOLING, append_mean_pooling, own_layers, pooling_of


SIZES = {
    "vocab_size": 400, "hidden_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 512,
    "max_position_embeddings": 40, "num_labels": 3,
}  # fmt: skip
DISTIL = {
    "vocab_size": 400, "dim": 256, "n_layers": 2, "n_heads": 4, "hidden_dim": 512, "max_position_embeddings": 40,
    "num_labels": 3,
}  # fmt: skip
RELATIVE = {
    "relative_attention": True, "position_buckets": 16, "pos_att_type": ["c2p", "p2c"], "norm_rel_ebd": "layer_norm",
    "position_biased_input": False, "conv_kernel_size": 3, "pooler_hidden_size": 256,
}  # fmt: skip
SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
MODERN = {**SIZES, **SPECIAL, "local_attention": 8, "global_attn_every_n_layers": 2}
KINDS = {
    "bert": ("Bert", SIZES),
    "roberta": ("Roberta", {**SIZES, "pad_token_id": 1}),
    "camembert": ("Camembert", {**SIZES, "pad_token_id": 1}),
    "xlm-roberta": ("XLMRoberta", {**SIZES, "pad_token_id": 1}),
    "electra": ("Electra", {**SIZES, "embedding_size": 32}),
    "distilbert": ("DistilBert", DISTIL),
    "deberta-v2": ("DebertaV2", {**SIZES, **RELATIVE}),
    "deberta-v2, shared keys": ("DebertaV2", {**SIZES, **RELATIVE, "share_att_key": True}),
    "mpnet": ("MPNet", SIZES),
}
FREE = ("bert", "roberta", "camembert", "xlm-roberta", "electra", "distilbert")
HEADS = {"tanh": (0.02, 0.0), "gelu": (0.01, 0.0), "relu": (1.0, 4.0)}
"""What the last linear layer receives: LayerNorm(mean) times the first, plus the second."""


def random_model(name: str, configuration: dict, base: str = "ForSequenceClassification"):
    torch.manual_seed(0)
    model = getattr(transformers, f"{name}{base}")(getattr(transformers, f"{name}Config")(**configuration))
    for label, parameter in model.named_parameters():  # away from the tiny initial weights
        if "norm" not in label.lower() and "relative_attention_bias" not in label:
            torch.nn.init.normal_(parameter, std=0.08)
    return model.eval()


def pooled(kind: str):
    model = random_model(*KINDS[kind])
    assert append_mean_pooling(model) is None
    return model


def trained(model):
    """Away from the start, where keys and the second feed-forward matrix are zero."""
    for parameter in layers_of(model)[-1].parameters():
        parameter.data += torch.randn_like(parameter) * 0.05
    return model


def batch_for(model, texts=8, longest=30, seed=0):
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(2, longest + 1, (texts,), generator=generator)
    mask = (torch.arange(int(lengths.max())) < lengths[:, None]).long()
    ids = torch.randint(5, 400, mask.shape, generator=generator)
    ids = torch.where(mask.bool(), ids, model.config.pad_token_id)
    return {"input_ids": ids, "attention_mask": mask}


def read_by_head(model, batch):
    """LayerNorm(mean of the tokens) of the encoder's own last layer, the first token, what the last layer receives."""
    seen: dict[str, torch.Tensor] = {}
    layer = layers_of(model)[-1]
    handles = [
        layer.register_forward_pre_hook(lambda _, inputs: seen.update(tokens=inputs[0])),
        output_layer(model).register_forward_pre_hook(lambda _, inputs: seen.update(head=inputs[0])),
    ]
    with torch.no_grad():
        model(**batch)
        first = model.base_model(**batch)[0][:, 0]
    for handle in handles:
        handle.remove()
    weights = batch["attention_mask"][..., None].float()
    mean = (seen["tokens"] * weights).sum(dim=1) / weights.sum(dim=1)
    weight = layer.get_submodule(PARTS[model.config.model_type].last_norm).weight.detach()
    return layer_norm(mean, mean.shape[-1:]), first / weight, seen["head"]


def fitted(model, batch):
    """The model with a last linear layer whose logits have the size of a trained one's: a standard deviation of 1."""
    *_, received = read_by_head(model, batch)
    layer = output_layer(model)
    with torch.no_grad():
        torch.nn.init.normal_(layer.weight)
        logits = (received - received.mean(dim=0)) @ layer.weight.T
        layer.weight /= logits.std()
        layer.bias.copy_(-received.mean(dim=0) @ layer.weight.T)
    return model


@pytest.mark.parametrize(
    ("kind", "of_first", "of_head"),
    [
        ("bert", 0.002, 0.002),
        ("roberta", 0.002, 0.002),
        ("camembert", 0.002, 0.002),
        ("xlm-roberta", 0.002, 0.002),
        ("electra", 0.002, 0.04),
        ("distilbert", 0.004, 0.004),
        ("deberta-v2", 0.005, 0.04),
        ("deberta-v2, shared keys", 0.005, 0.04),
        ("mpnet", 0.006, 0.006),
    ],
)
def test_the_last_layer_receives_layernorm_of_the_mean(kind, of_first, of_head):
    model = pooled(kind)
    wanted, first, received = read_by_head(model, batch_for(model))
    factor, shift = HEADS[pooling._activation(model.config)]
    assert (first - wanted).square().mean().sqrt() < of_first
    assert ((received - shift) / factor - wanted).square().mean().sqrt() < of_head
    assert wanted.std() > 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_the_configuration_counts_it_and_it_is_appended_once(kind):
    model = random_model(*KINDS[kind])
    model.requires_grad_(False)
    assert (pooling_of(model.config), own_layers(model.config)) == ("first", 2)
    assert append_mean_pooling(model) is None
    assert (pooling_of(model.config), own_layers(model.config)) == ("mean", 2)
    assert model.config.num_hidden_layers == len(layers_of(model)) == 3
    assert all(parameter.requires_grad for parameter in layers_of(model)[-1].parameters())
    state = copy.deepcopy(model.state_dict())
    assert append_mean_pooling(model) is None
    assert len(layers_of(model)) == 3
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("kind", KINDS)
def test_plain_transformers_loads_it(kind, tmp_path):
    model = trained(pooled(kind))
    model.save_pretrained(tmp_path)
    loaded, info = AutoModelForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    batch = batch_for(model)
    with torch.no_grad():
        torch.testing.assert_close(loaded.eval()(**batch).logits, model(**batch).logits, rtol=0, atol=0)
    assert pooling_of(AutoConfig.from_pretrained(tmp_path)) == "mean"
    assert append_mean_pooling(loaded) is None
    assert loaded.config.num_hidden_layers == 3


def test_a_plain_pipeline_answers_the_same(tmp_path, tiny_model_dir, tiny_tokenizer, vocabulary):
    model = AutoModelForSequenceClassification.from_pretrained(tiny_model_dir, num_labels=3).eval()
    assert append_mean_pooling(model) is None
    trained(model).save_pretrained(tmp_path)
    tiny_tokenizer.save_pretrained(tmp_path)
    texts = [" ".join(vocabulary[:9]), vocabulary[3]]
    with torch.no_grad():
        logits = model(**tiny_tokenizer(texts, padding=True, return_tensors="pt")).logits
    answers = pipeline("text-classification", str(tmp_path), top_k=None, device="cpu")(texts)
    for answer, row in zip(answers, logits.softmax(dim=1), strict=True):
        by_label = {one["label"]: one["score"] for one in answer}
        assert [by_label[f"LABEL_{index}"] for index in range(3)] == pytest.approx(row.tolist(), abs=1e-5)


def test_a_model_on_which_the_trial_does_not_hold_is_restored():
    for kind in ("distilbert", "mpnet"):
        model = random_model(*KINDS[kind])
        if kind == "mpnet":  # (a strong position bias: the first token reads some places more than others)
            torch.nn.init.normal_(model.mpnet.encoder.relative_attention_bias.weight, std=2.0)
        with pytest.MonkeyPatch.context() as patch:
            if kind != "mpnet":
                patch.setattr(pooling, "TOLERANCE", 0.0)
            state, config = copy.deepcopy(model.state_dict()), model.config.to_dict()
            reason = append_mean_pooling(model)
        assert reason is not None
        assert reason.startswith("on trial texts the appended layer is 0.")
        assert model.config.to_dict() == config
        assert model.state_dict().keys() == state.keys()
        assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert pooling_of(model.config) == "first"


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (("Albert", {**SIZES, "embedding_size": 16}), "its layers share their weights"),
        (("Deberta", {**SIZES, "pooler_hidden_size": 256}), "its attention adds position terms"),
        (("Bert", SIZES, "ForTokenClassification"), "it has not been tried with BertForTokenClassification"),
        (("Bert", {**SIZES, "is_decoder": True}), "it is a decoder"),
        (("DebertaV2", {**SIZES, **RELATIVE, "pooler_hidden_act": "silu"}), "its head has the activation silu"),
        (("DebertaV2", {**SIZES, **RELATIVE, "attention_head_size": 32}), "its attention or its head is not as wide"),
    ],
)
def test_other_models_are_left_alone_with_a_reason(model, reason):
    model = random_model(*model)
    before = model.config.to_dict()
    assert str(append_mean_pooling(model)).startswith(reason)
    assert model.config.to_dict() == before


def test_an_invalid_value_in_the_configuration_is_refused():
    config = transformers.BertConfig(**SIZES, **{POOLING: "max"})
    with pytest.raises(ModelError, match="hfbertcls_pooling in config.json is 'max'. Expected 'mean', or no such key"):
        pooling_of(config)
    with pytest.raises(ModelError, match="Expected 'mean'"):
        own_layers(config)


@pytest.mark.parametrize("kind", [*FREE, "modernbert"])
def test_without_padding_logits_and_gradients_are_the_same(kind):
    if kind == "modernbert":
        model = random_model("ModernBert", MODERN)
        assert append_mean_pooling(model) is None
        assert (model.config.classifier_pooling, own_layers(model.config)) == ("mean", 2)
    else:
        model = trained(pooled(kind))
    free = copy.deepcopy(model)
    assert enable_padding_free(free) is None
    free = copy.deepcopy(free)  # (a copy computes with its own weights)
    for one in (model, free):
        one.zero_grad()
    for seed in range(3):
        batch = {**batch_for(model, seed=seed), "labels": torch.arange(8) % 3}
        expected, actual = model(**batch), free(**batch)
        torch.testing.assert_close(actual.logits, expected.logits, rtol=0, atol=1e-5)
        expected.loss.backward()
        actual.loss.backward()
    for (name, one), other in zip(model.named_parameters(), free.parameters(), strict=True):
        if one.grad is None:
            assert other.grad is None, name
        else:
            torch.testing.assert_close(other.grad, one.grad, rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_no_row_is_computed_that_nobody_reads(kind):
    model = pooled(kind)
    assert enable_padding_free(model) is None
    rows = set()
    for module in layers_of(model)[-1].modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(lambda _, inputs: rows.add(inputs[0].numel() // inputs[0].shape[-1]))
    with torch.no_grad():
        model(**batch_for(model))
    assert rows == {8}


def test_a_layer_with_an_adapter_is_computed_with_it():
    model = trained(pooled("bert"))
    free = copy.deepcopy(model)
    assert enable_padding_free(free) is None
    for one in (model, free):
        attention = layers_of(one)[-1].attention.self
        attention.value = torch.nn.Sequential(attention.value, torch.nn.Tanh())
    with torch.no_grad():
        batch = batch_for(model)
        torch.testing.assert_close(free(**batch).logits, model(**batch).logits, rtol=0, atol=1e-5)


def test_a_failed_padding_free_trial_leaves_the_layer_as_it_was(monkeypatch):
    model = pooled("bert")
    monkeypatch.setattr("hfbertcls.modeling.padding_free.TOLERANCE", -1.0)
    assert "away from those with padding" in str(enable_padding_free(model))
    assert not is_padding_free(model)
    assert "forward" not in vars(layers_of(model)[-1])


def moved_by_a_step(start, batch, labels, rate, modules):
    """How far one AdamW step on these modules moves the logits, as a root mean square."""
    model = copy.deepcopy(start)
    parameters = [one for name in modules for one in model.get_submodule(name).parameters()]
    model(**batch, labels=labels).loss.backward()
    torch.optim.AdamW(parameters, lr=rate).step()
    with torch.no_grad():
        return float((model(**batch).logits - start(**batch).logits).square().mean().sqrt())


def places_of(model) -> tuple[str, str]:
    """The names of the appended layer and of the encoder's own last one."""
    layers = f"{model.base_model_prefix}.{PARTS[model.config.model_type].layers}"
    return f"{layers}.{own_layers(model.config)}", f"{layers}.{own_layers(model.config) - 1}"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rate", [2e-5, 8e-5])
def test_a_step_moves_the_logits_no_more_than_one_on_an_encoder_layer(kind, rate):
    model = pooled(kind)
    batch = batch_for(model, texts=64)
    fitted(model, batch)
    appended, own = places_of(model)
    labels = torch.arange(64) % 3
    by_appended = moved_by_a_step(model, batch, labels, rate, [appended])
    assert 0 < by_appended < moved_by_a_step(model, batch, labels, rate, [own])


@pytest.mark.parametrize("kind", KINDS)
def test_every_weight_of_the_layer_learns_from_the_second_step_on(kind):
    model = pooled(kind)
    batch = {**batch_for(model), "labels": torch.arange(8) % 3}
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5)
    for _ in range(3):
        optimizer.zero_grad()
        model(**batch).loss.backward()
        optimizer.step()
    parts = PARTS[model.config.model_type]
    names = [parts.query, parts.key, parts.value, parts.output, parts.up, parts.down]
    if kind == "deberta-v2":
        names.append(parts.positions)
    for name in names:
        assert layers_of(model)[-1].get_submodule(name).weight.grad.abs().max() > 0, name


@pytest.mark.parametrize("kind", ["bert", "roberta", "electra", "distilbert", "deberta-v2", "mpnet"])
@pytest.mark.parametrize(
    ("dtype", "error", "labels"),
    # In bf16, the same models read by their first token change up to 1.1 % of these labels, too.
    [(torch.float16, 0.005, 0.005), (torch.bfloat16, 0.03, 0.015)],
)
def test_in_half_precision_logits_are_finite_and_labels_stay(kind, dtype, error, labels):
    model = pooled(kind)
    batch = batch_for(model, texts=600)
    fitted(model, batch)
    with torch.no_grad():
        expected = model(**batch).logits
        with torch.autocast("cpu", dtype):
            actual = model(**batch).logits.float()
    assert actual.isfinite().all()
    if kind == "distilbert" and dtype is torch.bfloat16:
        error = 0.06  # (bf16 rounds the shift of 4 along with the values: about twice the error of the first token)
    assert (actual - expected).square().mean().sqrt() < error  # (of logits with a standard deviation of 1)
    assert (actual.argmax(dim=1) != expected.argmax(dim=1)).float().mean() <= labels


def test_the_layer_is_no_arithmetic_that_training_needs():
    model = random_model(*KINDS["bert"])
    before = training_flops(model, 1_000, 40_000)
    append_mean_pooling(model)
    assert training_flops(model, 1_000, 40_000) == before


@pytest.mark.real
def test_real_weights_are_read_by_their_mean():
    from transformers import AutoTokenizer

    from hfbertcls.modeling.loading import ModelSource
    from hfbertcls.modeling.stated_pooling import stated_pooling
    from hfbertcls.workflows.quickstart import TEXTS, WEIGHTS, find_asset, load_reviews

    assert find_asset(*TEXTS)
    directory = str(find_asset(*WEIGHTS).parent)
    assert stated_pooling(ModelSource(directory)) == "mean"
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(directory, num_labels=3).eval()
    assert append_mean_pooling(model) is None
    assert (model.config.num_hidden_layers, own_layers(model.config)) == (7, 6)
    texts = load_reviews().splits["test"].table.column("text").to_pylist()[::20][:64]
    tokenizer = AutoTokenizer.from_pretrained(directory)
    batch = dict(tokenizer(texts, padding=True, truncation=True, max_length=64, return_tensors="pt"))
    wanted, first, received = read_by_head(model, batch)
    assert (first - wanted).square().mean().sqrt() < 0.01
    assert (received / 0.02 - wanted).square().mean().sqrt() < 0.02
    fitted(model, batch)
    free = copy.deepcopy(model)
    assert enable_padding_free(free) is None
    with torch.no_grad():
        logits = model(**batch).logits
        torch.testing.assert_close(free(**batch).logits, logits, rtol=0, atol=1e-4)
        for dtype in (torch.bfloat16, torch.float16):
            with torch.autocast("cpu", dtype):
                assert free(**batch).logits.isfinite().all()
    appended, own = places_of(model)
    labels = torch.arange(64) % 3
    for rate in (2e-5, 8e-5):
        by_head = moved_by_a_step(model, batch, labels, rate, [appended, "bert.pooler"])
        assert 0 < by_head < moved_by_a_step(model, batch, labels, rate, [own])
