"""The environment and the command of a run, without names of users or places."""

import os
import platform
import re
import shlex
import sys
from collections.abc import Container, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import hfbertcls


_PACKAGES = ("torch", "transformers", "datasets", "accelerate", "huggingface-hub", "scikit-learn", "numpy")


def package_version(name: str) -> str | None:
    """The installed version of a distribution, of hfbertcls that of the code that runs; None if it is not installed."""
    if name == hfbertcls.__name__:
        return hfbertcls.__version__
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def cpu_name() -> str:
    """The model name of the processor, as far as the system reports it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def describe_environment() -> dict[str, str | int | None]:
    """Versions and hardware, for the report and for `hfbertcls env`."""
    import torch  # noqa: PLC0415  (takes seconds)

    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu"
    if device == "cpu" and torch.backends.mps.is_available():
        device = "mps"
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        **{name.replace("-", "_"): package_version(name) for name in _PACKAGES},
        "hfbertcls": package_version("hfbertcls"),
        "device": device,
        "cpu": cpu_name(),
        "cpu_count": os.cpu_count(),
    }


_VERBATIM = {
    "text_column", "text_pair_column", "label_column", "label_separator", "labels", "split_by", "slice_by", "split", "metric",
    "callbacks", "report_to", "push_to_hub", "revision", "hub_revision",
}  # fmt: skip
"""Options whose values are names, for instance on the Hub: never paths on this machine."""
_PLACES = {"", "model", "dataset", "output_dir", "config"}
"""Options whose values are paths, so that `~somebody` is a user; the first are words without an option."""
_OURS = ("hfbertcls", "hf-bertcls")
_SEPARATORS = re.compile(r"[/\\]+")


def public_command(arguments: Sequence[str] | None = None, hub_ids: Container[str] = ()) -> str:
    """The command line as it may be published: of each path only the base name, of each address no credentials.

    Nothing is looked up on this machine, so the same command gives the same text everywhere.

    Args:
        arguments (`Sequence[str]`, *optional*): of `hfbertcls`; None takes the command line of this process.
        hub_ids (`Container[str]`): ids on the Hub, which look like paths.
    """
    if arguments is not None:
        program, words = ["hfbertcls"], list(arguments)
    else:
        program, words = _program(Path(sys.argv[0])) if sys.argv else ["python"], sys.argv[1:]
    option, public = "", []
    for word in words:
        flag, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
        if word.startswith("--"):
            option = flag.removeprefix("--").replace("-", "_")
            flag, equals, value = (flag, equals, value) if equals else (word, "", "")
        keeps = (option in _VERBATIM and "://" not in value) or value in hub_ids
        value = value if keeps else public_word(value)
        public.append(flag + equals + ("~" if option in _PLACES and value.startswith("~") else value))
    return shlex.join([*program, *public])


def _program(script: Path) -> list[str]:
    """The words that call a program with this file."""
    name = script.parent.name if script.name == "__main__.py" else script.name
    if name in _OURS:
        return ["hfbertcls"]
    return ["python", "-m", name] if name != script.name else ["python", name] if name else ["python"]


def public_word(word: str) -> str:
    """The public part of a word: the base name of a path, an address without credentials and query, else all of it."""
    scheme, colon, rest = word.partition("://")
    if colon and scheme.lower() != "file":
        host = rest.rpartition("@")[2]
        return f"{scheme}://{re.split('[?#]', host)[0]}"
    parts = [part for part in _SEPARATORS.split(word) if part]
    if parts == [word] or not word:
        return word
    home = local_path("~")
    return "." if not parts or Path(word) in (home, *home.parents) else parts[-1]


def local_path(name: str | Path) -> Path:
    """A path with `~` for the home directory; without such a home, a name that begins with `~`."""
    return Path(os.path.expanduser(name))  # noqa: PTH111  (`Path.expanduser` raises RuntimeError for "~somebody")


def directory_name(path: Path) -> str:
    """The public name of a directory: its name, unless that is the name of the user.

    Args:
        path: of the directory; it need not be there.
    """
    resolved, home = path.resolve(), local_path("~").resolve()
    return "model" if resolved in (home, *home.parents) else resolved.name
