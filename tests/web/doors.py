"""Front doors whose inside remembers what came through them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zoho_sync.events.outcome import Receipt, ReceiptStatus
from zoho_sync.web.budget import Budget
from zoho_sync.web.door import Door

__all__ = ["MAX_BODY", "NAMES", "Inside", "door_to"]

MAX_BODY = 100
NAMES = {"invoice", "invoices", "customer"}


@dataclass
class Inside:
    """What stands behind a front door."""

    receipt: Receipt = field(
        default_factory=lambda: Receipt(ReceiptStatus.ACCEPTED, event_ids=("e1",))
    )
    error: Exception | None = None
    refusal: Receipt | None = None
    seen: list[dict[str, Any]] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    async def __call__(self, body: bytes, **told: Any) -> Receipt:
        """Take a delivery."""
        self.seen.append({"body": body, **told})
        if self.error:
            raise self.error
        return self.receipt

    async def preview(self, headers: Mapping[str, str], query: str) -> Receipt | None:
        """Refuse before there is a body."""
        del headers, query
        return self.refusal

    async def note(self, reason: str) -> None:
        """Remember why something was not read."""
        self.unread.append(reason)


def door_to(inside: Inside, **options: Any) -> Door:
    """Return a door to an inside."""
    given = {
        "max_body": MAX_BODY,
        "knows": NAMES.__contains__,
        "names": (),
        "budget": Budget(small=10_000_000, large=10_000_000),
        **options,
    }
    return Door(inside, inside.preview, inside.note, **given)
