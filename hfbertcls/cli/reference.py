"""The command line as a page of Markdown, made from the parsers: for the documentation and the skill."""

import argparse
import inspect
import re
from collections.abc import Iterator

from hfbertcls import errors
from hfbertcls.cli.parser import Parser


def command_line(parser: Parser) -> str:
    """Each command with its options, as `--help` states them."""
    lines = ["# Command line", "", "This page is made from the commands themselves: `hfbertcls COMMAND --help`.", ""]
    lines += [
        "The exit code is 0 if the command is done, 2 for wrong usage, and 1 for anything else: "
        "[errors and exit codes](errors.md).",
        "",
    ]
    for verb, one in parser.verbs.items():
        lines += [f"## hfbertcls {verb}", "", one.description or "", "", "```text", _usage(one), "```", ""]
        for title, actions in _groups(one):
            lines += [*([f"**{title.capitalize()}**", ""] if title else []), "| option | meaning |", "|:--|:--|"]
            lines += [f"| {_names(action)} | {cell(_help(action))} |" for action in actions]
            lines.append("")
    return "\n".join(lines)


def errors_and_exit_codes() -> str:
    """What hfbertcls raises, and the exit codes."""
    lines = [
        "# Errors and exit codes",
        "",
        "| exit code | meaning |",
        "|--:|:--|",
        "| 0 | done |",
        "| 1 | anything else: refused data, a failed push, a check that found something |",
        "| 2 | wrong usage or configuration |",
        "",
        "A command that fails prints one message: what happened, what was expected, what to do next. "
        "`--debug` shows the traceback.",
        "",
        "In Python, every error is an `hfbertcls.HfBertClsError` and an error of Python, too, so both can be caught.",
        "",
        "| error | is also | exit code | meaning |",
        "|:--|:--|--:|:--|",
    ]
    for kind in _errors():
        summary = (inspect.getdoc(kind) or "").splitlines()[0]
        lines.append(f"| `{kind.__name__}` | {_builtin(kind)} | {kind.exit_code} | {cell(summary)} |")
    return "\n".join([*lines, ""])


def cell(text: str) -> str:
    """Text in a cell of a table."""
    text = re.sub(r"\s+", " ", text).replace("|", "\\|")
    return re.sub(r"(?<![\w`-])(--[a-z][a-z-]*)", r"`\1`", text).replace("<", "&lt;")


def _groups(parser: Parser) -> Iterator[tuple[str, list[argparse.Action]]]:
    """The headings of `--help` with their options; `--help` itself is left out."""
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if not isinstance(action, argparse._HelpAction)]
        if actions:
            title = group.title or ""
            yield "" if title in ("options", "positional arguments") else title, actions


def _usage(parser: Parser) -> str:
    """The usage without the optional words."""
    required = [action for action in parser._actions if action.required]
    words = []
    for action in required:
        value = action.metavar or action.dest
        words.append(" ".join([*action.option_strings[-1:], str(value)]))
    return " ".join([f"hfbertcls {parser.prog.split()[-1]}", *words, "[options]"])


def _names(action: argparse.Action) -> str:
    if not action.option_strings:
        return f"`{action.metavar or action.dest}`"
    value = "" if action.nargs == 0 else f" {_value(action)}"
    return f"`{action.option_strings[-1]}{value}`"


def _value(action: argparse.Action) -> str:
    choices = action.choices and "{" + ",".join(map(str, action.choices)) + "}"
    value = str(action.metavar or choices or action.dest.upper())
    return f"{value} ..." if action.nargs in ("+", "*") else value


def _help(action: argparse.Action) -> str:
    return (action.help or "") % {**vars(action), "prog": "hfbertcls"}


def _errors() -> Iterator[type[errors.HfBertClsError]]:
    waiting: list[type[errors.HfBertClsError]] = [errors.HfBertClsError]
    while waiting:
        kind = waiting.pop(0)
        yield kind
        waiting = [*kind.__subclasses__(), *waiting]


def _builtin(kind: type) -> str:
    ordinary = (base for base in kind.__mro__ if base.__module__ == "builtins")
    return f"`{next(ordinary).__name__}`"
