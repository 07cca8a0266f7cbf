"""What a run ran on, and the command that started it, without anything that tells who or where."""

import os
import platform
import shlex
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


_PACKAGES = ("torch", "transformers", "datasets", "accelerate", "huggingface-hub", "scikit-learn", "numpy")


def package_version(name: str) -> str | None:
    """The installed version of a distribution; None if it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def cpu_name() -> str:
    """The model name of the processor, as well as the system tells it."""
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


def public_command(arguments: Sequence[str] | None = None) -> str:
    """The command line as it may be published: of each path only the base name.

    Args:
        arguments (`Sequence[str]`, *optional*): without the name of the program; defaults to those of this process.
    """
    words = sys.argv[1:] if arguments is None else arguments
    return shlex.join(["hfbertcls", *(_without_path(word) for word in words)])


def _without_path(word: str) -> str:
    flag, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    path = Path(value).expanduser()
    if (
        path.is_absolute()
        or value.startswith((".", "~"))
        or value.count(os.sep) > 1
        or (os.sep in value and path.exists())
    ):
        value = path.resolve().name or value
    return f"{flag}{equals}{value}"
