"""A Hub on this machine to try sharing without an account: `make demo-hub`."""

import argparse
import shlex
import sys
from pathlib import Path

from server import Hub

from hfbertcls.commands import shown


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8765)
    hub = Hub(port=parser.parse_args().port)
    hub.store.add_account("demo", "hf_demo")
    print(
        f"A Hub that keeps everything in memory listens on {hub.url}. In another terminal:\n\n"
        f"  . {shlex.quote(shown(Path(sys.prefix) / 'bin' / 'activate'))}\n"
        f"  export HF_ENDPOINT={hub.url} HF_TOKEN=hf_demo HF_HOME=$(mktemp -d)\n"
        "  hfbertcls push quickstart-model demo/films\n"
        "  hfbertcls verify demo/films\n\n"
        "Ctrl-C ends it, and forgets what was pushed."
    )
    try:
        hub.thread.join()
    except KeyboardInterrupt:
        hub.stop()


if __name__ == "__main__":
    main()
