"""The parser of the command line: errors in two lines, and options that people know from other tools."""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from hfbertcls.cli.other_tools import OPTIONS, VERBS
from hfbertcls.commands import command
from hfbertcls.errors import ConfigurationError, did_you_mean


class Parser(argparse.ArgumentParser):
    """Like argparse's, but a mistake is a `ConfigurationError`, and `--max_length` is `--max-length`."""

    takes_fields = False
    """Whether words that are no options of ours may be fields of transformers' training arguments."""

    @property
    def flags(self) -> list[str]:
        """All options, without those of one letter."""
        return [flag for flag in self._option_string_actions if flag.startswith("--")]

    @property
    def verbs(self) -> Mapping[str, "Parser"]:
        """The parser of each command; empty for that of a command."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                return action.choices
        return {}

    def switches_of(self, words: Sequence[str]) -> frozenset[str]:
        """The flags without a value of the verb that `words` begin with; none if they begin with no verb."""
        verb = self.verbs.get(words[0]) if words else None
        actions = [] if verb is None else verb._actions
        return frozenset(flag for one in actions if one.nargs == 0 for flag in one.option_strings)

    def words_of(self, options: argparse.Namespace, names: Iterable[str]) -> list[str]:
        """The words that set these options to their values here; nothing for defaults."""
        destinations, words = set(names), []
        for action in self._actions:
            value = getattr(options, action.dest, None)
            if action.dest in destinations and value != action.default:
                values = [] if action.nargs == 0 else value if isinstance(value, list) else [value]
                words += [action.option_strings[-1], *map(str, values)]
        return words

    def error(self, message: str) -> NoReturn:
        """Raise an error about the command line.

        Raises:
            ConfigurationError: with the message and the `--help` to read.
        """
        message = message.removeprefix("argument ").replace("the following arguments are required:", "missing:")
        raise ConfigurationError(f"{message}\nSee: {command(*self.prog.split()[1:], '--help')}")

    def refuse_option(self, word: str, further: Sequence[str] = ()) -> NoReturn:
        """Raise an error about an unknown option, with the one that was probably meant.

        Args:
            word: as it was typed, such as `--lr`.
            further: further options that could have been meant.

        Raises:
            ConfigurationError: always.
        """
        name = word.partition("=")[0]
        hint = self._meant(name) or did_you_mean(name, [*self.flags, *further])
        self.error(f"there is no option {name}{hint}")

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse; an unknown option is an error before a missing one."""
        words = [self._with_dashes(word) for word in args or ()]
        for word in words:
            name = word.partition("=")[0]
            if self._subparsers is not None and not name.startswith("-"):
                break  # (the verb; its own parser looks at the rest)
            if not name.startswith("--") or name == "--" or name in self._option_string_actions:
                continue
            if not self.takes_fields or self._meant(name) or did_you_mean(name, self._missing(words)):
                self.refuse_option(name)
        return super().parse_known_args(words, namespace)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if isinstance(action, argparse._SubParsersAction) and value not in action.choices:
            verb = VERBS.get(str(value).replace("_", "-"))
            hint = f". Use {verb}" if verb else did_you_mean(str(value), action.choices)
            self.error(f"there is no command {value!r}{hint}")
        super()._check_value(action, value)

    def _with_dashes(self, word: str) -> str:
        name, equals, value = word.partition("=")
        dashed = name.replace("_", "-")
        return f"{dashed}{equals}{value}" if name.startswith("--") and dashed in self._option_string_actions else word

    def _missing(self, words: Sequence[str]) -> set[str]:
        """Required flags that are missing."""
        needed = {flag for action in self._actions if action.required for flag in action.option_strings}
        return needed - {word.partition("=")[0] for word in words}

    def _meant(self, flag: str) -> str:
        """A hint at our name for an option of another tool; empty if there is none."""
        name = flag.removeprefix("--").replace("-", "_")
        for action in self._actions:
            if not action.option_strings and name == action.dest:
                return f". Its value stands without a flag: {self.prog} {action.metavar}"
        for option in OPTIONS.get(name, ()):
            if option in self._option_string_actions:
                return f". Use {option}"
        return ""
