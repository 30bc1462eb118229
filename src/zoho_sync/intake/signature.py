"""Verifies who sent a delivery: by a signature, by a static token, or deliberately not at all.

Zoho signs a webhook that has a secret with HMAC-SHA256 in the header
``X-Zoho-Webhook-Signature``. What it signs is put together as follows (`SignedRequest`):

1. the pairs of the query and of a form body, URL-decoded, in one list;
2. sorted by key, and joined as ``key`` + ``value`` without separators;
3. followed by the body as received, unless the body is a form.

Where Zoho's description says nothing: pairs with equal keys stay in the order received, those of
the query first; a blank value contributes its key alone; ``+`` decodes to a blank. Nothing in the
scheme stops the replay of a request: only deduplication does.

Receivers that hash the body alone exist (`SignedBody`), as do static tokens in a header
(`HeaderToken`) or in the query (`QueryToken`). Each takes several secrets, so that a secret can be
changed without an hour in which deliveries are refused, and `AnyOf` accepts what one of several
verifiers accepts. All fail closed: without a secret they cannot be made.

A `Verdict` says what was looked at, never a secret, a value or a body: it is fit for a log. It is
not for the sender.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, runtime_checkable

from zoho_sync.exceptions import ConfigurationError
from zoho_sync.intake.http import Pairs, header_value, is_form, pairs

__all__ = [
    "SIGNATURE_HEADER",
    "AnyOf",
    "HeaderToken",
    "QueryToken",
    "SignedBody",
    "SignedRequest",
    "Unverified",
    "Verdict",
    "Verifier",
    "sign",
]

SIGNATURE_HEADER: Final = "X-Zoho-Webhook-Signature"
"""The header that holds the signature: HMAC-SHA256 in lower-case hexadecimal digits."""

_Headers = Mapping[str, str]
_Query = Sequence[tuple[str, str]]

_ZOHO_SECRET: Final = re.compile(r"[A-Za-z0-9]{12,50}")
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_TEXT: Final = re.compile(r"[ -~]+")
_PLAIN_KEY: Final = re.compile(r"[\w.-]{1,40}", re.ASCII)
_SHOWN_KEYS: Final = 10


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verifier found.

    Attributes:
        ok: Whether the delivery is accepted.
        reason: Why, for the operator's log; it holds no secret, no value and nothing of the body.
    """

    ok: bool
    reason: str


@runtime_checkable
class Verifier(Protocol):
    """Decides whether a delivery comes from where it claims to come from."""

    def verify(
        self, body: bytes, headers: Mapping[str, str], query: Sequence[tuple[str, str]]
    ) -> Verdict:
        """Judge one delivery; nothing that a sender can send makes this raise.

        Args:
            body: As received.
            headers: Looked up without regard to case.
            query: The query string's pairs, URL-decoded, in the order received.
        """


@dataclass(frozen=True, slots=True, init=False)
class SignedRequest:
    """Zoho's own scheme: a signature of query, form and body.

    Args:
        secrets: As entered in Zoho: 12 to 50 letters and digits each; one that matches is enough.

    Raises:
        ConfigurationError: No secret, or one that Zoho would not accept.
    """

    _secrets: tuple[str, ...] = field(repr=False)

    def __init__(self, *secrets: str) -> None:
        checked = _checked("SignedRequest", secrets)
        if not all(_ZOHO_SECRET.fullmatch(secret) for secret in checked):
            raise ConfigurationError(
                "SignedRequest: Zoho's secrets are 12 to 50 letters and digits; check that this "
                "one is complete, without quotes or blanks around it"
            )
        object.__setattr__(self, "_secrets", checked)

    def verify(self, body: bytes, headers: _Headers, query: _Query) -> Verdict:
        """Judge one delivery; see `Verifier.verify`."""
        content_type = header_value(headers, "content-type") or ""
        try:
            form = pairs(body) if is_form(content_type) else None
        except UnicodeDecodeError:
            return Verdict(ok=False, reason="the form body is not UTF-8")
        what = _described(query, form, len(body), self._secrets)
        return _judged(headers, self._secrets, _signed_bytes(body, query, form), what)


