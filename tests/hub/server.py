"""A Hub on the loopback interface that the real huggingface_hub client talks to, with faults on demand.

The Hub listens on 127.0.0.1 and serves what stands for S3 and the CDN under `localhost`, another origin, where a forwarded
Hub token is refused: a leak fails a test. What is known of the real Hub's answers stands in the call tables of its
client; nothing here was compared with the real Hub.
"""

import base64
import contextlib
import hashlib
import json
import re
import socket
import struct
import threading
import time
import traceback
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import hosting
import yaml
from cas import ContentStore
from routing import FILES, REPO, ROUTES, Answer, Call, logged_in, readable, route, unquoted, writable
from store import Commit, File, RefusedError, Repository, Store, stamp


LFS_OVER = 10 * 1024 * 1024
LICENSES = frozenset(
    [
        "apache-2.0",
        "mit",
        "openrail",
        "bigscience-openrail-m",
        "afl-3.0",
        "artistic-2.0",
        "bsl-1.0",
        "bsd",
        "bsd-2-clause",
        "bsd-3-clause",
        "cc",
        "cc0-1.0",
        "cc-by-2.0",
        "cc-by-3.0",
        "cc-by-4.0",
        "cc-by-sa-3.0",
        "cc-by-sa-4.0",
        "cc-by-nc-4.0",
        "cc-by-nc-sa-4.0",
        "cc-by-nc-nd-4.0",
        "agpl-3.0",
        "gpl",
        "gpl-2.0",
        "gpl-3.0",
        "lgpl",
        "lgpl-3.0",
        "mpl-2.0",
        "odbl",
        "llama2",
        "llama3",
        "gemma",
        "unlicense",
        "unknown",
        "other",
    ]
)


@dataclass
class Fault:
    """What goes wrong: with requests that match, after the first `after` of them, `times` times."""

    path: str
    method: str = ""
    after: int = 0
    times: int = 1
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    message: str = "made to fail"
    reset_after: int | None = None
    """Cut the connection after so many bytes of the request's body."""
    lose_response: bool = False
    """Do what was asked, then cut the connection without an answer."""
    delay: float = 0.0
    """Seconds before anything is done."""
    act: Callable[[], None] | None = None
    """Something to be done by the test before the request is handled."""
    seen: int = 0

    def strikes(self, method: str, path: str) -> bool:
        if (self.method and method != self.method) or not re.search(self.path, path):
            return False
        self.seen += 1
        return self.after < self.seen <= self.after + self.times


@dataclass(frozen=True)
class Request:
    """One line of the Hub's log."""

    method: str
    path: str
    host: str
    user: str | None
    token: str | None
    status: int
    body: bytes


class Hub:
    """A running Hub.

    Attributes:
        url: the address of its API.
        store: what it keeps; tests look into it.
        log: every request that was answered or cut off.
        faults: what is to go wrong.
    """

    def __init__(self, port: int = 0) -> None:
        self.store = Store()
        self.content = ContentStore()
        self.log: list[Request] = []
        self.faults: list[Fault] = []
        self.page_size = 1000
        self.multipart_over: int | None = None
        self.part_size = 64 * 1024
        self.serves_xet = True
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.lock = threading.RLock()
        self.server = ThreadingHTTPServer(("127.0.0.1", port), _handler_of(self))
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.other_origin = f"http://localhost:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def reset(self) -> None:
        """Forget everything but the content-addressed storage: clients remember what they have sent there."""
        with self.lock:
            self.store = Store()
            self.log.clear()
            self.faults.clear()
            self.page_size, self.multipart_over, self.serves_xet = 1000, None, True

    def fail(self, path: str, **how: Any) -> Fault:
        """Add a fault."""
        fault = Fault(path, **how)
        self.faults.append(fault)
        return fault

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def requests(self, pattern: str) -> list[Request]:
        return [entry for entry in self.log if re.search(pattern, f"{entry.method} {entry.path}")]


# ---- accounts and repositories


