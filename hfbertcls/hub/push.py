"""One model repository, one commit: a reader never sees half of a push."""

import uuid
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import EntryNotFoundError, RevisionNotFoundError

from hfbertcls.commands import command
from hfbertcls.environment import local_path, package_version
from hfbertcls.errors import ConfigurationError, DatasetError, HfBertClsError, SharingError, listing
from hfbertcls.evaluation.report import Report
from hfbertcls.hub.account import NotThereError, asked, require_account, require_repo_name
from hfbertcls.hub.card_merge import merged_card
from hfbertcls.hub.committing import commit_once, find_commit
from hfbertcls.hub.push_plan import is_same_file, planned, stated_there
from hfbertcls.hub.retrying import reason_of, status_of, tried
from hfbertcls.hub.secrets import find_secrets
from hfbertcls.progress import Log
from hfbertcls.repository.card_metadata import check_metadata, parse_front_matter, split_card
from hfbertcls.repository.model_repository import address, repository_files
from hfbertcls.repository.stated_files import REPORT, WEIGHTS, read_report
from hfbertcls.repository.verify import verify_directory
from hfbertcls.repository.verify_files import names_in, unstated


@dataclass(frozen=True)
class PushRequest:
    """The destination and the options of a push.

    Args:
        repo_id: `user/name`, or `name` in the namespace of the account.
        public: whether a new repository is public; an existing one keeps its visibility.
        create_pr: propose the change as a pull request.
        revision: a branch; created if it does not exist.
        tag: a name for the commit.
        predictions: whether the files with logits and gold labels are pushed.
        card_of: `"hub"` or `"local"`: whose text is kept where both cards were edited.
        overwrite: whether to replace files of these names that no push of ours wrote; else they are an error.
        message: of the commit; None names the directory.
    """

    repo_id: str
    public: bool = False
    create_pr: bool = False
    revision: str | None = None
    tag: str | None = None
    predictions: bool = True
    card_of: str | None = None
    overwrite: bool = False
    message: str | None = None


def command_of(directory: str | Path, request: PushRequest) -> str:
    """The command that makes the request."""
    words = ["push", str(directory), request.repo_id]
    words += ["--public"] * request.public + ["--create-pr"] * request.create_pr
    words += ["--no-predictions"] * (not request.predictions) + ["--overwrite-hub"] * request.overwrite
    values = {"--hub-revision": request.revision, "--tag": request.tag, "--card": request.card_of}
    for flag, value in values.items():
        words += [] if value is None else [flag, value]
    return command(*words)


class _ForeignNamespaceError(SharingError):
    """The account may not write where the repository is to be."""

    own = ""
    """The repository of the same name in the namespace of the account."""


@dataclass(frozen=True)
class Destination:
    """The state of a repository before anything is sent."""

    repo_id: str
    exists: bool
    private: bool


@dataclass(frozen=True)
class Pushed:
    """The result of a push."""

    repo_id: str
    oid: str
    url: str
    pr_url: str | None = None
    private: bool = False


def check_destination(request: PushRequest, api: HfApi | None = None) -> Destination:
    """Check whether a push can succeed, without changing anything on the Hub.

    Raises:
        ConfigurationError: for a name that the Hub does not accept, and for options that contradict each other.
        SharingError: if nobody is logged in, the token cannot write there, the tag exists, or the Hub does not answer.
    """
    api = api or HfApi()
    if request.create_pr and request.revision is not None:
        raise ConfigurationError("--create-pr and --hub-revision exclude each other: a pull request is made to main")
    require_repo_name(request.repo_id)
    account = require_account(api)
    repo_id = account.full_name(request.repo_id)
    namespace, _, name = repo_id.partition("/")
    try:
        info = asked(lambda: api.model_info(repo_id), f"the repository {repo_id} cannot be looked at")
    except NotThereError:
        info = None
    if not account.may_write_in(namespace) and not request.create_pr:
        refusal = _ForeignNamespaceError(
            f"{account.name} has no write access to {namespace!r}. Push to {account.name}/{name}, or propose the change to an "
            "existing repository with --create-pr"
        )
        refusal.own = f"{account.name}/{name}"
        raise refusal
    if info is None:
        if request.create_pr:
            raise SharingError(f"there is no repository {repo_id} to which a pull request could be made")
        return Destination(repo_id, exists=False, private=not request.public)
    if request.public and info.private:
        raise ConfigurationError(
            f"{repo_id} exists and is private; --public does not change that. Change it in its settings, or leave --public out"
        )
    if not request.create_pr and not request.overwrite:
        _require_ours(repo_id, [entry.rfilename for entry in info.siblings or []], str(info.sha), api)
    if request.tag is not None:
        refs = asked(lambda: api.list_repo_refs(repo_id), f"the tags of {repo_id} cannot be listed")
        if any(ref.name == request.tag for ref in refs.tags):
            raise SharingError(f"{repo_id} has a tag {request.tag!r} already. Choose another name")
    return Destination(repo_id, exists=True, private=bool(info.private))


