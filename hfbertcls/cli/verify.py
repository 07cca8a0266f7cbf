"""`hfbertcls verify`: derive every figure of a model repository again."""

import argparse
import json
from pathlib import Path
from typing import Any

from hfbertcls.cli.options import add_data_options, refuse_unknown
from hfbertcls.cli.parser import Parser
from hfbertcls.cli.process import say


def add_parser(verbs: Any) -> Parser:
    """Declare the verb."""
    parser: Parser = verbs.add_parser(
        "verify",
        allow_abbrev=False,
        help="derive every figure on a card again from the files beside it",
        description="Derive report and card of a model repository again from its predictions, and compare all hashes. "
        "Exit 1 if anything differs. It proves that the files belong together, not who made them.",
    )
    parser.add_argument("model", metavar="DIR_OR_REPO", help="a directory, or a repository on the Hub")
    parser.add_argument("--revision", metavar="R", help="branch, tag or commit of the repository")
    parser.add_argument(
        "--rescore", action="store_true", help="run the model again on --dataset, and compare the logits"
    )
    add_data_options(parser, required=False)
    return parser


def run(options: argparse.Namespace) -> int:
    """Verify."""
    refuse_unknown(options)

    from hfbertcls.errors import ConfigurationError
    from hfbertcls.sharing.verify import Verification, verify_directory, verify_repository

    if options.rescore != (options.dataset is not None):
        raise ConfigurationError("--rescore needs --dataset D with the texts, and --dataset is for --rescore alone")
    is_local = Path(options.model).expanduser().is_dir()
    if is_local and options.revision is not None:
        raise ConfigurationError(f"--revision {options.revision} has no meaning for a directory. Leave it out")
    found = verify_directory(options.model) if is_local else verify_repository(options.model, options.revision)
    if options.rescore:
        from hfbertcls.measure import rescore

        again = rescore(options.model, options.dataset, options.revision, say)
        found = Verification(found.differences + again.differences, found.notes + again.notes)
    if options.json:
        print(json.dumps({"differences": found.differences, "notes": found.notes}, indent=2, ensure_ascii=False))
    else:
        for note in found.notes:
            print(f"note: {note}")
        for difference in found.differences:
            print(f"differs: {difference}")
        if not found.differences:
            print(
                "Every figure follows from the files; all hashes are right. (This proves integrity, not authorship.)"
            )
    return 1 if found.differences else 0
