"""A temperature in the last layer, whatever the head is called."""

import json

import numpy as np
import pytest
import torch
import transformers

from hfbertcls import ModelError
from hfbertcls.modeling.heads import (
    fold_temperature,
    output_layer,
    temperature_of,
    undo_calibration,
    write_config_values,
)
from hfbertcls.modeling.loading import ModelSource, load_for_inference, load_for_training
from hfbertcls.tasks.known import task_of_config
from hfbertcls.tasks.multi_label import MultiLabel
from hfbertcls.tasks.single_label import SingleLabel


SMALL = {
    "vocab_size": 60, "num_attention_heads": 2, "hidden_size": 16, "num_hidden_layers": 1, "intermediate_size": 32,
    "max_position_embeddings": 40, "pad_token_id": 0, "num_labels": 16,
}  # fmt: skip
HEADS = {
    "Bert": ("classifier", {}),
    "Roberta": ("classifier.out_proj", {}),
    "XLMRoberta": ("classifier.out_proj", {}),
    "DistilBert": ("classifier", {"dim": 16, "n_heads": 2, "n_layers": 1, "hidden_dim": 32}),
    "MPNet": ("classifier.out_proj", {}),
    "Electra": ("classifier.out_proj", {"embedding_size": 16}),
    "Deberta": ("classifier", {"pooler_hidden_size": 16}),
    "DebertaV2": ("classifier", {"relative_attention": True, "pooler_hidden_size": 16}),
    "ModernBert": ("classifier", {}),
    "Albert": ("classifier", {"embedding_size": 16}),
}


def classifier(name):
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**{**SMALL, **HEADS[name][1]})
    return getattr(transformers, f"{name}ForSequenceClassification")(config).eval()


def logits_of(model):
    with torch.no_grad():
        return model(input_ids=torch.arange(1, 25).reshape(4, 6)).logits


@pytest.mark.parametrize("name", HEADS)
def test_folding_divides_the_logits_in_the_last_layer(name):
    """As many labels as hidden units: the layer before the last has the same number of outputs."""
    model = classifier(name)
    assert output_layer(model) is model.get_submodule(HEADS[name][0])
    before, weight = logits_of(model), output_layer(model).weight.detach().clone()
    fold_temperature(model, 1.7)
    after = logits_of(model)
    assert not torch.allclose(after, before)
    torch.testing.assert_close(after, before / 1.7, rtol=1e-5, atol=1e-7)
    assert torch.equal(after.argmax(-1), before.argmax(-1))
    undo_calibration(model)
    torch.testing.assert_close(output_layer(model).weight, weight, rtol=2e-7, atol=0)
    torch.testing.assert_close(logits_of(model), before, rtol=1e-5, atol=1e-7)
    assert "hfbertcls_temperature" not in model.config.to_dict()


def test_a_saved_model_states_its_temperature_and_can_be_undone(tmp_path):
    model = classifier("Bert")
    before = logits_of(model)
    fold_temperature(model, 0.6)
    model.save_pretrained(tmp_path)
    loaded = load_for_inference(ModelSource(str(tmp_path)))
    assert loaded.config.hfbertcls_temperature == 0.6
    undo_calibration(loaded)
    torch.testing.assert_close(logits_of(loaded), before, rtol=1e-5, atol=1e-7)
    undo_calibration(loaded)
    torch.testing.assert_close(logits_of(loaded), before, rtol=1e-5, atol=1e-7)


def test_training_from_a_calibrated_model_removes_its_temperature(tmp_path):
    model = classifier("Bert")
    fold_temperature(model, 0.6)
    model.save_pretrained(tmp_path)
    names = tuple(f"label {number:02}" for number in range(16))
    loaded = load_for_training(ModelSource(str(tmp_path)), SingleLabel(names), seed=1).model
    assert "hfbertcls_temperature" not in loaded.config.to_dict()


def test_a_second_temperature_is_rejected():
    model = classifier("Bert")
    fold_temperature(model, 2.0)
    with pytest.raises(ModelError, match=r"already contain a temperature\. Call undo_calibration first"):
        fold_temperature(model, 3.0)


