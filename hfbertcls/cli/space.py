"""`hfbertcls space`: a demo of a model, on the Hub or on this machine."""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hfbertcls.cli.options import refuse_unknown
from hfbertcls.cli.parser import Parser
from hfbertcls.cli.process import log
from hfbertcls.commands import command, pip_install
from hfbertcls.environment import local_path
from hfbertcls.errors import ConfigurationError, MissingAssetError, OutputDirectoryError, no_directory


if TYPE_CHECKING:
    from hfbertcls.hub.space.deployment import DeployedSpace
    from hfbertcls.hub.space.destination import SpaceRequest
    from hfbertcls.hub.space.render import SpaceFacts


def add_parser(verbs: Any) -> Parser:
    """Declare the verb."""
    parser: Parser = verbs.add_parser(
        "space",
        allow_abbrev=False,
        help="a demo of a model: a Gradio Space on the Hub, or the same app here",
        description="Make or update a Gradio Space that shows a model, or run the same app on this machine.",
    )
    parser.add_argument("model", metavar="MODEL", help="Hub id, or a directory that hfbertcls train wrote")
    parser.add_argument(
        "--space-id", metavar="S", help="USER/NAME of the Space (default: the model's name, in your account)"
    )
    here = parser.add_mutually_exclusive_group()
    here.add_argument("--launch", action="store_true", help="run the app on this machine instead")
    here.add_argument("--dry-run", metavar="DIR", help="write the Space's files there, and send nothing")
    parser.add_argument("--port", type=int, metavar="N", help="with --launch (default: the first free one from 7860)")
    seen = parser.add_mutually_exclusive_group()
    seen.add_argument(
        "--public", action="store_true", help="a new Space can be seen by anyone (default: as the model)"
    )
    seen.add_argument("--private", action="store_true", help="a new Space can be seen by nobody else")
    add_space_options(parser)
    parser.add_argument(
        "--feedback-dataset",
        metavar="D",
        help="USER/NAME of a data set that the app stores feedback of visitors in (default: none is asked for)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace files that somebody edited in the Space")
    parser.add_argument("--no-wait", action="store_true", help="do not wait until the Space runs")
    return parser


def add_space_options(parser: argparse._ActionsContainer) -> None:
    """The options of a Space."""
    parser.add_argument("--hardware", metavar="H", help="hardware of the Space, such as cpu-basic or zero-a10g")
    parser.add_argument(
        "--with-token",
        action="store_true",
        help="store your token as a secret of the Space, so that it can read a private model and store feedback",
    )


def run(options: argparse.Namespace) -> int:
    """Deploy, write or launch."""
    refuse_unknown(options)
    if options.port is not None and not options.launch:
        raise ConfigurationError("--port goes with --launch")
    if options.feedback_dataset is not None and options.dry_run is not None:
        raise ConfigurationError(
            "--feedback-dataset does not go with --dry-run: it is a variable of the Space, and stands in no file"
        )
    from hfbertcls.hub.space.destination import require_feedback_dataset, require_hardware

    require_hardware(options.hardware)
    require_feedback_dataset(options.feedback_dataset)
    if options.launch:
        return _launch(options)

    from hfbertcls.hub.space.render import render_space

    facts = _facts_of(options.model, options.hardware)
    if options.dry_run is not None:
        _write(render_space(facts), local_path(options.dry_run))
        print(f"Written to {options.dry_run}. Nothing was sent")
        return 0
    if facts.model_id is None:
        raise ConfigurationError(
            f"{Path(options.model).name!r} is not on the Hub yet, so a Space could not read it. Push it first: "
            f"{command('push', options.model, 'USER/NAME')}; or see it here: {command('space', options.model, '--launch')}"
        )

    from hfbertcls.hub.space.destination import SpaceRequest

    request = SpaceRequest(
        space_id=options.space_id or facts.model_id.partition("/")[2],
        model_id=facts.model_id,
        public=True if options.public else False if options.private else None,
        hardware=options.hardware,
        with_token=options.with_token,
        overwrite=options.overwrite,
        wait=not options.no_wait,
        feedback_dataset=options.feedback_dataset,
    )
    deployed = deploy(facts, request, local_path(options.model))
    print(json.dumps(asdict(deployed), indent=2) if options.json else f"The Space: {deployed.url}")
    return 0


def deploy(facts: "SpaceFacts", request: "SpaceRequest", directory: Path) -> "DeployedSpace":
    """Create or update the Space, and link to it from the card of the model."""
    from huggingface_hub import HfApi

    from hfbertcls.hub.account import require_account
    from hfbertcls.hub.space.deployment import deploy_space
    from hfbertcls.hub.space.destination import hardware_of
    from hfbertcls.hub.space.link import link_card
    from hfbertcls.hub.space.render import render_space
    from hfbertcls.repository.model_repository import address

    if facts.hardware is None:  # (an existing Space keeps its hardware, and needs the files for it)
        api = HfApi()
        facts = replace(facts, hardware=hardware_of(require_account(api).full_name(request.space_id), api))
    deployed = deploy_space(render_space(facts), request, log)
    link_card(request.model_id, deployed.space_id, log)
    if (directory / "report.json").is_file():
        address(directory, space_id=deployed.space_id)
    return deployed


