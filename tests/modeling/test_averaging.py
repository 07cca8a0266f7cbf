"""Model averaging is the mean of each parameter; parameters without a mean are rejected."""

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from hfbertcls.errors import ModelError
from hfbertcls.modeling.averaging import average_models
from hfbertcls.modeling.heads import fold_temperature, temperature_of
from hfbertcls.modeling.loading import ModelSource


def classifier(seed, hidden_size=16, buffer=None):
    torch.manual_seed(seed)
    model = BertForSequenceClassification(
        BertConfig(
            vocab_size=20,
            hidden_size=hidden_size,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=8,
        )
    )
    if buffer is not None:
        model.register_buffer("counts", torch.tensor(buffer))
    return model


@pytest.fixture
def sources(monkeypatch):
    """Stand in for directories: models by their names."""

    def stand_in(*models):
        models_by_name = {str(index): model for index, model in enumerate(models)}
        monkeypatch.setattr(
            "hfbertcls.modeling.averaging.load_for_inference", lambda source: models_by_name[source.name]
        )
        return [ModelSource(name) for name in models_by_name]

    return stand_in


def test_each_parameter_is_the_mean_of_the_models_without_their_temperatures(tmp_path):
    states = []
    for seed, temperature in enumerate((2.0, None, 0.5)):  # (powers of two, which rounding leaves exact)
        model = classifier(seed)
        states.append({name: value.clone() for name, value in model.state_dict().items()})
        if temperature is not None:
            fold_temperature(model, temperature)
        model.save_pretrained(tmp_path / str(seed))
    averaged = average_models([ModelSource(str(tmp_path / str(seed))) for seed in range(3)])
    assert temperature_of(averaged.config) is None
    assert not averaged.training
    for name, value in averaged.state_dict().items():
        assert value.dtype == torch.float32
        expected = torch.stack([state[name].double() for state in states]).mean(dim=0).float()
        assert torch.equal(value, expected), name


def test_a_buffer_of_whole_numbers_stays_and_must_be_the_same(sources):
    assert average_models(sources(classifier(0, buffer=[3, 4]), classifier(1, buffer=[3, 4]))).counts.tolist() == [
        3,
        4,
    ]
    with pytest.raises(ModelError, match="'0' and '1' cannot be averaged: 'counts' holds whole numbers that differ"):
        average_models(sources(classifier(0, buffer=[3, 4]), classifier(1, buffer=[3, 5])))


def test_models_of_other_shapes_or_parts_are_rejected(sources):
    with pytest.raises(ModelError, match="cannot be averaged: .* is not in both, or has other shapes"):
        average_models(sources(classifier(0), classifier(1, hidden_size=8)))
    with pytest.raises(ModelError, match="cannot be averaged: 'counts' is not in both"):
        average_models(sources(classifier(0, buffer=1), classifier(1)))


def test_models_whose_labels_stand_in_another_order_are_rejected(sources):
    models = classifier(0), classifier(1)
    for model, names in zip(models, (("a", "b"), ("b", "a")), strict=True):
        model.config.id2label = dict(enumerate(names))
    with pytest.raises(ModelError, match=r"cannot be averaged: their labels are 'a', 'b' and 'b', 'a', in this order"):
        average_models(sources(*models))