def test_a_model_without_a_linear_layer_at_its_end_is_rejected():
    model = classifier("Bert")
    model.classifier = torch.nn.Identity()
    with pytest.raises(
        ModelError, match="BertForSequenceClassification has no linear layer with 16 outputs at its end"
    ):
        fold_temperature(model, 3.0)


@pytest.mark.parametrize("name", HEADS)
def test_each_label_can_have_a_temperature_of_its_own(name):
    model = classifier(name)
    temperatures = torch.linspace(0.5, 3.0, 16).tolist()
    before = logits_of(model)
    fold_temperature(model, temperatures)
    torch.testing.assert_close(logits_of(model), before / torch.tensor(temperatures), rtol=1e-5, atol=1e-7)
    assert temperature_of(model.config) == temperatures
    undo_calibration(model)
    torch.testing.assert_close(logits_of(model), before, rtol=1e-5, atol=1e-7)
    assert temperature_of(model.config) is None


def multi_label(thresholds=None):
    model = classifier("Bert")
    model.config.problem_type = MultiLabel.problem_type
    if thresholds is not None:
        model.config.hfbertcls_thresholds = thresholds
    return model


def test_undoing_a_temperature_keeps_the_predicted_labels():
    model = multi_label(torch.linspace(0.3, 0.7, 16).tolist())
    fold_temperature(model, torch.linspace(0.2, 5.0, 16).tolist())
    task = task_of_config(model.config)
    before = task.decide(logits_of(model).numpy())
    undo_calibration(model)
    assert task_of_config(model.config).thresholds != task.thresholds
    assert (task_of_config(model.config).decide(logits_of(model).numpy()) == before).all()
    assert 0 < before.mean() < 1


def test_thresholds_default_to_one_half_and_a_single_label_task_has_none():
    labels = tuple(f"LABEL_{number}" for number in range(16))
    assert task_of_config(multi_label().config) == MultiLabel(labels, (0.5,) * 16)
    assert task_of_config(classifier("Bert").config) == SingleLabel(labels)
    assert SingleLabel(labels).config_values == {}


@pytest.mark.parametrize("thresholds", [0.5, [0.5] * 15, [0.5] * 15 + [1.5], [0.5] * 15 + ["a"], {"a": 0.5}])
def test_thresholds_that_are_none_are_rejected(thresholds):
    with pytest.raises(ModelError, match=r"hfbertcls_thresholds in config.json is .*a list of 16 numbers from 0 to 1"):
        task_of_config(multi_label(thresholds).config)


def test_thresholds_are_written_beside_saved_weights_and_nothing_else_changes(tmp_path):
    model = multi_label()
    model.save_pretrained(tmp_path)
    before = json.loads((tmp_path / "config.json").read_text())
    write_config_values(tmp_path, MultiLabel((), (0.25,) * 16).config_values)
    after = json.loads((tmp_path / "config.json").read_text())
    assert after.pop("hfbertcls_thresholds") == [0.25] * 16
    assert after == before
    loaded = transformers.AutoConfig.from_pretrained(tmp_path)
    assert task_of_config(loaded).thresholds == (0.25,) * 16


def test_a_new_multi_label_head_is_initialized_with_the_priors_and_a_kept_one_stays(tiny_model_dir, tmp_path):
    task, priors = MultiLabel(("a", "b", "c")), [0.5, 0.1, 0.01]
    source = ModelSource(str(tiny_model_dir))
    model = load_for_training(source, task, seed=0, priors=priors).model
    assert torch.sigmoid(output_layer(model).bias).tolist() == pytest.approx(priors, rel=1e-5)
    assert output_layer(load_for_training(source, task, seed=0).model).bias.tolist() == [0, 0, 0]
    model.save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((tiny_model_dir / name).read_bytes())
    kept = load_for_training(ModelSource(str(tmp_path)), task, seed=0, priors=[0.3, 0.3, 0.3]).model
    assert torch.sigmoid(output_layer(kept).bias).tolist() == pytest.approx(priors, rel=1e-5)
    one_label = SingleLabel(("a", "b", "c"))
    priors = one_label.initial_probabilities(np.array([50, 10, 1]), 100)
    assert output_layer(load_for_training(source, one_label, seed=0, priors=priors).model).bias.tolist() == [0, 0, 0]
