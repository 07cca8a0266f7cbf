"""Old names of training arguments work, with a warning."""

import os

import pytest
from tiny import arguments, rows, tiny_classifier

from hfbertcls import TextClassificationTrainer
from hfbertcls.cli import main


@pytest.mark.parametrize(
    ("old", "value", "new", "expected"),
    [
        ("warmup_ratio", 0.1, "warmup_steps", 0.1),
        ("no_cuda", True, "use_cpu", True),
        ("group_by_length", True, "train_sampling_strategy", "group_by_length"),
        ("group_by_length", False, "train_sampling_strategy", "sequential"),
        ("per_gpu_train_batch_size", 3, "per_device_train_batch_size", 3),
        ("per_gpu_eval_batch_size", 5, "per_device_eval_batch_size", 5),
        ("adafactor", True, "optim", "adafactor"),
        ("include_inputs_for_metrics", True, "include_for_metrics", ["inputs"]),
    ],
)
def test_an_old_name_is_translated(tmp_path, old, value, new, expected):
    with pytest.warns(FutureWarning, match=f"^{old} is now called {new}; it is translated$"):
        args = arguments(tmp_path, **{old: value})
    assert getattr(args, new) == expected
    assert getattr(args, old) is None


@pytest.mark.parametrize("old", ["overwrite_output_dir", "save_safetensors", "use_mps_device"])
def test_what_has_no_effect_any_more_is_left_out(tmp_path, old):
    with pytest.warns(FutureWarning, match=f"^{old} has no effect any more, and is left out$"):
        arguments(tmp_path, **{old: True})


def test_a_logging_dir_goes_where_tensorboard_looks(tmp_path, monkeypatch):
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)
    with pytest.warns(FutureWarning, match="logging_dir is now the environment variable TENSORBOARD_LOGGING_DIR"):
        arguments(tmp_path, logging_dir=str(tmp_path / "logs"))
    assert os.environ["TENSORBOARD_LOGGING_DIR"] == str(tmp_path / "logs")


def test_the_trainer_takes_a_tokenizer(tmp_path, tiny_tokenizer):
    with pytest.warns(FutureWarning, match="tokenizer is now called processing_class; it is translated"):
        trainer = TextClassificationTrainer(
            tiny_classifier(), arguments(tmp_path), None, rows(32), rows(16, seed=1), tokenizer=tiny_tokenizer
        )
    assert trainer.processing_class is tiny_tokenizer


def test_the_command_names_the_new_option(tmp_path, capsys):
    words = ["train", "--model", "m", "--dataset", "d", "--output-dir", str(tmp_path / "out")]
    assert main([*words, "--warmup-ratio", "0.1"]) == 2
    assert "Use --warmup-steps instead" in capsys.readouterr().err
    assert main([*words, "--overwrite-output-dir"]) == 2
    assert "Use --overwrite" in capsys.readouterr().err
