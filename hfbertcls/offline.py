"""Whether something was not to be had because the Hub cannot be reached, and what to do then."""

import os
from collections.abc import Iterator


_TRANSPORT = ("httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3")
_SAYING_SO = {"OfflineModeIsEnabled", "LocalEntryNotFoundError"}


def unreachable_hub(err: BaseException, wanted: str, absent: str = "") -> str | None:
    """What to tell a person if `err` says that the Hub was not reached; None if it says anything else.

    Args:
        err: of transformers, datasets or huggingface_hub.
        wanted: what was asked for (`"the model 'user/name'"`).
        absent: what is not on this machine, if the name may have been one of a directory.
    """
    if not any(_is_of_the_network(one) for one in _chain(err)):
        return None
    wanted = f"{absent}; {wanted}" if absent else wanted
    switched = [
        name for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE") if os.environ.get(name)
    ]
    if switched:
        return (
            f"{wanted} is not in the cache of this machine, and {switched[0]} is set. Unset it, or name a local copy"
        )
    hub = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    return (
        f"{wanted} is not in the cache of this machine, and the Hub ({hub}) cannot be reached: the machine seems to be "
        "offline. Check the network, or name a local copy"
    )


def _chain(err: BaseException) -> Iterator[BaseException]:
    """The error, and what it came from."""
    seen: BaseException | None = err
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _is_of_the_network(err: BaseException) -> bool:
    kind = type(err)
    is_transport = kind.__module__.partition(".")[0] in _TRANSPORT and "Status" not in kind.__name__
    return is_transport or kind.__name__ in _SAYING_SO or isinstance(err, ConnectionError)