def _require_ours(repo_id: str, names: Sequence[str], head: str, api: HfApi) -> None:
    """Check before training that the repository holds no model of somebody else."""
    there = [name for name in (WEIGHTS, "config.json", REPORT) if name in names]
    if there and not asked(lambda: stated_there(repo_id, head, names, api), f"the report of {repo_id} cannot be read"):
        raise SharingError(_replaces_others(repo_id, there))


def _replaces_others(repo_id: str, names: Sequence[str]) -> str:
    return (
        f"{repo_id} has {listing(names)}, which no push of hfbertcls wrote or which changed since, and a push would replace "
        "it. Name another repository, or pass --overwrite-hub; what was there stays in the history of the repository"
    )


def push_directory(
    directory: str | Path, request: PushRequest, log: Log = lambda _: None, api: HfApi | None = None
) -> Pushed:
    """Push a directory that a run wrote as one commit, or leave the Hub unchanged.

    The commit holds an explicit list of files; other files of the directory are never sent. `parent_commit` protects
    the commit of another writer. Transient errors are retried. An id in the description of the commit identifies it
    after a lost answer, so nothing is committed twice.

    Args:
        directory: with a complete model repository.
        request: where to, and how.
        log: called with each line of progress, for a person.
        api: of huggingface_hub; None makes one for the configured endpoint and token.

    Raises:
        ConfigurationError, OutputDirectoryError: for what can be corrected here.
        SharingError: if a file must not be pushed, or the push failed; the directory stays complete.
    """
    api = api or HfApi()
    folder = local_path(directory)
    repository_files(folder)
    try:
        destination = check_destination(request, api)
    except SharingError as err:
        allowed = replace(request, repo_id=err.own) if isinstance(err, _ForeignNamespaceError) else request
        raise SharingError(
            f"{err}. Nothing was sent. After fixing this, run: {command_of(directory, allowed)}"
        ) from err
    repo_id = destination.repo_id
    address(
        folder,
        repo_id=repo_id,
        usage_model=repo_id,
        usage_revision=request.revision,
        **(_space_on_hub(repo_id, api) if destination.exists else {}),
    )
    stated = parse_front_matter(split_card((folder / "README.md").read_text(encoding="utf-8-sig"))[0])
    check_metadata(stated)
    if unsaid := [key for key in ("license", "language") if not stated.get(key)]:
        log(
            f"note: the card states no {' and no '.join(unsaid)}. Write it at the top of README.md here, and push again"
        )
    names = repository_files(folder, predictions=request.predictions)
    beside = unstated(read_report(folder), names_in(folder))
    if beside:
        log(f"note: not sent, because report.json does not state it: {listing(beside)}")
    refuse_secrets(folder, names)
    refuse_what_does_not_hold(folder, names, predictions=request.predictions)
    if request.predictions and not destination.private:
        log(f"note: {repo_id} is public, and the gold labels of validation and test are in predictions/")
    name = folder.resolve().name
    repeat = command_of(directory, request)
    again = f"Nothing was changed there; {name} is complete. Repeat: {repeat}"
    try:
        if not destination.exists:
            tried(lambda: api.create_repo(repo_id, private=not request.public, exist_ok=True), log)
            log(f"Made the {'public' if request.public else 'private'} repository {repo_id}")
        if request.revision is not None:
            tried(lambda: api.create_branch(repo_id, branch=str(request.revision), exist_ok=True), log)
        pushed = replace(_commit(folder, names, request, repo_id, log, api), private=destination.private)
    except HfBertClsError:
        raise
    except Exception as err:  # (whatever the client, its transport or Xet raise)
        proposal = " (--create-pr proposes the change)" if status_of(err) == 403 else ""
        raise SharingError(f"the push to {repo_id} failed: {reason_of(err)}{proposal}. {again}") from err
    if request.tag is not None:
        tag = request.tag
        try:
            tried(lambda: api.create_tag(repo_id, tag=tag, revision=pushed.oid, exist_ok=True), log)
        except Exception as err:
            raise SharingError(
                f"the model is pushed ({pushed.url}), but the tag {tag!r} could not be set: {reason_of(err)}. Repeat: "
                f"{repeat}"
            ) from err
    return pushed


def _space_on_hub(repo_id: str, api: HfApi) -> dict[str, str]:
    """The Space that the card on the Hub links to, which the next card keeps."""
    there = asked(lambda: _report_on_hub(repo_id, api), f"the report of {repo_id} cannot be read")
    return {} if there is None or there.card.space_id is None else {"space_id": there.card.space_id}


def _report_on_hub(repo_id: str, api: HfApi, revision: str | None = None) -> Report | None:
    """The report in a repository; None if there is none that can be read."""
    path = _downloaded(api, repo_id, "report.json", revision)
    try:
        return None if path is None else Report.from_json(Path(path).read_text(encoding="utf-8"))
    except (DatasetError, UnicodeDecodeError):
        return None


def _downloaded(api: HfApi, repo_id: str, name: str, revision: str | None = None) -> str | None:
    try:
        return str(api.hf_hub_download(repo_id, name, revision=revision))
    except (EntryNotFoundError, RevisionNotFoundError):
        return None


