"""Spaces: repositories whose app is built and run, here as a list of stages; their variables, secrets, hardware and logs.

(The file is not called `spaces`: this folder stands on the path of the tests, and would hide the package of that name.)
"""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
from routing import Answer, readable, route, writable
from store import Account, Commit, RefusedError, Repository, Store, stamp


SDKS = ("gradio", "docker", "static")
COLORS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
FREE, ZERO = "cpu-basic", "zero-a10g"
HARDWARE = (
    FREE, "cpu-upgrade", ZERO, "t4-small", "t4-medium", "l4x1", "l4x4", "l40sx1", "l40sx4", "l40sx8", "a10g-small",
    "a10g-large", "a10g-largex2", "a10g-largex4", "a100-large", "a100x4", "a100x8",
)  # fmt: skip
ZERO_SPACES_OF_A_FREE_ACCOUNT = 2


@dataclass
class Space:
    """What a Space has beside its files.

    Attributes:
        secrets: by key: value, description and time of the last change.
        variables: the same.
        runs: stage and commit that the next calls for the runtime will see; the last one stays.
        restarts: how often a variable, a secret or the hardware was changed while there was an app.
    """

    store: Store
    sdk: str
    hardware: str = FREE
    secrets: dict[str, dict] = field(default_factory=dict)
    variables: dict[str, dict] = field(default_factory=dict)
    runs: list[tuple[str, str | None]] = field(default_factory=lambda: [("NO_APP_FILE", None)])
    restarts: int = 0

    def build(self, repo: Repository, commit: Commit) -> None:
        """A push to main: what becomes of the app. The old state is still seen for `stale_polls` calls."""
        card = _front_matter(repo, commit)
        if str(card.get("app_file", "app.py")) not in commit.files:
            stages = ["NO_APP_FILE"]
        elif card.get("sdk") not in SDKS:
            stages = ["CONFIG_ERROR"]
        else:
            self.sdk = card["sdk"]
            stages = list(self.store.space_stages)
        self.runs = [self.runs[-1]] * self.store.stale_polls + [(stage, commit.oid) for stage in stages]

    def runtime(self, *, goes_on: bool = False) -> dict:
        stage, oid = self.runs[0]
        if goes_on and len(self.runs) > 1:
            self.runs.pop(0)
        has_run = stage.startswith("RUNNING")
        answer: dict[str, Any] = {
            "stage": stage,
            "hardware": {"current": self.hardware if has_run else None, "requested": self.hardware},
            "storage": None,
            "gcTimeout": 172800,
            "replicas": {"current": int(has_run), "requested": 1},
            "devMode": False,
            "domains": [],
        }
        if stage in self.store.space_errors:
            answer["errorMessage"] = self.store.space_errors[stage]
        if self.store.tells_running_commit and oid:
            answer["sha"] = oid
        return answer

    def put(self, what: str, wish: Mapping) -> None:
        entry = {key: wish[key] for key in ("value", "description") if key in wish}
        getattr(self, what)[wish["key"]] = {**entry, "updatedAt": stamp(time.time())}

    def restart(self) -> None:
        if self.runs[-1][0] != "NO_APP_FILE":
            self.restarts += 1


def _front_matter(repo: Repository, commit: Commit) -> dict:
    readme = commit.files.get("README.md")
    text = repo.content(readme).decode("utf-8", "replace") if readme else ""
    found = re.match(r"\s*---\r?\n(.*?)\r?\n---", text, re.DOTALL)
    data = yaml.safe_load(found[1]) if found else None
    return data if isinstance(data, dict) else {}


def refuse_without_a_plan(store: Store, account: Account, wish: Mapping) -> None:
    """402 for what costs something; asked before anything else, as it seems to be on the real Hub, too."""
    hardware = wish.get("hardware") or FREE
    if hardware not in HARDWARE:
        raise RefusedError(400, f'"hardware" must be one of [{", ".join(HARDWARE)}]')
    if account.is_pro or wish.get("sdk") == "static" or not store.requires_plan:
        return
    if hardware == ZERO:
        if (wish.get("organization") or account.name) != account.name:
            raise RefusedError(402, "Payment Required: a Team or Enterprise plan is needed for ZeroGPU")
        others = [
            repo
            for (kind, _), repo in store.repositories.items()
            if kind == "spaces" and repo.namespace == account.name and repo.space.hardware == ZERO
        ]
        if len(others) >= ZERO_SPACES_OF_A_FREE_ACCOUNT:
            raise RefusedError(402, "Payment Required: you have reached the limit of ZeroGPU Spaces")
        return
    raise RefusedError(402, "Payment Required: a paid plan is needed to host Gradio and Docker Spaces")


