"""How an encoder was trained to be read, from the files of sentence-transformers."""

import json
import shutil

import pytest
from huggingface_hub import HfApi

from hfbertcls.modeling.loading import ModelSource
from hfbertcls.modeling.stated_pooling import stated_pooling


MEAN = {"word_embedding_dimension": 8, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}
FIRST = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}


def write(directory, config, path="1_Pooling", kind="sentence_transformers.models.Pooling"):
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": path, "type": kind},
    ]
    (directory / path).mkdir(parents=True, exist_ok=True)
    (directory / "modules.json").write_text(json.dumps(modules))
    (directory / path / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    return directory


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        (MEAN, "mean"),
        (FIRST, "first"),
        ({"pooling_mode_mean_sqrt_len_tokens": True, "pooling_mode_mean_tokens": False}, "mean"),
        ({**MEAN, "include_prompt": True}, "mean"),
        ({**MEAN, "pooling_mode_cls_token": True}, None),
        ({**MEAN, "pooling_mode_mean_tokens": False, "pooling_mode_max_tokens": True}, None),
        ([], None),
        ("{", None),
        ("[" * 100_000, None),
    ],
)
def test_the_pooling_of_a_directory(tmp_path, config, pooling):
    assert stated_pooling(ModelSource(str(write(tmp_path, config)))) == pooling


def test_the_file_is_where_modules_json_says(tmp_path):
    assert stated_pooling(ModelSource(str(write(tmp_path, FIRST, "2_Mine", "mine.Pooling")))) == "first"
    assert (
        stated_pooling(ModelSource(str(write(tmp_path, MEAN, "3_Dense", "sentence_transformers.models.Dense"))))
        is None
    )


def test_nothing_outside_of_the_model_is_read(tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    write(model, MEAN, "../outside")
    assert (tmp_path / "outside" / "config.json").is_file()
    assert stated_pooling(ModelSource(str(model))) is None


@pytest.mark.parametrize(
    "text", ["{}", "[1]", "[", '[{"path": "1_Pooling"}]', '[{"type": "x.Pooling", "path": "none"}]']
)
def test_other_files_state_nothing(tmp_path, text):
    (tmp_path / "modules.json").write_text(text)
    assert stated_pooling(ModelSource(str(tmp_path))) is None


def test_a_directory_without_the_files_states_nothing(tmp_path):
    assert stated_pooling(ModelSource(str(tmp_path))) is None


def test_the_pooling_of_a_repository_and_of_its_revision(tmp_path, hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    api = HfApi(token="hf_alice")
    api.create_repo("alice/encoder")
    first = api.upload_folder(repo_id="alice/encoder", folder_path=write(tmp_path / "a", MEAN)).oid
    shutil.rmtree(tmp_path / "a")
    api.upload_folder(repo_id="alice/encoder", folder_path=write(tmp_path / "a", FIRST))
    assert stated_pooling(ModelSource("alice/encoder")) == "first"
    assert stated_pooling(ModelSource("alice/encoder", revision=first)) == "mean"
    api.create_repo("alice/plain")
    assert stated_pooling(ModelSource("alice/plain")) is None
    assert stated_pooling(ModelSource("alice/none")) is None


def test_without_a_network_nothing_is_stated(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert stated_pooling(ModelSource("alice/never-seen")) is None