@dataclass(frozen=True, slots=True, init=False)
class SignedBody:
    """A signature of the body alone, in the same header and form as Zoho's.

    Args:
        secrets: One that matches is enough.

    Raises:
        ConfigurationError: No secret, or a blank one.
    """

    _secrets: tuple[str, ...] = field(repr=False)

    def __init__(self, *secrets: str) -> None:
        object.__setattr__(self, "_secrets", _checked("SignedBody", secrets))

    def verify(self, body: bytes, headers: _Headers, query: _Query) -> Verdict:  # noqa: ARG002  # the protocol's
        """Judge one delivery; see `Verifier.verify`."""
        return _judged(headers, self._secrets, body, f"{len(body)} body bytes")


@dataclass(frozen=True, slots=True, init=False)
class HeaderToken:
    """A static token in a header that the administrator added to the webhook.

    Args:
        name: Of the header, in any case.
        tokens: The header's whole value (for a bearer token, ``"Bearer …"``); one is enough.

    Raises:
        ConfigurationError: No token, or a name or token that no header can carry.
    """

    name: str
    _tokens: tuple[str, ...] = field(repr=False)

    def __init__(self, name: str, *tokens: str) -> None:
        checked = _checked("HeaderToken", tokens)
        if not _HEADER_NAME.fullmatch(name):
            raise ConfigurationError("HeaderToken: the first argument is the name of a header")
        if not all(_HEADER_TEXT.fullmatch(token) for token in checked):
            raise ConfigurationError("HeaderToken: a header carries printable ASCII only")
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "_tokens", checked)

    def verify(self, body: bytes, headers: _Headers, query: _Query) -> Verdict:  # noqa: ARG002  # the protocol's
        """Judge one delivery; see `Verifier.verify`."""
        given = header_value(headers, self.name)
        if given is None:
            return Verdict(ok=False, reason=f"no {self.name} header")
        ok = _matches(given.strip(), self._tokens)
        return Verdict(ok, f"{'right' if ok else 'wrong'} token in header {self.name}")


@dataclass(frozen=True, slots=True, init=False)
class QueryToken:
    """A static token in the query of the webhook's URL.

    URLs end up in access logs, and the token with them: prefer one of the others.

    Args:
        name: Of the query parameter.
        tokens: One that matches is enough.

    Raises:
        ConfigurationError: No name, no token, or a blank one.
    """

    name: str
    _tokens: tuple[str, ...] = field(repr=False)

    def __init__(self, name: str, *tokens: str) -> None:
        checked = _checked("QueryToken", tokens)
        if not name.strip():
            raise ConfigurationError("QueryToken: the first argument is the parameter's name")
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "_tokens", checked)

    def verify(self, body: bytes, headers: _Headers, query: _Query) -> Verdict:  # noqa: ARG002  # the protocol's
        """Judge one delivery; see `Verifier.verify`."""
        given = [value for key, value in query if key == self.name]
        if not given:
            return Verdict(ok=False, reason=f"no query parameter {self.name}")
        ok = sum(_matches(value, self._tokens) for value in given) > 0
        return Verdict(ok, f"{'right' if ok else 'wrong'} token in query parameter {self.name}")


@dataclass(frozen=True, slots=True, init=False)
class AnyOf:
    """Accepts what at least one of several verifiers accepts.

    Args:
        verifiers: Asked in this order. `Unverified` is not allowed among them: it would make all
            the others pointless without looking so.

    Raises:
        ConfigurationError: No verifier, or something that is none.
    """

    verifiers: tuple[Verifier, ...]

    def __init__(self, *verifiers: Verifier) -> None:
        if not verifiers or not all(isinstance(each, Verifier) for each in verifiers):
            raise ConfigurationError("AnyOf: give at least one verifier, each as its own argument")
        if any(isinstance(each, Unverified) for each in verifiers):
            raise ConfigurationError("AnyOf: Unverified() accepts everything; give it alone")
        object.__setattr__(self, "verifiers", verifiers)

    def verify(self, body: bytes, headers: _Headers, query: _Query) -> Verdict:
        """Judge one delivery; see `Verifier.verify`."""
        verdicts = [verifier.verify(body, headers, query) for verifier in self.verifiers]
        refused = Verdict(ok=False, reason="; ".join(verdict.reason for verdict in verdicts))
        return next((verdict for verdict in verdicts if verdict.ok), refused)


