"""The public names: one list, kept in three places that must agree, and imported only when used."""

import ast
import subprocess
import sys
from pathlib import Path

import hfbertcls


SOURCE = Path(hfbertcls.__file__)


def test_the_three_lists_agree():
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"))
    checked = next(node for node in tree.body if isinstance(node, ast.If))
    static = {alias.name: node.module for node in checked.body for alias in node.names}
    assert static == hfbertcls._HOMES
    assert sorted(hfbertcls.__all__) == sorted(static)


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
