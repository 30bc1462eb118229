"""Checks what `ZohoSync` is given, before anything is made of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import tzinfo
from typing import Any, Final

from zoho_sync.events.retry import RetryPolicy
from zoho_sync.exceptions import ConfigurationError
from zoho_sync.exceptions.arguments import Kind, of
from zoho_sync.handlers.registry import HandlerRegistry, default_registry

__all__ = ["check_numbers", "check_parts", "organizations", "registry_from"]

_LARGEST_BATCH: Final = 1_000


def _verifies(given: Any) -> bool:
    found = not isinstance(given, type) and callable(getattr(given, "verify", None))
    return given is None or found


def _is_name(given: Any) -> bool:
    return isinstance(given, str) and bool(given.strip())


def _are_names(given: Any) -> bool:
    return given is None or _is_name(given) or (bool(given) and _all(given, _is_name))


def _all(given: Any, fits: Callable[[Any], object]) -> bool:
    listed = isinstance(given, Collection) and not isinstance(given, str)
    return listed and all(fits(each) for each in given)


_KINDS: Final[Mapping[str, Kind]] = {
    "verifier": Kind(
        _verifies,
        "an object with verify(), and no class",
        "SignedRequest(secret), or another of the library's",
    ),
    "retry": Kind(of(RetryPolicy, type(None)), "a RetryPolicy", "RetryPolicy(max_attempts=…)"),
    "time_zone": Kind(
        of(tzinfo, type(None)), "a time zone", 'zoneinfo.ZoneInfo("Asia/Kolkata"), for example'
    ),
    "date_formats": Kind(
        lambda given: _all(given, of(str)), "texts in a list", 'date_formats=("%d/%m/%Y",)'
    ),
    "hooks": Kind(lambda given: _all(given, callable), "callables in a list", "hooks=[heard]"),
    "organization_id": Kind(
        _are_names,
        "Zoho's id of the organization, as text, or several of them",
        'organization_id="60012345678", for example',
    ),
    "registry": Kind(
        of(HandlerRegistry, type(None)),
        "a HandlerRegistry",
        "registry = default_registry(), after registry.override(YourHandler)",
    ),
}
_NUMBER: Final = Kind(
    lambda given: isinstance(given, int) and given >= 1, "a whole number of at least 1", "one"
)


def organizations(configured: Any) -> tuple[str, ...]:  # whatever the host gave
    """Return the organizations that were configured; none means one constant for all.

    Raises:
        ConfigurationError: They are not ids as text.
    """
    _check(organization_id=configured)
    if configured is None:
        return ()
    return (configured,) if isinstance(configured, str) else tuple(configured)


def registry_from(given: Any) -> HandlerRegistry:  # whatever the host gave
    """Return the handlers that were given; those of the mirror if none were.

    Raises:
        ConfigurationError: It is no registry; the message says how to get one.
    """
    _check(registry=given)
    return default_registry() if given is None else given


def check_numbers(**numbers: Any) -> None:
    """Refuse what is no whole number of at least 1, and a batch that no statement can name.

    Raises:
        ConfigurationError: The message says which.
    """
    _check(**numbers)
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
    _check(
        verifier=verifier,
        retry=retry,
        time_zone=time_zone,
        date_formats=date_formats,
        hooks=hooks,
    )


def _check(**arguments: Any) -> None:
    for name, given in arguments.items():
        kind = _KINDS.get(name, _NUMBER)
        if not kind.fits(given):
            # What was given is not said: a secret may stand where a verifier should.
            raise ConfigurationError(f"{name} must be {kind.called}; give {kind.example}")
