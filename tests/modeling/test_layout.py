"""A training step on a device for which the host never waits, and where the texts of a batch lie."""

import itertools

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from hfbertcls.modeling.layout import LENGTHS, TextLayout, WithLengths, layout_of, layout_of_batch
from hfbertcls.modeling.padding_free import enable_padding_free, is_padding_free, padded_attention


KINDS = ("bert", "roberta", "distilbert", "electra", "modernbert")


def classifier(kind):
    sizes = {
        "vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48,
        "max_position_embeddings": 40, "dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48, "embedding_size": 32,
        "pad_token_id": 0, "cls_token_id": 1, "sep_token_id": 2, "bos_token_id": 1, "eos_token_id": 2, "num_labels": 3,
    }  # fmt: skip
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **sizes)
    if kind == "modernbert":
        config.classifier_pooling = "mean"
    return AutoModelForSequenceClassification.from_config(config)


def batch(device="cpu"):
    lengths = (7, 3, 12, 5)
    mask = torch.zeros((4, 12), dtype=torch.long)
    for row, length in enumerate(lengths):
        mask[row, :length] = 1
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(5, 60, mask.shape, generator=generator) * mask
    tensors = {"input_ids": ids, "attention_mask": mask, "labels": torch.tensor([0, 1, 2, 1])}
    return {**{name: value.to(device) for name, value in tensors.items()}, LENGTHS: lengths}


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_never_waits_for_the_device(kind):
    """On `meta` there are no numbers, so whatever asks for one fails: `.item()`, `.tolist()`, `nonzero`, a mask as index."""
    model = classifier(kind)
    assert enable_padding_free(model) is None
    model.to("meta").train()
    inputs = batch("meta")
    model(**inputs).loss.backward()
    assert all(one.grad is not None for one in model.parameters() if one.requires_grad)
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):  # (the test can fail)
        model(**{name: value for name, value in inputs.items() if name != LENGTHS})


@pytest.mark.parametrize("kind", KINDS)
def test_told_lengths_change_no_logit(kind):
    model = classifier(kind).eval()
    told = batch()
    plain = {name: value for name, value in told.items() if name != LENGTHS}
    with torch.no_grad():
        padded = model(**plain).logits
        assert enable_padding_free(model) is None
        assert torch.equal(model(**told).logits, model(**plain).logits)
        assert torch.allclose(model(**told).logits, padded, atol=1e-5)


def test_padding_on_the_left_or_in_between_is_computed_as_it_is():
    model = classifier("bert").eval()
    inputs = batch()
    del inputs[LENGTHS]
    for mask in ([[0, 0, 1, 1]], [[1, 0, 1, 1]]):
        part = {"input_ids": inputs["input_ids"][:1, :4], "attention_mask": torch.tensor(mask)}
        assert layout_of_batch(part["attention_mask"], None) is None
        with torch.no_grad():
            before = model(**part).logits
            enable_padding_free(model)
            assert is_padding_free(model)
            assert torch.allclose(model(**part).logits, before, atol=1e-5)
            model = classifier("bert").eval()


def test_a_layout_is_found_again_by_its_boundaries():
    layout = TextLayout((2, 3, 1))
    boundaries = layout.boundaries(torch.device("cpu"))
    assert boundaries.tolist() == [0, 2, 5, 6]
    assert layout_of(boundaries) is layout
    assert layout_of(torch.tensor([0, 2, 5, 6])) == layout
    assert layout.places(3, torch.device("cpu")).tolist() == [0, 1, 3, 4, 5, 6]


def test_a_collator_tells_the_lengths_it_knows():
    rows = [{"mask": [1, 1, 0]}, {"mask": [1, 1, 1]}]
    collate = WithLengths(lambda batch: {"attention_mask": torch.tensor([row["mask"] for row in batch])})
    assert collate(rows)[LENGTHS] == (2, 3)
    assert LENGTHS not in collate([{"mask": [0, 1, 1]}])
    assert WithLengths(lambda batch: {"x": 1})(rows) == {"x": 1}


@pytest.mark.parametrize("window", [None, 2])
def test_places_behind_a_text_repeat_its_last_token_and_are_not_seen(window):
    layout, device = TextLayout((2, 4)), torch.device("cpu")
    assert layout.sources(device).tolist() == [0, 1, 1, 1, 2, 3, 4, 5]
    seen = layout.seen(window, device)
    assert not seen[0, ..., 0, 2:].any()
    if window is None:
        assert seen[:, 0, 0].tolist() == [[True, True, False, False], [True] * 4]
    else:
        assert seen[1, 0, 0].tolist() == [True, True, True, False]
        assert seen.any(-1).all()
    assert layout.seen(window, device) is seen


@pytest.mark.parametrize(("dropout", "behind"), [(0.0, 0), (0.0, 3), (0.3, 0)])
def test_attention_on_padded_rows_is_that_of_each_text(dropout, behind):
    layout = TextLayout((3, 7, 1, 5))
    generator = torch.Generator().manual_seed(0)
    shape = (layout.tokens + behind, 2, 4)
    states = [torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    output = padded_attention(states, layout.boundaries(torch.device("cpu")), dropout, 0.5, None)
    assert output.shape == shape
    if behind:
        assert not output[layout.tokens :].any()
    if not dropout:
        ends = layout.boundaries(torch.device("cpu")).tolist()
        for start, end in itertools.pairwise(ends):
            query, key, value = (one[start:end].transpose(0, 1) for one in states)
            expected = ((query @ key.transpose(1, 2) * 0.5).softmax(-1) @ value).transpose(0, 1)
            assert torch.allclose(output[start:end], expected)
    output.square().sum().backward()
    assert all(bool(one.grad[: layout.tokens].any()) and one.grad.isfinite().all() for one in states)