def refuse_secrets(folder: Path, names: Sequence[str]) -> None:
    """Look for tokens and keys in each file of the list.

    Raises:
        SharingError: naming the files, not the secrets.
    """
    kinds_by_name = {name: kinds for name in names if (kinds := find_secrets(folder / name))}
    if kinds_by_name:
        summary = "; ".join(
            f"{name} holds what looks like {' and '.join(kinds)}" for name, kinds in kinds_by_name.items()
        )
        raise SharingError(
            f"nothing was sent: {summary}. Remove it there or where it came from, and make it invalid if it is real"
        )


def refuse_what_does_not_hold(folder: Path, names: Sequence[str], *, predictions: bool = True) -> None:
    """Recompute every metric before the push.

    Raises:
        SharingError: naming what differs.
    """
    verification = verify_directory(folder, predictions=predictions, names=names)
    problems = [*verification.differences, *verification.missing]
    if problems:
        raise SharingError(
            f"nothing was sent: {folder.resolve().name} states values that do not follow from its files. {'; '.join(problems[:5])}. Write the "
            "directory again with hfbertcls train"
        )


def _commit(folder: Path, names: Sequence[str], request: PushRequest, repo_id: str, log: Log, api: HfApi) -> Pushed:
    """Commit what differs, once."""
    push_id = uuid.uuid4().hex
    branch = request.revision or "main"

    def attempt() -> Pushed:
        head = str(api.model_info(repo_id, revision=branch).sha)
        operations = _operations(folder, names, request, repo_id, head, log, api)
        if not operations:
            log("The Hub has exactly these files already")
            return Pushed(repo_id, head, f"{api.endpoint}/{repo_id}/tree/{head}")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="It seems that you are about to commit a data file")
            info = api.create_commit(
                repo_id,
                operations,
                commit_message=request.message or f"Push {folder.resolve().name} with hfbertcls",
                commit_description=f"hfbertcls {package_version('hfbertcls')}, push {push_id}",
                parent_commit=None if request.create_pr else head,
                revision=request.revision,
                create_pr=request.create_pr,
            )
        _verify(folder, operations, repo_id, info.pr_revision or info.oid, api)
        return Pushed(repo_id, info.oid, info.commit_url, info.pr_url)

    return commit_once(attempt, lambda: _already_done(api, repo_id, branch, push_id, request), log)


def _operations(
    folder: Path, names: Sequence[str], request: PushRequest, repo_id: str, head: str, log: Log, api: HfApi
) -> list[Any]:
    """The changes to make on the Hub; the card is merged with the one there."""
    existing = _remote_card(api, repo_id, head)
    if existing is not None:
        there = _report_on_hub(repo_id, api, head)
        card, notes = merged_card(folder, existing, there, request.card_of, repo_id)
        for note in notes:
            log(f"note: {note}")
        partial = folder / ".README.md.partial"
        partial.write_text(card, encoding="utf-8")
        partial.replace(folder / "README.md")
    plan = planned(folder, names, repo_id, head, api)
    if plan.foreign and not (request.overwrite or request.create_pr):
        raise SharingError(_replaces_others(repo_id, plan.foreign))
    for line in plan.lines():
        log(line)
    add = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=str(folder / name)) for name in plan.sent]
    return [*add, *(CommitOperationDelete(path_in_repo=path) for path in plan.removed)]


def _remote_card(api: HfApi, repo_id: str, head: str) -> str | None:
    path = _downloaded(api, repo_id, "README.md", head)
    if path is None:
        return None
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as err:
        raise SharingError(f"README.md of {repo_id} is no text in UTF-8. Correct or delete it on the Hub") from err


def _verify(folder: Path, operations: Sequence[Any], repo_id: str, revision: str, api: HfApi) -> None:
    """Compare the files of the commit with those that were sent."""
    names = [operation.path_in_repo for operation in operations if isinstance(operation, CommitOperationAdd)]
    there = {entry.path: entry for entry in api.get_paths_info(repo_id, names, revision=revision)}
    wrong = [name for name in names if not is_same_file(folder / name, there.get(name))]
    if wrong:
        raise SharingError(f"{repo_id} does not hold what was sent: {', '.join(wrong)}. Repeat the push")


def _already_done(api: HfApi, repo_id: str, branch: str, push_id: str, request: PushRequest) -> Pushed | None:
    """The commit of this push, if it exists although its answer was lost."""
    if request.create_pr:
        for pull in api.get_repo_discussions(repo_id):
            if pull.is_pull_request:
                revision = f"refs/pr/{pull.num}"
                commit = api.list_repo_commits(repo_id, revision=revision)[0]
                if push_id in commit.message:
                    url = f"{api.endpoint}/{repo_id}/discussions/{pull.num}"
                    return Pushed(repo_id, commit.commit_id, url, url)
        return None
    oid = find_commit(api, repo_id, push_id, revision=branch)
    return None if oid is None else Pushed(repo_id, oid, f"{api.endpoint}/{repo_id}/commit/{oid}")
