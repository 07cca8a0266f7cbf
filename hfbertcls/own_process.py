"""A function in a Python process of its own, which knows of no launcher: for whole runs that are spread over processes.

A process that torchrun has started trains together with the others. One that was started here is alone, on the GPU of the
process that started it.
"""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

from hfbertcls import processes
from hfbertcls.errors import TrainingError
from hfbertcls.progress import print_line, watched


T = TypeVar("T")

_KEEP_FREED_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1)}
"""What the command line asks glibc for, as variables of the environment."""


def in_own_process(function: Callable[..., T], *arguments: Any, speaks: bool) -> T:
    """Call a function in a new Python process, and wait for it.

    SIGINT and SIGTERM are passed on, so that a run saves a checkpoint. The process ends if this one does.

    Args:
        function: of a module. It is called with the arguments, and then with a `Log`.
        *arguments: pickled.
        speaks: whether the log and the progress go to standard error; else nothing is shown.

    Returns:
        The result of the function.

    Raises:
        Exception: that of the function.
        TrainingError: if the process ended without a result.
    """
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "hfbertcls.own_process"],
        env=_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # (Ctrl-C reaches it through this process alone)
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process, _signals_passed_on(process):
        with contextlib.suppress(BrokenPipeError):  # (it has ended already, without an answer)
            process.stdin.write(pickle.dumps((function, arguments, speaks), protocol=pickle.HIGHEST_PROTOCOL))
            process.stdin.flush()
        answer = process.stdout.read()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        process.wait()
    if not answer:
        raise TrainingError(
            f"the process of a run has ended with exit code {process.returncode}. Its message, if it left one, stands above. "
            "The checkpoints are intact: repeat the command with --resume"
        )
    result, error = pickle.loads(answer)
    if error is not None:
        raise error
    return cast(T, result)


def _environment() -> dict[str, str]:
    """That of this process without its launcher, with its GPU alone."""
    environment = {key: value for key, value in os.environ.items() if key not in processes.LAUNCHED}
    if (device := processes.cuda_device()) is not None:
        index = int(device.removeprefix("cuda:"))
        visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
        environment["CUDA_VISIBLE_DEVICES"] = visible[index] if visible else str(index)
    return environment | _KEEP_FREED_MEMORY


@contextlib.contextmanager
def _signals_passed_on(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Inside, the two signals that end a run go to a process; in a thread, where Python cannot, this does nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        number: signal.signal(number, lambda number, _: process.send_signal(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _main() -> None:
    """What the new process does."""
    results = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # (what a library prints is no result)
    function, arguments, speaks = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    result, error = None, None
    try:
        with watched(print_line if speaks else None) as log:
            result = function(*arguments, log)
    except (Exception, KeyboardInterrupt) as err:  # noqa: BLE001  (the other process raises it)
        error = _sendable(err)
    with results:
        pickle.dump((result, error), results, protocol=pickle.HIGHEST_PROTOCOL)


def _end_with_parent() -> None:
    """End this process at once when the one that started it has ended: its end of the pipe is closed then."""
    sys.stdin.buffer.read()
    os._exit(1)


def _sendable(error: BaseException) -> BaseException:
    """The error, or one with its message, if it cannot be pickled."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001  (whatever pickle meets)
        return TrainingError(str(error))
    return error


if __name__ == "__main__":
    _main()