@route("GET", "/api/whoami-v2")
def whoami(call, parts):
    account = logged_in(call)
    return {
        "type": "user",
        "id": account.name,
        "name": account.name,
        "fullname": account.name.title(),
        "isPro": account.is_pro,
        "canPay": account.is_pro,
        "orgs": [{"name": name, "roleInOrg": role, "type": "org"} for name, role in account.orgs.items()],
        "auth": {"type": "access_token", "accessToken": {"displayName": "test", "role": account.role}},
    }


@route("POST", "/api/repos/create")
def create(call, parts):
    account, wish = logged_in(call), call.json()
    if wish.get("type") == "space":
        hosting.refuse_without_a_plan(call.hub.store, account, wish)
    try:
        repo = call.hub.store.create(account, wish)
    except RefusedError as refused:
        if "url" in refused.body:
            refused.body["url"] = call.hub.url + refused.body["url"]
        raise
    if repo.kind == "spaces":
        hosting.make_space(call.hub.store, repo, wish)
    prefix = "" if repo.kind == "models" else f"/{repo.kind}"
    return {"url": f"{call.hub.url}{prefix}/{repo.id}", "name": repo.id, "id": repo.id}


@route("DELETE", "/api/repos/delete")
def delete(call, parts):
    wish = call.json()
    kind = f"{wish.get('type') or 'model'}s"
    name = f"{wish.get('organization') or logged_in(call).name}/{wish['name']}"
    repo = call.hub.store.find_writable(kind, name, call.account)
    del call.hub.store.repositories[kind, repo.id.lower()]
    return "OK"


@route("PUT", REPO + "/settings")
def settings(call, parts):
    repo = writable(call, parts)
    wish = call.json()
    if "visibility" in wish:
        repo.private = wish["visibility"] == "private"
    return {"private": repo.private}


@route("GET", REPO + "/auth-check(?P<write>/write)?")
def auth_check(call, parts):
    (writable if parts["write"] else readable)(call, parts)
    return "OK"


@route("GET", r"/api/(?P<kind>models|datasets|spaces)")
def listing(call, parts):
    author = call.query.get("author", [None])[0]
    found = [
        repo
        for (kind, _), repo in call.hub.store.repositories.items()
        if kind == parts["kind"] and author in (None, repo.namespace)
    ]
    return [info_of(call, repo, repo.head) for repo in found if not repo.private]


@route("GET", REPO + r"(?:/revision/(?P<revision>[^/]+))?")
def info(call, parts):
    repo = readable(call, parts)
    return info_of(call, repo, repo.commit_at(unquoted(parts["revision"] or "main")))


def card_data(repo: Repository, commit: Commit) -> dict:
    readme = commit.files.get("README.md")
    text = repo.content(readme).decode("utf-8", "replace") if readme else ""
    found = re.match(r"\s*---\r?\n(.*?)\r?\n---", text, re.DOTALL)
    try:
        data = yaml.safe_load(found[1]) if found else None
    except yaml.YAMLError:
        data = None
    return data if isinstance(data, dict) else {}


def info_of(call: Call, repo: Repository, commit: Commit) -> dict:
    card = card_data(repo, commit)
    config = commit.files.get("config.json")
    architectures = json.loads(repo.content(config)).get("architectures", []) if config else []
    tags = [*card.get("tags", []), *([f"license:{card['license']}"] if "license" in card else [])]
    values = {
        "_id": repo.id,
        "id": repo.id,
        "modelId": repo.id,
        "author": repo.namespace,
        "sha": commit.oid,
        "private": repo.private,
        "gated": False,
        "disabled": False,
        "lastModified": commit.date,
        "createdAt": stamp(repo.created),
        "downloads": 0,
        "likes": 0,
        "tags": tags,
        "cardData": card,
        "library_name": card.get("library_name"),
        "config": {"architectures": architectures},
        "siblings": [sibling(file, call.flag("blobs")) for file in commit.files.values()],
    }
    if "pipeline_tag" in card or any(name.endswith("SequenceClassification") for name in architectures):
        values["pipeline_tag"] = card.get("pipeline_tag", "text-classification")
    if repo.kind == "spaces":
        runtime = repo.space.runtime()
        values |= {"sdk": repo.space.sdk, "runtime": runtime, "subdomain": repo.id.replace("/", "-").lower()}
    wanted = call.query.get("expand")
    return {key: value for key, value in values.items() if not wanted or key in (*wanted, "_id", "id")}


