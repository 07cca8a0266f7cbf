"""The account that is logged in to the Hub, and where it may write; checked before anything is changed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # it is exported lazily

from hfbertcls.commands import log_in
from hfbertcls.errors import ConfigurationError, SharingError
from hfbertcls.hub.retrying import reason_of, tried


@dataclass(frozen=True)
class Account:
    """An account that is logged in with a token that can write.

    Args:
        name: of the account.
        organizations: the role in each.
        token_role: `write` or `fineGrained`; None if the Hub does not state it.
    """

    name: str
    organizations: Mapping[str, str | None]
    token_role: str | None

    def full_name(self, repo_id: str) -> str:
        """`user/name` for a name without a namespace."""
        return repo_id if "/" in repo_id else f"{self.name}/{repo_id}"

    def may_write_in(self, namespace: str) -> bool:
        """Whether the account may write in a user's or an organization's namespace."""
        return namespace == self.name or self.organizations.get(namespace) in ("admin", "write", "contributor")


class NotThereError(SharingError):
    """A repository is not there, or not for this account."""


def require_repo_name(repo_id: str) -> None:
    """Check the name of a repository.

    Raises:
        ConfigurationError: if the Hub does not accept it.
    """
    try:
        validate_repo_id(repo_id)
    except HFValidationError as err:
        raise ConfigurationError(f"the Hub accepts no repository called {repo_id!r}: {err}") from err


def require_account(api: HfApi) -> Account:
    """The account that is logged in.

    Raises:
        SharingError: if nobody is, the token can only read, or the Hub does not answer.
    """
    if token_of(api) is None:
        raise SharingError(
            f"nobody is logged in to the Hub. Run `{log_in()}`, or set HF_TOKEN to a token that can write"
        )
    answer = asked(lambda: api.whoami(), "the Hub cannot be asked who you are")
    role = answer.get("auth", {}).get("accessToken", {}).get("role")
    if role == "read":
        raise SharingError(
            f"the token can only read. Make one with the role 'write' and log in with it (`{log_in()}`)"
        )
    return Account(answer["name"], {org["name"]: org.get("roleInOrg") for org in answer.get("orgs", [])}, role)


def token_of(api: HfApi) -> str | None:
    """The token that `api` sends; None if nobody is logged in."""
    if api.token is False:
        return None
    return api.token if isinstance(api.token, str) else get_token()


def asked(question: Callable[[], Any], failure: str) -> Any:
    """The answer of the Hub to a read-only request, with retries.

    Raises:
        NotThereError: if there is no such repository.
        SharingError: beginning with `failure`.
    """
    try:
        return tried(question, lambda _: None)
    except RepositoryNotFoundError as err:
        raise NotThereError(f"{failure}: it is not there, or this account may not see it") from err
    except Exception as err:
        raise SharingError(f"{failure}: {reason_of(err)}") from err
