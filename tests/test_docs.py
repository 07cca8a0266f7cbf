"""What the README says is true: its commands exist, its scripts run."""

import dataclasses
import re
import shutil
from pathlib import Path

import pytest

from hfbertcls import TextClassificationTrainingArguments
from hfbertcls.cli import main, make_parser


ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
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
    return [block for block in blocks if 'load_text_dataset("reviews.csv")' in block]


@pytest.mark.parametrize("script", scripts(), ids=["trainer", "own-loop"])
def test_the_scripts_of_the_readme_run(script, tmp_path, monkeypatch, tiny_model_dir, reviews_dir):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_model_dir, "encoder")
    shutil.copy(reviews_dir / "train.csv", "reviews.csv")
    exec(compile(script.replace(" 128,", " 32,"), "README.md", "exec"), {"__name__": "readme"})


def test_the_first_lines_of_python_run(tmp_path, monkeypatch, tiny_model_dir, reviews_dir, hub):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    shutil.copytree(tiny_model_dir, "encoder")
    shutil.copy(reviews_dir / "train.csv", "reviews.csv")
    shutil.copy(reviews_dir / "test.csv", "other_reviews.csv")
    (script,) = re.findall(r"```python\n(from hfbertcls import TextClassifier\n.*?)```", README, flags=re.DOTALL)
    for name, here in (
        ("google-bert/bert-base-uncased", "encoder"),
        ('output_dir="my-model"', 'output_dir="my-model", max_steps=4'),
        ("me/reviews", "alice/reviews"),
    ):
        assert name in script
        script = script.replace(name, here)
    exec(compile(script, "README.md", "exec"), {"__name__": "readme"})


def test_there_are_two_scripts():
    assert len(scripts()) == 2


def headings(text):
    return re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)


def test_every_section_that_is_cited_exists():
    cited = {
        (path.name, section)
        for path in [*ROOT.rglob("hfbertcls/**/*.py"), *ROOT.glob("*.md"), *ROOT.glob("spaces/**/*.md")]
        for section in re.findall(r'"([^"\n]+)"\s+(?:in|of)\s+the\s+README', path.read_text(encoding="utf-8"))
    }
    assert cited, "the pattern finds nothing any more"
    assert {section for _, section in cited} <= set(headings(README))


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/RESULTS.md"])
def test_links_lead_somewhere_and_no_table_breaks_off(name):
    path = ROOT / name
    text = path.read_text(encoding="utf-8")
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings(text)}
    for target in re.findall(r"\]\((?!https?://)([^)\s]+)\)", text):
        assert target[1:] in anchors if target.startswith("#") else (path.parent / target.partition("#")[0]).exists()
    assert not re.search(r"^\|.*\n\n+\|(?!.*\n\|[ :|-]+$)", text, flags=re.MULTILINE), "a table breaks at a blank line"


def test_files_that_the_code_cites_exist():
    for path in ROOT.glob("hfbertcls/**/*.py"):
        for cited in re.findall(r"`?((?:benchmarks|tests|docs)/[\w/]+\.\w+)`?", path.read_text(encoding="utf-8")):
            assert (ROOT / cited).exists(), f"{path.name} cites {cited}"


def test_pip_is_not_asked_whether_the_assets_have_their_dependencies():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    after = makefile.partition("-r $(ASSETS)")[2]
    installs = [line for line in after.splitlines() if line.startswith("\t$(PIP)")]
    assert installs
    assert all("--no-warn-conflicts" in line for line in installs)
