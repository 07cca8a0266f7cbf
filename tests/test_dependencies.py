"""What the package imports is declared: the core, and the extras that are asked for by name."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path


ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
_OURS = {
    "hfbertcls",
    "about",
    "answers",
    "bodies",
    "classifier",
    "explanation",
    "feedback",
    "tables",
}  # (all but the first lie beside the Space's app.py)
_OF_THE_HOST = {"spaces"}  # (a Space on ZeroGPU has it)


def names(requirements) -> set[str]:
    return {re.split(r"[\s<>=!~\[;]", one, maxsplit=1)[0].lower().replace("_", "-") for one in requirements}


def imported() -> dict[str, str]:
    """Distributions by the module that is imported, with one file that does."""
    found = {}
    for path in [*ROOT.glob("hfbertcls/**/*.py"), *ROOT.glob("spaces/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            found |= {module.partition(".")[0]: path.name for module in modules}
    return {
        module: name for module, name in found.items() if module not in sys.stdlib_module_names | _OURS | _OF_THE_HOST
    }


def test_everything_that_is_imported_is_declared():
    extras = PROJECT["optional-dependencies"]
    declared = names(PROJECT["dependencies"]) | names(
        one for extra in ("demo", "excel", "onnx", "trackers") for one in extras[extra]
    )
    homes = packages_distributions()
    missing = {}
    for module, file in imported().items():
        distributions = {one.lower().replace("_", "-") for one in homes.get(module, [module])}
        if not distributions & declared:
            missing[module] = file
    assert missing == {}


def test_everything_that_is_declared_is_used():
    homes = packages_distributions()
    used = {one.lower().replace("_", "-") for module in imported() for one in homes.get(module, [module])}
    # accelerate is what transformers trains with; PyYAML and the others are imported by name.
    assert names(PROJECT["dependencies"]) - used <= {"accelerate"}
