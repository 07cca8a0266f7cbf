"""What the README says is true: its commands exist, its scripts run."""

import dataclasses
import re
import shutil
from pathlib import Path

import pytest

from hfbertcls import TextClassificationTrainingArguments
from hfbertcls.cli import main, make_parser


README = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")
VERBS = sorted(next(action.choices for action in make_parser()._actions if action.dest == "verb"))


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_and_is_in_the_readme(verb, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([verb, "--help"])
    assert stopped.value.code == 0
    assert "usage: hfbertcls" in capsys.readouterr().out
    assert f"hfbertcls {verb}" in README


def test_every_flag_in_the_readme_exists():
    text = re.sub(r"```\n(python3|make).*?```", "", README, flags=re.DOTALL)
    flags = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))
    parser = next(action.choices for action in make_parser()._actions if action.dest == "verb")
    known = {option for verb in parser.values() for action in verb._actions for option in action.option_strings}
    fields = {f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(TextClassificationTrainingArguments)}
    assert flags - known <= fields


def scripts():
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    return [block for block in blocks if "reviews.csv" in block]


@pytest.mark.parametrize("script", scripts(), ids=["trainer", "own-loop"])
def test_the_scripts_of_the_readme_run(script, tmp_path, monkeypatch, tiny_model_dir, reviews_dir):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_model_dir, "encoder")
    shutil.copy(reviews_dir / "train.csv", "reviews.csv")
    exec(compile(script.replace(" 128,", " 32,"), "README.md", "exec"), {"__name__": "readme"})


def test_there_are_two_scripts():
    assert len(scripts()) == 2
