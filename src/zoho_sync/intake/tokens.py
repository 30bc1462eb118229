"""Verifies who sent a delivery by a static token, or deliberately not at all."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from zoho_sync.exceptions import ConfigurationError
from zoho_sync.intake.http import header_value
from zoho_sync.intake.verdict import WHOLE_REQUEST, Verdict

__all__ = ["HeaderToken", "QueryToken", "Unverified", "checked_secrets", "matches"]

_Headers = Mapping[str, str]
_Query = Sequence[tuple[str, str]]

_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_TEXT: Final = re.compile(r"[ -~]+")


@dataclass(frozen=True, slots=True, init=False)
class HeaderToken:
    """A static token in a header that the administrator added to the webhook.

    Args:
        name: Of the header, in any case.
        tokens: The header's whole value (for a bearer token, ``"Bearer …"``); one is enough.
        organization_id: Zoho's organization that uses these tokens. Required where the
            application has several.

    Raises:
        ConfigurationError: No token, or a name or token that no header can carry.
    """

    name: str
    _tokens: tuple[str, ...] = field(repr=False)
    organization_id: str | None

    def __init__(self, name: str, *tokens: str, organization_id: str | None = None) -> None:
        checked = checked_secrets("HeaderToken", tokens)
        if not _HEADER_NAME.fullmatch(name):
            raise ConfigurationError("HeaderToken: the first argument is the name of a header")
        if not all(_HEADER_TEXT.fullmatch(token) for token in checked):
            raise ConfigurationError("HeaderToken: a header carries printable ASCII only")
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "_tokens", checked)
        object.__setattr__(self, "organization_id", organization_id)

    def preview(self, headers: _Headers, query: _Query) -> Verdict | None:
        """Refuse what no body can make right; see `PreviewingVerifier.preview`."""
        return _only_refusal(self.verify(b"", headers, query))

    def verify(self, body: bytes, headers: _Headers, query: _Query) -> Verdict:  # noqa: ARG002  # the protocol's
        """Judge one delivery; see `Verifier.verify`."""
        given = header_value(headers, self.name)
        if given is None:
            return Verdict(ok=False, reason=f"no {self.name} header", stranger=True)
        ok = matches(given.strip(), self._tokens)
        return _of_token(f"in header {self.name}", self.organization_id, ok=ok)


@dataclass(frozen=True, slots=True, init=False)
class QueryToken:
    """A static token in the query of the webhook's URL.

    URLs end up in access logs, and the token with them: prefer one of the others.

    Args:
        name: Of the query parameter.
        tokens: One that matches is enough.
        organization_id: Zoho's organization that uses these tokens. Required where the
            application has several.

    Raises:
        ConfigurationError: No name, no token, or a blank one.
    """

    name: str
    _tokens: tuple[str, ...] = field(repr=False)
    organization_id: str | None

    def __init__(self, name: str, *tokens: str, organization_id: str | None = None) -> None:
        checked = checked_secrets("QueryToken", tokens)
        if not name.strip():
            raise ConfigurationError("QueryToken: the first argument is the parameter's name")
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "_tokens", checked)
        object.__setattr__(self, "organization_id", organization_id)

    def preview(self, headers: _Headers, query: _Query) -> Verdict | None:
        """Refuse what no body can make right; see `PreviewingVerifier.preview`."""
        return _only_refusal(self.verify(b"", headers, query))

    def verify(self, body: bytes, headers: _Headers, query: _Query) -> Verdict:  # noqa: ARG002  # the protocol's
        """Judge one delivery; see `Verifier.verify`."""
        given = [value for key, value in query if key == self.name]
        if not given:
            return Verdict(ok=False, reason=f"no query parameter {self.name}", stranger=True)
        ok = sum(matches(value, self._tokens) for value in given) > 0
        return _of_token(f"in query parameter {self.name}", self.organization_id, ok=ok)


@dataclass(frozen=True, slots=True)
class Unverified:
    """Accepts everything, and never claims to have verified it: for tests and private networks."""

    def verify(self, body: bytes, headers: _Headers, query: _Query) -> Verdict:  # noqa: ARG002  # the protocol's
        """Accept; see `Verifier.verify`."""
        reason = "not verified: Unverified() accepts everything"
        return Verdict(ok=True, reason=reason, covers=WHOLE_REQUEST)


def checked_secrets(verifier: str, secrets: tuple[object, ...]) -> tuple[str, ...]:
    """Return the secrets of a verifier.

    Raises:
        ConfigurationError: None, or one that nobody can have meant; it names the verifier alone.
    """
    # Objects: os.environ.get() gives None for a variable that is not set.
    checked = [secret for secret in secrets if isinstance(secret, str) and secret.strip()]
    if not checked or len(checked) != len(secrets):
        raise ConfigurationError(f"{verifier}: a secret is missing, blank or not text; is it set?")
    if any(secret != secret.strip() for secret in checked):
        raise ConfigurationError(f"{verifier}: a secret has white space around it")
    return tuple(checked)


def matches(given: str, expected: Iterable[str]) -> bool:
    """Return whether a text is one of those expected, in constant time."""
    # Bytes, because compare_digest refuses text beyond ASCII; a sum, so that each is compared.
    return sum(hmac.compare_digest(_bytes(given), _bytes(each)) for each in expected) > 0


def _only_refusal(verdict: Verdict) -> Verdict | None:
    return None if verdict.ok else verdict


def _of_token(where: str, organization_id: str | None, *, ok: bool) -> Verdict:
    return Verdict(
        ok, f"{'right' if ok else 'wrong'} token {where}", WHOLE_REQUEST, organization_id
    )


def _bytes(text: str) -> bytes:
    # Half of a surrogate pair must end in a refusal, not in an exception.
    return text.encode("utf-8", "surrogatepass")
