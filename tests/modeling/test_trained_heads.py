"""A base that is already a classifier: the rows of its head follow the label names."""

import pytest
import torch
import transformers

from hfbertcls import ModelError
from hfbertcls.modeling.heads import fold_temperature, output_layer
from hfbertcls.modeling.loading import ModelSource, load_for_training
from hfbertcls.tasks.multi_label import MultiLabel
from hfbertcls.tasks.single_label import SingleLabel


SMALL = {
    "vocab_size": 60, "num_attention_heads": 2, "hidden_size": 16, "num_hidden_layers": 1, "intermediate_size": 32,
    "max_position_embeddings": 40, "pad_token_id": 0, "id2label": {0: "joy", 1: "anger", 2: "fear"},
    "label2id": {"joy": 0, "anger": 1, "fear": 2},
}  # fmt: skip
HEADS = {
    "Bert": {},
    "Roberta": {},
    "XLMRoberta": {},
    "Camembert": {},
    "DistilBert": {"dim": 16, "n_heads": 2, "n_layers": 1, "hidden_dim": 32},
    "MPNet": {},
    "Electra": {"embedding_size": 16},
    "Deberta": {"pooler_hidden_size": 16},
    "DebertaV2": {"relative_attention": True, "pooler_hidden_size": 16},
    "ModernBert": {},
    "Albert": {"embedding_size": 16},
    "XLM": {"emb_dim": 16, "n_layers": 1, "n_heads": 2, "n_words": 60},
    "Longformer": {"attention_window": 4},
}


def save_classifier(directory, name="Bert", **changes):
    """A classifier for joy, anger and fear whose head is far from a new one; its logits."""
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**{**SMALL, **HEADS[name], **changes})
    model = getattr(transformers, f"{name}ForSequenceClassification")(config).eval()
    with torch.no_grad():
        for parameter in output_layer(model).parameters():
            parameter.copy_(torch.randn(parameter.shape))
    model.save_pretrained(directory)
    return logits_of(model)


def logits_of(model):
    with torch.no_grad():
        return model.eval()(input_ids=torch.arange(1, 25).reshape(4, 6)).logits


def load(directory, *labels, kind=SingleLabel, priors=None, seed=1):
    return load_for_training(ModelSource(str(directory)), kind(labels), seed, priors)


@pytest.mark.parametrize("name", HEADS)
def test_rows_and_biases_go_with_their_labels(name, tmp_path):
    base = save_classifier(tmp_path / "base", name)
    for labels, columns in {
        ("joy", "anger", "fear"): [0, 1, 2],
        ("fear", "joy", "anger"): [2, 0, 1],
        ("Anger", "FEAR", "Joy"): [1, 2, 0],
        ("anger", "joy"): [1, 0],
    }.items():
        torch.testing.assert_close(logits_of(load(tmp_path / "base", *labels).model), base[:, columns])
    more = load(tmp_path / "base", "anger", "disgust", "fear", "joy").model
    torch.testing.assert_close(logits_of(more)[:, [0, 2, 3]], base[:, [1, 2, 0]])
    # A label that it does not know scores the mean of the others: never most, so no text changes its label.
    torch.testing.assert_close(logits_of(more)[:, 1], base.mean(dim=1), rtol=1e-4, atol=1e-5)


def test_labels_in_common_are_none_and_the_head_is_a_new_one(tmp_path):
    save_classifier(tmp_path / "base")
    for labels in (("ham", "spam"), ("ham", "offer", "spam"), ("a", "b", "c", "d")):
        loaded = load(tmp_path / "base", *labels)
        assert output_layer(loaded.model).weight.abs().max() < 0.1
        assert output_layer(loaded.model).bias.abs().max() == 0
        assert loaded.notes[0].startswith("the trained head of base is replaced: it knows 'joy', 'anger', 'fear'")
        again = load(tmp_path / "base", *labels)
        assert torch.equal(output_layer(again.model).weight, output_layer(loaded.model).weight)
        other = load(tmp_path / "base", *labels, seed=2)
        assert not torch.equal(output_layer(other.model).weight, output_layer(loaded.model).weight)


def test_the_body_stays_and_so_does_the_name_of_the_base(tmp_path):
    save_classifier(tmp_path / "base", "Roberta")
    kept = load(tmp_path / "base", "joy", "anger", "fear").model
    for labels in (("fear", "joy", "anger"), ("ham", "spam"), ("fear", "new")):
        model = load(tmp_path / "base", *labels).model
        for key, value in model.state_dict().items():
            if not key.startswith("classifier.out_proj"):
                assert torch.equal(value, kept.state_dict()[key]), key
        assert model.config.name_or_path == model.name_or_path == str(tmp_path / "base")
        assert model.config.id2label == dict(enumerate(labels))
        assert model.config.label2id == {label: index for index, label in enumerate(labels)}


def test_a_head_without_names_serves_by_position_if_the_count_fits(tmp_path):
    base = save_classifier(tmp_path / "base", id2label=None, label2id=None, num_labels=3)
    loaded = load(tmp_path / "base", "a", "b", "c")
    torch.testing.assert_close(logits_of(loaded.model), base)
    assert "does not name its labels" in loaded.notes[0]
    two = load(tmp_path / "base", "a", "b")
    assert output_layer(two.model).bias.abs().max() == 0
    assert "has no label names, and rows for 3 instead of 2 labels" in two.notes[0]


def test_a_configuration_that_names_another_number_of_labels_than_the_weights_have_names_none(tmp_path):
    import json

    base = save_classifier(tmp_path / "base")
    path = tmp_path / "base" / "config.json"
    config = json.loads(path.read_text()) | {"id2label": {"0": "joy", "1": "fear"}, "label2id": {"joy": 0, "fear": 1}}
    path.write_text(json.dumps(config))
    torch.testing.assert_close(logits_of(load(tmp_path / "base", "a", "b", "c").model), base)
    assert output_layer(load(tmp_path / "base", "joy", "fear").model).bias.abs().max() == 0


def test_temperatures_go_with_their_labels_and_are_forgotten_with_the_thresholds(tmp_path):
    save_classifier(tmp_path / "base", problem_type=MultiLabel.problem_type)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "base")
    fold_temperature(model, [0.5, 2.0, 4.0])
    model.config.hfbertcls_thresholds = [0.1, 0.2, 0.3]
    model.save_pretrained(tmp_path / "calibrated")
    calibrated = logits_of(model)
    loaded = load(
        tmp_path / "calibrated", "anger", "calm", "fear", "joy", kind=MultiLabel, priors=[0.3, 0.01, 0.3, 0.3]
    )
    torch.testing.assert_close(logits_of(loaded.model)[:, [0, 2, 3]], calibrated[:, [1, 2, 0]])
    assert torch.sigmoid(output_layer(loaded.model).bias[1]).item() == pytest.approx(0.01, rel=1e-5)
    assert loaded.model.config.problem_type == MultiLabel.problem_type
    assert not {"hfbertcls_temperature", "hfbertcls_thresholds"} & set(loaded.model.config.to_dict())


def test_a_head_whose_rows_cannot_be_matched_is_rejected_for_other_labels(tmp_path, monkeypatch):
    save_classifier(tmp_path / "base")
    monkeypatch.setattr("hfbertcls.modeling.loading.output_layer_name", lambda model: None)
    assert load(tmp_path / "base", "joy", "anger", "fear").notes
    with pytest.raises(
        ModelError, match=r"'base' is a classifier for 'joy', 'anger', 'fear', and its head has no linear"
    ):
        load(tmp_path / "base", "fear", "anger", "joy")
