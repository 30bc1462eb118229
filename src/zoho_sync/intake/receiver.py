"""Takes deliveries in: authenticates, decodes, enqueues, answers; no sender can make it raise."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from zoho_sync.abc import Enqueued
from zoho_sync.database.dialects import Clock
from zoho_sync.events import exact_json
from zoho_sync.events.event import DEFAULT_ORGANIZATION, SyncEvent, refuse_future
from zoho_sync.events.outcome import Receipt, ReceiptStatus
from zoho_sync.exceptions import ConfigurationError, PayloadError, QueueUnavailable
from zoho_sync.intake.decoding import DecodingRules, decode
from zoho_sync.intake.hints import Hints, hints
from zoho_sync.intake.http import header_value
from zoho_sync.intake.signature import Verifier
from zoho_sync.intake.storing import Intake
from zoho_sync.store.dead_letter_rows import Undecoded

__all__ = ["Body", "Headers", "Query", "Receiver", "Request", "receipt_of"]

_log = logging.getLogger(__name__)

Headers = Mapping[str, str] | Iterable[tuple[str, str]]
"""Request headers, in any case."""

Query = str | Mapping[str, str] | Iterable[tuple[str, str]]
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
    """

    verifier: Verifier | None
    rules: DecodingRules
    max_body: int
    store: Intake
    clock: Clock | None = None

    async def receive(
        self, request: Request, entity: str | None, operation: str | None, entity_id: str | None
    ) -> Receipt:
        """Authenticate one delivery and take it in; see `ZohoSync.receive`."""
        body, headers, asked = request.body, request.headers, _pairs(request.query)
        sent = headers if isinstance(headers, Mapping) else dict(headers)
        if len(body) > self.max_body:
            return Receipt(ReceiptStatus.REFUSED, 413, reason="the body is too large")
        if self.verifier is None:
            reason = "no verifier is configured, so everything is refused; pass verifier=…"
            return _refused(reason)
        verdict = self.verifier.verify(body, sent, asked)
        if not verdict.ok:
            return _refused(verdict.reason)
        known = hints(
            entity=entity,
            operation=operation,
            entity_id=entity_id,
            query=asked,
            headers=sent,
            method=request.method,
            catalog=self.rules.catalog,
        )
        try:
            return await self._take(body, header_value(sent, "content-type") or "", known)
        except ConfigurationError as error:
            # The tables are missing, say: the sender is to come again when that is mended.
            _log.error("delivery not taken in: %s", error)  # a traceback quotes values
            raise QueueUnavailable(str(error)) from error
        except QueueUnavailable as error:
            _log.error("delivery not taken in: %s", error)  # as above
            raise

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
            event = self._decode(body, content_type, hints)
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
        return self._decode(body, content_type, Hints(**{"method": "POST", **hints}))

    def _decode(self, body: bytes, content_type: str, hints: Hints) -> SyncEvent | None:
        event = decode(body, content_type, hints, self.rules)
        if event is not None:
            now = self.clock() if self.clock else datetime.now(UTC)
            refuse_future(event.effective_time, now, path=event.entity_type)
        return event

    async def _keep(
        self, body: bytes, content_type: str, hints: Hints, error: PayloadError
    ) -> Receipt:
        known = self.rules.organization_ids
        organization = known[0] if len(known) == 1 else DEFAULT_ORGANIZATION
        received = Undecoded(body, content_type, asdict(hints), organization)
        letter = await self.store.keep(received, error)
        _log.warning("delivery kept as dead letter %s: %s", letter, error)
        return Receipt(ReceiptStatus.DEAD_LETTER, event_ids=(letter,), reason=str(error))


def _refused(reason: str) -> Receipt:
    _log.warning("delivery refused: %s", reason)
    return Receipt(ReceiptStatus.REFUSED, 401, reason=reason)


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
    if isinstance(query, str):
        return parse_qsl(query.removeprefix("?"), keep_blank_values=True)
    pairs = query.items() if isinstance(query, Mapping) else query
    return [(str(name), str(value)) for name, value in pairs]
