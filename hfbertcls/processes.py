"""The processes of a run that `torchrun` or `accelerate launch` started.

The first process leads: it reads, checks, writes, pushes and speaks. The others follow: they do what it asks for with
`everywhere`, such as training together with it. The result or the error of the leader reaches all. No other file asks
for a rank. Alone, each of these functions does its work without PyTorch's distributed package.

Messages between the processes are pickled Python objects over gloo, beside the connections that train. Waiting for a
message has no time limit, because the leader alone may be busy for hours; `torchrun` ends all processes if one ends.
"""

import atexit
import contextlib
import os
import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, partial
from typing import Any, TypeVar, cast

from hfbertcls.errors import HfBertClsError, TrainingError


T = TypeVar("T")

LAUNCHED = (
    "RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "ROLE_RANK", "MASTER_ADDR", "MASTER_PORT",
)  # fmt: skip
"""The variables of the environment that a launcher sets."""
_ASKED_OF_ACCELERATE = ("ACCELERATE_USE_CPU", "MASTER_ADDR", "MASTER_PORT")
"""What `accelerate launch --cpu` sets where it is asked for several processes."""
_STARTED = ("RANK", "WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
"""What launchers tell the processes that they start, `mpirun` included."""
_PATIENCE = timedelta(days=30)
_LOST = ("connection closed", "connection reset", "connection refused", "broken pipe", "socket", "recvvalue failed")


@dataclass
class _Team:
    """What this process remembers of its part in a run."""

    leads: bool = False
    is_in_step: bool = False
    """Whether all processes are at work on the same call, or were when one of them failed."""


_team = _Team()


@dataclass(frozen=True)
class _End:
    """The last message of a leader: its result, or its error."""

    value: Any = None
    error: BaseException | None = None


@dataclass(frozen=True)
class _Call:
    """A message of a leader: something to do."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]


def rank() -> int:
    """The number of this process, from 0."""
    return _position()[0]


def count() -> int:
    """How many processes the run has."""
    return _position()[1]


def is_first() -> bool:
    """Whether this process leads, or is alone."""
    return rank() == 0


def are_of_one_machine() -> bool:
    """Whether all processes of the run are on this machine, as far as its launcher says."""
    return os.environ.get("LOCAL_WORLD_SIZE", "1") == os.environ.get("WORLD_SIZE", "1")


def cuda_device() -> str | None:
    """The GPU of this process; None without one."""
    import torch  # noqa: PLC0415  (takes seconds)

    if not torch.cuda.is_available():
        return None
    return f"cuda:{int(os.environ.get('LOCAL_RANK', '0')) % torch.cuda.device_count()}"


def device_like(device: Any) -> Any:
    """The device of this process, of the same kind as that of the first one.

    Args:
        device: a `torch.device`.
    """
    import torch  # noqa: PLC0415  (takes seconds)

    return torch.device(cuda_device() or "cpu") if device.type == "cuda" else device


def note_on_launcher() -> str | None:
    """What a person should know if a launcher was asked for several processes and started this one alone.

    `accelerate launch --cpu --num_processes 2` sets an address to meet at, and starts one process, because on a CPU it
    leaves the others to `mpirun` (seen in accelerate 1.15). It does not tell how many were asked for.
    """
    asked = all(os.environ.get(name) for name in _ASKED_OF_ACCELERATE)
    if not asked or os.environ["ACCELERATE_USE_CPU"].lower() != "true":
        return None
    if any(name in os.environ for name in _STARTED):
        return None
    return (
        "`accelerate launch --cpu` was asked for several processes and started one, because on a CPU it leaves the others to mpirun. "
        "This run has one process. For two, use `torchrun --nproc-per-node 2` in its place, or `hfbertcls train "
        "--num-processes 2`"
    )


def join() -> None:
    """Join PyTorch's process group; a trainer does this by itself."""
    if count() == 1:
        return
    import torch.distributed as dist  # noqa: PLC0415  (takes seconds)

    if not dist.is_initialized():
        dist.init_process_group("gloo", timeout=_PATIENCE)


def wait_for_all() -> None:
    """Wait until all processes have called this."""
    gather(None)


def first_then_other_machines() -> Iterator[bool]:
    """Whether it is the turn of this process: of the first one, then of the first one of each other machine.

    All processes loop over this together.
    """
    yield is_first()
    wait_for_all()
    yield not is_first() and os.environ.get("LOCAL_RANK", "0") == "0"
    wait_for_all()


def work_alone() -> None:
    """Forget the other processes, which have nothing to do."""
    for name in LAUNCHED:
        os.environ.pop(name, None)


def lead(story: Callable[[], T]) -> T:
    """Run a story in the first process, and let the others do what it asks for until it ends.

    All processes call this, after they have joined PyTorch's process group. Inside of a story it just runs.

    ```python
    >>> lead(lambda: 42)
    42
    ```

    Args:
        story: of the first process.

    Returns:
        Its result, in every process. In the others it is None if it cannot be pickled.

    Raises:
        Exception: that of the story, in every process.
        TrainingError: if another process has ended.
    """
    if count() == 1 or _team.leads:
        return story()
    if not is_first():
        return cast(T, _follow())
    _team.leads = True
    try:
        result = story()
    except BaseException as err:
        if not _team.is_in_step:  # (else the others are not waiting for a message)
            _send(_End(error=err))
        raise
    finally:
        _team.leads = False
    _send(_End(value=result))
    return result


def everywhere(function: Callable[..., Any], *arguments: Any, here: Callable[[], T]) -> T:
    """Let all processes work at the same time, from the story of the leader.

    Args:
        function: of the others, which know it by name. It may use the connections between the processes.
        *arguments: of the function; they are pickled.
        here: the work of this process.

    Returns:
        The result of `here`.
    """
    if not _team.leads:
        return here()
    _send(_Call(function, arguments))
    _team.is_in_step = True
    result = here()
    _team.is_in_step = False
    return result


def spread(function: Callable[[Any, Any], T], common: Any, items: Sequence[Any], here: Callable[[Any], T]) -> list[T]:
    """Call a function for each item, spread over the processes, from the story of the leader.

    ```python
    >>> spread(pow, 2, [3, 4], here=lambda item: pow(2, item))
    [8, 16]
    ```

    Args:
        function: called with `common` and an item in the other processes, which know it by name.
        common: what all calls need.
        items: pickled, as is `common`.
        here: called with an item in this process.

    Returns:
        The results in the order of the items.
    """
    if not _team.leads:
        return [here(item) for item in items]
    shares = everywhere(_share, partial(function, common), items, here=lambda: _share(here, items))
    return [shares[number % count()][number // count()] for number in range(len(items))]


def my_share(items: Sequence[T]) -> Sequence[T]:
    """The items that `spread` leaves to this process, from the story of the leader; alone, all of them."""
    return items[rank() :: count()] if _team.leads else items


def _share(function: Callable[[Any], T], items: Sequence[Any]) -> list[list[T]]:
    """The results of all processes, after each has done its part."""
    return gather([function(item) for item in items[rank() :: count()]])


def pack(value: Any) -> bytes:
    """A value as it is now, to be sent later; empty if no other process needs it."""
    return pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL) if count() > 1 else b""


def unpack(packed: bytes) -> Any:
    """The value of `pack`."""
    return pickle.loads(packed)


def broadcast(value: T) -> T:
    """The value of the first process, in all."""
    return value if count() == 1 else cast(T, _exchange(value))


def gather(value: T) -> list[T]:
    """The values of all processes, in all, in the order of their ranks."""
    if count() == 1:
        return [value]
    import torch.distributed as dist  # noqa: PLC0415  (takes seconds)

    values: list[Any] = [None] * count()
    dist.all_gather_object(values, value, group=_group())
    return values


class Agreement:
    """Whether any process has raised a flag, known to all with a delay of one call.

    Nobody waits for it: the answer to a call is on its way until the next one.
    """

    def __init__(self) -> None:
        self._pending: tuple[Any, Any] | None = None

    def any(self, flag: bool) -> bool:
        """Whether a flag of the call before this one was up in any process; alone, that of this call."""
        if count() == 1:
            return flag
        import torch  # noqa: PLC0415  (takes seconds)
        import torch.distributed as dist  # noqa: PLC0415

        before = self._pending
        number = torch.tensor(int(flag))
        self._pending = dist.all_reduce(number, dist.ReduceOp.MAX, group=_group(), async_op=True), number
        if before is None:
            return False
        before[0].wait()
        return bool(before[1])

    def finish(self) -> None:
        """Wait for what is on its way; all processes call this."""
        if self._pending is not None:
            self._pending[0].wait()
            self._pending = None


def lost_another(err: BaseException) -> bool:
    """Whether an error says that another process of the run has ended."""
    if count() == 1 or isinstance(err, HfBertClsError) or not isinstance(err, RuntimeError):
        return False
    message = str(err).lower()
    return "gloo" in message or "nccl" in message or any(words in message for words in _LOST)


def error_of_lost_process() -> TrainingError:
    """The error for a person when another process has ended."""
    return TrainingError(
        f"another of the {count()} processes of this run has ended. Its message, if it left one, stands above. The checkpoints are "
        "intact: repeat the command with --resume"
    )


def speaks_first() -> bool:
    """Whether this process is the first one that reports a failure; the others have nothing to add."""
    if count() == 1:
        return True
    store = _store()
    if store is None:
        return is_first()
    with contextlib.suppress(Exception):
        return bool(store.add("hfbertcls/has_spoken", 1) == 1)
    return is_first()  # (the store is gone with the process that held it)


def _position() -> tuple[int, int]:
    dist: Any = sys.modules.get("torch.distributed")
    if dist is not None and dist.is_available() and dist.is_initialized():
        return int(dist.get_rank()), int(dist.get_world_size())
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def _follow() -> Any:
    while True:
        message = _exchange(None)
        if isinstance(message, _End):
            if message.error is not None:
                raise message.error
            return message.value
        message.function(*message.arguments)


def _send(message: "_End | _Call") -> None:
    if isinstance(message, _End):
        message = _sendable(message)
    _exchange(message)


def _sendable(end: _End) -> _End:
    """The end of a story with what can be pickled of it."""
    try:
        pickle.loads(pickle.dumps(end))
    except Exception:  # noqa: BLE001  (whatever pickle meets)
        return _End(error=None if end.error is None else TrainingError(str(end.error)))
    return end


def _exchange(value: Any) -> Any:
    """The value of the first process."""
    import torch.distributed as dist  # noqa: PLC0415  (takes seconds)

    values = [value]
    dist.broadcast_object_list(values, src=0, group=_group())
    return values[0]


@cache
def _group() -> Any:
    """The connections for messages; all processes make them with their first message."""
    import torch.distributed as dist  # noqa: PLC0415  (takes seconds)

    atexit.register(_leave)
    return dist.new_group(backend="gloo", timeout=_PATIENCE)


def _leave() -> None:
    """Close the connections for messages, and wait for their threads.

    One that lets go of a tensor after Python has ended aborts the process (seen in torch 2.13), so nothing may refer to
    the group any more.
    """
    import torch.distributed as dist  # noqa: PLC0415  (loaded long ago)

    if dist.is_initialized():
        dist.destroy_process_group(_group())
    _group.cache_clear()


def _store() -> Any:
    dist: Any = sys.modules.get("torch.distributed")
    if dist is None or not dist.is_initialized():
        return None
    return dist.distributed_c10d._get_default_store()
