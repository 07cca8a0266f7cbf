"""The command line: exit codes, one message, no traceback."""

import json
import subprocess
import sys

import pytest

from hfbertcls.cli import main


@pytest.fixture
def words(tmp_path, tiny_model_dir, reviews_dir):
    return [
        "train",
        "--model",
        str(tiny_model_dir),
        "--dataset",
        str(reviews_dir),
        "--output-dir",
        str(tmp_path / "out"),
    ]


def failed(words, capsys) -> tuple[int, str]:
    code = main(words)
    message = capsys.readouterr().err
    assert message.count("hfbertcls: error:") == 1
    assert "Traceback" not in message
    return code, message


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--epoch", "3"], "there is no option --epoch (did you mean '--epochs'?)"),
        (["--wieght-decay", "0.1"], "there is no option --wieght-decay (did you mean '--weight-decay'?)"),
        (["--bf16"], "--bf16 is set by hfbertcls. Use --precision instead"),
        (["--eval-strategy", "epoch"], "--eval-strategy is set by hfbertcls. Use --eval-every instead"),
        (["--hub-token", "x"], "--hub-token is not an option of train"),
        (["--metric", "acuracy"], "--metric acuracy is not known (did you mean 'accuracy'?)"),
        (["--max-length", "999"], "--max-length 999 is not possible: the model reads 3 to 32 tokens"),
        (["--label-column", "lable"], "no column 'lable' (did you mean 'label'?)"),
        (["--callbacks", "nothing"], "no callback is called 'nothing'"),
        (["--precision", "fp8"], "--precision fp8 is not known"),
        (["--learning-rate", "0.1", "--eval-every", "often"], "--eval-every often is not possible"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_what_to_do(words, more, expected, capsys, tmp_path):
    code, message = failed([*words, *more], capsys)
    assert code == 2
    assert expected in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flag", "value", "expected"),
    [
        ("--dataset", "no-such-file.csv", "there is no file or folder 'no-such-file.csv'"),
        ("--model", "./no-such-model", "there is no directory 'no-such-model' where --model points"),
    ],
)
def test_what_is_not_there_exits_with_1(words, flag, value, expected, capsys, tmp_path):
    words[words.index(flag) + 1] = value
    code, message = failed(words, capsys)
    assert code == 1
    assert expected in message
    assert not (tmp_path / "out").exists()


def test_a_missing_option_exits_with_2():
    done = subprocess.run([sys.executable, "-m", "hfbertcls", "train"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--model" in done.stderr


def test_an_unknown_key_of_the_configuration_is_an_error(words, capsys, tmp_path):
    config = tmp_path / "run.yaml"
    config.write_text("epoches: 3\n")
    code, message = failed([*words, "--config", str(config)], capsys)
    assert code == 2
    assert "--epoches (did you mean '--epochs'?)" in message


def test_an_unknown_card_fact_is_an_error(words, capsys, tmp_path):
    config = tmp_path / "run.yaml"
    config.write_text("card:\n  licence: mit\n")
    code, message = failed([*words, "--config", str(config)], capsys)
    assert code == 2
    assert "'licence' (did you mean 'license'?)" in message


def test_debug_shows_the_traceback(words, capsys):
    assert main([*words, "--metric", "nothing", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_pairs_are_refused_with_the_reason(tmp_path, tiny_model_dir, capsys):
    rows = "".join(f"a{i},b{i},{'xy'[i % 2]}\n" for i in range(40))
    (tmp_path / "pairs.csv").write_text("text,text_pair,label\n" + rows)
    words = [
        "train",
        "--model",
        str(tiny_model_dir),
        "--dataset",
        str(tmp_path / "pairs.csv"),
        "--output-dir",
        str(tmp_path / "o"),
    ]
    code, message = failed(words, capsys)
    assert code == 1
    assert "half of each pair would give misleading figures" in message


def test_env_tells_versions_as_json(capsys):
    assert main(["env", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["hfbertcls"]
    assert "gradio" in facts["optional"]
