"""Verifying a model repository on the Hub: only the files that its report states are fetched."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from huggingface_hub import HfApi, snapshot_download

from hfbertcls.environment import local_path
from hfbertcls.errors import ModelError, SharingError, no_directory
from hfbertcls.hub.retrying import reason_of, tried
from hfbertcls.progress import work
from hfbertcls.repository.stated_files import CARD, REPORT, stated_files
from hfbertcls.repository.verify import Verification, read_stated, verified


@work("Fetching the repository")
def verify_repository(repo_id: str, revision: str | None = None, *, predictions: bool = True) -> Verification:
    """Like `verify_directory`, for a repository on the Hub; only the files that its report states are fetched.

    Raises:
        SharingError: if it cannot be fetched.
        ModelError: if it has no report or no card of hfbertcls, or its report is damaged.
    """

    def fetched(names: Sequence[str], **where: Any) -> None:
        tried(lambda: snapshot_download(repo_id, allow_patterns=list(names), **where), lambda _: None)

    with TemporaryDirectory() as place:
        folder = Path(place)
        try:
            head = tried(lambda: HfApi().model_info(repo_id, revision=revision), lambda _: None)
            where = {"revision": str(head.sha), "local_dir": place}
            fetched([REPORT, CARD], **where)
            report = read_stated(folder, repo_id)[0]
            fetched([*stated_files(report), "model.safetensors.index.json"], **where)
        except ModelError:
            raise
        except Exception as err:
            here = local_path(repo_id)
            absent = "" if here.is_dir() else f"{no_directory(here)}, and "
            raise SharingError(f"{absent}{repo_id} cannot be fetched from the Hub: {reason_of(err)}") from err
        names = sorted(entry.rfilename for entry in head.siblings or [])
        return verified(folder, repo_id, names, predictions=predictions)
