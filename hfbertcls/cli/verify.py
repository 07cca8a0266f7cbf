"""`hfbertcls verify`: recompute every metric of a model repository."""

import argparse
import json
from dataclasses import asdict
from typing import Any

from hfbertcls.cli.options import add_data_options, refuse_unknown
from hfbertcls.cli.parser import Parser
from hfbertcls.cli.process import log


def add_parser(verbs: Any) -> Parser:
    """Declare the verb."""
    parser: Parser = verbs.add_parser(
        "verify",
        allow_abbrev=False,
        help="recompute every metric on a card from the files beside it",
        description="Recompute report and card of a model repository from its predictions, and compare all hashes. "
        "Exit 1 if anything differs. It proves that the files belong together, not who made them.",
    )
    parser.add_argument("model", metavar="DIR_OR_REPO", help="a directory, or a repository on the Hub")
    parser.add_argument("--revision", metavar="R", help="branch, tag or commit of the repository")
    parser.add_argument(
        "--rescore", action="store_true", help="run the model again on --dataset, and compare the logits"
    )
    parser.add_argument(
        "--without-predictions",
        action="store_true",
        help="accept missing prediction files and check the rest (default: exit code 1)",
    )
    add_data_options(parser, required=False)
    return parser


def run(options: argparse.Namespace) -> int:
    """Verify."""
    refuse_unknown(options)

    from hfbertcls.errors import ConfigurationError
    from hfbertcls.workflows.verify import verify

    if options.rescore != (options.dataset is not None):
        raise ConfigurationError("--rescore needs --dataset D with the texts, and --dataset is for --rescore alone")
    predictions = not options.without_predictions
    verification = verify(options.model, options.dataset, revision=options.revision, predictions=predictions, log=log)
    if options.json:
        print(json.dumps({"holds": verification.holds, **asdict(verification)}, indent=2, ensure_ascii=False))
    else:
        for note in (*verification.rescored, *verification.notes):
            print(f"note: {note}")
        for line in verification.missing:
            print(f"missing: {line}")
        for line in verification.differences:
            print(f"differs: {line}")
        print(verification.verdict)
    return 0 if verification.holds else 1
