"""What a command may say in public: nothing of who runs it, or where."""

import sys

import pytest

import hfbertcls
from hfbertcls.environment import describe_environment, directory_name, public_command, public_word


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """The home directory of somebody."""
    home = tmp_path / "u-somebody-7391"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home)
    return home


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--run-name", "~exp"], "--run-name '~exp'"),
        (["--label-separator", "~"], "--label-separator '~'"),
        (["--label-separator", "/"], "--label-separator /"),
        (["--label-separator=~/"], "'--label-separator=~/'"),
        (["--labels", "client/server", "~a"], "--labels client/server '~a'"),
        (["--output-dir", "~nobody-here/x/out/"], "--output-dir out"),
        (["--output-dir", "~"], "--output-dir '~'"),
        (["--output-dir", "~u-somebody-7391"], "--output-dir '~'"),
        (["--output-dir=~/out"], "--output-dir=out"),
        (["--dataset", "data/reviews.csv"], "--dataset reviews.csv"),
        (["--dataset", r"C:\Users\somebody\reviews.csv"], "--dataset reviews.csv"),
        (["--dataset", "s3://key:secret@bucket"], "--dataset s3://bucket"),
        (["--dataset", "s3://key:se/cr@et@bucket/a.csv?token=x#y"], "--dataset s3://bucket/a.csv"),
        (["--dataset=https://user:pw@host/a.csv"], "--dataset=https://host/a.csv"),
        (["--push-to-hub", "https://me:hf_x@huggingface.co/a/b"], "--push-to-hub https://huggingface.co/a/b"),
        (["--dataset", "file:///home/somebody/a.csv"], "--dataset a.csv"),
        (["--push-to-hub", "me/reviews"], "--push-to-hub me/reviews"),
        (
            ["--model", "org/encoder", "--dataset", "org/data:en@main"],
            "--model org/encoder --dataset org/data:en@main",
        ),
        (["--model", "other/encoder"], "--model encoder"),
        (["--epochs", "3", "--config", "../../run.yaml"], "--epochs 3 --config run.yaml"),
        (["--dataset", "."], "--dataset ."),
        ([""], "''"),
    ],
)
def test_paths_lose_where_they_lie_and_addresses_what_opens_them(words, expected, home):
    (home / "exp").mkdir()
    assert public_command(["train", *words], {"org/encoder", "org/data:en@main"}) == f"hfbertcls train {expected}"


def test_the_home_directory_is_not_named(home):
    assert public_command(["train", "--output-dir", str(home)]) == "hfbertcls train --output-dir ."
    assert public_word(str(home.parent)) == "."
    assert public_word(f"{home}/out") == "out"
    assert directory_name(home) == directory_name(home.parent / "other" / ".." / home.name) == "model"
    assert directory_name(home / "reviews") == "reviews"


def test_nothing_is_looked_up(home):
    (home / "data").mkdir()
    before = public_command(["train", "--dataset", "data/reviews.csv", "--model", "data/x"])
    (home / "data" / "reviews.csv").write_text("text,label\n")
    (home / "data" / "x").mkdir()
    assert public_command(["train", "--dataset", "data/reviews.csv", "--model", "data/x"]) == before


def test_a_script_is_called_by_its_name(monkeypatch, home):
    monkeypatch.setattr(sys, "argv", [f"{home}/train.py", "--data", f"{home}/a.csv"])
    assert public_command() == "python train.py --data a.csv"
    for ours in ("/usr/bin/hfbertcls", f"{home}/site-packages/hfbertcls/__main__.py"):
        monkeypatch.setattr(sys, "argv", [ours, "env"])
        assert public_command() == "hfbertcls env"
    monkeypatch.setattr(sys, "argv", [f"{home}/mine/__main__.py"])
    assert public_command() == "python -m mine"
    monkeypatch.setattr(sys, "argv", [""])
    assert public_command() == "python"


def test_arguments_of_a_trainer_are_published_without_places_at_any_depth(home):
    from hfbertcls import TextClassificationTrainingArguments

    place = f"{home}/somewhere/x"
    values = TextClassificationTrainingArguments(
        output_dir=place, run_name="~exp", project="s3://key:secret@bucket", lr_scheduler_kwargs={"a": [place, "~b"]}
    ).sanitised()
    assert (values["output_dir"], values["run_name"], values["project"]) == ("x", "~exp", "s3://bucket")
    assert values["lr_scheduler_kwargs"] == {"a": ["x", "~b"]}


def test_the_version_is_that_of_the_code_that_runs():
    """An installation that is stale, or another copy on the path, has other metadata."""
    assert describe_environment()["hfbertcls"] == hfbertcls.__version__
