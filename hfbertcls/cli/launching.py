"""`--num-processes`: torchrun for those who do not know it."""

import argparse
import logging
import os
import sys
import uuid
from collections.abc import Sequence

from hfbertcls import processes
from hfbertcls.errors import ConfigurationError


_SECONDS_TO_SAVE = 120


def add_process_option(parser: argparse.ArgumentParser) -> None:
    """The option of verbs whose work can be divided."""
    parser.add_argument(
        "--num-processes",
        type=int,
        metavar="N",
        help="divide the work among N processes of this machine, one for each GPU (default: 1; for more machines: torchrun)",
    )


def launch(count: int, words: Sequence[str]) -> int:
    """Run a command in some processes of this machine; returns its exit code.

    Args:
        count: of the processes.
        words: the verb and its arguments.

    On Ctrl-C the processes save and end first.

    Raises:
        ConfigurationError: if there are fewer GPUs.
    """
    import torch
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    gpus = torch.cuda.device_count()
    if 0 < gpus < count:
        raise ConfigurationError(f"--num-processes {count} needs {count} GPUs, and this machine has {gpus}")
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo" if sys.platform == "linux" else "lo0")
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # (the processes speak for themselves)
    config = LaunchConfig(
        run_id=uuid.uuid4().hex,
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="127.0.0.1",
        max_restarts=0,
        shutdown_timeout=_SECONDS_TO_SAVE,
    )
    try:
        elastic_launch(config, sys.executable)("-u", "-m", "hfbertcls", *words)
    except ChildFailedError as err:
        codes = {failure.exitcode for failure in err.failures.values()}
        return 2 if 2 in codes else 1
    except SignalException:
        return 1
    return 0


def is_to_be_launched(options: argparse.Namespace) -> bool:
    """Whether a command asks for more processes than this one.

    Raises:
        ConfigurationError: if their number is invalid, or contradicts that of a launcher.
    """
    count = getattr(options, "num_processes", None)
    if count is None:
        return False
    if count < 1:
        raise ConfigurationError(f"--num-processes {count} is an invalid value. Expected a number above 0")
    if processes.count() not in (1, count):
        raise ConfigurationError(
            f"--num-processes {count} contradicts the launcher, which started {processes.count()} processes. Leave it out"
        )
    return bool(count > 1 and processes.count() == 1)
