"""What is signed is what is read: nobody cuts another event from the string of a signed one.

An adversary has seen signed deliveries of every shape. It cuts the string that was signed anew,
into any query, form and body; it changes type, method, path, headers and bytes. Whatever is
accepted must yield the event of the original, or none.
"""

from __future__ import annotations

import json
import os
import random
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.intake.adversary import FORM, Sent, attack, whole
from zoho_sync.events.entities import BUILTIN_CATALOG
from zoho_sync.events.event import SyncEvent
from zoho_sync.exceptions import PayloadError
from zoho_sync.intake.decoding import DecodingRules, decode
from zoho_sync.intake.hints import hints
from zoho_sync.intake.signature import SIGNATURE_HEADER, SignedBody, SignedRequest
from zoho_sync.intake.signed_string import hmac_of, sign
from zoho_sync.intake.verdict import Verifier

SECRET = "abcdef123456"
ATTACKS = int(os.environ.get("ZOHO_SYNC_ATTACKS", "6000"))
"""How many requests the adversary tries; a longer run sets another number."""

ONE = DecodingRules(BUILTIN_CATALOG)
SEVERAL = DecodingRules(BUILTIN_CATALOG, ("60001", "60002"))
VERIFIERS = (
    (SignedRequest(SECRET, query_keys=("source", "Tenant")), ONE),
    (SignedRequest(SECRET, query_keys=("source",), organization_id="60001"), SEVERAL),
)
INVOICE = {
    "invoice_id": "71",
    "customer_id": "4600000000000000001",
    "notes": 'op=delete, opdelete {"x": "y"} entityitemid5 last_modified_time2020'
    " a=b&JSONString=%7B%22item%22:%7B%22item_id%22:%225%22%7D%7D&c=d",
    "last_modified_time": "2026-11-01T10:00:00+0530",
    "line_items": [{"line_item_id": "9", "item_id": "8", "rate": 1.5}],
}
CONTACT = {"contact_id": "72", "contact_type": "vendor", "contact_name": "Nord & Co = +"}
WRAPPED = json.dumps({"invoice": INVOICE, "organization_id": "60001"}).encode()
BARE = json.dumps(INVOICE).encode()
VENDOR = json.dumps({"contact": CONTACT}).encode()


def in_form(**fields: object) -> bytes:
    texts = {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in fields.items()
    }
    return urlencode(texts).encode()


HONEST: dict[str, Sent] = {
    "wrapped": Sent(WRAPPED),
    "bare": Sent(BARE),
    "vendor": Sent(VENDOR, entity="contact"),
    "numbers for ids": Sent(b'{"item":{"item_id":460001,"name":"a"}}', method="PUT"),
    "envelope": Sent(
        b'{"code":0,"message":"success","contact":' + json.dumps(CONTACT).encode() + b"}"
    ),
    "template": Sent(
        json.dumps({"event": "invoice.deleted", "data": {"invoice": INVOICE}}).encode()
    ),
    "JSONString": Sent(in_form(JSONString={"invoice": INVOICE}), content_type=FORM),
    "JSONString, delete": Sent(in_form(JSONString={"invoice": INVOICE}), (("op", "delete"),), FORM),
    "payload": Sent(in_form(payload={"invoice": INVOICE}), content_type=FORM),
    "payload, delete": Sent(in_form(payload={"invoice": INVOICE}), (("op", "delete"),), FORM),
    "field of the module": Sent(in_form(invoice=INVOICE), content_type=FORM),
    "a listed field beside": Sent(
        in_form(payload={"contact": CONTACT}, source="zoho"), content_type=FORM
    ),
    "delete in the query": Sent(WRAPPED, (("op", "delete"),)),
    "delete in the query, told": Sent(
        BARE, (("entity", "invoice"), ("op", "deleted"), ("source", "x"))
    ),
    "delete by id": Sent(b"", (("entity", "invoice"), ("op", "delete"), ("id", "71"))),
    "delete by its id": Sent(
        b"", (("entity", "invoice"), ("operation", "delete"), ("invoice_id", "71"))
    ),
    "a vendor told": Sent(b'{"contact":{"contact_id":"72"}}', (("entity", "vendor"),)),
    "organization": Sent(VENDOR, (("organization_id", "60001"), ("op", "edit"))),
    "JSONString in the query": Sent(b"", (("JSONString", WRAPPED.decode()), ("op", "delete"))),
    "ids in the query": Sent(b"", (("invoice_id", "71"),)),
    "every parameter": Sent(
        WRAPPED,
        (
            ("entity", "invoice"),
            ("id", "71"),
            ("op", "delete"),
            ("organization_id", "60001"),
            ("source", "s"),
        ),
    ),
}
# What a listed key before the operation could swallow.
LISTED_BEFORE = Sent(WRAPPED, (("Tenant", "x"), ("op", "delete")))
PINGS = {
    "empty": Sent(),
    "quotes": Sent(b'""'),
    "check call": Sent(b"payload=", content_type=FORM),
    "check call in JSON": Sent(b'{"payload": ""}'),
}


