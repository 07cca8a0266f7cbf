"""The public names: one list, imported only when used, and each with an example that holds."""

import ast
import doctest
import inspect
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import hfbertcls
from hfbertcls.option_names import command_line


SOURCE = Path(hfbertcls.__file__)


def test_type_checkers_see_the_names_that_there_are():
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"))
    checked = next(node for node in tree.body if isinstance(node, ast.If))
    static = {alias.asname: node.module for node in checked.body for alias in node.names if alias.asname == alias.name}
    assert static == hfbertcls._HOMES
    assert sorted(hfbertcls.__all__) == sorted(static)


def test_there_are_no_more_names_than_a_person_reads():
    assert len(hfbertcls.__all__) <= 34
    with pytest.raises(AttributeError, match="'hfbertcls' has no attribute 'PushRequest'"):
        hfbertcls.PushRequest  # noqa: B018


def test_every_name_can_be_imported():
    for name in hfbertcls.__all__:
        assert getattr(hfbertcls, name) is not None


def test_importing_loads_nothing_heavy():
    code = (
        "import sys, hfbertcls; print([m for m in ('torch','transformers','datasets','gradio') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_imports_nothing_that_takes_long():
    program = (
        "import sys\nfrom hfbertcls.cli import main\n"
        "try:\n    main(['train', '--help'])\nexcept SystemExit:\n    pass\n"
        "print(sorted({'torch', 'transformers', 'datasets', 'numpy', 'pyarrow', 'sklearn'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "usage: hfbertcls train" in done.stdout
    assert done.stderr.strip() == "[]"


def test_version_is_that_of_the_changelog():
    changelog = (SOURCE.parent.parent / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {hfbertcls.__version__}" in changelog


def test_dir_shows_the_public_names_and_nothing_else():
    assert {name for name in dir(hfbertcls) if not name.startswith("__")} == set(hfbertcls.__all__)


def documented():
    """Each public name, and each public method of `TextClassifier`, with its docstring."""
    for name in hfbertcls.__all__:
        value = getattr(hfbertcls, name)
        yield name, inspect.getdoc(value) or ""
    for name, value in inspect.getmembers(hfbertcls.TextClassifier, callable):
        if not name.startswith("_") or name == "__call__":
            yield f"TextClassifier.{name}", inspect.getdoc(value) or ""


def examples(docstring):
    """The calls of a docstring with their results; the fences around them are none of it."""
    return doctest.DocTestParser().get_examples(re.sub(r"^ *```.*$", "", docstring, flags=re.MULTILINE))


@pytest.fixture
def in_python(flags_in_messages):
    with command_line(flags=False):
        yield


@pytest.fixture
def place(tmp_path, monkeypatch, tiny_model_dir, reviews_dir, trained_run):
    """Where the examples run: an encoder, a finished run and some text."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_model_dir, "encoder")
    shutil.copytree(trained_run, "my-model")
    shutil.copytree(reviews_dir, "reviews")
    shutil.copy(reviews_dir / "train.csv", "reviews.csv")
    shutil.copy(reviews_dir / "test.csv", "other.csv")


@pytest.mark.parametrize(("name", "docstring"), [pytest.param(*one, id=one[0]) for one in documented()])
def test_every_name_shows_a_call_and_its_result_which_holds(name, docstring, place, in_python, capsys):
    found = examples(docstring)
    assert found, f"the docstring of {name} has no example"
    assert any(example.want for example in found) or name == "undo_calibration"
    names = {name: getattr(hfbertcls, name) for name in hfbertcls.__all__} | {"Path": Path}
    test = doctest.DocTest(found, names, name, None, 0, docstring)
    output: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE, verbose=False)
    runner.run(test, out=output.append)
    assert runner.failures == 0, "".join(output)
