"""Entity, operation, id and organization come from what the verifier covers, and nowhere else."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest
from sqlalchemy import select

from tests.hosts.sql import Sessions
from zoho_sync import (
    AnyOf,
    ConfigurationError,
    HeaderToken,
    QueryToken,
    Receipt,
    SignedBody,
    SignedRequest,
    Unverified,
    ZohoSync,
    mirror,
)
from zoho_sync.intake.hints import ENTITY_HEADER, OPERATION_HEADER
from zoho_sync.web import SIGNATURE_HEADER, Verdict, Verifier, sign

pytestmark = pytest.mark.databases("sqlite")

SECRET, OTHER = "abcdef123456", "654321fedcba"
FORM = "application/x-www-form-urlencoded"
DOCUMENT = {"invoice_id": "71", "status": "sent", "last_modified_time": "2026-11-01T10:00:00Z"}
INVOICE = json.dumps({"invoice": DOCUMENT}).encode()


class Own:
    """A verifier of the application's own, that lets in everything."""

    def __init__(self, **states: Any) -> None:
        self.verdict = Verdict(ok=True, reason="mine", **states)

    def verify(self, *_: object) -> Verdict:
        return self.verdict


async def opened(sessions: Sessions, verifier: Verifier, **options: Any) -> ZohoSync:
    sync = ZohoSync(sessions, verifier=verifier, **options)
    await sync.create_tables()
    return sync


@dataclass(frozen=True)
class Call:
    """A request, and what the sender's path, method and headers say."""

    body: bytes = INVOICE
    query: tuple[tuple[str, str], ...] = ()
    content_type: str = "application/json"
    entity: str | None = None
    entity_id: str | None = None
    operation: str | None = None
    method: str = "POST"
    headers: tuple[tuple[str, str], ...] = ()

    async def send(self, sync: ZohoSync, signature: str) -> Receipt:
        """Send it with a signature, which may be that of another call."""
        return await sync.receive(
            self.body,
            headers={
                "Content-Type": self.content_type,
                SIGNATURE_HEADER: signature,
                "X-Token": "t",
                **dict(self.headers),
            },
            query=self.query,
            entity=self.entity,
            entity_id=self.entity_id,
            operation=self.operation,
            method=self.method,
        )


async def alive(sync: ZohoSync, sessions: Sessions) -> bool:
    """Return whether the invoice lives, once everything is applied."""
    await sync.drain()
    async with sessions() as session:
        row = (await session.execute(select(mirror.invoices))).mappings().one()
    return row["deleted_at"] is None and row["status"] == "sent"


DELETES = {
    "DELETE": {"method": "DELETE"},
    "DELETE in small letters": {"method": "delete"},
    "an argument": {"operation": "removed"},
    "a header": {"headers": ((OPERATION_HEADER, "delete"),)},
}
ELSEWHERE = {
    "another path": {"entity": "item"},
    "an unknown path": {"entity": "spaceship"},
    "another id": {"entity": "invoice", "entity_id": "72"},
    "another entity in a header": {"headers": ((ENTITY_HEADER, "bill"),)},
    "an unknown operation": {"operation": "explode"},
}
SIGNED = {
    "query and body": (SignedRequest(SECRET), lambda body: sign(SECRET, body)),
    "body": (SignedBody(SECRET), lambda body: sign(SECRET, body)),
    "own": (Own(), lambda _: "0" * 64),
}


@pytest.mark.parametrize("told", [*DELETES.values(), *ELSEWHERE.values()])
@pytest.mark.parametrize(("verifier", "signature"), SIGNED.values(), ids=SIGNED)
async def test_a_captured_upsert_sent_elsewhere_is_a_dead_letter(
    sessions: Sessions, verifier: Verifier, signature: Any, told: dict[str, Any]
) -> None:
    sync = await opened(sessions, verifier)
    captured = signature(INVOICE)
    assert (await Call().send(sync, captured)).status == "accepted"
    receipt = await Call(**told).send(sync, captured)
    assert receipt.status == "dead_letter"
    assert await alive(sync, sessions)
    (letter,) = await sync.dead_letters.list()
    assert letter.body == INVOICE
    # Replayed, it still is what was covered.
    await sync.dead_letters.replay(letter.id)
    assert await alive(sync, sessions)


