"""Imports point one way: a room imports only from rooms above it in this list."""

import ast
from pathlib import Path

import pytest


PACKAGE = Path(__file__).resolve().parent.parent / "hfbertcls"
ROOMS = (
    {"option_names"},
    {"errors"},
    {"resources", "registry", "environment", "commands", "offline", "progress", "__init__"},
    {"tasks"},
    {"data"},
    {"modeling"},
    {"evaluation"},
    {"inference"},
    {"sharing"},
    {"training"},
    {"diagnosis"},
    {"run", "measure", "quickstart"},
    {"comparison", "export", "rescoring", "seeds", "learning_curve"},
    {"cli"},
    {"__main__"},
)
LEVEL = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}


def imports_of(source: str) -> set[str]:
    """Rooms that a file imports from, lazy imports included, those for type checkers left out of `__init__` only."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if node.module == "hfbertcls":
                names = [f"hfbertcls.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("hfbertcls.")}
    return found


def violations(room: str, source: str) -> list[str]:
    own = LEVEL[room]
    return [f"{room} imports {other}" for other in sorted(imports_of(source)) if other != room and LEVEL[other] >= own]


def files():
    for path in sorted(PACKAGE.rglob("*.py")):
        relative = path.relative_to(PACKAGE)
        yield relative.parts[0].removesuffix(".py"), path


def test_every_file_lives_in_a_known_room():
    assert {room for room, _ in files()} == set(LEVEL), "add the new room to ROOMS"


@pytest.mark.parametrize(("room", "path"), [pytest.param(r, p, id=str(p.relative_to(PACKAGE))) for r, p in files()])
def test_imports_point_one_way(room, path):
    if path == PACKAGE / "__init__.py":
        return  # the map of public names points everywhere, and imports nothing until asked (test_public_api)
    assert violations(room, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("room", "planted"),
    [
        ("data", "from hfbertcls.modeling.loading import load_config"),
        ("tasks", "from hfbertcls.data.dataset import TextDataset"),
        ("evaluation", "def f():\n    import hfbertcls.training.trainer"),
        ("training", "from hfbertcls import run"),
    ],
)
def test_a_planted_import_against_the_order_is_found(room, planted):
    assert violations(room, planted) != []


def test_no_file_is_longer_than_400_lines():
    long = {str(path): count for _, path in files() if (count := len(path.read_text().splitlines())) > 400}
    assert long == {}


def test_spaces_has_no_init_file():
    assert not (PACKAGE.parent / "spaces" / "__init__.py").exists()
