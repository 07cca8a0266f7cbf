"""What the README says is true: its options exist, its outputs are real, its links lead somewhere."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from hfbertcls import TextClassificationTrainingArguments
from hfbertcls.cli import main, make_parser


ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
VERBS = sorted(make_parser().verbs)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([verb, "--help"])
    assert stopped.value.code == 0
    assert "usage: hfbertcls" in capsys.readouterr().out


def test_the_readme_is_short():
    lines = README.splitlines()
    assert len(lines) <= 180
    assert len(README.split()) <= 1_200
    assert max(map(len, lines)) <= 119


def test_every_flag_in_the_readme_exists():
    text = re.sub(r"```\n(python3|make).*?```", "", README, flags=re.DOTALL)
    flags = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))
    known = {
        option for verb in make_parser().verbs.values() for action in verb._actions for option in action.option_strings
    }
    fields = {f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(TextClassificationTrainingArguments)}
    assert flags - known <= fields


def cells_of(name):
    """The code cells of a tutorial."""
    notebook = json.loads((ROOT / "docs" / "tutorials" / f"{name}.ipynb").read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_the_python_of_the_readme_is_that_of_the_tutorial_with_its_output():
    """The tests run the tutorials; what they print is kept in them."""
    code, output = re.search(
        r"```python\n(from hfbertcls .*?)```\n+```text\n(.*?)```", README, flags=re.DOTALL
    ).groups()
    cells = cells_of("five-minutes")
    sources = "\n".join("".join(cell["source"]) for cell in cells)
    assert [line for line in code.splitlines() if line not in sources] == []
    printed = "".join(
        "".join(output.get("text") or output.get("data", {}).get("text/plain", "")) + "\n"
        for cell in cells
        for output in cell["outputs"]
    )
    assert output.strip()
    assert [line for line in output.splitlines() if line not in printed.splitlines()] == []


def test_the_command_of_the_readme_is_that_of_the_tutorial_with_its_output():
    command, output = re.search(r"```\n(hfbertcls train .*?)```\n+```text\n(.*?)```", README, flags=re.DOTALL).groups()
    cell = next(cell for cell in cells_of("share") if "".join(cell["source"]).startswith("!hfbertcls train"))
    typed = "".join(cell["source"])
    assert [word for word in command.replace("\\\n", " ").split() if word not in typed] == []
    printed = "".join("".join(output.get("text", "")) for output in cell["outputs"]).splitlines()
    lines = [line for line in output.splitlines() if line.strip() != "..."]
    assert len(lines) > 3
    assert [line for line in lines if line not in printed] == []


def headings(text):
    return re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)


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
