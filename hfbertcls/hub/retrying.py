"""Retries of requests to the Hub, and the reason of a failure in one line."""

import os
import time
from collections.abc import Callable
from typing import Any

from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled, RevisionNotFoundError

from hfbertcls.commands import log_in
from hfbertcls.errors import HfBertClsError, SharingError, shorten
from hfbertcls.progress import Log


ATTEMPTS = 5
_FIRST_WAIT = 1.0  # seconds; doubled after each attempt
_TRANSIENT = frozenset((408, 409, 412, 425, 429, 500, 502, 503, 504))
_TRANSPORT = ("httpx", "httpx2", "httpcore", "httpcore2", "hf_xet")
_EXPLANATIONS = {
    401: "the token is not valid (log in with `{log_in}`, or set HF_TOKEN)",
    402: "a paid plan is needed for this",
    403: "this account or token may not write there (a token needs the role 'write')",
    404: "there is no such repository, or this account may not see it",
    413: "the upload is larger than the Hub accepts",
}


def tried(action: Callable[[], Any], log: Log) -> Any:
    """Retry an action after transient errors; the last error is raised."""
    last: Exception | None = None
    for attempt in range(ATTEMPTS):
        if attempt:
            wait(attempt, last, log)
        try:
            return action()
        except Exception as err:  # noqa: BLE001  (judged by its message)
            last = err
            if not may_pass(err):
                break
    raise last if last is not None else SharingError("nothing was tried")


def may_pass(err: Exception) -> bool:
    """Whether an error may be transient; our own errors are final."""
    if isinstance(err, OfflineModeIsEnabled | RevisionNotFoundError | HfBertClsError):
        return False
    if isinstance(err, HfHubHTTPError):
        return err.response.status_code in _TRANSIENT
    module = type(err).__module__.partition(".")[0]
    return (
        isinstance(err, OSError)
        or module in _TRANSPORT
        or (isinstance(err, RuntimeError) and "xet" in str(err).lower())
    )


def wait(attempt: int, err: Exception | None, log: Log) -> None:
    """Wait before an attempt (counted from 0), longer each time, or as long as the Hub asks for."""
    seconds = _FIRST_WAIT * 2 ** (attempt - 1)
    if isinstance(err, HfHubHTTPError):
        retry_after = err.response.headers.get("Retry-After", "")
        seconds = max(seconds, min(float(retry_after), 300.0)) if retry_after.isdecimal() else seconds
    if err is not None:
        log(f"  {reason_of(err)}; trying again in {seconds:.0f} s")
    time.sleep(seconds)


def status_of(err: Exception) -> int | None:
    """The status of an answer of the Hub; None for anything else."""
    return int(err.response.status_code) if isinstance(err, HfHubHTTPError) else None


def reason_of(err: Exception, *, quoted: bool = True) -> str:
    """What went wrong, in one line.

    Args:
        err: an error of the client or its transport.
        quoted: whether to quote the message; not where the request held a secret.
    """
    if isinstance(err, HfHubHTTPError):
        status = err.response.status_code
        quote = shorten(str(err.server_message), 160) if err.server_message and quoted else ""
        meaning = _EXPLANATIONS.get(status)
        if meaning is not None:
            meaning = meaning.format(log_in=log_in())
        else:
            meaning = (
                "somebody else changed the repository"
                if status == 412
                else "the Hub has trouble"
                if status >= 500
                else ""
            )
            meaning = "too many requests" if status == 429 else meaning
        return ", ".join(filter(None, (f"the Hub answered {status}", meaning, quote)))
    if isinstance(err, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set, so the Hub is not asked"
    detail = f" ({shorten(str(err), 160)})" if quoted else ""
    if not may_pass(err):
        return f"{type(err).__name__}{detail}"
    return f"{type(err).__name__}{detail}; is the Hub ({os.environ.get('HF_ENDPOINT', 'huggingface.co')}) reachable?"