@pytest.mark.parametrize("told", DELETES.values(), ids=DELETES)
@pytest.mark.parametrize("body", [b"", b'""', b"{}", b'{"payload": ""}'])
@pytest.mark.parametrize(("verifier", "signature"), SIGNED.values(), ids=SIGNED)
async def test_the_constant_signature_of_a_ping_deletes_nothing(
    sessions: Sessions, verifier: Verifier, signature: Any, body: bytes, told: dict[str, Any]
) -> None:
    sync = await opened(sessions, verifier)
    await Call().send(sync, signature(INVOICE))
    assert (await Call(body).send(sync, signature(body))).status == "ping"
    call = Call(body, entity="invoice", entity_id="71", **told)
    receipt = await call.send(sync, signature(body))
    assert (receipt.status, receipt.http_status) == ("refused", 401)
    assert "?entity=invoice&op=delete&id=" in receipt.reason
    assert await alive(sync, sessions)
    assert (await sync.status()).dead_letters == 0


@pytest.mark.parametrize(
    "query", [(("op", "delete"),), (("entity", "item"),), (("id", "5"), ("entity", "invoice"))]
)
async def test_a_query_that_is_not_signed_decides_nothing(sessions: Sessions, query: Any) -> None:
    sync = await opened(sessions, SignedBody(SECRET))
    await Call().send(sync, sign(SECRET, INVOICE))
    agreeing = (("entity", "invoices"), ("invoice_id", "71"), ("op", "update"))
    assert (await Call(query=agreeing).send(sync, sign(SECRET, INVOICE))).status == "duplicate"
    receipt = await Call(query=query).send(sync, sign(SECRET, INVOICE))
    assert receipt.status == "dead_letter"
    assert "SignedRequest" in receipt.reason
    for empty in ((("op", "delete"), ("id", "71"), ("entity", "invoice")),):
        receipt = await Call(b"", query=empty).send(sync, sign(SECRET, b""))
        assert receipt.status == "refused"
    document = (("JSONString", INVOICE.decode().replace("sent", "void")),)
    assert (await Call(b"", query=document).send(sync, sign(SECRET, b""))).status == "refused"
    assert await alive(sync, sessions)


@pytest.mark.parametrize(
    "told",
    [
        {"entity": "invoice"},
        {"entity": "Invoices", "entity_id": "71"},
        {"method": "PUT"},
        {"operation": "edited"},
        {"headers": ((ENTITY_HEADER, "invoice"), (OPERATION_HEADER, "update"))},
    ],
)
async def test_what_agrees_is_accepted(sessions: Sessions, told: dict[str, Any]) -> None:
    sync = await opened(sessions, SignedRequest(SECRET))
    assert (await Call(**told).send(sync, sign(SECRET, INVOICE))).status == "accepted"
    assert await alive(sync, sessions)


@pytest.mark.parametrize(
    "query",
    [
        {"entity": "invoice", "op": "delete", "id": "71"},
        {"entity": "invoice", "operation": "deleted", "invoice_id": "71"},
        {"op": "remove", "invoice_id": "71"},
    ],
)
@pytest.mark.parametrize("body", [b"", INVOICE])
async def test_a_signed_query_deletes(
    sessions: Sessions, query: dict[str, str], body: bytes
) -> None:
    sync = await opened(sessions, SignedRequest(SECRET))
    await Call().send(sync, sign(SECRET, INVOICE))
    pairs = tuple(query.items())
    call = Call(body, pairs, method="DELETE", entity="invoice", entity_id="71")
    assert (await call.send(sync, sign(SECRET, body, pairs))).status == "accepted"
    assert not await alive(sync, sessions)


@pytest.mark.parametrize("query", [{"op": "delete"}, {"op": "delete", "entity": "invoice"}])
async def test_a_delete_of_nothing_is_a_dead_letter(
    sessions: Sessions, query: dict[str, str]
) -> None:
    sync = await opened(sessions, SignedRequest(SECRET))
    pairs = tuple(query.items())
    receipt = await Call(b"", pairs).send(sync, sign(SECRET, b"", pairs))
    assert receipt.status == "dead_letter"
    assert "id" in receipt.reason


