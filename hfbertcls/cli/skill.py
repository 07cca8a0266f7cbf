"""`hfbertcls skill`: tell coding agents how to use hfbertcls."""

import argparse
from pathlib import Path
from typing import Any

from hfbertcls.cli.options import refuse_unknown
from hfbertcls.cli.parser import Parser
from hfbertcls.cli.reference import command_line, errors_and_exit_codes
from hfbertcls.errors import OutputDirectoryError


_FOLDERS = (Path(".agents/skills/hfbertcls"), Path(".claude/skills/hfbertcls"))
"""Where agents look for skills: the common place, and that of Claude Code."""


def add_parser(verbs: Any) -> Parser:
    """Declare the verb."""
    parser: Parser = verbs.add_parser(
        "skill",
        allow_abbrev=False,
        help="tell coding agents how to use hfbertcls",
        description="Write SKILL.md and its references to .agents/skills and .claude/skills, where coding agents look for skills.",
    )
    parser.add_argument(
        "--user", action="store_true", help="in the home directory, for all projects (default: the current directory)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace files that somebody changed")
    return parser


def run(options: argparse.Namespace) -> int:
    """Write the files."""
    refuse_unknown(options)
    place = Path.home() if options.user else Path()
    files = skill_files(options.program)
    paths = {place / folder / name: text for folder in _FOLDERS for name, text in files.items()}
    changed = [path for path, text in paths.items() if path.exists() and path.read_text(encoding="utf-8") != text]
    if changed and not options.overwrite:
        raise OutputDirectoryError(
            f"{changed[0]} is there already, and differs: another version of hfbertcls wrote it, or somebody changed it. "
            "Replace it with --overwrite"
        )
    for path, text in paths.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for folder in _FOLDERS:
        print(place / folder)
    return 0


def skill_files(program: Parser) -> dict[str, str]:
    """The files of the skill by their names in its folder."""
    return {
        "SKILL.md": Path(__file__).with_name("SKILL.md").read_text(encoding="utf-8"),
        "references/commands.md": command_line(program),
        "references/errors.md": errors_and_exit_codes(),
    }