@dataclass(frozen=True, slots=True)
class Unverified:
    """Accepts everything, and never claims to have verified it: for tests and private networks."""

    def verify(self, body: bytes, headers: _Headers, query: _Query) -> Verdict:  # noqa: ARG002  # the protocol's
        """Accept; see `Verifier.verify`."""
        return Verdict(ok=True, reason="not verified: Unverified() accepts everything")


def sign(
    secret: str,
    body: bytes,
    query: Iterable[tuple[str, str]] = (),
    *,
    content_type: str = "application/json",
) -> str:
    """Return the signature that Zoho would send, for tests and demonstrations.

    Args:
        secret: The webhook's secret.
        body: As it will be sent.
        query: The query string's pairs, not URL-encoded.
        content_type: Of the body; a form contributes its pairs instead of its bytes.

    Raises:
        UnicodeDecodeError: The body is a form that is not UTF-8.
    """
    form = pairs(body) if is_form(content_type) else None
    return _hmac(secret, _signed_bytes(body, query, form))


def _checked(verifier: str, secrets: tuple[object, ...]) -> tuple[str, ...]:
    # Objects: os.environ.get() gives None for a variable that is not set.
    checked = [secret for secret in secrets if isinstance(secret, str) and secret.strip()]
    if not checked or len(checked) != len(secrets):
        raise ConfigurationError(f"{verifier}: a secret is missing, blank or not text; is it set?")
    if any(secret != secret.strip() for secret in checked):
        raise ConfigurationError(f"{verifier}: a secret has white space around it")
    return tuple(checked)


def _signed_bytes(body: bytes, query: Iterable[tuple[str, str]], form: Pairs | None) -> bytes:
    merged = sorted([*query, *(form or ())], key=lambda pair: pair[0])
    joined = _bytes("".join(key + value for key, value in merged))
    return joined if form is not None else joined + body


def _hmac(secret: str, content: bytes) -> str:
    return hmac.new(_bytes(secret), content, hashlib.sha256).hexdigest()


def _judged(headers: _Headers, secrets: tuple[str, ...], content: bytes, what: str) -> Verdict:
    given = header_value(headers, SIGNATURE_HEADER)
    if given is None:
        return Verdict(ok=False, reason=f"no {SIGNATURE_HEADER} header")
    ok = _matches(given.strip().lower(), [_hmac(secret, content) for secret in secrets])
    return Verdict(ok, f"the signature {'matches' if ok else 'does not match'} {what}")


def _matches(given: str, expected: Iterable[str]) -> bool:
    # Bytes, because compare_digest refuses text beyond ASCII; a sum, so that each is compared.
    return sum(hmac.compare_digest(_bytes(given), _bytes(each)) for each in expected) > 0


def _bytes(text: str) -> bytes:
    # Half of a surrogate pair must end in a refusal, not in an exception.
    return text.encode("utf-8", "surrogatepass")


def _described(query: _Query, form: Pairs | None, size: int, secrets: tuple[str, ...]) -> str:
    keys = sorted(_shown(key, secrets) for key, _ in query)
    shown = ", ".join(keys[:_SHOWN_KEYS]) + (", …" if len(keys) > _SHOWN_KEYS else "")
    # The keys of a form are part of the body: they are counted, not shown.
    hashed = f"{size} body bytes" if form is None else f"{len(form)} form fields"
    return f"query keys {shown} and {hashed}" if keys else f"{hashed} without a query"


def _shown(key: str, secrets: tuple[str, ...]) -> str:
    # A sender chooses the keys: none may forge a line of the log, or put a secret into it.
    safe = _PLAIN_KEY.fullmatch(key) and not any(secret in key for secret in secrets)
    return key if safe else "(not shown)"
