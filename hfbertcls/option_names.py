"""One option, two spellings: messages are written with flags, and Python programs see keyword arguments.

The command line prints `Pass --label-column NAME`. In a Python program, the message is `Pass label_column='NAME'`.
Files always have flags, so that the same data give the same files.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager


_typed_flags = [False]  # (per process; the last one counts, also in other threads)

_SWITCHES = {
    "allow-leakage", "allow-pickle", "create-pr", "keep-columns", "overwrite", "resume", "trust-remote-code",
    "with-token", "gradient-checkpointing",
}  # fmt: skip
_OTHER_NAMES = {
    "card": "card_of", "hub-revision": "revision", "input": "input_file", "output": "output_file",
    "overwrite-hub": "overwrite=True", "private": "private=True", "public": "private=False", "quantize": "int8",
    "rescore": "data", "without-predictions": "predictions=False",
}  # fmt: skip
# A quoted command stays unchanged: `hfbertcls push 'my model' me/x --public`, `pip install --no-deps x`.
_COMMAND = r"(?:\bhfbertcls'? [a-z]+|-m pip install)(?: (?:'[^']*'|[^\s,;']+(?=[\s;,]|$)))*"
_FLAG = r"(?<![\w-])--(?P<name>[a-z][a-z-]*[a-z])(?:[ =](?P<value>'[^']*'|\"[^\"]*\"|\d+(?:\.\d+)?\b|[A-Z][A-Z_]*\b))?"
_NAME = r"(?!(?:and|or|with|without)\b)(?:\w[\w-]*|\"[^\"]*\"|'[^']*')"
_ONE = rf"(?:text|text-pair)-column(?= {_NAME}(?:$| -| \())"
_SOME = rf"label-column|labels(?= {_NAME}(?: {_NAME})+$)"
_COLUMNS = rf"(?<![\w-])--(?P<column>{_ONE}|{_SOME}) (?P<names>{_NAME}(?: {_NAME})*)(?=$| --| \()"
_CHOICE = (
    r"(?<![\w-])--(?P<option>quoting (?:none|standard)|precision fp32|card (?:hub|local)|eval-every no"
    r"|task (?:single_label|multi_label)|long-text (?:truncate|head-tail|windows))\b"
)
_PATTERN = re.compile("|".join((_COMMAND, _COLUMNS, _CHOICE, _FLAG)))
_WORDS = re.compile(r"\"([^\"]*)\"|'([^']*)'|(\S+)")
_SIDE_BY_SIDE = re.compile(r"""(\b[a-z_]+=(?:'[^']*'|"[^"]*"|\d+)) (?=[a-z_]+=)""")


@contextmanager
def command_line(*, flags: bool = True) -> Iterator[None]:
    """Inside, messages have flags; with `flags=False`, keyword arguments."""
    _typed_flags.append(flags)
    try:
        yield
    finally:
        _typed_flags.pop()


def as_callers_type_it(message: str) -> str:
    """The message with its options as the caller types them."""
    return message if _typed_flags[-1] else _SIDE_BY_SIDE.sub(r"\1, ", _PATTERN.sub(_keyword, message))


def _keyword(match: re.Match[str]) -> str:
    name, value = match["name"], match["value"]
    if match["column"] is not None:
        names = ["".join(forms) for forms in _WORDS.findall(match["names"])]
        return f"{match['column'].replace('-', '_')}={names if len(names) > 1 else repr(names[0])}"
    if match["option"] is not None:
        option, _, choice = match["option"].partition(" ")
        return f"{_OTHER_NAMES.get(option, option).replace('-', '_')}={choice!r}"
    if name is None:
        return match[0]
    keyword = _OTHER_NAMES.get(name, name.replace("-", "_"))
    if name.startswith("no-"):
        keyword = f"{keyword.removeprefix('no_')}=False"
    elif name in _SWITCHES:
        keyword += "=True"
    if value is None:
        return keyword
    if name in _SWITCHES or "=" in keyword:
        return f"{keyword} {value}"
    is_literal = value[0] in "'\"" or value[0].isdigit()
    return f"{keyword}={value if is_literal else repr(value)}"
