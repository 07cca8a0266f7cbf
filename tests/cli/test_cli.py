"""The command line: exit codes, one message, no traceback."""

import json
import re
import shutil
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
        (["--hub-token", "x"], "--hub-token is not allowed: a token on the command line"),
        (["--metric", "acuracy"], "--metric acuracy is an invalid value (did you mean 'accuracy'?)"),
        (["--max-length", "999"], "--max-length 999 is an invalid value: the model reads 3 to 32 tokens"),
        (["--label-column", "lable"], "no column 'lable' (did you mean 'label'?)"),
        (["--callbacks", "nothing"], "no callback is called 'nothing'"),
        (["--precision", "fp8"], "--precision fp8 is an invalid value"),
        (["--learning-rate", "0.1", "--eval-every", "often"], "--eval-every often is an invalid value"),
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
        ("--model", "./no-such-model", "there is no directory 'no-such-model'. Expected"),
    ],
)
def test_what_is_not_there_exits_with_1(words, flag, value, expected, capsys, tmp_path):
    words[words.index(flag) + 1] = value
    code, message = failed(words, capsys)
    assert code == 1
    assert expected in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "more",
    [
        ["--epochs", "nan"], ["--epochs", "-1"], ["--epochs", "0"], ["--max-steps", "0"], ["--max-steps", "-5"],
        ["--learning-rate", "0"], ["--learning-rate", "inf"], ["--learning-rate", "1e30"], ["--weight-decay", "nan"],
        ["--per-device-eval-batch-size", "0"], ["--eval-accumulation-steps", "0"], ["--dataloader-num-workers", "-1"],
        ["--seed", "-1"], ["--seed", "4294967296"], ["--data-seed", "-1"], ["--adam-beta1", "5"], ["--batch-size", "0"],
        ["--gradient-accumulation-steps", "0"], ["--early-stopping", "0"], ["--train-sampling-strategy", "bogus"],
        ["--label-names", "foo"], ["--prediction-loss-only"], ["--eval-on-start"], ["--report-to", "nope"],
        ["--lr-scheduler-type", "bogus"], ["--optim", "bogus"], ["--early-stopping", "2", "--eval-every", "no"],
        ["--split-by", ""], ["--split-by", "colour"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_invalid_values_are_errors_before_anything_is_written(words, more, capsys, tmp_path):
    words[words.index("--output-dir") + 1] = str(tmp_path / "deep" / "er" / "out")
    code, message = failed([*words, *more], capsys)
    assert code == 2
    assert "did not expect" not in message
    assert not (tmp_path / "deep").exists()


def configured(tmp_path, text):
    (tmp_path / "run.yaml").write_text(text)
    return f"--config={tmp_path / 'run.yaml'}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("max_steps: 2\nmax_steps: 3\n", "has the key 'max_steps' twice"),
        ("config: other.yaml\n", "names another configuration"),
        ("overwrite: maybe\n", "overwrite is 'maybe'. Expected true or false"),
        ("card: {language: {a: 1}}\n", "the fact 'language' of the card must be a text"),
        ("- epochs\n", "holds no options"),
    ],
)
def test_an_unclear_configuration_is_an_error(words, tmp_path, capsys, text, expected):
    code, message = failed([*words, configured(tmp_path, text)], capsys)
    assert code == 2
    assert expected in message


def test_two_configurations_are_an_error(words, tmp_path, capsys):
    one = configured(tmp_path, "epochs: 1\n")
    assert "more than once" in failed([*words, one, one], capsys)[1]