def sibling(file: File, blobs: bool) -> dict:
    entry: dict[str, Any] = {"rfilename": file.path}
    if blobs:
        entry |= {"size": file.size, "blobId": file.oid}
        if file.sha256:
            entry["lfs"] = {"sha256": file.sha256, "size": file.size, "pointerSize": len(file.pointer)}
    return entry


# ---- trees, history, references


def tree_entry(call: Call, file: File) -> dict:
    entry: dict[str, Any] = {"type": "file", "oid": file.oid, "size": file.size, "path": file.path}
    if file.sha256:
        entry["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": len(file.pointer)}
        xet = call.hub.content.hash_of.get(file.sha256)
        if xet and call.hub.serves_xet:
            entry["xetHash"] = xet
    return entry


@route("GET", REPO + r"/tree/(?P<revision>[^/]+)(?:/(?P<path>.+?))?")
def tree(call, parts):
    commit = readable(call, parts).commit_at(unquoted(parts["revision"]))
    folder = f"{unquoted(parts['path'])}/" if parts["path"] else ""
    inside = {path: file for path, file in sorted(commit.files.items()) if path.startswith(folder)}
    if folder and not inside:
        raise RefusedError(404, "Entry not found", "EntryNotFound")
    entries, folders = [], set()
    for path, file in inside.items():
        rest = path[len(folder) :].split("/")
        for depth in range(1, len(rest)):
            name = folder + "/".join(rest[:depth])
            if name not in folders and (depth == 1 or call.flag("recursive")):
                folders.add(name)
                oid = hashlib.sha1(name.encode()).hexdigest()
                entries.append({"type": "directory", "oid": oid, "size": 0, "path": name})
        if len(rest) == 1 or call.flag("recursive"):
            entries.append(tree_entry(call, file))
    return paged(call, entries)


def paged(call: Call, entries: list) -> Answer:
    start = int(call.query.get("cursor", ["0"])[0])
    end = start + call.hub.page_size
    headers = {}
    if end < len(entries):
        query = urllib.parse.urlencode({**call.query, "cursor": [str(end)]}, doseq=True)
        headers["Link"] = f'<{call.hub.url}{call.path}?{query}>; rel="next"'
    return Answer(200, entries[start:end], headers)


@route("POST", REPO + r"/paths-info/(?P<revision>[^/]+)")
def paths_info(call, parts):
    commit = readable(call, parts).commit_at(unquoted(parts["revision"]))
    wanted = urllib.parse.parse_qs(call.body.decode()).get("paths", [])
    return [tree_entry(call, commit.files[path]) for path in wanted if path in commit.files]


@route("GET", REPO + r"/commits/(?P<revision>[^/]+)")
def commits(call, parts):
    found = readable(call, parts).history(unquoted(parts["revision"]))
    return paged(
        call,
        [
            {
                "id": commit.oid,
                "title": commit.title,
                "message": commit.description,
                "date": commit.date,
                "authors": [{"user": commit.author}],
            }
            for commit in found
        ],
    )


@route("GET", REPO + "/refs")
def refs(call, parts):
    repo = readable(call, parts)

    def entries(kind: str, names: dict[str, str]) -> list[dict]:
        return [{"name": n, "ref": f"refs/{kind}/{n}", "targetCommit": oid} for n, oid in names.items()]

    answer = {"branches": entries("heads", repo.branches), "tags": entries("tags", repo.tags), "converts": []}
    if call.flag("include_prs"):
        answer["pullRequests"] = [
            {"name": f"refs/pr/{n}", "ref": f"refs/pr/{n}", "targetCommit": oid} for n, oid in repo.pull_heads.items()
        ]
    return answer


@route("POST DELETE", REPO + r"/branch/(?P<branch>[^/]+)")
def branch(call, parts):
    repo, name = writable(call, parts), unquoted(parts["branch"])
    if call.method == "DELETE":
        if name == "main":
            raise RefusedError(403, "Cannot delete refs/heads/main")
        if repo.branches.pop(name, None) is None:
            raise RefusedError(404, f"Invalid rev id: {name}", "RevisionNotFound")
        return "OK"
    if name in repo.branches:
        raise RefusedError(409, f"Reference refs/heads/{name} already exists")
    if name.startswith("refs/"):
        raise RefusedError(400, f"Invalid reference for a branch: {name}")
    repo.branches[name] = repo.commit_at(call.json().get("startingPoint") or "main").oid
    return "OK"


