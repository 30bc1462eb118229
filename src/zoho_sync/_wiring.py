"""What `ZohoSync` is given, checked before anything is made of it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import tzinfo
from types import ModuleType
from typing import Any, Final

from zoho_sync.exceptions import ConfigurationError
from zoho_sync.exceptions.wording import shown
from zoho_sync.registry import HandlerRegistry, default_registry
from zoho_sync.retry import RetryPolicy

__all__ = ["check_numbers", "check_parts", "organizations", "registry_from"]

_LARGEST_BATCH: Final = 1_000
_VERIFIERS: Final = "give SignedRequest(secret), or another of the library's verifiers"


def organizations(configured: Any) -> tuple[str, ...]:  # whatever the host gave
    """Return the organizations that were configured; none means one constant for all.

    Raises:
        ConfigurationError: They are not ids as text.
    """
    if configured is None:
        return ()
    names = (configured,) if isinstance(configured, (str, int)) else _members(configured)
    if any(isinstance(name, int) for name in names):
        message = 'organization_id is a number; write it as text: organization_id="60012345678"'
        raise ConfigurationError(message)
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        message = (
            "organization_id must be Zoho's id of the organization, as text, or several of them"
        )
        raise ConfigurationError(message)
    return names


def registry_from(given: Any) -> HandlerRegistry:  # whatever the host gave
    """Return the handlers that were given; those of the mirror if none were.

    Raises:
        ConfigurationError: It is no registry; the message says how to get one.
    """
    if given is None:
        return default_registry()
    if isinstance(given, HandlerRegistry):
        return given
    remedy = "give registry = default_registry(), after registry.override(YourHandler)"
    if isinstance(given, (list, tuple, set, frozenset)):
        problem = "a list of handlers" if given else "empty"
        raise ConfigurationError(f"registry is {problem}; {remedy}")
    if isinstance(given, ModuleType):
        held = (n for n, each in vars(given).items() if isinstance(each, HandlerRegistry))
        name = given.__name__
        found = next((f"give registry={name}.{each}, which it holds" for each in held), remedy)
        raise ConfigurationError(f"registry is the module {name}; {found}")
    if given is default_registry:
        message = "registry is the function default_registry; call it: registry=default_registry()"
        raise ConfigurationError(message)
    if given is HandlerRegistry:
        remedy = "give registry=HandlerRegistry([YourHandler]), or default_registry()"
    elif isinstance(given, type):
        remedy = f"give registry = default_registry(), after registry.override({given.__name__})"
    if isinstance(given, type):
        raise ConfigurationError(f"registry is the class {given.__name__}; {remedy}")
    raise _refusal("registry", given, remedy)


def check_numbers(**numbers: Any) -> None:
    """Refuse what is no whole number of at least 1, and a batch that no statement can name.

    Raises:
        ConfigurationError: The message says which.
    """
    for name, value in numbers.items():
        if not isinstance(value, int) or value < 1:
            message = f"{name} must be a whole number of at least 1"
            raise ConfigurationError(message)
    if numbers.get("batch_size", 1) > _LARGEST_BATCH:
        message = (
            f"batch_size is at most {_LARGEST_BATCH}: it is one transaction, and databases limit "
            "the parameters of a statement; for more at once raise concurrency"
        )
        raise ConfigurationError(message)


def check_parts(  # whatever the host gave
    verifier: Any, retry: Any, time_zone: Any, date_formats: Any, hooks: Any
) -> None:
    """Refuse arguments of another kind than `ZohoSync` describes.

    Raises:
        ConfigurationError: The message says which, and the remedy; it holds no secret.
    """
    _check_verifier(verifier)
    if retry is not None and not isinstance(retry, RetryPolicy):
        raise _refusal("retry", retry, "give RetryPolicy(max_attempts=…)")
    if time_zone is not None and not isinstance(time_zone, tzinfo):
        name = shown(time_zone) if isinstance(time_zone, str) else '"Asia/Kolkata"'
        raise _refusal("time_zone", time_zone, f"give zoneinfo.ZoneInfo({name})")
    if isinstance(date_formats, str):
        remedy = f"give it in a tuple: date_formats=({shown(date_formats)},)"
        raise _refusal("date_formats", date_formats, remedy)
    if not all(isinstance(each, str) for each in _members(date_formats)):
        raise _refusal("date_formats", date_formats, 'give texts: date_formats=("%d/%m/%Y",)')
    if not all(callable(each) for each in _members(hooks)):
        raise _refusal("hooks", hooks, "give callables in a list: hooks=[heard]")


def _check_verifier(verifier: Any) -> None:
    if isinstance(verifier, type):
        problem = f"verifier is the class {verifier.__name__}; give one of it, with its secret"
        raise ConfigurationError(problem)
    if verifier is not None and not callable(getattr(verifier, "verify", None)):
        raise _refusal("verifier", verifier, _VERIFIERS)


def _members(given: Any) -> tuple[Any, ...]:
    """Return what is listed; what is no list is its only member, and refused as such."""
    return tuple(given) if isinstance(given, Collection) and not isinstance(given, str) else (None,)


def _refusal(name: str, given: Any, remedy: str) -> ConfigurationError:
    # By its type alone: a secret may stand where a verifier should.
    return ConfigurationError(f"{name} is of type {type(given).__name__}; {remedy}")