async def test_a_vendor_is_told_by_what_is_covered(sessions: Sessions) -> None:
    sync = await opened(sessions, SignedRequest(SECRET))
    body = b'{"contact": {"contact_id": "9"}}'
    by_path = await Call(body, entity="vendor").send(sync, sign(SECRET, body))
    assert by_path.status == "dead_letter"
    assert "not covered by the signature" in by_path.reason
    assert "?entity=" in by_path.reason
    query = (("entity", "vendor"),)
    told = await Call(body, query, entity="contact").send(sync, sign(SECRET, body, query))
    assert told.status == "accepted"


TOKENS: dict[str, Verifier] = {
    "header": HeaderToken("X-Token", "t"),
    "query": QueryToken("token", "t"),
    "any": AnyOf(SignedRequest(SECRET), HeaderToken("X-Token", "t")),
    "unverified": Unverified(),
    "own": Own(covers=frozenset(("body", "query", "headers", "route"))),
}


@pytest.mark.parametrize("verifier", TOKENS.values(), ids=TOKENS)
@pytest.mark.parametrize("told", DELETES.values(), ids=DELETES)
async def test_under_a_token_the_whole_request_decides(
    sessions: Sessions, verifier: Verifier, told: dict[str, Any]
) -> None:
    sync = await opened(sessions, verifier)
    token = (("token", "t"),)
    assert (await Call(query=token).send(sync, "")).status == "accepted"
    call = Call(b"", token, entity="invoice", entity_id="71", **told)
    assert (await call.send(sync, "")).status == "accepted"
    assert not await alive(sync, sessions)


# Flat forms

FLAT = urlencode(DOCUMENT).encode()
TIMELESS = urlencode({"invoice_id": "71", "status": "sent"}).encode()


async def test_a_flat_form_needs_to_be_allowed_and_a_time_of_its_own(sessions: Sessions) -> None:
    strict = await opened(sessions, SignedRequest(SECRET))
    call = Call(FLAT, content_type=FORM)
    signature = sign(SECRET, FLAT, content_type=FORM)
    receipt = await call.send(strict, signature)
    assert (receipt.status, receipt.http_status) == ("refused", 401)
    assert "flat_forms=True" in receipt.reason
    sync = ZohoSync(sessions, verifier=SignedRequest(SECRET, flat_forms=True))
    assert (await call.send(sync, signature)).status == "accepted"
    timeless = Call(TIMELESS, content_type=FORM)
    late = await timeless.send(sync, sign(SECRET, TIMELESS, content_type=FORM))
    assert (late.status, "last_modified_time" in late.reason) == ("dead_letter", True)
    # With one old delivery its time is cut away: it would overwrite whatever is newer.
    cut = FLAT.replace(b"last_modified_time=", b"last_modified_tim=e")
    recut = await Call(cut, content_type=FORM).send(sync, signature)
    assert recut.status == "dead_letter"
    moved = (("last_modified_time", DOCUMENT["last_modified_time"]),)
    receipt = await Call(TIMELESS, moved, FORM).send(sync, signature)
    assert receipt.status == "refused"


# Organizations

SEVERAL = ("60001", "60002")


@pytest.mark.parametrize(
    ("verifier", "organization_id", "problem"),
    [
        (SignedRequest(SECRET), SEVERAL, "bound to none"),
        (SignedBody(SECRET), SEVERAL, "bound to none"),
        (HeaderToken("X-Token", "t"), SEVERAL, "bound to none"),
        (QueryToken("token", "t"), SEVERAL, "bound to none"),
        (AnyOf(SignedRequest(SECRET, organization_id="60001"), SignedBody(OTHER)), SEVERAL, "none"),
        (SignedRequest(SECRET, organization_id="60003"), SEVERAL, "does not name"),
        (SignedRequest(SECRET, organization_id="60003"), "60001", "does not name"),
        (SignedRequest(SECRET, organization_id="60003"), None, "does not name"),
    ],
)
def test_secrets_are_bound_to_organizations(
    sessions: Sessions, verifier: Verifier, organization_id: Any, problem: str
) -> None:
    with pytest.raises(ConfigurationError, match=problem) as refused:
        ZohoSync(sessions, verifier=verifier, organization_id=organization_id)
    assert SECRET not in str(refused.value)


