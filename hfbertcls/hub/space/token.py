"""The token with which a Space reads a private model and stores feedback: explained, stored once, repeated nowhere."""

import hashlib

from huggingface_hub import HfApi

from hfbertcls.errors import SharingError
from hfbertcls.hub.account import token_of
from hfbertcls.hub.retrying import reason_of, tried
from hfbertcls.hub.space.destination import TOKEN_SECRET, SpaceDestination, SpaceRequest
from hfbertcls.option_names import as_callers_type_it
from hfbertcls.progress import Log


_NOTE = "stored by hfbertcls, fingerprint "


def explain_token(request: SpaceRequest, there: SpaceDestination, log: Log, api: HfApi) -> None:
    """Log what the token is used for before it is stored."""
    if not there.needs_token:
        if request.with_token:
            log(f"note: {request.model_id} can be read by anyone; the Space needs no token, so none is stored")
        if there.token_note is not None:
            log(f"note: the Space has a secret {TOKEN_SECRET} that it does not need; remove it in its settings")
        return
    if not there.private and not there.is_open_model:
        log(f"note: the Space is public, so anyone can use the model {request.model_id} there")
    dataset = request.feedback_dataset
    if dataset is not None and not request.with_token:
        note = (
            f"note: the secret {TOKEN_SECRET} of {there.space_id} must hold a token that may write to the data set {dataset}; "
            f"without one the Space takes no feedback. Put it into {api.endpoint}/spaces/{there.space_id}/settings, or repeat "
            "with --with-token, which stores your token"
        )
        log(as_callers_type_it(note))
    if stores_token(request, there, api):
        rights = [] if there.is_open_model else [f"read {request.model_id}"]
        rights += [] if there.feedback_dataset is None else [f"write to the data set {there.feedback_dataset}"]
        note = (
            f"note: --with-token stores your token as the secret {TOKEN_SECRET} of {there.space_id}. The app's code, and all who "
            "may change that code, can do with it whatever you can. A fine-grained token that can only "
            f"{' and '.join(rights)} is safer: put one into {api.endpoint}/spaces/{there.space_id}/settings in its place"
        )
        log(as_callers_type_it(note))
    elif request.with_token and there.token_note != _note_of(api):
        note = f"note: the Space has a secret {TOKEN_SECRET} that hfbertcls did not store; it stays. --overwrite replaces it by your token"
        log(as_callers_type_it(note))


def stores_token(request: SpaceRequest, there: SpaceDestination, api: HfApi) -> bool:
    """Whether the token is to be stored: not if it is there already, nor over one that somebody put there."""
    if not (request.with_token and there.needs_token) or there.token_note == _note_of(api):
        return False
    return there.token_note is None or there.token_note.startswith(_NOTE) or request.overwrite


def _note_of(api: HfApi) -> str:
    """The description of the secret, by which a later deployment sees whether it would store the same.

    The Hub never gives back the value. 32 bits of the hash do not reveal a random token.
    """
    return _NOTE + hashlib.sha256((token_of(api) or "").encode()).hexdigest()[:8]


def store_token(space_id: str, api: HfApi) -> None:
    """Store the token; no error message repeats it."""
    failure = None
    try:
        tried(
            lambda: api.add_space_secret(space_id, TOKEN_SECRET, token_of(api) or "", description=_note_of(api)),
            lambda _: None,
        )
    except Exception as err:  # noqa: BLE001  (raised below, without the error that holds the request)
        failure = reason_of(err, quoted=False)
    if failure is not None:
        raise SharingError(
            f"the secret {TOKEN_SECRET} of {space_id} could not be stored: {failure}. Repeat the command"
        )