def taken(sent: Sent, signature: str, verifier: Verifier, rules: DecodingRules) -> SyncEvent | None:
    """Return the event of a request as the front door takes it; None if it makes none."""
    headers = {"content-type": sent.content_type, SIGNATURE_HEADER: signature, **sent.headers}
    verdict = verifier.verify(sent.body, headers, sent.query)
    if not verdict.ok:
        return None
    known = hints(
        entity=sent.entity,
        entity_id=sent.entity_id,
        query=sent.query,
        headers=headers,
        method=sent.method,
        catalog=rules.catalog,
        verdict=verdict,
    )
    try:
        return decode(sent.body, sent.content_type, known, rules)
    except PayloadError:
        return None


def signed(sent: Sent) -> str:
    return sign(SECRET, sent.body, sent.query, content_type=sent.content_type)


@pytest.mark.parametrize(("verifier", "rules"), VERIFIERS)
@pytest.mark.parametrize("shape", HONEST)
def test_every_honest_shape_is_accepted(
    shape: str, verifier: SignedRequest, rules: DecodingRules
) -> None:
    event = taken(HONEST[shape], signed(HONEST[shape]), verifier, rules)
    assert event is not None
    deletes = "delete" in shape or shape in (
        "template",
        "JSONString in the query",
        "every parameter",
    )
    assert (event.operation == "delete") == deletes
    assert event.organization_id == ("60001" if rules is SEVERAL else "default")


@pytest.mark.parametrize("shape", PINGS)
def test_a_ping_is_accepted_and_makes_nothing(shape: str) -> None:
    ping = PINGS[shape]
    headers = {"content-type": ping.content_type, SIGNATURE_HEADER: signed(ping)}
    assert SignedRequest(SECRET).verify(ping.body, headers, ()).ok
    assert taken(ping, signed(ping), *VERIFIERS[0]) is None


# The adversary

ORIGINALS = {**HONEST, **PINGS, "a listed key before": LISTED_BEFORE}


def parts_of(event: SyncEvent) -> tuple[Any, ...]:
    placed = (event.entity_type, event.entity_id, event.operation, event.organization_id)
    return (*placed, event.effective_time, dict(event.payload))


@pytest.mark.parametrize(("verifier", "rules"), VERIFIERS)
def test_nothing_else_is_cut_from_a_signed_string(
    verifier: SignedRequest, rules: DecodingRules
) -> None:
    seed = random.SystemRandom().randint(0, 2**32)
    dice, accepted = random.Random(seed), 0  # noqa: S311  # no secret: it is to be repeatable
    for _ in range(ATTACKS // len(VERIFIERS)):
        name = dice.choice([*ORIGINALS])
        original = ORIGINALS[name]
        request = attack(original, dice)
        event = taken(request, signed(original), verifier, rules)
        if event is not None:
            honest = taken(original, signed(original), verifier, rules)
            assert honest is not None, (seed, name, request)
            assert parts_of(event) == parts_of(honest), (seed, name, request)
            accepted += 1
    # An adversary that never gets through would prove nothing.
    assert accepted > ATTACKS // 100, (seed, accepted)


BODIES = (SignedBody(SECRET), ONE)
# Bodies that hold one thing under any content type.
OF_BODY = ("wrapped", "bare", "vendor", "numbers for ids", "envelope", "template", "JSONString")
FLAT = {
    "flat": Sent(
        in_form(
            contact_id="72",
            contact_name="A&JSONString=%7B%22item%22:%7B%22item_id%22:%225%22%7D%7D&c=d",
            contact_type="vendor",
        ),
        content_type=FORM,
    ),
    "text": Sent(b"[1=1&JSONString=%7B%22item%22:%7B%22item_id%22:%225%22%7D%7D&c=d]"),
}


@pytest.mark.parametrize("shape", OF_BODY)
def test_a_signed_body_is_accepted_under_any_type(shape: str) -> None:
    honest = HONEST[shape]
    events = [
        taken(replace(honest, content_type=each), hmac_of(SECRET, honest.body), *BODIES)
        for each in (honest.content_type, "text/plain", "application/json", FORM, "")
    ]
    assert events[0] is not None
    assert all(each and parts_of(each) == parts_of(events[0]) for each in events)


def test_nothing_else_is_read_from_a_signed_body() -> None:
    """A hash of bodies takes the strings that Zoho signs for bodies as well."""
    seed = random.SystemRandom().randint(0, 2**32)
    dice, accepted = random.Random(seed), 0  # noqa: S311  # no secret: it is to be repeatable
    originals = {**ORIGINALS, **FLAT}
    tries = ATTACKS // 3
    for _ in range(tries):
        name = dice.choice([*originals])
        original = originals[name]
        request = whole(original, dice)
        event = taken(request, hmac_of(SECRET, request.body), *BODIES)
        if event is not None:
            alone = Sent(original.body, content_type=original.content_type)
            honest = taken(alone, hmac_of(SECRET, alone.body), *BODIES)
            assert honest is not None, (seed, name, request)
            assert parts_of(event) == parts_of(honest), (seed, name, request)
            accepted += 1
    assert accepted > tries // 100, (seed, accepted)
