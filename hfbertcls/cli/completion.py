"""`hfbertcls completion`: complete commands and options in a shell."""

import argparse
from typing import Any

from hfbertcls.cli.options import refuse_unknown
from hfbertcls.cli.parser import Parser


def add_parser(verbs: Any) -> Parser:
    """Declare the verb."""
    parser: Parser = verbs.add_parser(
        "completion",
        allow_abbrev=False,
        help="complete commands and options in a shell",
        description=(
            'Print a script that completes commands and options. bash: eval "$(hfbertcls completion bash)" in ~/.bashrc; '
            "zsh: hfbertcls completion zsh > _hfbertcls in a folder of $fpath."
        ),
    )
    parser.add_argument("shell", choices=("bash", "zsh"), help="the shell")
    return parser


def run(options: argparse.Namespace) -> int:
    """Print the script."""
    refuse_unknown(options)

    import shtab

    print(shtab.complete(options.program, options.shell))
    return 0
