"""Imports point one way: a room imports only from rooms above it in this list."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest


PACKAGE = Path(__file__).resolve().parent.parent / "hfbertcls"
ROOMS = (
    {"option_names"},
    {"errors"},
    {"processes"},
    {"files", "resources", "registry", "environment", "commands", "offline", "progress", "seeding", "__init__"},
    {"own_process"},
    {"tasks"},
    {"data"},
    {"modeling"},
    {"evaluation"},
    {"diagnosis"},
    {"inference"},
    {"training"},
    {"repository"},
    {"hub"},
    {"trainer"},
    {"workflows"},
    {"classifier"},
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
        ("evaluation", "def f():\n    import hfbertcls.trainer"),
        ("training", "from hfbertcls import trainer"),
    ],
)
def test_a_planted_import_against_the_order_is_found(room, planted):
    assert violations(room, planted) != []


def modules():
    """Each module of the package with its source; the map of public names points everywhere and is left out."""
    for _, path in files():
        parts = ("hfbertcls", *path.relative_to(PACKAGE).with_suffix("").parts)
        if parts != ("hfbertcls", "__init__"):
            yield ".".join(parts).removesuffix(".__init__"), path.read_text(encoding="utf-8")


def circle_in(sources):
    """A circle of imports between modules, lazy imports and those for type checkers included; None if there is none."""
    graph = {}
    for name, source in sources.items():
        found = set()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and node.module:
                found |= {
                    full if (full := f"{node.module}.{one.name}") in sources else node.module for one in node.names
                }
            elif isinstance(node, ast.Import):
                found |= {one.name for one in node.names}
        graph[name] = (found & sources.keys()) - {name}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as err:
        return err.args[1]
    return None


def test_no_modules_import_each_other_in_a_circle():
    assert circle_in(dict(modules())) is None


def test_a_planted_circle_is_found():
    planted = "def f():\n    from hfbertcls.trainer import TextClassificationTrainer"
    sources = dict(modules())
    sources["hfbertcls.training.facts"] += f"\n{planted}\n"
    assert {"hfbertcls.training.facts", "hfbertcls.trainer"} <= set(circle_in(sources))


def test_no_file_is_longer_than_400_lines():
    long = {str(path): count for _, path in files() if (count := len(path.read_text().splitlines())) > 400}
    assert long == {}


def test_spaces_has_no_init_file():
    assert not (PACKAGE.parent / "spaces" / "__init__.py").exists()
