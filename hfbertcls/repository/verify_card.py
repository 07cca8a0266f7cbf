"""The card of a model repository against its report: the generated part, our keys, and the text around it."""

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from html.parser import HTMLParser
from typing import Any

import yaml
from jinja2 import UndefinedError
from markdown_it import MarkdownIt
from markdown_it.token import Token

from hfbertcls.errors import ConfigurationError, shorten
from hfbertcls.evaluation.report import Report
from hfbertcls.repository.card import RENDERER, Fence, render_model_card, sha256_of_text
from hfbertcls.repository.card_metadata import OWNED_KEYS, TAG, parse_front_matter, split_card
from hfbertcls.repository.verify_metrics import compare


_MARK = re.compile(r"hfbertcls:(?:begin|end)", re.IGNORECASE)
_NUMERAL = re.compile(r"\d+(?:[.,]\d+)*")
_ACTIVE = frozenset(("base", "embed", "iframe", "link", "meta", "object", "script", "style", "template"))
"""Elements that can change what is seen elsewhere on a page."""
_PLACED = re.compile(r"position|z-index|transform|inset|margin[^;]*-\s*\d", re.IGNORECASE)
"""In a `style`: what lays a piece of text over others."""
_NEVER_OPEN = frozenset(
    ("area", "br", "col", "dd", "dt", "hr", "img", "input", "li", "option", "p", "source", "td", "th", "tr", "wbr")
)
"""Elements without content, and those that end by themselves where the next block begins."""


def card_differences(card: str, fence: Fence, report: Report) -> Iterator[str]:
    """What a card states otherwise than its report, or shows otherwise than it states it."""
    try:
        rendered = render_model_card(report)
    except (UndefinedError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as err:
        yield f"report.json: the card cannot be rendered from it ({shorten(str(err), 120)})"
        return
    if report.card.renderer != RENDERER:
        yield (
            f"report.json: card.renderer is {shorten(repr(report.card.renderer), 20)}, this release renders {RENDERER!r}; "
            "the card cannot be derived by it"
        )
    if sha256_of_text(fence.body) != fence.body_sha256:
        yield "README.md: the generated part was changed (its SHA-256 is not the one in its first line)"
    expected = Fence.find(split_card(rendered)[1])
    if expected is not None and expected.body != fence.body:
        yield from _lines(fence.body, expected.body, _first_line(card, fence))
    yield from _front_matter(split_card(card)[0], split_card(rendered)[0])
    yield from _surroundings(fence)


def numbers_outside(card: str, fence: Fence) -> str | None:
    """A note on numbers that people wrote around the generated part; None if there are none."""
    start = len(card) - len(split_card(card)[1])
    spans = [(start, start + len(fence.before)), (len(card) - len(fence.after), len(card))]
    numerals = [match for low, high in spans for match in _NUMERAL.finditer(card, low, high)]
    if not numerals:
        return None
    line = card.count("\n", 0, numerals[0].start()) + 1
    more = f" and {len(numerals) - 1:,} more" if len(numerals) > 1 else ""
    return (
        f"README.md, line {line}: {shorten(numerals[0][0], 20)} stands outside of the generated part and is not derived from the "
        f"report{more}"
    )


def _first_line(card: str, fence: Fence) -> int:
    return card[: card.index(fence.body)].count("\n") + 1 if fence.body else 1


def _front_matter(stated_text: str, rendered_text: str) -> Iterator[str]:
    try:
        existing, ours = parse_front_matter(stated_text), parse_front_matter(rendered_text)
        twice = _keys_stated_twice(stated_text)
    except (ConfigurationError, RecursionError) as err:
        yield f"README.md: the front matter cannot be read ({shorten(str(err), 120)})"
        return
    if twice:
        yield f"README.md: front matter, the key {shorten(twice[0])} stands there twice"
    for key in OWNED_KEYS:
        yield from compare(existing.get(key), ours.get(key), f"README.md: front matter, {key}")
    tags = existing.get("tags") or []
    if TAG not in (tags if isinstance(tags, list) else [tags]):
        yield f"README.md: front matter, tags lack {TAG!r}"


def _keys_stated_twice(text: str) -> list[str]:
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    keys = [str(key.value) for key, _ in node.value] if isinstance(node, yaml.MappingNode) else []
    return sorted({key for key in keys if keys.count(key) > 1})


def _surroundings(fence: Fence) -> Iterator[str]:
    """Whether the generated part is the only one, and renders as it is."""
    if _MARK.search(fence.before + fence.body + fence.after):
        yield "README.md: there is a second generated part, or a mark of one, beside the one that belongs to the report"
        return
    markdown = MarkdownIt("commonmark", {"html": True}).enable("table")
    alone = [_signature(token) for token in markdown.parse(fence.text)]
    around = markdown.parse(fence.before + fence.text + fence.after)
    signatures = [_signature(token) for token in around]
    places = [at for at in range(len(signatures) - len(alone) + 1) if signatures[at : at + len(alone)] == alone]
    if len(places) != 1:
        yield (
            "README.md: what stands above or below the generated part changes how it is shown (an open comment, list, quote, "
            "block of code, link definition, or HTML without an empty line after it)"
        )
        return
    html = _Html()
    html.read(around[: places[0]])
    if html.open:
        yield f"README.md: the generated part is inside of <{html.open[-1]}>, which was opened above it"
    html.read(around[places[0] + len(alone) :])
    for element in dict.fromkeys(html.active):
        yield f"README.md: {element} outside of the generated part can hide it or cover it"


def _signature(token: Token) -> tuple[Any, ...]:
    """What a piece of Markdown renders to, independent of its place."""
    children = tuple(_signature(child) for child in token.children or ())
    return token.type, token.tag, token.level, token.content, tuple(sorted(token.attrs.items())), children


class _Html(HTMLParser):
    """Follows which elements are open, and notes those that act on the rest of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.active: list[str] = []

    def read(self, tokens: Sequence[Token]) -> None:
        """Read the HTML in pieces of Markdown, in their order."""
        for token in tokens:
            if token.type in ("html_block", "html_inline"):
                self.feed(token.content)
            self.read(token.children or [])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _ACTIVE:
            self.active.append(f"<{tag}>")
        if any(name == "style" and value and _PLACED.search(value) for name, value in attrs):
            self.active.append(f"the style of <{tag}>")
        if tag not in _NEVER_OPEN:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)  # (browsers ignore the slash)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            while self.open.pop() != tag:
                pass


def _lines(stated: str, derived: str, first_line: int) -> Iterator[str]:
    old, new = stated.splitlines(), derived.splitlines()
    for kind, start, end, other_start, other_end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind != "equal":
            states = " / ".join(old[start:end]) or "nothing"
            gives = " / ".join(new[other_start:other_end]) or "nothing"
            yield (
                f"README.md, line {first_line + start}: states {_around(states, gives)}, the report gives "
                f"{_around(gives, states)}"
            )


def _around(text: str, other: str) -> str:
    """The part of a line where it differs from another, with a little context."""
    start = next(
        (index for index, (a, b) in enumerate(zip(text, other, strict=False)) if a != b), min(len(text), len(other))
    )
    begin = max(0, start - 20)
    return shorten(f"{'…' if begin else ''}{text[begin : begin + 60]}", 64)
