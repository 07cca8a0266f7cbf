"""FSDP2 in two processes of a CPU: whole weights are saved, and training comes to what one process comes to."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate import FullyShardedDataParallelPlugin
from several_processes import outcome, trainer_of
from sharded import CASES
from transformers import AutoConfig, AutoModelForSequenceClassification

from hfbertcls import ConfigurationError
from hfbertcls.cli import main
from hfbertcls.hub.verify import verify_repository
from hfbertcls.training.trainer.sharding import layer_names, require_whole_weights


HERE = Path(__file__).parent


def launched(folder, *words):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {"PYTHONPATH": str(HERE), "OMP_NUM_THREADS": "1", "HF_TOKEN": "hf_alice", "HF_HUB_OFFLINE": "0"}
    done = subprocess.run(
        [*command, str(HERE / "sharded.py"), str(folder), *words],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done, json.loads((folder / "found.json").read_text())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return launched(tmp_path_factory.mktemp("sharded"))


@pytest.mark.parametrize("case", CASES)
def test_losses_and_weights_are_those_of_one_process(run, case, tmp_path):
    several, one = run[1][case], outcome(trainer_of(case, tmp_path, of=2))
    assert 0.4 < several["own_fraction"] < 0.6  # (really divided)
    assert len(several["log"]) == len(one["log"])
    for ours, theirs in zip(several["log"], one["log"], strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)
    for name, values in one["weights"].items():
        assert torch.allclose(torch.tensor(several["weights"][name]), torch.tensor(values), atol=1e-5), name
    assert (several["rows"], several["tokens"]) == (one["rows"], one["tokens"])
    assert several["saved_are_those"]


def test_a_checkpoint_is_whole_and_a_resumed_run_ends_with_the_same_bits(run):
    found = run[1]["resumed"]
    assert found["complete"] == [True, True]
    assert (found["optimizer.bin"], found["pytorch_model_fsdp.bin"]) == (False, False)
    whole, resumed = found["log"]
    assert resumed == whole
    assert found["same_bits"]


def test_evaluation_is_in_fp32_while_training_is_in_bf16(run):
    found = run[1]["bf16"]
    assert found["off_from_fp32"] < 1e-6 < 1e-5 < found["bf16_off_from_fp32"]
    assert found["weights_are_fp32"]


def test_a_push_is_complete(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    found = launched(tmp_path, "--push")[1]["push"]
    assert found["repo_id"] == "alice/divided"
    assert {"model.safetensors", "README.md", "report.json"} <= set(found["files"])
    assert verify_repository("alice/divided").differences == ()


def test_fsdp_that_accelerate_ignores_is_named_once(run):
    assert run[0].stderr.count("FSDP was asked for and is ignored") == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fsdp_version": 1}, "version=1.*'version': 2.*--fsdp_version 2"),
        ({"state_dict_type": "SHARDED_STATE_DICT"}, "SHARDED_STATE_DICT.*--fsdp_state_dict_type FULL_STATE_DICT"),
        (
            {"cpu_ram_efficient_loading": True},
            "cpu_ram_efficient_loading=True.*--fsdp_cpu_ram_efficient_loading false",
        ),
    ],
)
def test_settings_without_whole_weights_are_refused(change, message):
    fitting = {"fsdp_version": 2, "state_dict_type": "FULL_STATE_DICT", "cpu_ram_efficient_loading": False}
    require_whole_weights(FullyShardedDataParallelPlugin(**fitting))
    with pytest.raises(ConfigurationError, match=message):
        require_whole_weights(FullyShardedDataParallelPlugin(**{**fitting, **change}))


@pytest.mark.parametrize("kind", ["bert", "roberta", "modernbert", "distilbert"])
def test_embeddings_are_not_divided_twice(kind):
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(AutoConfig.for_model(kind))
    names = layer_names(model)
    assert not any("Embeddings" in name for name in names)
    assert kind == "distilbert" or len(names) == 1


def test_the_command_refuses_it_before_anything_is_read(monkeypatch, capsys, tmp_path):
    words = ["train", "--model", "m", "--dataset", "d", "--output-dir", str(tmp_path / "o")]
    assert main([*words, "--fsdp"]) == 2
    assert "FSDP divides weights" in capsys.readouterr().err
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert main(words) == 2
    assert "--num-processes N" in capsys.readouterr().err