async def test_a_secret_writes_its_own_organization_alone(sessions: Sessions) -> None:
    first = SignedRequest(SECRET, organization_id="60001")
    second = SignedRequest(OTHER, organization_id="60002")
    sync = await opened(sessions, AnyOf(first, second), organization_id=SEVERAL)
    named = json.dumps({"organization_id": "60001", "invoice": DOCUMENT}).encode()
    in_query = (("organization_id", "60001"),)
    for body, query in ((named, ()), (INVOICE, in_query)):
        receipt = await Call(body, query).send(sync, sign(OTHER, body, query))
        assert (receipt.status, "organization" in receipt.reason) == ("dead_letter", True)
    assert await sync.drain() == {}
    for secret in (SECRET, OTHER):
        assert (await Call().send(sync, sign(secret, INVOICE))).status == "accepted"
    assert (
        await Call(named, in_query).send(sync, sign(SECRET, named, in_query))
    ).http_status == 200
    await sync.drain()
    async with sessions() as session:
        found = await session.scalars(select(mirror.invoices.c.organization_id))
        assert sorted(found) == [*SEVERAL]


async def test_a_verifier_of_ones_own_names_the_organization(sessions: Sessions) -> None:
    sync = await opened(sessions, Own(), organization_id=SEVERAL)
    receipt = await Call().send(sync, "")
    assert (receipt.status, "organization_id=" in receipt.reason) == ("refused", True)
    bound = ZohoSync(sessions, verifier=Own(organization_id="60002"), organization_id=SEVERAL)
    assert (await Call().send(bound, "")).status == "accepted"


# What can be varied for ever


async def test_one_captured_delivery_makes_few_letters_and_few_reasons(sessions: Sessions) -> None:
    sync = await opened(sessions, SignedBody(SECRET))
    unreadable, blank = b'{"invoice": {"status": "sent"}}', b"{}"
    letters = set()
    for number in range(60):
        word = f"{number}-secret-word"
        for told in (
            {"entity": word},
            {"entity": "invoice", "entity_id": word},
            {"headers": ((ENTITY_HEADER, word),)},
            {"query": (("organization_id", word),)},
            {"query": (("JSONString", json.dumps({"invoice": {"invoice_id": word}})),)},
            {"content_type": f"text/{word}"},
            {"content_type": f"text/plain; charset={word}"},
        ):
            for body in (unreadable, INVOICE, blank):
                receipt = await Call(body, **told).send(sync, sign(SECRET, body))
                letters |= set(receipt.event_ids) if receipt.status == "dead_letter" else set()
                assert "secret" not in receipt.reason.replace("the secret", "")
    assert len(letters) < 20
    assert len(await sync.dead_letters.list(limit=100)) == len(letters)
    await sync.close()
    assert len((await sync.status()).refused) < 10


@pytest.mark.parametrize(
    "query", [b"entity=invoice&op=delete", "?entity=invoice&op=delete", {"op": "delete"}]
)
async def test_a_query_comes_as_bytes_text_or_pairs(sessions: Sessions, query: Any) -> None:
    sync = await opened(sessions, HeaderToken("X-Token", "t"))
    assert (await Call().send(sync, "")).status == "accepted"
    assert await alive(sync, sessions)
    await sync.receive(INVOICE, headers={"X-Token": "t"}, query=query)
    assert not await alive(sync, sessions)


@pytest.mark.parametrize("make", [dict, list, urlencode])
async def test_a_query_of_too_many_parameters_is_refused(sessions: Sessions, make: Any) -> None:
    sync = await opened(sessions, HeaderToken("X-Token", "t"))
    query = make([(f"k{number}", "v") for number in range(1_001)])
    receipt = await sync.receive(INVOICE, headers={"X-Token": "t"}, query=query)
    assert (receipt.status, receipt.http_status) == ("refused", 401)
    assert "parameters" in receipt.reason
