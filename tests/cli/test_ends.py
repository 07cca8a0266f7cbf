"""How commands end on failures around them: a closed pipe, a full disk, a removed directory."""

import errno
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hfbertcls import ModelError, load_pipeline
from hfbertcls.cli import main
from hfbertcls.workflows import train as run


HFBERTCLS = f"{shlex.quote(sys.executable)} -m hfbertcls"


def shell(line: str, **variables: str) -> subprocess.CompletedProcess:
    """Run a line of bash; its exit code is that of the program before the pipe."""
    words = ["bash", "-c", f"{line}; exit ${{PIPESTATUS[0]}}"]
    return subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ | variables)


@pytest.mark.parametrize(
    "words", ["doctor {data}/train.csv", "doctor {data}/train.csv --json", "env", "verify {model}", "--help", "train --help",
              "evaluate {model} --dataset {data}"],
)  # fmt: skip
def test_a_reader_that_leaves_is_no_fault(words, reviews_dir, finished_run):
    done = shell(f"{HFBERTCLS} {words.format(data=reviews_dir, model=finished_run)} | true", PYTHONUNBUFFERED="")
    assert done.returncode in (0, 1)
    for bad in ("Traceback", "BrokenPipe", "Exception ignored", "report it", "error:"):
        assert bad not in done.stderr


def test_a_run_continues_when_nobody_reads_its_progress(tmp_path, tiny_model_dir, reviews_dir):
    words = f"train --model {tiny_model_dir} --dataset {reviews_dir} --output-dir {tmp_path}/out --max-steps 2"
    assert shell(f"{HFBERTCLS} {words} 2>&1 >/dev/null | true").returncode == 0
    assert (tmp_path / "out" / "model.safetensors").is_file()


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_closed_streams_are_no_fault(closed, reviews_dir):
    done = shell(f"{HFBERTCLS} doctor {reviews_dir}/train.csv {closed}")
    assert (done.returncode, "error" in done.stderr) == (0, False)


def test_a_full_disk_behind_standard_output_is_an_error():
    done = shell(f"{HFBERTCLS} env >/dev/full")
    assert done.returncode == 1
    assert done.stderr.startswith("hfbertcls: error: ")
    assert "No space left on device" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_letters_that_the_terminal_lacks_are_escaped(tmp_path, reviews_dir):
    shutil.copy(reviews_dir / "train.csv", tmp_path / "Übung.csv")
    done = shell(f"{HFBERTCLS} doctor '{tmp_path}/Übung.csv'", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert done.stdout.startswith("\\xdcbung.csv")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("name", ["report.json", "README.md"])
def test_a_directory_that_cannot_be_written_is_an_error_and_stays_whole(
    hub, model_dir, monkeypatch, capsys, number, name
):
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    write = Path.write_text

    def fail(self, *args, **kwargs):
        if self.name == f".{name}.partial":
            raise OSError(number, os.strerror(number), str(self))
        return write(self, *args, **kwargs)

    monkeypatch.setattr(Path, "write_text", fail)
    assert main(["push", str(model_dir), "alice/films"]) == 1
    message = capsys.readouterr().err
    assert f".{name}.partial' cannot be read or written: {os.strerror(number)}. " in message
    assert "report it" not in message
    assert not list(model_dir.glob(".*.partial"))
    monkeypatch.setattr(Path, "write_text", write)
    assert main(["verify", str(model_dir)]) == 0
    assert ("models", "alice/films") not in hub.store.repositories


def test_a_directory_that_is_removed_during_a_run_is_an_error(
    tmp_path, tiny_model_dir, reviews_dir, monkeypatch, capsys
):
    out = tmp_path / "out"

    def remove(*args, finish=run.finish):
        shutil.rmtree(out)
        return finish(*args)

    monkeypatch.setattr("hfbertcls.workflows.train.finish", remove)
    words = ["--model", str(tiny_model_dir), "--dataset", str(reviews_dir), "--output-dir", str(out)]
    assert main(["train", *words, "--max-steps", "2"]) == 1
    assert "the directory 'out' was removed while the run wrote to it. Repeat the command" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["warm", [], ["a", 1], -1, {"a": 1}, True])
def test_an_invalid_temperature_is_an_error(model_dir, reviews_dir, capsys, value):
    config = json.loads((model_dir / "config.json").read_text())
    (model_dir / "config.json").write_text(json.dumps(config | {"hfbertcls_temperature": value}))
    assert main(["evaluate", str(model_dir), "--dataset", str(reviews_dir)]) == 1
    assert f"hfbertcls_temperature in config.json is {value!r}. Expected a number above 0" in capsys.readouterr().err


@pytest.fixture
def model_of_code(model_dir):
    """A model whose repository brings its own classes."""
    config = json.loads((model_dir / "config.json").read_text())
    homes = {"AutoConfig": "own.OwnConfig", "AutoModelForSequenceClassification": "own.OwnModel"}
    (model_dir / "config.json").write_text(json.dumps(config | {"model_type": "own", "auto_map": homes}))
    (model_dir / "own.py").write_text(
        "from transformers import BertConfig, BertForSequenceClassification\n"
        "class OwnConfig(BertConfig):\n    model_type = 'own'\n"
        "class OwnModel(BertForSequenceClassification):\n    config_class = OwnConfig\n"
    )
    return model_dir


def test_a_model_of_code_is_an_error_with_the_option_that_allows_it(model_of_code, reviews_dir, tmp_path, capsys):
    data = ["--dataset", str(reviews_dir)]
    for words in (
        ["evaluate", str(model_of_code), *data],
        ["compare", str(model_of_code), "tfidf", *data],
        ["predict", str(model_of_code), "--input", str(reviews_dir / "test.csv"), "--output", str(tmp_path / "o.csv")],
        ["train", "--model", str(model_of_code), *data, "--output-dir", str(tmp_path / "out")],
        ["doctor", str(reviews_dir), "--model", str(model_of_code)],
    ):
        assert main(words) == 1
        assert (
            "brings its own code, which would run on this machine. Read that code, then pass --trust-remote-code"
            in (capsys.readouterr().err)
        )
    with pytest.raises(ModelError, match=r"brings its own code.*pass --trust-remote-code"):
        load_pipeline(str(model_of_code))


@pytest.mark.parametrize("change", [{"num_attention_heads": 0}, {"vocab_size": -1}, {"pad_token_id": 999}])
def test_a_spoilt_model_is_one_error_in_python_too(model_dir, change):
    config = json.loads((model_dir / "config.json").read_text())
    (model_dir / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(ModelError, match=r"the model 'film-reviews' cannot be loaded: "):
        load_pipeline(str(model_dir))
