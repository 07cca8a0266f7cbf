"""`hfbertcls push`: push a trained directory, also long after training."""

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from hfbertcls.cli.options import refuse_unknown
from hfbertcls.cli.parser import Parser
from hfbertcls.cli.process import log
from hfbertcls.commands import command


if TYPE_CHECKING:
    from hfbertcls.hub.push import Pushed, PushRequest


def add_parser(verbs: Any) -> Parser:
    """Declare the verb."""
    parser: Parser = verbs.add_parser(
        "push",
        allow_abbrev=False,
        help="push a trained directory to the Hub, in one commit",
        description="Push a directory that train wrote, as one commit: model, tokenizer, card, report, predictions, plots.",
    )
    parser.add_argument("directory", metavar="DIR", help="that hfbertcls train wrote")
    parser.add_argument("repo_id", metavar="USER/NAME", help="the repository; created as private if it does not exist")
    add_sharing_options(parser)
    return parser


def add_sharing_options(parser: argparse._ActionsContainer) -> None:
    """The options of a push."""
    parser.add_argument(
        "--public", action="store_true", help="a new repository can be seen by anyone (default: private)"
    )
    parser.add_argument("--create-pr", action="store_true", help="propose the change as a pull request")
    parser.add_argument("--hub-revision", metavar="BRANCH", help="push to this branch instead of main")
    parser.add_argument("--tag", metavar="NAME", help="tag the commit")
    parser.add_argument("--no-predictions", action="store_true", help="do not upload predictions/")
    parser.add_argument(
        "--card", choices=("hub", "local"), help="which text to keep where both cards were edited", dest="card_of"
    )
    parser.add_argument(
        "--overwrite-hub",
        action="store_true",
        help="replace files in the repository that no push of hfbertcls wrote (default: an error)",
    )


def request_of(options: argparse.Namespace, repo_id: str) -> "PushRequest":
    """The request that the options make."""
    from hfbertcls.hub.push import PushRequest

    return PushRequest(
        repo_id=repo_id,
        public=options.public,
        create_pr=options.create_pr,
        revision=options.hub_revision,
        tag=options.tag,
        predictions=not options.no_predictions,
        card_of=options.card_of,
        overwrite=options.overwrite_hub,
    )


def run(options: argparse.Namespace) -> int:
    """Push."""
    refuse_unknown(options)

    from hfbertcls.hub.push import push_directory

    request = request_of(options, options.repo_id)
    pushed = push_directory(options.directory, request, log)
    if options.json:
        print(json.dumps(asdict(pushed), indent=2))
    else:
        print(what_came_of(pushed, request))
    return 0


def what_came_of(pushed: "Pushed", request: "PushRequest") -> str:
    """The address of the model, and the next commands, ready to paste."""
    if pushed.pr_url is not None:
        return f"Proposed: {pushed.pr_url}"
    where = "".join([f'"{pushed.repo_id}"', f', revision="{request.revision}"' if request.revision else ""])
    lines = [
        f"Pushed: {pushed.url}",
        f"Use it in Python: from hfbertcls import load_pipeline; print(load_pipeline({where})('some text'))",
        f"Check it: {command('verify', pushed.repo_id, '--revision', pushed.oid)}",
    ]
    if request.revision is None:  # (a Space reads the main branch)
        token = ("--with-token",) if pushed.private else ()  # (else the Space could not read the model)
        lines.append(f"Show it: {command('space', pushed.repo_id, *token)}")
    return "\n".join(lines)
