"""Says what a verifier found: whether a delivery is let in, and which of its parts that covers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol, runtime_checkable

__all__ = ["WHOLE_REQUEST", "Part", "PreviewingVerifier", "Verdict", "Verifier"]

Part = Literal["body", "query", "headers", "route"]
"""A part of a request; the route is its method and path."""

WHOLE_REQUEST: Final[frozenset[Part]] = frozenset(("body", "query", "headers", "route"))
"""What a token covers: whoever has it may say anything."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Says what a verifier found.

    Entity, operation, id and organization are taken from the covered parts alone. The other parts
    may agree with them, and decide nothing.

    Attributes:
        ok: Whether the delivery is accepted.
        reason: Why, in words that are the same for every delivery of the kind: refused ones are
            counted by them. It holds no secret, no value and nothing that the sender chose.
        covers: The parts that nobody but the sender of an accepted delivery can have made.
        organization_id: Zoho's organization to which the secret belongs; None if to no certain one.
        timed_only: Whether a document without a time of its own is to be a dead letter.
        stranger: Whether nothing in the request so much as claims to be genuine.
        detail: What follows the reason in the operator's log: still no secret, no value and nothing
            of the body.
    """

    ok: bool
    reason: str
    covers: frozenset[Part] = frozenset(("body",))
    organization_id: str | None = None
    timed_only: bool = False
    stranger: bool = False
    detail: str = ""


@runtime_checkable
class Verifier(Protocol):
    """Decides whether a delivery comes from where it claims to come from.

    A verifier keeps no state: large bodies are judged in a thread. One that has ``preview`` as well
    (`PreviewingVerifier`) refuses before a body is read what no body can make right.
    """

    def verify(
        self, body: bytes, headers: Mapping[str, str], query: Sequence[tuple[str, str]]
    ) -> Verdict:
        """Judge one delivery; nothing that a sender can send makes this raise.

        Args:
            body: As received.
            headers: Looked up without regard to case.
            query: The query string's pairs, URL-decoded, in the order received.
        """


@runtime_checkable
class PreviewingVerifier(Verifier, Protocol):
    """Decides about some deliveries before their bodies are read, which costs less."""

    def preview(
        self, headers: Mapping[str, str], query: Sequence[tuple[str, str]]
    ) -> Verdict | None:
        """Return a verdict that refuses whatever the body may be; None if the body must be seen.

        Args:
            headers: Looked up without regard to case.
            query: The query string's pairs, URL-decoded, in the order received.
        """