def test_plain_values_of_the_configuration_stay_as_they_are_written(words, tmp_path):
    config = configured(
        tmp_path,
        "max_steps: 2\neval_every: no\nlr_scheduler_type: cosine_with_restarts\nlr_scheduler_kwargs: {num_cycles: 2}\n"
        "card:\n  language: no\n  title: 2024-01-01\n",
    )
    assert main([*words, config]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (report["card"]["language"], report["card"]["title"]) == ("no", "2024-01-01")
    assert report["training"]["steps"] == 2
    assert report["training"]["selection_metric"] is None
    card = (tmp_path / "out" / "README.md").read_text()
    assert "The weights are those of the last step, 2; no evaluation chose among checkpoints." in card
    assert "language: 'no'" in card


def spoil(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        (
            lambda folder: (folder / "model.safetensors").write_bytes(b"\0" * 40),
            "the weights of 'spoilt' cannot be loaded",
        ),
        (lambda folder: (folder / "model.safetensors").unlink(), "cannot be loaded|no weights in safetensors form"),
        (lambda folder: (folder / "config.json").write_text("null"), "the model 'spoilt' cannot be loaded"),
        (lambda folder: (folder / "config.json").write_text("{"), "the model 'spoilt' cannot be loaded"),
        (lambda folder: spoil(folder, hidden_size="x"), "the model 'spoilt' cannot be loaded"),
        (lambda folder: spoil(folder, hidden_act="bogus"), "the weights of 'spoilt' cannot be loaded"),
        (lambda folder: spoil(folder, hidden_size=64), "do not fit its configuration: .* missing or of another size"),
        (lambda folder: spoil(folder, max_position_embeddings=16), "do not fit its configuration"),
        (lambda folder: spoil(folder, num_hidden_layers=1), "do not fit its configuration: some are left over"),
        (lambda folder: spoil(folder, max_position_embeddings=2), "reads 2 tokens, of which 2 are special ones"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "knows no words|tokenizer of 'spoilt' cannot be loaded"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "the tokenizer of 'spoilt' cannot be loaded"),
        (
            lambda folder: (folder / "tokenizer_config.json").write_text("[]"),
            "the tokenizer of 'spoilt' cannot be loaded",
        ),
    ],
)
def test_a_damaged_model_is_an_error_in_one_line(words, tmp_path, tiny_model_dir, capsys, how, expected):
    shutil.copytree(tiny_model_dir, tmp_path / "spoilt")
    how(tmp_path / "spoilt")
    words[words.index("--model") + 1] = str(tmp_path / "spoilt")
    code, message = failed([*words, "--max-steps", "1"], capsys)
    assert code == 1
    assert re.search(expected, message)
    assert str(tmp_path) not in message
    assert not (tmp_path / "out").exists()


def test_a_tokenizer_with_more_words_than_the_model_is_an_error(
    words, tmp_path, tiny_model_dir, tiny_tokenizer, capsys
):
    shutil.copytree(tiny_model_dir, tmp_path / "spoilt")
    tokens = [*tiny_tokenizer.get_vocab(), "extra"]
    text = (tmp_path / "spoilt" / "tokenizer.json").read_text()
    wider = json.loads(text)
    wider["model"]["vocab"] |= {"film": len(tokens) + 3}
    (tmp_path / "spoilt" / "tokenizer.json").write_text(json.dumps(wider))
    words[words.index("--model") + 1] = str(tmp_path / "spoilt")
    code, message = failed(words, capsys)
    assert code == 1
    assert "Tokenizer and weights do not match" in message


def test_a_matched_head_is_logged(tmp_path, tiny_model_dir, reviews_dir, capsys):
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    words = ["--dataset", str(reviews_dir), "--max-steps", "2"]
    assert main(["train", "--model", str(tiny_model_dir), *words, "--output-dir", first]) == 0
    spoil(tmp_path / "first", id2label={"0": "positive", "1": "negative"}, label2id={"positive": 0, "negative": 1})
    assert main(["train", "--model", first, *words, "--output-dir", second]) == 0
    note = "the trained head of first is matched with the labels by name: 'negative', 'positive' kept"
    assert note in capsys.readouterr().err


@pytest.mark.parametrize("place", ["file/sub", "x" * 300, "link"])
def test_a_place_where_nothing_can_be_written_is_an_error(words, tmp_path, capsys, place):
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    words[words.index("--output-dir") + 1] = str(tmp_path / place)
    code, message = failed(words, capsys)
    assert code == 1
    assert "cannot be written" in message


def test_what_nobody_foresaw_is_one_line_without_a_traceback(words, capsys, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("hfbertcls.workflows.train.train_and_evaluate", fail)
    code, message = failed(words, capsys)
    assert code == 1
    assert (
        "ZeroDivisionError: 'division by zero'. hfbertcls did not expect this: repeat the command with --debug"
        in message
    )
    assert "Traceback" not in message


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


def test_texts_for_the_widget_are_an_error_for_pairs(tmp_path, tiny_model_dir, capsys):
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
        "--config",
        str(tmp_path / "run.yaml"),
    ]
    (tmp_path / "run.yaml").write_text("card:\n  widget: [one text]\n")
    code, message = failed(words, capsys)
    assert code == 2
    assert "the rows of pairs.csv are pairs of texts. Leave it out" in message


def test_env_tells_versions_as_json(capsys):
    assert main(["env", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["hfbertcls"]
    assert "gradio" in facts["optional"]


def test_a_model_that_cannot_be_compiled_is_one_message(words, capsys, monkeypatch):
    from torch._dynamo.exc import InternalTorchDynamoError

    from hfbertcls import TextClassificationTrainer

    def train(*arguments):
        raise InternalTorchDynamoError("no compiler")

    monkeypatch.setattr(TextClassificationTrainer, "train", train)
    code, message = failed([*words, "--torch-compile", "--max-steps", "2"], capsys)
    assert code == 1
    assert (
        "torch.compile cannot compile this model on this machine: 'no compiler'. Leave out --torch-compile" in message
    )
