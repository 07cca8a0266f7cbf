"""What a Hub keeps: accounts, repositories of models, data sets and Spaces, commits, references, pull requests."""

import hashlib
import itertools
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from hosting import Space


KINDS = ("models", "datasets", "spaces")
GITATTRIBUTES = "".join(
    f"*.{ending} filter=lfs diff=lfs merge=lfs -text\n"
    for ending in ("safetensors", "bin", "parquet", "arrow", "pt", "pth", "h5", "onnx", "zip", "gz", "npy", "png")
)


class RefusedError(Exception):
    """An answer of the Hub that is no success."""

    def __init__(self, status: int, message: str, code: str | None = None, **body: object) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.body = status, message, code, body


@dataclass(frozen=True)
class Account:
    name: str
    token: str
    role: str = "write"
    orgs: Mapping[str, str] = field(default_factory=dict)
    is_pro: bool = False

    def may_write_in(self, namespace: str) -> bool:
        return self.role == "write" and (
            namespace == self.name or self.orgs.get(namespace) in ("admin", "write", "contributor")
        )

    def may_read_in(self, namespace: str) -> bool:
        return namespace == self.name or namespace in self.orgs


@dataclass(frozen=True)
class File:
    """A file in a commit: regular, or a pointer to a large object of the repository."""

    path: str
    data: bytes | None = None
    sha256: str | None = None
    size: int = 0

    @property
    def oid(self) -> str:
        """The id of the blob, as git computes it; of a large file that of its pointer."""
        return blob_id(self.data if self.data is not None else self.pointer)

    @property
    def pointer(self) -> bytes:
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {self.size}\n".encode()

    @property
    def etag(self) -> str:
        return self.sha256 or self.oid


def blob_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def regular(path: str, data: bytes) -> File:
    return File(path, data=data, size=len(data))


@dataclass(frozen=True)
class Commit:
    oid: str
    parents: tuple[str, ...]
    title: str
    description: str
    author: str
    seconds: float
    files: Mapping[str, File]

    @property
    def date(self) -> str:
        return stamp(self.seconds)


def stamp(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds * 1000) % 1000:03d}Z"


@dataclass
class PullRequest:
    number: int
    title: str
    description: str
    author: str
    base: str
    status: str = "open"
    merge_commit: str | None = None
    comments: list[dict] = field(default_factory=list)


@dataclass
class Repository:
    kind: str
    id: str
    private: bool = False
    created: float = field(default_factory=time.time)
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    pulls: dict[int, PullRequest] = field(default_factory=dict)
    pull_heads: dict[int, str] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    space: "Space | None" = None

    @property
    def namespace(self) -> str:
        return self.id.partition("/")[0]

    @property
    def head(self) -> Commit:
        return self.commits[self.branches["main"]]

    def commit_at(self, revision: str) -> Commit:
        """The commit of a branch, tag, pull request, or (abbreviated) id."""
        for prefix in ("refs/heads/", "refs/tags/"):
            revision = revision.removeprefix(prefix)
        if revision in self.branches:
            return self.commits[self.branches[revision]]
        if revision in self.tags:
            return self.commits[self.tags[revision]]
        if revision.startswith("refs/pr/") and revision[8:].isdigit() and int(revision[8:]) in self.pull_heads:
            return self.commits[self.pull_heads[int(revision[8:])]]
        matches = [oid for oid in self.commits if len(revision) >= 7 and oid.startswith(revision)]
        if len(matches) != 1:
            raise RefusedError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return self.commits[matches[0]]

    def history(self, revision: str) -> Iterable[Commit]:
        """Commits from a revision back to the first."""
        commit: Commit | None = self.commit_at(revision)
        while commit is not None:
            yield commit
            commit = self.commits[commit.parents[0]] if commit.parents else None

    def content(self, file: File) -> bytes:
        return file.data if file.data is not None else self.objects[file.sha256]

    def add_commit(
        self, files: Mapping[str, File], title: str, description: str, author: str, parents: tuple
    ) -> Commit:
        seconds = time.time()
        tree = sorted((file.path, file.oid) for file in files.values())
        text = json.dumps([tree, parents, title, description, author, seconds, len(self.commits)])
        commit = Commit(
            hashlib.sha1(text.encode()).hexdigest(), parents, title, description, author, seconds, dict(files)
        )
        self.commits[commit.oid] = commit
        return commit

    def commit(self, author: str, header: Mapping, operations: Iterable[tuple[str, Mapping]], branch: str) -> Commit:
        """Apply operations to a branch or a pull request as one commit."""
        parent = self.commit_at(branch)
        if branch not in self.branches and not branch.startswith("refs/pr/"):
            raise RefusedError(404, f"Invalid rev id: {branch}", "RevisionNotFound")
        expected = header.get("parentCommit")
        if expected and not parent.oid.startswith(expected):
            raise RefusedError(412, "The branch was updated since you opened this page. Please refresh and try again.")
        files = self._changed(dict(parent.files), operations)
        made = self.add_commit(files, header["summary"], header.get("description") or "", author, (parent.oid,))
        if branch in self.branches:
            self.branches[branch] = made.oid
        else:
            self.pull_heads[int(branch[8:])] = made.oid
        if self.space is not None and branch == "main":
            self.space.build(self, made)
        return made

    def _changed(self, files: dict[str, File], operations: Iterable[tuple[str, Mapping]]) -> dict[str, File]:
        for key, value in operations:
            path = value["path"]
            if "\\" in path or path.startswith("/") or ".." in path.split("/"):
                raise RefusedError(422, f"Invalid path: {path}")
            if key == "file":
                files[path] = regular(path, value["data"])
            elif key == "lfsFile":
                if value["oid"] not in self.objects:
                    raise RefusedError(400, f"LFS pointer pointed to a file that does not exist: {path}")
                files[path] = File(path, sha256=value["oid"], size=len(self.objects[value["oid"]]))
            elif key == "deletedFile":
                if path not in files:
                    raise RefusedError(404, "A file with this name doesn't exist", "EntryNotFound")
                del files[path]
            elif key == "deletedFolder":
                files = {name: file for name, file in files.items() if not name.startswith(path.rstrip("/") + "/")}
        return files

    def open_pull(self, author: str, title: str, description: str, base: str, status: str) -> PullRequest:
        number = len(self.pulls) + 1
        self.pulls[number] = PullRequest(number, title, description, author, base, status)
        self.pull_heads[number] = self.commit_at(base).oid
        return self.pulls[number]

    def merge(self, number: int, author: str) -> Commit:
        """Three-way merge of a pull request into its base; refused where both changed a file."""
        pull = self.pulls[number]
        if pull.status != "open":
            raise RefusedError(400, f"Cannot merge a pull request that is {pull.status}")
        theirs, ours = self.commits[self.pull_heads[number]], self.commit_at(pull.base)
        known = {commit.oid for commit in self.history(pull.base)}
        fork = next(commit for commit in self.history(f"refs/pr/{number}") if commit.oid in known)
        merged = dict(ours.files)
        for path in theirs.files.keys() | fork.files.keys():
            before, after = fork.files.get(path), theirs.files.get(path)
            if before == after:
                continue
            if ours.files.get(path) not in (before, after):
                raise RefusedError(409, f"The pull request conflicts with {pull.base} in {path}")
            if after is None:
                merged.pop(path, None)
            else:
                merged[path] = after
        made = self.add_commit(merged, f"Merge PR #{number}: {pull.title}", "", author, (ours.oid, theirs.oid))
        self.branches[pull.base] = made.oid
        self.pulls[number] = replace(pull, status="merged", merge_commit=made.oid)
        return made


