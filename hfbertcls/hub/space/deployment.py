"""A Space for a model: created if it does not exist, with its settings, and with its files in one commit."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from huggingface_hub import HfApi, SpaceHardware

from hfbertcls.errors import HfBertClsError, SharingError
from hfbertcls.hub.account import asked
from hfbertcls.hub.retrying import reason_of, status_of, tried
from hfbertcls.hub.secrets import secrets_in
from hfbertcls.hub.space.destination import (
    FEEDBACK_VARIABLE,
    MODEL_VARIABLE,
    TOKEN_SECRET,
    SpaceDestination,
    SpaceRequest,
    check_space,
    command_of,
)
from hfbertcls.hub.space.files import commit_files, space_operations
from hfbertcls.hub.space.manifest import with_manifest
from hfbertcls.hub.space.runtime import wait_for_stage
from hfbertcls.hub.space.token import explain_token, store_token, stores_token
from hfbertcls.progress import Log


FREE_HARDWARE = SpaceHardware.ZERO_A10G.value
"""What a free personal account may use for a Gradio Space."""


@dataclass(frozen=True)
class DeployedSpace:
    """The result of a deployment; `oid` is None if no file changed, `stage` is None without waiting."""

    space_id: str
    url: str
    oid: str | None
    stage: str | None


def deploy_space(
    files: Mapping[str, bytes],
    request: SpaceRequest,
    log: Log = lambda _: None,
    api: HfApi | None = None,
    *,
    timeout: float = 1800.0,
) -> DeployedSpace:
    """Make or update the Space of a model.

    Everything is checked first. Files that were edited in the Space are not overwritten without `overwrite`. Transient
    errors are retried, and nothing is committed twice. No secret is part of a message, an error or a commit.

    Args:
        files: content by path; all of them are sent, and nothing else but a manifest.
        request: which Space, and how.
        log: called with each line of progress, for a person.
        api: of huggingface_hub; None makes one for the configured endpoint and token.
        timeout: seconds to wait for the Space.

    Raises:
        ConfigurationError: for what can be corrected here.
        SharingError: if a file must not be sent or overwritten, the deployment failed, or the Space does not run.
    """
    api = api or HfApi()
    _refuse_secrets(files)
    destination = check_space(request, api)
    space_id = destination.space_id
    ours = with_manifest(files)
    repeat = f"Repeat: {command_of(request)}"
    try:
        if destination.exists:
            # Errors come before any change.
            tried(lambda: space_operations(ours, request, space_id, lambda _: None, api), log)
        explain_token(request, destination, log, api)
        if not destination.exists:
            _create(request, destination, log, api)
        _settle(request, destination, log, api)
        oid = commit_files(ours, request, space_id, log, api)
    except HfBertClsError:
        raise
    except Exception as err:  # (whatever the client or its transport raise)
        reason = _plan_needed(request, err) if status_of(err) == 402 else reason_of(err)
        raise SharingError(f"the Space {space_id} could not be made or updated: {reason}. {repeat}") from err
    stage = wait_for_stage(api, space_id, oid, log, timeout) if request.wait else None
    return DeployedSpace(space_id, f"{api.endpoint}/spaces/{space_id}", oid, stage)


def _refuse_secrets(files: Mapping[str, bytes]) -> None:
    kinds_by_path = {path: kinds for path, data in files.items() if (kinds := secrets_in(data))}
    if kinds_by_path:
        summary = "; ".join(
            f"{path} holds what looks like {' and '.join(kinds)}" for path, kinds in kinds_by_path.items()
        )
        raise SharingError(
            f"nothing was sent: {summary}. Remove it where it came from, and make it invalid if it is real"
        )


def _create(request: SpaceRequest, destination: SpaceDestination, log: Log, api: HfApi) -> None:
    space_id = destination.space_id
    tried(
        lambda: api.create_repo(
            space_id,
            private=destination.private,
            exist_ok=True,
            repo_type="space",
            space_sdk="gradio",
            space_hardware=SpaceHardware(request.hardware) if request.hardware else None,
        ),
        log,
    )
    is_private = bool(asked(lambda: api.space_info(space_id), f"the new Space {space_id} cannot be looked at").private)
    if is_private != destination.private:
        raise SharingError(
            f"the Hub made the Space {space_id} {'private' if is_private else 'public'}, not as asked; nothing was put into it. "
            "Change it in its settings, and repeat the command"
        )
    log(f"Made the {'private' if is_private else 'public'} Space {space_id}")


def _settle(request: SpaceRequest, there: SpaceDestination, log: Log, api: HfApi) -> None:
    """Set variables, secret and hardware where they differ."""
    space_id = there.space_id
    variables = asked(lambda: api.get_space_variables(space_id), f"the variables of {space_id} cannot be listed")
    for name, value in ((MODEL_VARIABLE, request.model_id), (FEEDBACK_VARIABLE, request.feedback_dataset)):
        before = variables[name].value if name in variables else None
        if value is not None and before != value:
            tried(partial(api.add_space_variable, space_id, name, value), log)
            log(f"Set {name} to {value}" + (f" (it was {before})" if before else ""))
    if stores_token(request, there, api):
        store_token(space_id, api)
        log(f"Stored your token as the secret {TOKEN_SECRET}")
    if request.hardware is not None:
        runtime = asked(lambda: api.get_space_runtime(space_id), f"the hardware of {space_id} cannot be asked for")
        if request.hardware != (runtime.requested_hardware or runtime.hardware):
            hardware = SpaceHardware(request.hardware)
            tried(lambda: api.request_space_hardware(space_id, hardware), log)
            log(f"Asked for the hardware {request.hardware}")


def _plan_needed(request: SpaceRequest, err: Exception) -> str:
    hardware = request.hardware or SpaceHardware.CPU_BASIC.value
    free = "a free personal account can host two Spaces on ZeroGPU under its own name"
    if hardware == FREE_HARDWARE:
        choice = f"{free}: delete one that is there, or take a paid plan"
    elif hardware.startswith("cpu-"):
        choice = (
            f"a Gradio Space on CPU hardware ({hardware}) needs a paid plan; {free}: add --hardware {FREE_HARDWARE}"
        )
    else:
        choice = f"{hardware} costs money, and needs a means of payment in the account's settings; {free}: --hardware {FREE_HARDWARE}"
    return f"{reason_of(err)}. What can be done: {choice}. --dry-run DIR writes the files, to run them elsewhere"
