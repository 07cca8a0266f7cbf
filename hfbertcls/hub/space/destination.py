"""The request for a Space, and the check whether it can be fulfilled."""

from dataclasses import dataclass

from huggingface_hub import HfApi, SpaceHardware

from hfbertcls.commands import command
from hfbertcls.errors import ConfigurationError, SharingError, did_you_mean
from hfbertcls.hub.account import NotThereError, asked, require_account, require_repo_name


MODEL_VARIABLE = "MODEL_ID"
FEEDBACK_VARIABLE = "FEEDBACK_DATASET"
TOKEN_SECRET = "HF_TOKEN"


@dataclass(frozen=True)
class SpaceRequest:
    """Which Space is to show which model, and how.

    Args:
        space_id: `user/name`, or `name` in the namespace of the account.
        model_id: of the model on the Hub.
        public: whether a new Space is public; None follows the visibility of the model. An existing Space keeps its
            visibility.
        hardware: as the Hub calls it, for instance `zero-a10g`; None leaves it to the Hub.
        with_token: store the token of the login as a secret of the Space, so that it can read a private model and store
            feedback.
        overwrite: replace files, and a token, that somebody else put into the Space.
        wait: until the Space runs.
        feedback_dataset: `user/name` of the data set that the Space stores feedback in; None leaves the Space as it is.
    """

    space_id: str
    model_id: str
    public: bool | None = None
    hardware: str | None = None
    with_token: bool = False
    overwrite: bool = False
    wait: bool = True
    feedback_dataset: str | None = None


@dataclass(frozen=True)
class SpaceDestination:
    """The state of a Space before any change.

    Args:
        space_id: with its namespace.
        exists: whether it is there.
        private: whether it is, or will be.
        is_open_model: whether anyone can read the model.
        feedback_dataset: that feedback is stored in, as the Space says or is to say; None if none is taken.
        token_note: how the secret that is there was described; None if it is not there.
    """

    space_id: str
    exists: bool
    private: bool
    is_open_model: bool
    feedback_dataset: str | None
    token_note: str | None

    @property
    def needs_token(self) -> bool:
        """Whether the Space cannot read the model, or store feedback, without a token."""
        return not self.is_open_model or self.feedback_dataset is not None


def check_space(request: SpaceRequest, api: HfApi | None = None) -> SpaceDestination:
    """Check whether a Space can be created or changed, without changing anything on the Hub.

    Raises:
        ConfigurationError: for names and hardware that the Hub does not know, and options that do not fit the Space.
        SharingError: if nobody is logged in, the token cannot write there, the model is not there or could not be read
            by the Space, or the Hub does not answer.
    """
    api = api or HfApi()
    require_repo_name(request.space_id)
    require_repo_name(request.model_id)
    require_hardware(request.hardware)
    require_feedback_dataset(request.feedback_dataset)
    account = require_account(api)
    space_id = account.full_name(request.space_id)
    namespace, _, name = space_id.partition("/")
    if not account.may_write_in(namespace):
        raise SharingError(
            f"{account.name} may not make or change a Space in {namespace!r}. Take --space-id {account.name}/{name}"
        )
    if request.feedback_dataset is not None:
        owner, _, dataset = request.feedback_dataset.partition("/")
        if not account.may_write_in(owner):
            raise SharingError(
                f"{account.name} may not write to a data set of {owner!r}. Take --feedback-dataset {account.name}/{dataset}"
            )
    try:
        model = asked(lambda: api.model_info(request.model_id), f"the model {request.model_id} cannot be looked at")
    except NotThereError as err:
        raise SharingError(
            f"there is no model {request.model_id} on the Hub, or {account.name} may not see it. Push it first: "
            f"{command('push', 'DIR', request.model_id)}"
        ) from err
    is_open_model, feedback_dataset = not (model.private or model.gated), request.feedback_dataset
    try:
        space = asked(lambda: api.space_info(space_id), f"the Space {space_id} cannot be looked at")
    except NotThereError:
        private = bool(model.private) if request.public is None else not request.public
        destination = SpaceDestination(space_id, False, private, is_open_model, feedback_dataset, None)
    else:
        secrets = asked(lambda: api.get_space_secrets(space_id), f"the secrets of {space_id} cannot be listed")
        note = (secrets[TOKEN_SECRET].description or "") if TOKEN_SECRET in secrets else None
        if feedback_dataset is None:
            variables = asked(
                lambda: api.get_space_variables(space_id), f"the variables of {space_id} cannot be listed"
            )
            feedback_dataset = variables[FEEDBACK_VARIABLE].value if FEEDBACK_VARIABLE in variables else None
        destination = SpaceDestination(space_id, True, bool(space.private), is_open_model, feedback_dataset, note)
        _require_visibility(request, destination, model_is_private=bool(model.private))
    if not is_open_model and not request.with_token and destination.token_note is None:
        raise SharingError(_token_choices(request, space_id, api, "private" if model.private else "gated"))
    return destination


