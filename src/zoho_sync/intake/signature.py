"""Verifies who sent a delivery, by a signature; `AnyOf` several verifiers may.

Zoho signs a webhook that has a secret with HMAC-SHA256 in the header
``X-Zoho-Webhook-Signature``: its query and its body (`SignedRequest`; `signed_string` says how).
Nothing in the scheme stops the replay of a request: only deduplication does.

Receivers that hash the body alone exist (`SignedBody`), as do static tokens in a header
(`HeaderToken`) or in the query (`QueryToken`). Each takes several secrets, so that a secret can be
changed without an hour in which deliveries are refused, and `AnyOf` accepts what one of several
verifiers accepts. All fail closed: without a secret they cannot be made.

A `Verdict` says what was looked at, never a secret, a value or a body: it is fit for a log. It is
not for the sender.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from zoho_sync.exceptions import ConfigurationError
from zoho_sync.intake.body import JSON_FIELD, is_form_by_type, read_body
from zoho_sync.intake.http import header_value
from zoho_sync.intake.signed_string import (
    check_query_keys,
    hmac_of,
    recut_problem,
    signed_bytes,
)
from zoho_sync.intake.tokens import HeaderToken, QueryToken, Unverified, checked_secrets, matches
from zoho_sync.intake.verdict import Part, PreviewingVerifier, Verdict, Verifier

__all__ = [
    "SIGNATURE_HEADER",
    "AnyOf",
    "SignedBody",
    "SignedRequest",
    "organizations_of",
    "preview_of",
]

SIGNATURE_HEADER: Final = "X-Zoho-Webhook-Signature"
"""The header that holds the signature: HMAC-SHA256 in lower-case hexadecimal digits."""

_Headers = Mapping[str, str]
_Query = Sequence[tuple[str, str]]

_ZOHO_SECRET: Final = re.compile(r"[A-Za-z0-9]{12,50}")
_SIGNATURE: Final = re.compile(r"\s*[0-9A-Fa-f]{64}\s*")
_PLAIN_KEY: Final = re.compile(r"[\w.-]{1,40}", re.ASCII)
_SHOWN_KEYS: Final = 10
_QUERY_AND_BODY: Final[frozenset[Part]] = frozenset(("body", "query"))
_BODY: Final[frozenset[Part]] = frozenset(("body",))
# Under it, a string that was signed for another scheme would be read as a form.
_BY_TYPE: Final = (
    "the body is a form only by its content type, which is not signed: send JSON, or name the "
    f"first field {JSON_FIELD}"
)


@dataclass(frozen=True, slots=True, init=False)
class SignedRequest:
    """Zoho's own scheme: a signature of query and body, and of nothing else.

    Neither method nor path nor other headers are signed: what they say may only agree with what
    query and body say. Keys and values are signed without separators, so that one request can be
    cut from the string of another. What could mean two things is therefore refused: keys that are
    not plain, that stand twice or are not known; a form that does not carry its document as JSON
    in one field.

    Args:
        secrets: As entered in Zoho: 12 to 50 letters and digits each; one that matches is enough.
        query_keys: Query parameters of your own, and fields of a form beside its JSON. Give them
            values that you wrote yourself, never a placeholder that Zoho fills.
        flat_forms: Whether forms are taken whose fields are the document, without any JSON. From
            such a form, whoever has seen one delivery can cut others: fields can be lost, and
            others be made of the texts in it. A document without a time of its own is a dead
            letter then, so that what was cut cannot pass for newer than it is.
        organization_id: Zoho's organization that uses these secrets. Required where the
            application has several.

    Raises:
        ConfigurationError: No secret, one that Zoho would not accept, or a query key that could
            be taken for another.
    """

    _secrets: tuple[str, ...] = field(repr=False)
    query_keys: frozenset[str]
    flat_forms: bool
    organization_id: str | None

    def __init__(
        self,
        *secrets: str,
        query_keys: Iterable[str] = (),
        flat_forms: bool = False,
        organization_id: str | None = None,
    ) -> None:
        checked = checked_secrets("SignedRequest", secrets)
        if not all(_ZOHO_SECRET.fullmatch(secret) for secret in checked):
            raise ConfigurationError(
                "SignedRequest: Zoho's secrets are 12 to 50 letters and digits; check that this "
                "one is complete, without quotes or blanks around it"
            )
        object.__setattr__(self, "_secrets", checked)
        object.__setattr__(self, "query_keys", check_query_keys(query_keys))
        object.__setattr__(self, "flat_forms", flat_forms)
        object.__setattr__(self, "organization_id", organization_id)

    def preview(self, headers: _Headers, query: _Query) -> Verdict | None:  # noqa: ARG002  # the protocol's
        """Refuse what no body can make right; see `PreviewingVerifier.preview`."""
        return _unsigned(headers)

    def verify(self, body: bytes, headers: _Headers, query: _Query) -> Verdict:
        """Judge one delivery; see `Verifier.verify`."""
        unsigned = _unsigned(headers)
        if unsigned is not None:
            return unsigned
        try:
            read = read_body(body, header_value(headers, "content-type") or "")
        except ValueError:
            return Verdict(ok=False, reason="the form is not UTF-8, or has too many fields")
        hashed = f"{len(body)} body bytes" if read.form is None else f"{len(read.form)} form fields"
        signed = signed_bytes(body, query, read.form)
        verdict = _judged(headers, self._secrets, signed, _described(query, hashed, self._secrets))
        if not verdict.ok:
            return verdict
        problem = recut_problem(read, query, self.query_keys, flat_forms=self.flat_forms)
        return Verdict(
            not problem,
            problem or verdict.reason,
            _QUERY_AND_BODY,
            self.organization_id,
            timed_only=read.form is not None and read.carrier is None,
            detail="" if problem else verdict.detail,
        )


@dataclass(frozen=True, slots=True, init=False)
class SignedBody:
    """A signature of the body alone, in the same header and form as Zoho's.

    What the query says may only agree with what the body says. The content type is not signed
    either, so that a body is what its own first letters say: JSON, or a form that begins with
    ``JSONString=``. Another form is refused.

    Args:
        secrets: One that matches is enough.
        organization_id: Zoho's organization that uses these secrets. Required where the
            application has several.

    Raises:
        ConfigurationError: No secret, or a blank one.
    """

    _secrets: tuple[str, ...] = field(repr=False)
    organization_id: str | None

    def __init__(self, *secrets: str, organization_id: str | None = None) -> None:
        object.__setattr__(self, "_secrets", checked_secrets("SignedBody", secrets))
        object.__setattr__(self, "organization_id", organization_id)

    def preview(self, headers: _Headers, query: _Query) -> Verdict | None:  # noqa: ARG002  # the protocol's
        """Refuse what no body can make right; see `PreviewingVerifier.preview`."""
        return _unsigned(headers)

    def verify(self, body: bytes, headers: _Headers, query: _Query) -> Verdict:  # noqa: ARG002  # the protocol's
        """Judge one delivery; see `Verifier.verify`."""
        verdict = _judged(headers, self._secrets, body, f"{len(body)} body bytes")
        if verdict.ok and is_form_by_type(body, header_value(headers, "content-type") or ""):
            verdict = Verdict(ok=False, reason=_BY_TYPE)
        return Verdict(
            verdict.ok, verdict.reason, _BODY, self.organization_id, detail=verdict.detail
        )


@dataclass(frozen=True, slots=True, init=False)
class AnyOf:
    """Accepts what at least one of several verifiers accepts; its verdict is that one's.

    Args:
        verifiers: Asked in this order. `Unverified` is not allowed among them: it would make all
            the others pointless without looking so.

    Raises:
        ConfigurationError: No verifier, or something that is none; or one secret that is bound to
            two organizations.
    """

    verifiers: tuple[Verifier, ...]

    def __init__(self, *verifiers: Verifier) -> None:
        if not verifiers or not all(isinstance(each, Verifier) for each in verifiers):
            raise ConfigurationError("AnyOf: give at least one verifier, each as its own argument")
        if any(isinstance(each, Unverified) for each in verifiers):
            raise ConfigurationError("AnyOf: Unverified() accepts everything; give it alone")
        _refuse_shared_secrets(verifiers)
        object.__setattr__(self, "verifiers", verifiers)

    def preview(self, headers: _Headers, query: _Query) -> Verdict | None:
        """Refuse what no body can make right; see `PreviewingVerifier.preview`."""
        refusals = [preview_of(verifier, headers, query) for verifier in self.verifiers]
        certain = [refusal for refusal in refusals if refusal is not None]
        return _refused_by(certain) if len(certain) == len(refusals) else None

    def verify(self, body: bytes, headers: _Headers, query: _Query) -> Verdict:
        """Judge one delivery; see `Verifier.verify`."""
        verdicts = [verifier.verify(body, headers, query) for verifier in self.verifiers]
        return next((verdict for verdict in verdicts if verdict.ok), _refused_by(verdicts))


def preview_of(verifier: Verifier, headers: _Headers, query: _Query) -> Verdict | None:
    """Return the refusal that needs no body; None where a verifier must see it."""
    if not isinstance(verifier, PreviewingVerifier):
        return None
    verdict = verifier.preview(headers, query)
    return None if verdict is None or verdict.ok else verdict


def organizations_of(verifier: Verifier) -> list[str | None]:
    """Return the organizations to which the secrets of the library's own verifiers are bound."""
    if isinstance(verifier, AnyOf):
        return [each for member in verifier.verifiers for each in organizations_of(member)]
    if isinstance(verifier, (SignedRequest, SignedBody, HeaderToken, QueryToken)):
        return [verifier.organization_id]
    return []