class Store:
    """All accounts and repositories of one Hub, and how its Spaces fare.

    Attributes:
        requires_plan: whether Gradio and Docker Spaces cost a free account something.
        space_stages: what a Space goes through after a push.
        space_errors: what the runtime says in a stage.
        space_logs: lines of `build` and `run`.
        stale_polls: how often after a push the runtime still shows what was before.
        tells_running_commit: whether the runtime says which commit it is about.
    """

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.moved: dict[tuple[str, str], str] = {}
        self.requires_plan = False
        self.space_stages: Sequence[str] = ("BUILDING", "APP_STARTING", "RUNNING")
        self.space_errors: dict[str, str] = {}
        self.space_logs: dict[str, list[str]] = {"build": [], "run": []}
        self.stale_polls = 0
        self.tells_running_commit = True
        self._numbers = itertools.count(1)

    def add_account(self, name: str, token: str, role: str = "write", **more: object) -> Account:
        self.accounts[token] = Account(name, token, role, **more)
        return self.accounts[token]

    def namespaces(self) -> set[str]:
        return {name for account in self.accounts.values() for name in (account.name, *account.orgs)}

    def create(self, account: Account, wish: Mapping) -> Repository:
        kind = f"{wish.get('type') or 'model'}s"
        namespace = wish.get("organization") or account.name
        name = f"{namespace}/{wish['name']}"
        if (
            any(mark in wish["name"] for mark in ("--", ".."))
            or len(wish["name"]) > 96
            or wish["name"].endswith(".git")
        ):
            raise RefusedError(400, f"Invalid repo name: {name}")
        if not account.may_write_in(namespace):
            raise RefusedError(
                403, f"You don't have the rights to create a {kind[:-1]} under the namespace {namespace!r}"
            )
        existing = self.repositories.get((kind, name.lower()))
        if existing is not None:
            raise RefusedError(
                409,
                f"You already created this {kind[:-1]} repo",
                url=f"{'' if kind == 'models' else '/' + kind}/{existing.id}",
            )
        repo = Repository(kind, name, wish.get("visibility") == "private")
        files = {".gitattributes": regular(".gitattributes", GITATTRIBUTES.encode())}
        if kind == "spaces":
            readme = f"---\ntitle: {wish['name']}\nsdk: {wish.get('sdk')}\napp_file: app.py\n---\n"
            files["README.md"] = regular("README.md", readme.encode())
        first = repo.add_commit(files, "initial commit", "", account.name, ())
        repo.branches["main"] = first.oid
        self.repositories[kind, name.lower()] = repo
        return repo

    def find(self, kind: str, name: str, account: Account | None) -> Repository:
        """A repository that the account may read; a private one is like one that is not there."""
        repo = self.repositories.get((kind, name.lower()))
        if repo is None or (repo.private and (account is None or not account.may_read_in(repo.namespace))):
            if account is None:
                raise RefusedError(401, "Invalid username or password.", "RepoNotFound")
            raise RefusedError(404, "Repository not found", "RepoNotFound")
        return repo

    def find_writable(self, kind: str, name: str, account: Account | None) -> Repository:
        repo = self.find(kind, name, account)
        if account is None:
            raise RefusedError(401, "Invalid username or password.", "RepoNotFound")
        if not account.may_write_in(repo.namespace):
            raise RefusedError(
                403, "Forbidden: pass `create_pr=1` as a query parameter to create a Pull Request", None
            )
        return repo
