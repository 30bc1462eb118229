"""Status tells of a front door that refuses, and of an installation that was never reached."""

from __future__ import annotations

import asyncio

from sqlalchemy import text

from tests.hosts.sql import Sessions, library, rows
from zoho_sync import SignedRequest, ZohoSync
from zoho_sync.web import SIGNATURE_HEADER, sign

SECRET = "abcdef123456"
WRONG = {SIGNATURE_HEADER: "0" * 64}


async def opened(sessions: Sessions) -> ZohoSync:
    sync = ZohoSync(sessions, verifier=SignedRequest(SECRET))
    await sync.create_tables()
    return sync


async def test_an_installation_that_was_never_reached_says_so(sessions: Sessions) -> None:
    sync = await opened(sessions)
    (problem,) = (await sync.status()).problems
    assert "nothing was ever received" in problem
    await sync.ingest({"item": {"item_id": "1"}})
    await sync.drain()
    assert (await sync.status()).healthy


async def test_what_is_refused_is_counted_by_reason_and_is_a_problem(sessions: Sessions) -> None:
    sync = await opened(sessions)
    await sync.ingest({"item": {"item_id": "1"}})
    await sync.drain()
    for _ in range(3):
        await sync.receive(b"{}", headers=WRONG)
    await sync.receive(b"{}")
    ping = {SIGNATURE_HEADER: sign(SECRET, b"")}
    await sync.receive(b"", headers=ping, entity="item", entity_id="1", method="DELETE")
    report = await sync.status()
    assert sorted(report.refused.values()) == [1, 1, 3]
    assert len(report.problems) == 3
    for words in ("3 deliveries were refused", "no X-Zoho", "?entity=product&op=delete&id=…"):
        assert any(words in problem for problem in report.problems)
    # Another process adds to the same counts.
    other = ZohoSync(sessions, verifier=SignedRequest(SECRET))
    await other.receive(b"{}", headers=WRONG)
    assert sorted((await sync.status()).refused.values()) == [1, 1, 4]


async def test_reasons_of_a_senders_making_are_bounded(sessions: Sessions) -> None:
    """A verifier of one's own may say what it was sent; the table stays small."""
    sync = await opened(sessions)
    refusals = sync._parts.refusals
    refusals._written = float("inf")
    for number in range(200):
        await refusals.note(f"wrong: {number} " + "x" * 1000)
    await sync.status()
    kept = await rows(sessions, library.refusals)
    assert len(kept) == 51
    assert sum(row["count"] for row in kept) == 200


async def test_counts_wait_for_a_database_that_is_away(sessions: Sessions) -> None:
    sync = await opened(sessions)
    async with sessions() as session, session.begin():
        await session.execute(text("ALTER TABLE zoho_sync_refusals RENAME TO away"))
    await asyncio.gather(*(sync.receive(b"{}", headers=WRONG) for _ in range(5)))
    async with sessions() as session, session.begin():
        await session.execute(text("ALTER TABLE away RENAME TO zoho_sync_refusals"))
    await sync.close()
    (kept,) = await rows(sessions, library.refusals)
    assert kept["count"] == 5
