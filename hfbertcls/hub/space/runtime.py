"""Waiting until a Space runs, and the reason if it does not."""

import re
import time
from typing import Any

from huggingface_hub import HfApi

from hfbertcls.errors import SharingError, printable
from hfbertcls.hub.account import asked, token_of
from hfbertcls.hub.secrets import secrets_in
from hfbertcls.progress import Log


_GOES_ON = frozenset(("BUILDING", "RUNNING_BUILDING", "APP_STARTING", "RUNNING_APP_STARTING"))
_FAILED = frozenset(("NO_APP_FILE", "CONFIG_ERROR", "BUILD_ERROR", "RUNTIME_ERROR", "DELETING"))
_MEANINGS = {
    "NO_APP_FILE": "has no app file",
    "CONFIG_ERROR": "is refused for the settings at the top of its README.md",
    "BUILDING": "is being built",
    "BUILD_ERROR": "could not be built",
    "RUNNING": "is running",
    "RUNNING_BUILDING": "is being built; its former version still runs",
    "RUNTIME_ERROR": "was built, but its app ended with an error",
    "DELETING": "is being deleted",
    "STOPPED": "is stopped",
    "PAUSED": "is paused; restart it on its page",
    "APP_STARTING": "is starting",
    "RUNNING_APP_STARTING": "is starting; its former version still runs",
}
_LOG_OF = {"BUILD_ERROR": "build", "CONFIG_ERROR": "build", "RUNTIME_ERROR": "run"}
_LOG_LINES = 12
_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 20.0  # seconds; each pause is half as long again as the one before
_GRACE = 60.0  # seconds after which a stage counts without proof that it is that of the new commit
_STEERING = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def wait_for_stage(api: HfApi, space_id: str, oid: str | None, log: Log, timeout: float) -> str:
    """Wait until the Space has a stage that stays, with the files of a commit.

    Just after a push the Hub may still report the stage of the earlier commit. A stage counts if the Hub attributes it
    to the new commit, if it follows a build or start, or if it has stayed for a minute.

    Args:
        api: of huggingface_hub.
        space_id: the Space.
        oid: of the commit that is to run; None if none was made.
        log: gets a line for each change of the stage.
        timeout: in seconds.

    Returns:
        The stage, as the Hub calls it; `RUNNING` if all went well.

    Raises:
        SharingError: with the end of the log if the Space cannot be built or its app ends; if it takes too long; if
            the Hub does not answer.
    """
    began = time.monotonic()
    pause, last_stage, has_moved = _FIRST_PAUSE, "", False
    failure = f"{space_id} has its files, but its stage cannot be asked for"
    while True:
        raw = asked(lambda: api.get_space_runtime(space_id), failure).raw
        stage, waited = str(raw["stage"]), time.monotonic() - began
        has_moved = has_moved or stage in _GOES_ON
        counts = _counts(raw, stage, oid, has_moved) or waited >= _GRACE
        if stage != last_stage and (counts or stage in _GOES_ON):
            log(f"The Space {_MEANINGS.get(stage, f'has the stage {printable(stage)}')}")
            last_stage = stage
        if counts and stage in _FAILED:
            raise SharingError(_failure(api, space_id, raw, stage))
        if counts and stage not in _GOES_ON:
            return stage
        if waited >= timeout:
            raise SharingError(
                f"{space_id} has its files, but after {waited:,.0f} s its stage is {printable(stage)}, and RUNNING was "
                f"expected. Look at {_page(api, space_id)}?logs=build, and repeat the command later"
            )
        time.sleep(min(pause, timeout - waited))
        pause = min(pause * 1.5, _LONGEST_PAUSE)


def _counts(raw: dict[str, Any], stage: str, oid: str | None, has_moved: bool) -> bool:
    """Whether a stage is that of the commit, according to the Hub."""
    if oid is None:
        return True
    if raw.get("sha") is None or stage in _FAILED:
        return has_moved or raw.get("sha") == oid
    return bool(raw["sha"] == oid)


def _failure(api: HfApi, space_id: str, raw: dict[str, Any], stage: str) -> str:
    reason = raw.get("errorMessage")
    parts = [f"the Space {space_id} has its files, but it {_MEANINGS[stage]} ({stage})"]
    if reason:
        parts.append(f"the Hub says: {_safe(str(reason), token_of(api))}")
    if stage in _LOG_OF:
        parts.append(_end_of_log(api, space_id, _LOG_OF[stage]))
    parts.append(f"The whole log stands at {_page(api, space_id)}?logs={_LOG_OF.get(stage, 'build')}")
    return "\n".join(parts)


def _end_of_log(api: HfApi, space_id: str, kind: str) -> str:
    """The last lines of a log, or why there are none."""
    try:
        chunks = asked(
            lambda: list(api.fetch_space_logs(space_id, build=kind == "build")), f"the {kind} log cannot be read"
        )
    except SharingError as err:
        return str(err)
    lines = [line for line in _STEERING.sub("", "".join(map(_ended, chunks))).splitlines() if line.strip()]
    if not lines:
        return f"the {kind} log is empty"
    shown = "\n".join(f"  {_safe(line, token_of(api))}" for line in lines[-_LOG_LINES:])
    return f"the {kind} log ends with:\n{shown}"


def _ended(chunk: str) -> str:
    return chunk if chunk.endswith("\n") else f"{chunk}\n"


def _safe(line: str, token: str | None) -> str:
    """A line of what an app wrote, for a terminal; without the secrets that it may have printed."""
    if (token and token in line) or secrets_in(line.encode("utf-8", "surrogatepass")):
        return "(a line that is not shown, because it holds what looks like a secret)"
    return printable(line.rstrip(), 300)


def _page(api: HfApi, space_id: str) -> str:
    return f"{api.endpoint}/spaces/{space_id}"
