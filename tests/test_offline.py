"""A machine that cannot reach the Hub: it is said, with what to do."""

import pytest

from hfbertcls import DatasetError, ModelError, load_text_dataset
from hfbertcls.modeling.loading import ModelSource, load_config, load_for_inference, load_tokenizer
from hfbertcls.offline import unreachable_hub


NOBODY = "http://127.0.0.1:9"  # (the port "discard", on which nobody listens)


@pytest.fixture
def dead_hub(monkeypatch):
    from huggingface_hub import constants
    from transformers.utils import hub

    monkeypatch.setattr(hub, "_hf_api", None)  # (made at its first use: one that is made here must not stay)
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template.replace(constants.ENDPOINT, NOBODY))
    monkeypatch.setattr(constants, "ENDPOINT", NOBODY)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)
    monkeypatch.setenv("HF_ENDPOINT", NOBODY)


@pytest.mark.parametrize("load", [load_config, load_tokenizer, load_for_inference])
def test_a_model_that_cannot_be_fetched(dead_hub, load):
    expected = rf"^there is no directory 'nothing'; the model 'me/nothing' is not in the cache .* the Hub \({NOBODY}\) cannot be reached: .*offline\. Check"
    with pytest.raises(ModelError, match=expected):
        load(ModelSource("me/nothing"))


def test_a_data_set_that_cannot_be_fetched(dead_hub):
    with pytest.raises(
        DatasetError, match=r"^the data set 'me/nothing' .*offline\..* not a file or folder here either"
    ):
        load_text_dataset("me/nothing")


def test_a_switch_that_forbids_asking_is_named(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    told = unreachable_hub(ConnectionError("x"), "the model 'me/x'")
    assert (
        told
        == "the model 'me/x' is not in the cache of this machine, and HF_HUB_OFFLINE is set. Unset it, or name a local copy"
    )


def test_other_errors_are_not_taken_for_the_network():
    assert unreachable_hub(ValueError("x"), "the model 'me/x'") is None
