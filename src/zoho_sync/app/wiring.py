"""Checks what `ZohoSync` is given, before anything is made of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import timedelta, tzinfo
from typing import Any, Final

from zoho_sync.events.retry import RetryPolicy
from zoho_sync.exceptions import ConfigurationError
from zoho_sync.exceptions.arguments import Kind, of
from zoho_sync.handlers.registry import HandlerRegistry
from zoho_sync.intake.signature import organizations_of
from zoho_sync.intake.verdict import Verifier

__all__ = ["check_arguments"]

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


_NUMBER: Final = Kind(
    lambda given: isinstance(given, int) and given >= 1, "a whole number of at least 1", "one"
)
_KINDS: Final[Mapping[str, Kind]] = {
    "batch_size": _NUMBER,
    "concurrency": _NUMBER,
    "max_body": _NUMBER,
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
    "handler_timeout": Kind(
        lambda given: given is None or (isinstance(given, timedelta) and given > timedelta(0)),
        "a time span above zero",
        "timedelta(minutes=2), for example",
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


def _check_secrets(
    verifier: Verifier | None, organization_id: str | Collection[str] | None
) -> None:
    """Refuse secrets that are not bound to the organizations that are configured."""
    one = isinstance(organization_id, str)
    known = {organization_id} if one else {*(organization_id or ())}
    for bound in [] if verifier is None else organizations_of(verifier):
        if bound is None and len(known) > 1:
            raise ConfigurationError(
                "verifier: several organizations are configured, and a secret is bound to none of "
                "them, so that whoever has it could write as another; give each its own, "
                'AnyOf(SignedRequest(secret, organization_id="…"), …)'
            )
        if bound is not None and bound not in known:
            raise ConfigurationError(
                f"verifier: a secret is bound to organization_id={bound!r}, which "
                "ZohoSync(organization_id=…) does not name"
            )


def check_arguments(given: Mapping[str, Any]) -> None:
    """Refuse arguments of another kind than `ZohoSync` describes.

    Args:
        given: What it was called with, by name.

    Raises:
        ConfigurationError: The message says which, and the remedy; it holds no secret.
    """
    for name, kind in _KINDS.items():
        if not kind.fits(given[name]):
            # What was given is not said: a secret may stand where a verifier should.
            raise ConfigurationError(f"{name} must be {kind.called}; give {kind.example}")
    _check_secrets(given["verifier"], given["organization_id"])
    if given["batch_size"] > _LARGEST_BATCH:
        message = (
            f"batch_size is at most {_LARGEST_BATCH}: it is one transaction, and databases limit "
            "the parameters of a statement; for more at once raise concurrency"
        )
        raise ConfigurationError(message)
