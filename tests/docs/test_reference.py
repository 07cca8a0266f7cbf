"""Nothing public is undocumented: options, names, errors, exit codes, variables."""

import importlib.util
import inspect
import re
from pathlib import Path

import pytest

import hfbertcls
from hfbertcls import errors
from hfbertcls.cli import make_parser, skill
from hfbertcls.cli.parser import Parser
from hfbertcls.cli.reference import command_line, errors_and_exit_codes


ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def generator():
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def undocumented(parser: Parser) -> set[str]:
    """The options of all commands that have no row, or an empty one, on the page of the command line."""
    rows = dict(re.findall(r"^\| `(--[\w-]+)[^`]*` \| (.*?) \|$", command_line(parser), flags=re.MULTILINE))
    options = {
        action.option_strings[-1]
        for verb in parser.verbs.values()
        for action in verb._actions
        if action.option_strings
    }
    return {option for option in options - {"--help"} if not rows.get(option, "").strip()}


def test_every_option_has_a_row_with_its_meaning():
    assert not undocumented(make_parser())


def test_a_planted_option_without_help_is_found():
    parser = make_parser()
    parser.verbs["train"].add_argument("--planted")
    assert undocumented(parser) == {"--planted"}


def test_every_command_has_a_section():
    page = command_line(make_parser())
    assert [verb for verb in make_parser().verbs if f"## hfbertcls {verb}\n" not in page] == []


def test_every_public_name_is_on_a_page(generator):
    pages = generator.python_api() + errors_and_exit_codes()
    assert [name for name in hfbertcls.__all__ if not re.search(rf"[.`]{name}\b", pages)] == []


def test_every_error_stands_with_its_exit_code():
    page = errors_and_exit_codes()
    kinds = [
        kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.HfBertClsError)
    ]
    assert len(kinds) >= 9
    for kind in kinds:
        assert re.search(rf"^\| `{kind.__name__}` \| `\w+` \| {kind.exit_code} \| \w", page, flags=re.MULTILINE)
    assert {str(kind.exit_code) for kind in kinds} | {"0"} == set(re.findall(r"^\| (\d) \|", page, flags=re.MULTILINE))


def test_every_key_of_the_report_stands_in_the_reference(generator):
    page = generator.report_json()
    for key in ("schema_version", "evaluation", "weights_sha256", "tokens_per_second", "confusion_matrix", "low"):
        assert f"| `{key}` |" in page
    assert set(re.findall(r"\(#(\w+)\)", page)) <= {
        name.lower() for name in re.findall(r"^## (\w+)", page, flags=re.MULTILINE)
    }


def test_every_variable_that_is_read_is_documented():
    page = (DOCS / "reference" / "environment.md").read_text(encoding="utf-8")
    code = [*ROOT.glob("hfbertcls/**/*.py"), *ROOT.glob("spaces/**/*.py")]
    pattern = r"environ(?:\.get|\.setdefault|\.pop)?[\[(]\s*\"([A-Z_]+)\""
    read = {name for path in code for name in re.findall(pattern, path.read_text(encoding="utf-8"))}
    assert {"HF_TOKEN", "MODEL_ID"} <= read
    assert {name for name in read if f"`{name}`" not in page} == set()


def test_a_page_takes_tables_from_the_record(generator):
    page = generator.with_results("<!-- results: Speed of a training step | table 1 -->\n<!-- end of results -->")
    assert "-->\n\n| contender |" in page
    assert generator.with_results(page) == page
    for path in DOCS.rglob("*.md"):
        text = path.read_text(encoding="utf-8")
        assert generator.with_results(text) == text, f"{path.name} is old: run python docs/generate.py"
    with pytest.raises(LookupError, match="no section 'Nothing'"):
        generator.with_results("<!-- results: Nothing | table 1 -->\n<!-- end of results -->")
    with pytest.raises(LookupError, match="has no list 9"):
        generator.with_results("<!-- results: Coverage of the intervals | list 9 -->\n<!-- end of results -->")


def test_the_skill_can_be_followed(reader, short_contrastive_phase):
    text = skill.skill_files(make_parser())["SKILL.md"]
    commands = re.findall(r"^ *```bash\n(.*?)^ *```", text, flags=re.MULTILINE | re.DOTALL)
    assert len(commands) >= 5
    for code in commands:
        reader.run("bash", code)


def test_the_skill_is_written_where_agents_look(tmp_path, monkeypatch, capsys):
    from hfbertcls.cli import main

    monkeypatch.chdir(tmp_path)
    assert main(["skill"]) == 0
    for folder in (".agents", ".claude"):
        text = (tmp_path / folder / "skills" / "hfbertcls" / "SKILL.md").read_text(encoding="utf-8")
        assert text.startswith("---\nname: hfbertcls\ndescription: ")
        for path in re.findall(r"`(references/[\w.]+)`", text):
            assert (tmp_path / folder / "skills" / "hfbertcls" / path).is_file()
    assert main(["skill"]) == 0  # (nothing differs)
    changed = tmp_path / ".agents" / "skills" / "hfbertcls" / "SKILL.md"
    changed.write_text("mine", encoding="utf-8")
    assert main(["skill"]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert changed.read_text(encoding="utf-8") == "mine"
    assert main(["skill", "--overwrite"]) == 0
    assert changed.read_text(encoding="utf-8") != "mine"


def test_every_option_in_the_skill_exists():
    flags = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", skill.skill_files(make_parser())["SKILL.md"]))
    known = {
        flag for verb in make_parser().verbs.values() for action in verb._actions for flag in action.option_strings
    }
    assert flags <= known