def require_hardware(name: str | None) -> None:
    """Check the name of the hardware.

    Raises:
        ConfigurationError: with the names that the Hub has.
    """
    names = [hardware.value for hardware in SpaceHardware]
    if name is not None and name not in names:
        raise ConfigurationError(
            f"the Hub has no hardware {name!r}{did_you_mean(name, names)}. --hardware takes one of {', '.join(names)}"
        )


def require_feedback_dataset(name: str | None) -> None:
    """Check the name of the data set for feedback.

    Raises:
        ConfigurationError: if it is no `user/name` that the Hub accepts.
    """
    if name is None:
        return
    if name.count("/") != 1:
        raise ConfigurationError(f"--feedback-dataset {name!r} is an invalid value. Expected USER/NAME of a data set")
    require_repo_name(name)


def hardware_of(space_id: str, api: HfApi) -> str | None:
    """What a Space runs on, or is to run on; None if there is no such Space.

    Raises:
        SharingError: if the Hub does not answer.
    """
    try:
        runtime = asked(lambda: api.get_space_runtime(space_id), f"the hardware of {space_id} cannot be asked for")
    except NotThereError:
        return None
    hardware: str | None = runtime.requested_hardware or runtime.hardware
    return hardware


def _require_visibility(request: SpaceRequest, there: SpaceDestination, *, model_is_private: bool) -> None:
    """Check the visibility of an existing Space, and that no private model is shown in public by accident."""
    if request.public is not None and request.public == there.private:
        is_now, flag = ("private", "--public") if there.private else ("public", "--private")
        raise ConfigurationError(
            f"the Space {there.space_id} exists and is {is_now}; {flag} does not change that. Change it in its settings, or "
            f"leave {flag} out"
        )
    if model_is_private and not there.private and request.public is None:
        raise SharingError(
            f"the Space {there.space_id} is public and the model {request.model_id} is private: anyone could use it there. "
            "Make the Space private in its settings, or repeat with --public"
        )


def _token_choices(request: SpaceRequest, space_id: str, api: HfApi, how: str) -> str:
    return (
        f"the model {request.model_id} is {how}, so the Space {space_id} could not read it. Nothing was changed. Choose: make "
        "the model public in its settings on the Hub; or repeat with --with-token, which stores YOUR token as the secret "
        f"{TOKEN_SECRET} of the Space, where the app's code, and all who may change that code, can use it; or, better, make an "
        f"empty Gradio Space of this name ({api.endpoint}/new-space), put a fine-grained token that can only read "
        f"{request.model_id} into its settings as the secret {TOKEN_SECRET}, and repeat without --with-token"
    )


def command_of(request: SpaceRequest) -> str:
    """The command to repeat."""
    words = ["space", request.model_id, "--space-id", request.space_id]
    if request.public is not None:
        words.append("--public" if request.public else "--private")
    if request.hardware is not None:
        words += ["--hardware", request.hardware]
    if request.feedback_dataset is not None:
        words += ["--feedback-dataset", request.feedback_dataset]
    words += ["--with-token"] * request.with_token + ["--no-wait"] * (not request.wait)
    return command(*words)
