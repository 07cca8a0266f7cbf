"""Commands to paste: the program as it was started, and each word quoted for a shell."""

import os
import shlex
import shutil
import sys
from pathlib import Path


_SCRIPTS = ("hfbertcls", "hf-bertcls")


def command(*words: str | os.PathLike[str]) -> str:
    """A command line of this program, such as `.venv/bin/hfbertcls verify 'my model'`.

    Args:
        words: the verb and its arguments; paths as the user typed them.
    """
    return shlex.join([*_program(), *map(str, words)])


def pip_install(*words: str | os.PathLike[str]) -> str:
    """The command that installs something into the environment of this process."""
    return shlex.join([shown(sys.executable), "-m", "pip", "install", *map(str, words)])


def log_in() -> str:
    """The command that logs in to the Hub, of the environment of this process where a shell does not find it."""
    beside = Path(sys.executable).with_name("hf")
    return shlex.join(["hf" if shutil.which("hf") or not beside.is_file() else shown(beside), "auth", "login"])


def shown(path: str | os.PathLike[str]) -> str:
    """A path for the command line: relative if it lies below the working directory."""
    place = Path(path)
    if place.is_absolute() and place.is_relative_to(Path.cwd()):
        return str(place.relative_to(Path.cwd()))
    return str(place)


def _program() -> list[str]:
    """The words that start this program: its bare name only where a shell finds the same file under it."""
    started = Path(sys.argv[0])
    script = started if started.stem in _SCRIPTS else Path(sys.executable).with_name(_SCRIPTS[0])
    if started.name == "__main__.py" or not script.is_file():
        return [shown(sys.executable), "-m", "hfbertcls"]
    path = shutil.which(script.name)
    return [script.name if path is not None and Path(path).samefile(script) else shown(script)]