def _refuse_shared_secrets(verifiers: Iterable[Verifier]) -> None:
    # The first of them would take the deliveries of both for its own organization's.
    organizations: dict[str, str] = {}
    for secret, organization_id in _secrets_of(verifiers):
        if organizations.setdefault(secret, organization_id) != organization_id:
            named = " and ".join(sorted({organizations[secret], organization_id}))
            raise ConfigurationError(
                f"AnyOf: the organizations {named} have one secret, which does not tell them "
                "apart; give each its own"
            )


def _secrets_of(verifiers: Iterable[Verifier]) -> Iterator[tuple[str, str]]:
    for each in verifiers:
        if isinstance(each, AnyOf):
            yield from _secrets_of(each.verifiers)
        elif isinstance(each, (SignedRequest, SignedBody)) and each.organization_id:
            yield from ((secret, each.organization_id) for secret in each._secrets)  # noqa: SLF001  # theirs to hide, not from here
        elif isinstance(each, (HeaderToken, QueryToken)) and each.organization_id:
            yield from ((token, each.organization_id) for token in each._tokens)  # noqa: SLF001  # as above


def _unsigned(headers: _Headers) -> Verdict | None:
    given = header_value(headers, SIGNATURE_HEADER)
    if given is None:
        return Verdict(ok=False, reason=f"no {SIGNATURE_HEADER} header", stranger=True)
    if not _SIGNATURE.fullmatch(given):
        return Verdict(ok=False, reason=f"the {SIGNATURE_HEADER} header is not 64 hex digits")
    return None


