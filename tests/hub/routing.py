"""How a request finds the function that answers it, and what the function is given."""

import json
import re
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from store import Account, RefusedError, Repository


if TYPE_CHECKING:
    from server import Hub


@dataclass
class Call:
    """A request while it is handled."""

    hub: "Hub"
    method: str
    path: str
    query: dict[str, list[str]]
    headers: Any
    body: bytes
    account: Account | None

    def json(self) -> Any:
        return json.loads(self.body or b"{}")

    def flag(self, name: str) -> bool:
        return self.query.get(name, [""])[0].lower() in ("1", "true")


@dataclass
class Answer:
    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    def encoded(self) -> tuple[bytes, str]:
        if isinstance(self.body, bytes):
            return self.body, "application/octet-stream"
        if isinstance(self.body, str):
            return self.body.encode(), "text/plain; charset=utf-8"
        return json.dumps(self.body if self.body is not None else {}).encode(), "application/json"


ROUTES: list[tuple[str, re.Pattern, Callable]] = []
REPO = r"/api/(?P<kind>models|datasets|spaces)/(?P<name>[^/]+/[^/]+)"
FILES = r"(?:/(?P<kind>datasets|spaces))?/(?P<name>[^/]+/[^/]+)"


def route(methods: str, pattern: str):
    def register(function):
        for method in methods.split():
            ROUTES.append((method, re.compile(pattern + r"/?"), function))
        return function

    return register


def unquoted(text: str) -> str:
    return urllib.parse.unquote(text)


def readable(call: Call, parts: dict) -> Repository:
    return call.hub.store.find(parts.get("kind") or "models", unquoted(parts["name"]), call.account)


def writable(call: Call, parts: dict) -> Repository:
    return call.hub.store.find_writable(parts.get("kind") or "models", unquoted(parts["name"]), call.account)


def logged_in(call: Call) -> Account:
    if call.account is None:
        raise RefusedError(401, "Invalid username or password.")
    return call.account
