"""Where the two folders that live beside the package are: in the wheel, or in a checkout."""

from pathlib import Path


_PACKAGE_DIR = Path(__file__).resolve().parent


def resource_dir(name: str) -> Path:
    """Return the directory of a resource folder such as `"model_card_templates"`.

    In a wheel the folder is inside the package; in a checkout or an editable install it is beside it.

    Raises:
        FileNotFoundError: if it is in neither place, which means that the installation is broken.
    """
    inside = _PACKAGE_DIR / name
    if inside.is_dir():
        return inside
    beside = _PACKAGE_DIR.parent / name
    if beside.is_dir() and (_PACKAGE_DIR.parent / "pyproject.toml").is_file():
        return beside
    raise FileNotFoundError(f"hfbertcls has no folder {name!r} inside its package or beside it; reinstall hfbertcls")