def _judged(headers: _Headers, secrets: tuple[str, ...], content: bytes, what: str) -> Verdict:
    unsigned = _unsigned(headers)
    if unsigned is not None:
        return unsigned
    given = (header_value(headers, SIGNATURE_HEADER) or "").strip().lower()
    ok = matches(given, [hmac_of(secret, content) for secret in secrets])
    return Verdict(ok, f"the signature {'matches' if ok else 'does not match'}", detail=what)


def _refused_by(verdicts: Sequence[Verdict]) -> Verdict:
    details = [verdict.detail for verdict in verdicts if verdict.detail]
    return Verdict(
        ok=False,
        reason="; ".join(verdict.reason for verdict in verdicts),
        stranger=all(verdict.stranger for verdict in verdicts),
        detail="; ".join(details),
    )


def _described(query: _Query, hashed: str, secrets: tuple[str, ...]) -> str:
    keys = sorted(_shown(key, secrets) for key, _ in query)
    shown = ", ".join(keys[:_SHOWN_KEYS]) + (", …" if len(keys) > _SHOWN_KEYS else "")
    # The keys of a form are part of the body: they are counted, not shown.
    return f"query keys {shown} and {hashed}" if keys else f"{hashed} without a query"


def _shown(key: str, secrets: tuple[str, ...]) -> str:
    # A sender chooses the keys: none may forge a line of the log, or put a secret into it.
    safe = _PLAIN_KEY.fullmatch(key) and not any(secret in key for secret in secrets)
    return key if safe else "(not shown)"
