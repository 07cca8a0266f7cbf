"""Contenders of a benchmark take turns: each lives in a process of its own, and only one computes at a time.

Nothing but Python is needed here, so that a contender may live in an environment of its own. Its process says one line of JSON when
it is ready, and one in answer to each question.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any


class Contender:
    """A process that has been started and is ready; at the end it is let go, whatever happened."""

    def __init__(self, command: Sequence[str]):
        self._noise = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115  (closed at the end)
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._noise, text=True
        )
        self.ready = self._answer()

    def _answer(self) -> Any:
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        code = self._process.wait()
        self._noise.seek(0)
        raise SystemExit(
            f"{' '.join(self._process.args)} ended with exit code {code}; its last words:\n{self._noise.read()[-2_000:]}"
        )

    def ask(self, question: Any) -> Any:
        """The answer to one question."""
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def __enter__(self) -> "Contender":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._noise.close()


def take_turns(
    commands: Mapping[str, Sequence[str]], rounds: int, question: Callable[[str, int], Any]
) -> Iterator[tuple[int, str, Any, Any]]:
    """Start the contenders one after the other, then ask each once a round: `(round, name, what it said first, answer)`."""
    with ExitStack() as stack:
        contenders = {name: stack.enter_context(Contender(command)) for name, command in commands.items()}
        for turn in range(rounds):
            for name, contender in contenders.items():
                yield turn, name, contender.ready, contender.ask(question(name, turn))


def rates_table(
    title: str,
    titles: Mapping[str, str],
    rates: Mapping[str, Sequence[float]],
    ours: Callable[[str], str],
    digits: int,
) -> str:
    """Texts a second of each contender as Markdown; `ours` names the contender to which a line is compared."""
    lines = [
        f"| {title} | texts/s, median | slowest round | fastest round | ours to it, medians |",
        "|:--|--:|--:|--:|--:|",
    ]
    for name, values in rates.items():
        own = rates.get(ours(name))
        ratio = f"{statistics.median(own) / statistics.median(values):.2f}" if own else "-"
        figures = (f"{value:,.{digits}f}" for value in (statistics.median(values), min(values), max(values)))
        lines.append(f"| {titles[name]} | {' | '.join(figures)} | {ratio} |")
    return "\n".join(lines)


def answer(prepare: Callable[[], tuple[Any, Callable[[Any], Any]]]) -> None:
    """Be a contender: `prepare` gives what to say when ready, and what answers a question. What libraries print is kept apart."""
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        ready, take_turn = prepare()
        print(json.dumps(ready), file=answers, flush=True)
        for line in sys.stdin:
            print(json.dumps(take_turn(json.loads(line))), file=answers, flush=True)