@route("POST DELETE", REPO + r"/tag/(?P<revision>[^/]+)")
def tag(call, parts):
    repo, revision = writable(call, parts), unquoted(parts["revision"])
    if call.method == "DELETE":
        if repo.tags.pop(revision, None) is None:
            raise RefusedError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return "OK"
    name = call.json()["tag"]
    if name in repo.tags:
        raise RefusedError(409, f"Reference refs/tags/{name} already exists")
    repo.tags[name] = repo.commit_at(revision).oid
    return "OK"


# ---- files in


def card_problems(text: str, kind: str) -> tuple[list[str], list[str]]:
    """Errors and warnings for a README."""
    found = re.match(r"\s*---\r?\n(.*?)\r?\n---", text, re.DOTALL)
    if not found:
        return [], ["empty or missing yaml metadata in repo card"]
    try:
        data = yaml.safe_load(found[1])
    except yaml.YAMLError as err:
        return [f"Invalid YAML: {err}"], []
    if not isinstance(data, dict):
        return [], ["empty or missing yaml metadata in repo card"]
    errors = []
    if "license" in data and data["license"] not in LICENSES:
        errors.append(f'"license" must be one of [{", ".join(sorted(LICENSES))}]')
    for key in ("tags", "datasets", "metrics", "models", "widget"):
        if key in data and not isinstance(data[key], list):
            errors.append(f'"{key}" must be an array')
    base = data.get("base_model")
    for name in base if isinstance(base, list) else [base] if base is not None else []:
        if not re.fullmatch(r"[\w.-]+/[\w.-]+|[\w.-]+", str(name)) or str(name).startswith("/"):
            errors.append(f'"base_model" with value "{name}" is not valid. Use a model id from https://hf.co/models.')
    for name in data.get("datasets") or []:
        if not isinstance(name, str) or not re.fullmatch(r"(?:[\w-]+/)?[\w.-]+", name):
            errors.append('"datasets[0]" must be a string')
    for index, entry in enumerate(data.get("model-index") or []):
        for number, result in enumerate(entry.get("results", [])):
            place = f"model-index[{index}].results[{number}]"
            dataset = result.get("dataset", {})
            if not re.fullmatch(r"(?:[\w-]+/)?[\w.-]+", str(dataset.get("type", ""))):
                errors.append(
                    f'"{place}.dataset.type" with value "{dataset.get("type")}" fails to match the required pattern'
                )
            if "config" in dataset and not isinstance(dataset["config"], str):
                errors.append(f'"{place}.dataset.config" must be a string')
            for metric in result.get("metrics", []):
                if not isinstance(metric.get("value"), int | float) or metric["value"] != metric["value"]:
                    errors.append(f'"{place}.metrics.value" must be a number')
    for key in data:
        if "." in str(key) or "$" in str(key):
            errors.append('You can\'t have a key with a "." or "$" character in your YAML metadata')
    if kind == "space":
        errors += hosting.card_problems(data)
    return errors, []


@route("POST", "/api/validate-yaml")
def validate_yaml(call, parts):
    wish = call.json()
    errors, warnings = card_problems(wish["content"], wish.get("repoType", "model"))
    body = {
        "errors": [{"message": text, "type": "error"} for text in errors],
        "warnings": [{"message": text, "type": "warning"} for text in warnings],
    }
    return Answer(400 if errors else 200, body)


def target(call: Call, parts: dict) -> Repository:
    """The repository of an upload; with `create_pr`, and on a pull request's own reference, reading is enough."""
    on_pull = unquoted(parts.get("revision") or "").startswith("refs/pr/")
    if not (call.flag("create_pr") or on_pull):
        return writable(call, parts)
    repo = readable(call, parts)
    if logged_in(call).role != "write":
        raise RefusedError(403, "Forbidden: this token cannot write")
    return repo