def make_space(store: Store, repo: Repository, wish: Mapping) -> None:
    """Give a repository that was just made what a Space has."""
    repo.space = Space(store, wish["sdk"], wish.get("hardware") or FREE)
    for what in ("secrets", "variables"):
        for entry in wish.get(what) or ():
            repo.space.put(what, entry)


def card_problems(card: Mapping) -> list[str]:
    """What the Hub finds wrong with the front matter of a Space."""
    problems = []
    choices = {"colorFrom": COLORS, "colorTo": COLORS, "sdk": SDKS, "header": ("mini", "default")}
    choices["suggested_hardware"] = tuple(name for name in HARDWARE if name != ZERO)
    for key, allowed in choices.items():
        if key in card and card[key] not in allowed:
            problems.append(f'"{key}" must be one of [{", ".join(allowed)}]')
    if len(str(card.get("short_description", ""))) > 60:
        problems.append('"short_description" length must be less than or equal to 60 characters long')
    for key, pattern in {"sdk_version": r"\d+\.\d+(\.\d+)?", "python_version": r"3\.\d+(\.\d+)?"}.items():
        if key in card and not (isinstance(card[key], str) and re.fullmatch(pattern, card[key])):
            problems.append(f'"{key}" with value "{card[key]}" fails to match the required pattern')
    for key in ("title", "emoji", "app_file"):
        if key in card and not isinstance(card[key], str):
            problems.append(f'"{key}" must be a string')
    if isinstance(card.get("emoji"), str) and re.search(r"[\x00-\x7f]", card["emoji"]):
        problems.append(f'"emoji" with value "{card["emoji"]}" fails to match the required pattern')
    for key in ("pinned", "fullWidth", "hf_oauth", "disable_embedding"):
        if key in card and not isinstance(card[key], bool):
            problems.append(f'"{key}" must be a boolean')
    if "preload_from_hub" in card and not isinstance(card["preload_from_hub"], list):
        problems.append('"preload_from_hub" must be an array')
    return problems


SPACE = r"/api/(?P<kind>spaces)/(?P<name>[^/]+/[^/]+)"


@route("GET", SPACE + "/runtime")
def runtime(call, parts):
    return readable(call, parts).space.runtime(goes_on=True)


@route("POST", SPACE + "/(?P<what>hardware|sleeptime|restart|pause)")
def space_action(call, parts):
    repo = writable(call, parts)
    if parts["what"] == "hardware":
        wish = {"sdk": repo.space.sdk, "hardware": call.json()["flavor"], "organization": repo.namespace}
        refuse_without_a_plan(call.hub.store, call.account, wish)
        repo.space.hardware = wish["hardware"]
        repo.space.restart()
    elif parts["what"] == "pause":
        repo.space.runs = [("PAUSED", repo.head.oid)]
    elif parts["what"] == "restart":
        repo.space.restart()
    return repo.space.runtime()


@route("GET POST DELETE", SPACE + "/(?P<what>secrets|variables)")
def space_values(call, parts):
    space = writable(call, parts).space
    values = getattr(space, parts["what"])
    if call.method != "GET":
        if call.method == "POST":
            space.put(parts["what"], call.json())
        elif values.pop(call.json()["key"], None) is None:
            raise RefusedError(404, f"There is no {parts['what'][:-1]} {call.json()['key']}")
        space.restart()
    hidden = {"value"} if parts["what"] == "secrets" else set()
    return {
        key: {name: entry for name, entry in entries.items() if name not in hidden} for key, entries in values.items()
    }


@route("GET", SPACE + "/logs/(?P<what>build|run)")
def space_logs(call, parts):
    """Server-sent events; the last is later than this answer, so that a client which does not follow leaves it out."""
    writable(call, parts)
    now = time.time()
    events = [{"timestamp": stamp(now - 60), "data": line} for line in call.hub.store.space_logs[parts["what"]]]
    events.append({"timestamp": stamp(now + 60), "data": "written after the question\n"})
    lines = ["data:\n\n", *(f"data: {json.dumps(event)}\n\n" for event in events)]
    return Answer(200, "".join(lines), {"Content-Type": "text/event-stream"})
