"""Takes deliveries in: authenticates, decodes, enqueues, answers; no sender can make it raise."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

from zoho_sync.abc import Enqueued
from zoho_sync.database.dialects import Clock
from zoho_sync.events import exact_json
from zoho_sync.events.event import DEFAULT_ORGANIZATION, SyncEvent, refuse_future
from zoho_sync.events.outcome import Receipt, ReceiptStatus
from zoho_sync.exceptions import ConfigurationError, PayloadError, QueueUnavailable
from zoho_sync.intake.claims import UncoveredError, asked
from zoho_sync.intake.decoding import DecodingRules, decode
from zoho_sync.intake.hints import Hints, hints
from zoho_sync.intake.http import MOST_FIELDS, header_value, is_form, is_unicode, pairs
from zoho_sync.intake.refusals import Refusals
from zoho_sync.intake.signature import preview_of
from zoho_sync.intake.storing import Intake
from zoho_sync.intake.tokens import Unverified
from zoho_sync.intake.verdict import Verdict, Verifier
from zoho_sync.store.dead_letter_rows import Undecoded

__all__ = ["LARGE", "Body", "Headers", "Query", "Receiver", "Request", "receipt_of"]

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_turns = WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore]()

LARGE: Final = 64 * 1024
"""Bytes of a body; what is done with a larger one is done in a thread."""
_NO_VERIFIER: Final = "no verifier is configured, so everything is refused; pass verifier=…"
_TOO_LARGE: Final = "the body is larger than max_body"
_TOO_MANY: Final = "the query has more parameters than any webhook"
_UNBOUND: Final = (
    "several organizations are configured, and the verifier does not say to which one the secret "
    "belongs; its verdict names it: Verdict(…, organization_id=…)"
)

Headers = Mapping[str, str] | Iterable[tuple[str, str]]
"""Request headers, in any case."""

Query = str | bytes | Mapping[str, str] | Iterable[tuple[str, str]]
"""A query string, or its pairs, URL-decoded."""

Body = bytes | bytearray | memoryview | str | Mapping[str, Any]
"""A body as received; for trusted callers also a document."""


@dataclass(frozen=True, slots=True)
class Request:
    """One delivery as it came."""

    body: bytes
    headers: Headers
    query: Query
    method: str


@dataclass(frozen=True)
class Receiver:
    """Turns deliveries into events.

    Attributes:
        verifier: Decides who is let in; without one nobody is.
        max_body: The largest body that is accepted, in bytes.
        clock: The time, for the check that a document does not come from the future.
        refusals: Counts what is refused.
    """

    verifier: Verifier | None
    rules: DecodingRules
    max_body: int
    store: Intake
    refusals: Refusals
    clock: Clock | None = None

    async def preview(self, headers: Headers, query: Query) -> Receipt | None:
        """Refuse what no body can make right, before it is read; None where it must be seen."""
        try:
            sent, asked = _mapping(headers), _pairs(query)
        except ValueError:
            return await self._refused(Verdict(ok=False, reason=_TOO_MANY))
        if self.verifier is None:
            return await self._refused(Verdict(ok=False, reason=_NO_VERIFIER))
        verdict = preview_of(self.verifier, sent, asked)
        return await self._refused(verdict) if verdict else None

    async def receive(
        self, request: Request, entity: str | None, operation: str | None, entity_id: str | None
    ) -> Receipt:
        """Authenticate one delivery and take it in; see `ZohoSync.receive`."""
        refused = await self.preview(request.headers, request.query)
        if refused is not None or self.verifier is None:
            return refused or await self._refused(Verdict(ok=False, reason=_NO_VERIFIER))
        if len(request.body) > self.max_body:
            await self.refusals.note(_TOO_LARGE)
            return Receipt(ReceiptStatus.REFUSED, 413, reason=_TOO_LARGE)
        body, sent, asked = request.body, _mapping(request.headers), _pairs(request.query)
        verdict = await _beside(body, self.verifier.verify, body, sent, asked)
        if verdict.ok and self._lacks_organization(verdict):
            verdict = replace(verdict, ok=False, reason=_UNBOUND)
        if not verdict.ok:
            return await self._refused(verdict)
        known = hints(
            entity=entity,
            operation=operation,
            entity_id=entity_id,
            query=asked,
            headers=sent,
            method=request.method,
            catalog=self.rules.catalog,
            verdict=verdict,
        )
        try:
            return await self._take(body, header_value(sent, "content-type") or "", known)
        except UncoveredError as error:
            # Its words are few, whatever the sender says: refusals are counted by them.
            return await self._refused(Verdict(ok=False, reason=error.problem))
        except ConfigurationError as error:
            # The tables are missing, say: the sender is to come again when that is mended.
            _log.error("delivery not taken in: %s", error)  # a traceback quotes values
            raise QueueUnavailable(str(error)) from error
        except QueueUnavailable as error:
            _log.error("delivery not taken in: %s", error)  # as above
            raise

    def _lacks_organization(self, verdict: Verdict) -> bool:
        is_unbound = verdict.organization_id is None and not isinstance(self.verifier, Unverified)
        return is_unbound and len(self.rules.organization_ids) > 1

    async def ingest(
        self,
        body: Body,
        entity: str | None,
        operation: str | None,
        entity_id: str | None,
        organization_id: str | None,
    ) -> Receipt:
        """Take in a body from a trusted source; see `ZohoSync.ingest`."""
        known = hints(
            entity=entity,
            operation=operation,
            entity_id=entity_id,
            organization_id=organization_id,
        )
        return await self._take(_as_bytes(body), "application/json", known)

    async def _take(self, body: bytes, content_type: str, hints: Hints) -> Receipt:
        """Take in a body that is trusted."""
        try:
            event = await _beside(body, self._decode, body, content_type, hints)
        except UncoveredError:
            raise
        except PayloadError as error:
            return await self._keep(body, content_type, hints, error)
        if event is None:
            return Receipt(ReceiptStatus.PING)
        (stored,) = await self.store.enqueue([event])
        return receipt_of(stored)

    def decode_again(
        self, body: bytes, content_type: str, hints: Mapping[str, Any]
    ) -> SyncEvent | None:
        """Decode a body that was kept as a dead letter, as bodies are decoded now.

        An empty one is None. The content type is ``""`` where there was none.

        Raises:
            PayloadError: It is still not understood.
        """
        return self._decode(body, content_type, Hints.stored(hints))

    def _decode(self, body: bytes, content_type: str, hints: Hints) -> SyncEvent | None:
        event = decode(body, content_type, hints, self.rules)
        if event is not None:
            now = self.clock() if self.clock else datetime.now(UTC)
            refuse_future(event.effective_time, now, path=event.entity_type)
        return event

    async def _refused(self, verdict: Verdict) -> Receipt:
        await self.refusals.note(verdict.reason, stranger=verdict.stranger)
        reason = f"{verdict.reason} {verdict.detail}".rstrip()
        _log.warning("delivery refused: %s", reason)
        return Receipt(ReceiptStatus.REFUSED, 401, reason=reason)

    async def _keep(
        self, body: bytes, content_type: str, hints: Hints, error: PayloadError
    ) -> Receipt:
        known = self.rules.organization_ids
        organization = known[0] if len(known) == 1 else hints.secret_of or DEFAULT_ORGANIZATION
        kind = f"form {is_form(content_type)}, UTF-8 {is_unicode(content_type)}"
        alike = (kind, *asked(hints))
        received = Undecoded(body, content_type, hints.as_json(), organization, alike)
        letter = await self.store.keep(received, error)
        _log.warning("delivery kept as dead letter %s: %s", letter, error)
        return Receipt(ReceiptStatus.DEAD_LETTER, event_ids=(letter,), reason=str(error))


def _mapping(headers: Headers) -> Mapping[str, str]:
    return headers if isinstance(headers, Mapping) else dict(headers)


async def _beside(body: bytes, work: Callable[..., _T], *given: Any) -> _T:
    """Do what takes long for a large body in a thread, so that the loop serves others.

    One after the other: each may need several times the memory of its body.
    """
    if len(body) <= LARGE:
        return work(*given)
    async with _turns.setdefault(asyncio.get_running_loop(), asyncio.Semaphore()):
        return await asyncio.to_thread(work, *given)


def receipt_of(stored: Enqueued) -> Receipt:
    """Return what to answer for an event that was handed to the queue."""
    status = ReceiptStatus.DUPLICATE if stored.duplicate else ReceiptStatus.ACCEPTED
    return Receipt(status, event_ids=(stored.event_id,))


def _as_bytes(body: Body) -> bytes:
    """Return a trusted body as bytes.

    Raises:
        TypeError: It is no body.
        PayloadError: A document with a value that JSON has no exact form for.
    """
    if isinstance(body, Mapping):
        try:
            return exact_json.dumps(body).encode()
        except exact_json.InexactError as error:
            raise PayloadError(error.path, error.problem) from None
    if isinstance(body, str):
        # Half a surrogate pair is for the decoder to refuse, like any other wrong byte.
        return body.encode(errors="surrogatepass")
    if isinstance(body, (bytes, bytearray, memoryview)):
        return bytes(body)
    message = (
        f"a body is bytes, text, or one document as a mapping, and not {type(body).__name__}; "
        "give several documents one by one"
    )
    raise TypeError(message)


def _pairs(query: Query) -> Sequence[tuple[str, str]]:
    """Return the pairs of a query.

    Raises:
        ValueError: More than any webhook has.
    """
    if isinstance(query, str):
        query = query.encode("utf-8", "surrogateescape")
    if isinstance(query, bytes):
        return pairs(query.removeprefix(b"?"), errors="replace")
    given = query.items() if isinstance(query, Mapping) else query
    made = [(str(name), str(value)) for name, value in islice(given, MOST_FIELDS + 1)]
    if len(made) > MOST_FIELDS:
        raise ValueError(_TOO_MANY)
    return made