@route("POST", REPO + r"/preupload/(?P<revision>[^/]+)")
def preupload(call, parts):
    repo = target(call, parts)
    commit = repo.commit_at(unquoted(parts["revision"]))
    patterns = [line.split()[0] for line in _attributes(repo, commit) if "filter=lfs" in line]
    files = []
    for wish in call.json()["files"]:
        path, existing = wish["path"], commit.files.get(wish["path"])
        matches = any(path.endswith(pattern.lstrip("*")) for pattern in patterns)
        binary = b"\0" in base64.b64decode(wish.get("sample") or "")
        is_large = matches or wish["size"] > LFS_OVER or binary
        files.append(
            {
                "path": path,
                "uploadMode": "lfs" if is_large else "regular",
                "shouldIgnore": False,
                "oid": existing.etag if existing else None,
            }
        )
    return {"files": files, "commitOid": commit.oid}


def _attributes(repo: Repository, commit: Commit) -> list[str]:
    file = commit.files.get(".gitattributes")
    return repo.content(file).decode().splitlines() if file else []


@route("POST", REPO + r"/commit/(?P<revision>[^/]+)")
def commit(call, parts):
    repo, revision = target(call, parts), unquoted(parts["revision"])
    lines = [json.loads(line) for line in call.body.splitlines() if line.strip()]
    header = next(line["value"] for line in lines if line["key"] == "header")
    operations = []
    for line in lines:
        if line["key"] == "header":
            continue
        value = dict(line["value"])
        if line["key"] == "file":
            value["data"] = base64.b64decode(value["content"])
            if value["path"] == "README.md":
                errors, _ = card_problems(value["data"].decode(), repo.kind[:-1])
                if errors:
                    raise RefusedError(400, "Invalid metadata in README.md: " + "; ".join(errors))
            if len(value["data"]) > LFS_OVER:
                raise RefusedError(400, f"{value['path']} is larger than 10 MiB and must be uploaded as LFS")
        if line["key"] == "lfsFile":
            _claim(call.hub, repo, value["oid"])
        operations.append((line["key"], value))
    author = logged_in(call).name
    number = None
    if call.flag("create_pr"):
        if revision not in repo.branches:
            raise RefusedError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        number = repo.open_pull(author, header["summary"], header.get("description") or "", revision, "open").number
        revision, header = f"refs/pr/{number}", {**header, "parentCommit": None}
    made = repo.commit(author, header, operations, revision)
    prefix = "" if repo.kind == "models" else f"/{repo.kind}"
    body = {
        "success": True,
        "commitOid": made.oid,
        "commitUrl": f"{call.hub.url}{prefix}/{repo.id}/commit/{made.oid}",
        "hookOutput": "",
    }
    if number:
        body["pullRequestUrl"] = f"{call.hub.url}{prefix}/{repo.id}/discussions/{number}"
    return body


def _claim(hub: Hub, repo: Repository, sha256: str) -> None:
    """Bring what was uploaded by Xet into the repository, if it is what it says it is."""
    if sha256 in repo.objects or sha256 not in hub.content.hash_of:
        return
    data = hub.content.content(hub.content.hash_of[sha256])
    if hashlib.sha256(data).hexdigest() != sha256:
        raise RefusedError(400, "the uploaded chunks do not give the file that they should")
    repo.objects[sha256] = data


# ---- large files


@route("POST", FILES + r"\.git/info/lfs/objects/batch")
def lfs_batch(call, parts):
    repo = readable(call, parts)
    logged_in(call)
    objects = []
    for wish in call.json()["objects"]:
        entry = {"oid": wish["oid"], "size": wish["size"], "authenticated": True}
        if wish["oid"] not in repo.objects:
            entry["actions"] = _upload_actions(call, repo, wish["oid"], wish["size"])
        objects.append(entry)
    multipart = any("chunk_size" in entry.get("actions", {}).get("upload", {}).get("header", {}) for entry in objects)
    return {"transfer": "multipart" if multipart else "basic", "objects": objects}


