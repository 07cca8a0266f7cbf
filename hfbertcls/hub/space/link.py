"""The link from the card of a model to its Space."""

import tempfile
import uuid
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import EntryNotFoundError

from hfbertcls.errors import HfBertClsError, SharingError
from hfbertcls.evaluation.report import Report
from hfbertcls.hub.account import require_account
from hfbertcls.hub.committing import commit_once, find_commit
from hfbertcls.hub.retrying import reason_of, tried
from hfbertcls.progress import Log
from hfbertcls.repository.model_repository import address


_STATED_IN = ("report.json", "README.md")


def download_statements(model_id: str, directory: Path, log: Log, api: HfApi) -> str:
    """Fetch the report and the card of a model, if it has them, from one commit.

    Args:
        model_id: on the Hub.
        directory: where to put them.
        log: gets a line for each retry.
        api: of huggingface_hub.

    Returns:
        The commit.

    Raises:
        SharingError: if the Hub does not answer, or there is no such model.
    """
    try:
        head = str(tried(lambda: api.model_info(model_id), log).sha)
        for name in _STATED_IN:
            _fetch(model_id, name, head, directory, log, api)
    except Exception as err:  # (whatever the client or its transport raise)
        raise SharingError(f"the model {model_id} cannot be looked at: {reason_of(err)}") from err
    return head


def _fetch(model_id: str, name: str, revision: str, directory: Path, log: Log, api: HfApi) -> None:
    try:
        path = tried(lambda: api.hf_hub_download(model_id, name, revision=revision), log)
    except EntryNotFoundError:
        return
    (directory / name).write_bytes(Path(path).read_bytes())


def link_card(model_id: str, space_id: str, log: Log, api: HfApi | None = None) -> None:
    """Link to the Space from the card of a model on the Hub: one commit, or none if the link is there.

    A card that hfbertcls did not write, or of another owner, stays unchanged, with a note in the log.

    Args:
        model_id: of the model.
        space_id: of the Space.
        log: called with each line of progress, for a person.
        api: of huggingface_hub; None makes one for the configured endpoint and token.

    Raises:
        SharingError: if the request failed.
    """
    api = api or HfApi()
    link = f"{api.endpoint}/spaces/{space_id}"
    if not require_account(api).may_write_in(model_id.partition("/")[0]):
        log(f"note: {model_id} belongs to somebody else; its card does not lead to {link}")
        return
    mark = uuid.uuid4().hex

    def attempt() -> str | None:
        with tempfile.TemporaryDirectory() as folder:
            directory = Path(folder)
            head = download_statements(model_id, directory, log, api)
            if not all((directory / name).is_file() for name in _STATED_IN):
                log(f"note: hfbertcls did not write the card of {model_id}; put a link to {link} into it yourself")
                return None
            report = Report.from_json((directory / "report.json").read_text(encoding="utf-8"))
            if report.card.space_id == space_id:
                return None
            address(directory, space_id=space_id)
            info = api.create_commit(
                model_id,
                [CommitOperationAdd(name, (directory / name).read_bytes()) for name in _STATED_IN],
                commit_message=f"Lead to the Space {space_id}",
                commit_description=f"hfbertcls, link {mark}",
                parent_commit=head,
            )
            return str(info.oid)

    try:
        oid = commit_once(attempt, lambda: find_commit(api, model_id, mark), log)
    except HfBertClsError:
        raise
    except Exception as err:  # (whatever the client or its transport raise)
        raise SharingError(
            f"the Space is at {link}, but the card of {model_id} could not be made to lead there: {reason_of(err)}"
        ) from err
    if oid is not None:
        log(f"The card of {model_id} leads to the Space now")