def _facts_of(model: str, hardware: str | None, *, asks: bool = True) -> "SpaceFacts":
    """The facts about a model in a directory, or on the Hub."""
    from huggingface_hub import HfApi

    from hfbertcls.hub.account import require_repo_name
    from hfbertcls.hub.space.link import download_statements

    if not model:
        raise ConfigurationError("MODEL is empty. Name a directory that hfbertcls train wrote, or a model on the Hub")
    directory = local_path(model)
    if directory.is_dir():
        return facts_in(directory, None, hardware, asks=asks)
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise OutputDirectoryError(f"{no_directory(directory)}. Name one that hfbertcls train wrote")
    require_repo_name(model)
    with tempfile.TemporaryDirectory() as folder:
        download_statements(model, Path(folder), log, HfApi())
        return facts_in(Path(folder), model, hardware, asks=asks)


def facts_in(directory: Path, model_id: str | None, hardware: str | None, *, asks: bool = True) -> "SpaceFacts":
    """The facts in the report and card of a model.

    Args:
        directory: with the report and the card, if it has them.
        model_id: on the Hub; None takes the id in the report.
        hardware: that the Space is to run on.
        asks: whether to ask the Hub if the data set is public; only a public one is named.
    """
    from hfbertcls.evaluation.report import Report
    from hfbertcls.hub.space.render import SpaceFacts, is_public_dataset

    path, card = directory / "report.json", directory / "README.md"
    try:
        report = Report.from_json(path.read_text(encoding="utf-8")) if path.is_file() else None
        text = card.read_text(encoding="utf-8-sig") if card.is_file() else ""
    except UnicodeDecodeError as err:
        raise ConfigurationError(
            f"README.md or report.json of {directory.name!r} is no text in UTF-8. Correct it"
        ) from err
    if report is None and model_id is None:
        raise OutputDirectoryError(
            f"the directory {directory.name!r} has no report.json. Name one that hfbertcls train wrote, or a model on the Hub"
        )
    if report is None:
        return SpaceFacts.of(model_id, None, text, hardware=hardware)
    shared_as = model_id or report.card.repo_id
    is_public = bool(asks and shared_as and report.data.is_hub_id and is_public_dataset(report.data.source))
    return SpaceFacts.of(shared_as, report, text, is_public=is_public, hardware=hardware)


def _write(files: Mapping[str, bytes], directory: Path) -> None:
    """Write the files of a Space into an empty or new directory."""
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise OutputDirectoryError(f"--dry-run {directory.name}: it is there and not empty. Name a new directory")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (directory / name).write_bytes(content)
    except OSError as err:
        raise OutputDirectoryError(f"--dry-run {directory.name} cannot be written: {err.strerror}") from err


def _launch(options: argparse.Namespace) -> int:
    """Run the app in a process of its own until it is stopped."""
    if find_spec("gradio") is None:
        raise MissingAssetError(f"gradio is not installed. Install it with: {pip_install('hfbertcls[demo]')}")

    from hfbertcls.hub.space.render import render_space

    directory = local_path(options.model)
    facts = _facts_of(options.model, None, asks=False)
    model = str(directory.resolve()) if directory.is_dir() else options.model
    more = {} if options.port is None else {"GRADIO_SERVER_PORT": str(_free(options.port))}
    if options.feedback_dataset is not None:
        more["FEEDBACK_DATASET"] = options.feedback_dataset
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as files:
        _write(render_space(facts), Path(folder))
        for end in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(end, signal.default_int_handler)
        log("Starting the app ...")
        app = subprocess.Popen(
            [sys.executable, "app.py"],
            cwd=folder,
            env={"GRADIO_TEMP_DIR": files, **os.environ, "MODEL_ID": model, "PYTHONUNBUFFERED": "1"} | more,
            stdin=subprocess.DEVNULL,
        )
        try:
            return 1 if app.wait() else 0
        except KeyboardInterrupt:
            app.terminate()
            app.wait()
            return 0


def _free(port: int) -> int:
    """The port, if it can be listened on.

    Raises:
        ConfigurationError: if it cannot.
    """
    if not 0 < port < 65_536:
        raise ConfigurationError(f"--port {port} is an invalid value. Expected a number from 1 to 65535")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as err:
            raise ConfigurationError(
                f"--port {port} cannot be used: {err.strerror}. Name another, or leave it out"
            ) from err
    return port