def _upload_actions(call: Call, repo: Repository, oid: str, size: int) -> dict:
    hub = call.hub
    prefix = "" if repo.kind == "models" else f"/{repo.kind}"
    verify = {"href": f"{hub.url}{prefix}/{repo.id}.git/info/lfs/objects/verify", "header": {}}
    address = f"{repo.kind}/{repo.id}/{oid}"
    if hub.multipart_over is None or size <= hub.multipart_over:
        return {"upload": {"href": f"{hub.other_origin}/_s3/{address}?sig=x", "header": {}}, "verify": verify}
    count = -(-size // hub.part_size)
    header = {f"{number:05d}": f"{hub.other_origin}/_s3/{address}?part={number}" for number in range(1, count + 1)}
    header["chunk_size"] = str(hub.part_size)
    return {"upload": {"href": f"{hub.other_origin}/_s3-complete/{address}", "header": header}, "verify": verify}


@route("PUT", r"/_s3/(?P<kind>\w+)/(?P<name>[^/]+/[^/]+)/(?P<oid>[0-9a-f]{64})")
def s3_put(call, parts):
    if "part" in call.query:
        parts_of = call.hub.uploads.setdefault(parts["oid"], {})
        parts_of[int(call.query["part"][0])] = call.body
    else:
        _store_object(call.hub, parts, call.body)
    return Answer(200, b"", {"ETag": f'"{hashlib.md5(call.body).hexdigest()}"'})


@route("POST", r"/_s3-complete/(?P<kind>\w+)/(?P<name>[^/]+/[^/]+)/(?P<oid>[0-9a-f]{64})")
def s3_complete(call, parts):
    received = call.hub.uploads.pop(parts["oid"], {})
    wanted = [part["partNumber"] for part in call.json()["parts"]]
    if sorted(received) != wanted:
        raise RefusedError(400, "parts are missing")
    _store_object(call.hub, parts, b"".join(received[number] for number in wanted))
    return "OK"


def _store_object(hub: Hub, parts: dict, data: bytes) -> None:
    if hashlib.sha256(data).hexdigest() != parts["oid"]:
        raise RefusedError(400, "the content does not have the hash that it should")
    hub.store.repositories[parts["kind"], parts["name"].lower()].objects[parts["oid"]] = data


@route("POST", FILES + r"\.git/info/lfs/objects/verify")
def lfs_verify(call, parts):
    repo, wish = readable(call, parts), call.json()
    if len(repo.objects.get(wish["oid"], b"")) != wish["size"]:
        raise RefusedError(404, "object not found")
    return "OK"


# ---- Xet


@route("GET", REPO + r"/xet-(?P<mode>read|write)-token/(?P<revision>[^/]+)")
def xet_token(call, parts):
    if parts["mode"] == "read":
        readable(call, parts)
    else:
        target(call, parts)
    values = {"accessToken": "xet-token", "exp": int(time.time()) + 3600, "casUrl": f"{call.hub.url}/_cas"}
    headers = {
        "X-Xet-Access-Token": values["accessToken"],
        "X-Xet-Token-Expiration": str(values["exp"]),
        "X-Xet-Cas-Url": values["casUrl"],
    }
    return Answer(200, values, headers)


@route("POST", r"/_cas/v1/xorbs/\w+/(?P<hash>[0-9a-f]{64})")
def cas_xorb(call, parts):
    return {"was_inserted": call.hub.content.add_xorb(parts["hash"], call.body)}


@route("POST", r"/_cas/v1/shards")
def cas_shard(call, parts):
    call.hub.content.add_shard(call.body)
    return {"result": 1}


@route("GET", r"/_cas/v1/reconstructions/(?P<hash>[0-9a-f]{64})")
def cas_reconstruction(call, parts):
    if parts["hash"] not in call.hub.content.files:
        raise RefusedError(404, "file not found")
    start, end = 0, 1 << 60
    wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", call.headers.get("Range", ""))
    if wanted:
        start, end = int(wanted[1]), int(wanted[2]) + 1
    found = call.hub.content.reconstruction(parts["hash"], start, end, f"{call.hub.other_origin}/_xorb")
    if found is None:
        raise RefusedError(416, "range not satisfiable")
    return found


@route("GET", r"/_xorb/(?P<hash>[0-9a-f]{64})")
def xorb_bytes(call, parts):
    return ranged(call, call.hub.content.xorbs[parts["hash"]].data, {})


# ---- files out


@route("GET HEAD", FILES + r"/resolve/(?P<revision>[^/]+)/(?P<path>.+?)")
def resolve(call, parts):
    repo = readable(call, parts)
    commit = repo.commit_at(unquoted(parts["revision"]))
    path = unquoted(parts["path"])
    headers = {"X-Repo-Commit": commit.oid, "Accept-Ranges": "bytes"}
    file = commit.files.get(path)
    if file is None:
        refused = RefusedError(404, "Entry not found", "EntryNotFound")
        refused.headers = headers
        raise refused
    headers["ETag"] = f'"{file.etag}"'
    if file.sha256 is None:
        return ranged(call, file.data, headers)
    headers |= {"X-Linked-Etag": f'"{file.sha256}"', "X-Linked-Size": str(file.size)}
    xet = call.hub.content.hash_of.get(file.sha256)
    if xet and call.hub.serves_xet:
        token = f"{call.hub.url}/api/{repo.kind}/{repo.id}/xet-read-token/{commit.oid}"
        headers |= {"X-Xet-Hash": xet, "Link": f'<{token}>; rel="xet-auth"'}
    headers["Location"] = f"{call.hub.other_origin}/_cdn/{repo.kind}/{repo.id}/{file.sha256}?Signature=x"
    return Answer(302, b"", headers)


@route("GET HEAD", r"/_cdn/(?P<kind>\w+)/(?P<name>[^/]+/[^/]+)/(?P<oid>[0-9a-f]{64})")
def cdn(call, parts):
    repo = call.hub.store.repositories[parts["kind"], parts["name"].lower()]
    return ranged(call, repo.objects[parts["oid"]], {"ETag": f'"{parts["oid"]}"'})


def ranged(call: Call, data: bytes, headers: dict[str, str]) -> Answer:
    wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", call.headers.get("Range", ""))
    if not wanted:
        return Answer(200, data, headers)
    start, end = int(wanted[1]), int(wanted[2]) + 1 if wanted[2] else len(data)
    if start >= len(data):
        raise RefusedError(416, "range not satisfiable")
    content_range = f"bytes {start}-{min(end, len(data)) - 1}/{len(data)}"
    return Answer(206, data[start:end], headers | {"Content-Range": content_range})


# ---- discussions and pull requests


@route("POST", REPO + "/discussions")
def open_discussion(call, parts):
    repo, wish = readable(call, parts), call.json()
    made = repo.open_pull(logged_in(call).name, wish["title"], wish.get("description") or "", "main", "draft")
    return {"num": made.number}


@route("GET", REPO + "/discussions")
def discussions(call, parts):
    repo = readable(call, parts)
    found = [_discussion(repo, pull.number) for pull in repo.pulls.values()]
    page = int(call.query.get("p", ["0"])[0])
    return {"discussions": found if page == 0 else [], "count": len(found), "start": 0}


@route("GET", REPO + r"/discussions/(?P<number>\d+)")
def discussion(call, parts):
    return _discussion(readable(call, parts), int(parts["number"]))


def _discussion(repo: Repository, number: int) -> dict:
    pull = repo.pulls.get(number)
    if pull is None:
        raise RefusedError(404, "Discussion not found")
    return {
        "title": pull.title,
        "num": number,
        "status": pull.status,
        "isPullRequest": True,
        "author": {"name": pull.author},
        "createdAt": stamp(repo.created),
        "repo": {"name": repo.id, "type": repo.kind[:-1]},
        "changes": {"base": f"refs/heads/{pull.base}", "mergeCommitId": pull.merge_commit},
        "filesWithConflicts": [],
        "diff": "",
        "events": pull.comments,
    }


@route("POST", REPO + r"/discussions/(?P<number>\d+)/(?P<what>comment|status|merge)")
def change_discussion(call, parts):
    repo, number = readable(call, parts), int(parts["number"])
    pull, wish = repo.pulls[number], call.json()
    event = {
        "id": str(len(pull.comments)),
        "type": "status-change" if parts["what"] != "comment" else "comment",
        "createdAt": stamp(time.time()),
        "author": {"name": logged_in(call).name},
        "data": {"status": wish.get("status", "merged"), "latest": {"raw": wish.get("comment", ""), "html": ""}},
    }
    if parts["what"] == "merge":
        writable(call, parts)
        repo.merge(number, logged_in(call).name)
    elif parts["what"] == "status":
        pull.status = wish["status"]
    pull.comments.append(event)
    return {"newMessage" if parts["what"] == "comment" else "newStatus": event}


# ---- the server


def _handler_of(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # headers and body are two writes, and 40 ms apart otherwise

        def log_message(self, *args: Any) -> None:
            pass

        def _serve(self) -> None:
            path, _, query = self.path.partition("?")
            with hub.lock:
                fault = next((fault for fault in hub.faults if fault.strikes(self.command, self.path)), None)
            token = (self.headers.get("authorization") or "").removeprefix("Bearer ") or None
            if fault is not None and fault.reset_after is not None:
                self.rfile.read(min(fault.reset_after, int(self.headers.get("content-length") or 0)))
                self._note(token, 0, b"")
                self._cut()
                return
            body = self._read_body()
            if fault is not None and fault.delay:
                threading.Event().wait(fault.delay)  # (not time.sleep, which tests replace)
            if fault is not None and fault.act is not None:
                fault.act()
            if fault is not None and fault.status is not None:
                answer = self._refusal(RefusedError(fault.status, fault.message))
                answer.headers |= fault.headers
            else:
                with hub.lock:
                    answer = self._answer(path, query, token, body)
            self._note(token, answer.status, body)
            if fault is not None and fault.lose_response:
                self._cut()
                return
            self._send(answer)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _serve  # noqa: N815

        def _read_body(self) -> bytes:
            if self.headers.get("transfer-encoding", "").lower() != "chunked":
                return self.rfile.read(int(self.headers.get("content-length") or 0))
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def _answer(self, path: str, query: str, token: str | None, body: bytes) -> Answer:
            try:
                if self.headers.get("host", "").startswith("localhost") and token:
                    raise RefusedError(400, "Only one auth mechanism allowed")
                account = None
                if token and not path.startswith("/_cas"):
                    account = hub.store.accounts.get(token)
                    if account is None:
                        raise RefusedError(401, "Invalid credentials in Authorization header")
                for method, pattern, function in ROUTES:
                    found = pattern.fullmatch(path) if method == self.command else None
                    if found:
                        values = urllib.parse.parse_qs(query)
                        call = Call(hub, self.command, path, values, self.headers, body, account)
                        answer = function(call, found.groupdict())
                        return answer if isinstance(answer, Answer) else Answer(200, answer)
                raise RefusedError(404, "Not found")
            except RefusedError as refused:
                return self._refusal(refused)
            except Exception:  # noqa: BLE001
                traceback.print_exc()
                return self._refusal(RefusedError(500, "the Hub of the tests has a defect"))

        def _refusal(self, refused: RefusedError) -> Answer:
            headers = {"X-Error-Message": refused.message.encode("ascii", "replace").decode(), "X-Request-Id": "test"}
            if refused.code:
                headers["X-Error-Code"] = refused.code
            headers |= getattr(refused, "headers", {})
            return Answer(refused.status, {"error": refused.message, **refused.body}, headers)

        def _send(self, answer: Answer) -> None:
            data, kind = answer.encoded()
            self.send_response(answer.status)
            headers = {"Content-Type": kind, **answer.headers}
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def _cut(self) -> None:
            """Close the connection so that the client sees a reset."""
            self.close_connection = True
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

        def _note(self, token: str | None, status: int, body: bytes) -> None:
            account = hub.store.accounts.get(token or "")
            user = account.name if account else None
            hub.log.append(Request(self.command, self.path, self.headers.get("host", ""), user, token, status, body))

        def finish(self) -> None:
            with contextlib.suppress(OSError, ValueError):  # the connection was cut on purpose
                super().finish()

        def handle(self) -> None:
            with contextlib.suppress(ConnectionError, ValueError):  # the client is gone, or cut off on purpose
                super().handle()

    return Handler
