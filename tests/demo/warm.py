"""Python processes that have the large libraries loaded: a process that waits with them forks for each program.

Importing torch and gradio takes seconds of a core, and many tests of the Space run a few lines in a process of its own.
What a library reads from the environment while it is imported (HF_HOME, HF_ENDPOINT) stays that of the first process.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path


LOADED = "gradio, torch, transformers.masking_utils, transformers.modeling_layers, transformers.pipelines"
READ_ON_IMPORT = ("HF_ENDPOINT", "HF_HUB_OFFLINE")

# The child ends as Python does (threads are waited for, functions registered for the end are called), except that nothing is
# taken apart: in a process with so many modules that takes more than a second.
_WAITING = f"""
import atexit, json, os, runpy, signal, sys, tempfile, threading, traceback
import {LOADED}
print("ready", flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    child = os.fork()
    if not child:
        break
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(json.dumps(code), flush=True)
else:
    sys.exit()
signal.alarm(300)  # (a program that hangs is a failure)
os.environ.clear()
os.environ.update(asked["environment"])
tempfile.tempdir = None
os.chdir(asked["cwd"])
for number, name in enumerate(("stdin", "stdout", "stderr")):
    file = os.open(asked["files"] + "/" + name, os.O_RDONLY if name == "stdin" else os.O_WRONLY)
    os.dup2(file, number)
sys.stdin = open(0, encoding="utf-8", closefd=False)
sys.path[0] = asked["cwd"]
code = 0
try:
    if asked["code"] is not None:
        sys.argv = ["-c"]
        exec(compile(asked["code"], "<string>", "exec"), {{"__name__": "__main__"}})
    else:
        sys.argv = [asked["script"]]
        runpy.run_path(asked["script"], run_name="__main__")
except SystemExit as end:
    code = end.code if isinstance(end.code, int) else int(end.code is not None)
    if isinstance(end.code, str):
        print(end.code, file=sys.stderr)
except BaseException:
    traceback.print_exc()
    code = 1
threading._shutdown()
atexit._run_exitfuncs()
sys.stdout.flush()
sys.stderr.flush()
os._exit(code)
"""


class WarmPython:
    """Runs Python programs one after the other, each in a process of its own, without their imports.

    Args:
        environment: of the process that waits.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._folder = tempfile.TemporaryDirectory()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WAITING],
            env=self._environment
            | {"GRADIO_TEMP_DIR": self._folder.name},  # (app.py sets it before it imports gradio)
            cwd=self._folder.name,  # (gradio imports a package of the name spaces where there is one)
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout.readline() == "ready\n"

    def run(
        self,
        code: str | None = None,
        *,
        script: str | None = None,
        environment: Mapping[str, str],
        cwd: Path | None = None,
        typed: str = "",
    ) -> subprocess.CompletedProcess:
        """What `python -c code` or `python script` does.

        Args:
            code: the program, or None.
            script: its file, if there is no code.
            environment: of the program.
            cwd: its working directory.
            typed: its standard input.
        """
        for name in READ_ON_IMPORT:
            assert environment.get(name) == self._environment.get(name), f"{name} was read on import"
        with tempfile.TemporaryDirectory() as folder:
            files = {"stdin": typed, "stdout": "", "stderr": ""}
            for name, text in files.items():
                (Path(folder) / name).write_text(text)
            asked = {"code": code, "script": script, "environment": dict(environment), "files": folder}
            self._process.stdin.write(json.dumps(asked | {"cwd": str(cwd or Path.cwd())}) + "\n")
            self._process.stdin.flush()
            returncode = json.loads(self._process.stdout.readline())
            said = [(Path(folder) / name).read_text() for name in ("stdout", "stderr")]
        return subprocess.CompletedProcess([code or script], returncode, *said)

    def end(self) -> None:
        """End the process that waits."""
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()
        self._folder.cleanup()
