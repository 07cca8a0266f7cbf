"""`hfbertcls extension`: make `hf bertcls ...` call this installation."""

import argparse
import contextlib
import json
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hfbertcls.cli.options import refuse_unknown
from hfbertcls.cli.parser import Parser
from hfbertcls.commands import command
from hfbertcls.errors import ConfigurationError, MissingAssetError


# Where the `hf` command keeps its extensions (huggingface_hub 1.33 to 2.4); it reads nothing but the manifest.
_FOLDER = Path("~/.local/share/hf/extensions/hf-bertcls")
_SCRIPT = "hf-bertcls"


def add_parser(verbs: Any) -> Parser:
    """Declare the verb."""
    parser: Parser = verbs.add_parser(
        "extension",
        allow_abbrev=False,
        help="make `hf bertcls ...` call this installation",
        description="Register this installation with the `hf` command, so that `hf bertcls train ...` is `hfbertcls train ...`.",
    )
    parser.add_argument("what", choices=("register", "remove"), help="write or remove the entry in ~/.local/share/hf")
    return parser


def run(options: argparse.Namespace) -> int:
    """Register or remove."""
    refuse_unknown(options)
    folder = _FOLDER.expanduser()
    path = folder / "manifest.json"
    if path.exists() and not _is_ours(path):
        raise ConfigurationError(
            f"another program registered `hf {_SCRIPT.removeprefix('hf-')}` in {folder.name}. Remove that first"
        )
    if options.what == "remove":
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # (files of others stay)
            folder.rmdir()
        print("`hf bertcls` is no longer registered")
        return 0
    script = Path(sys.executable).parent / _SCRIPT
    if not script.is_file():
        location = shutil.which(_SCRIPT)
        if location is None:
            raise MissingAssetError(
                f"the script {_SCRIPT} is not installed beside {Path(sys.executable).name}. Install hfbertcls with pip"
            )
        script = Path(location)
    manifest = {
        "owner": "hfbertcls",
        "repo": _SCRIPT,
        "repo_id": f"hfbertcls/{_SCRIPT}",
        "short_name": "bertcls",
        "executable_path": str(script.resolve()),
        "type": "python",
        "installed_at": datetime.now(UTC).isoformat(),
        "description": "Turn labelled text into a classifier whose metrics can be recomputed.",
        "commit_sha": None,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    print(
        f"`hf bertcls ...` now calls {script.name} of this environment. To undo it: {command('extension', 'remove')}"
    )
    return 0


def _is_ours(path: Path) -> bool:
    """Whether `register` wrote a manifest."""
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and manifest.get("owner") == "hfbertcls"
