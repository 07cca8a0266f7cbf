"""`hfbertcls extension`: make `hf bertcls ...` call this installation."""

import argparse
import json
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hfbertcls.cli.options import refuse_unknown
from hfbertcls.cli.parser import Parser
from hfbertcls.commands import command
from hfbertcls.errors import MissingAssetError


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
    if options.what == "remove":
        shutil.rmtree(folder, ignore_errors=True)
        print("`hf bertcls` is no longer known")
        return 0
    script = Path(sys.executable).parent / _SCRIPT
    if not script.is_file():
        found = shutil.which(_SCRIPT)
        if found is None:
            raise MissingAssetError(
                f"the script {_SCRIPT} is not installed beside {Path(sys.executable).name}. Install hfbertcls with pip"
            )
        script = Path(found)
    manifest = {
        "owner": "hfbertcls",
        "repo": _SCRIPT,
        "repo_id": f"hfbertcls/{_SCRIPT}",
        "short_name": "bertcls",
        "executable_path": str(script.resolve()),
        "type": "python",
        "installed_at": datetime.now(UTC).isoformat(),
        "description": "Turn labelled text into a classifier whose figures can be re-derived.",
        "commit_sha": None,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    print(
        f"`hf bertcls ...` now calls {script.name} of this environment. To undo it: {command('extension', 'remove')}"
    )
    return 0
