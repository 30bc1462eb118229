"""Decodes the bytes of a delivery into an event, or refuses them and names what is wrong.

Zoho, and the templates that its administrators write, send one entity in many shapes: wrapped or
bare, as JSON or as a form, with the organization beside it or within, in the envelope of the API,
or as a ping with nothing at all. What cannot be understood is a `PayloadError` that names the
field and holds nothing of the body; nothing is guessed.

Of equal keys in one JSON object, and of equal fields in one form, the last counts. Text is kept as
it came, NUL characters included. A body is UTF-8, with or without a byte order mark; another
charset is refused. JSON is recognised as such under any content type.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import tzinfo
from itertools import product
from typing import Any, Final, NamedTuple

from zoho_sync.events import exact_json
from zoho_sync.events.entities import CONTACT, EntityCatalog, EntityKind
from zoho_sync.events.event import (
    DEFAULT_ORGANIZATION,
    Operation,
    SyncEvent,
    operation_of,
    refuse_future,
    with_own_time,
)
from zoho_sync.exceptions import PayloadError
from zoho_sync.exceptions.wording import did_you_mean, shown
from zoho_sync.intake.body import JSON_FIELD, OPERATION_FIELDS, ReadBody, read_body
from zoho_sync.intake.claims import refuse_contradiction, refuse_unheard, with_remedy
from zoho_sync.intake.hints import Hints
from zoho_sync.intake.http import is_unicode
from zoho_sync.intake.identification import CONTACT_KINDS, Recognised, given, recognise
from zoho_sync.payloads.fields import is_blank

__all__ = ["DecodingRules", "decode"]

_MOST_VALUES: Final = 250_000
"""Documents have up to some tens of thousands; each costs ten microseconds until it is stored."""
_HALF_A_PAIR: Final = re.compile(r"\\u[dD][89a-fA-F]")

# Ids that a document of a kind never has at its top: with one, it is something else.
_FOREIGN_FIELDS: Final[Mapping[str, tuple[str, str]]] = {
    "payment": ("vendor_id", "the payment is one to a vendor, not from a customer"),
    "price_list": ("item_id", "a row of a list, for one item, is not a price list"),
    "stock_adjustment": ("item_id", "a row of a list, for one item, is not an adjustment"),
}


@dataclass(frozen=True, slots=True)
class DecodingRules:
    """What the host has configured.

    Attributes:
        catalog: The entity types that exist.
        organization_ids: None: every event belongs to one constant organization. One: a body that
            names none means that one. Several: the delivery must name one of them.
        time_zone: Of times without an offset; None refuses those.
        date_formats: `datetime.strptime` formats that are accepted besides ISO 8601.
    """

    catalog: EntityCatalog
    organization_ids: tuple[str, ...] = ()
    time_zone: tzinfo | None = None
    date_formats: tuple[str, ...] = ()

    def completed(self, event: SyncEvent) -> SyncEvent:
        """Return an event of the host's own with its type, time and organization decided.

        Raises:
            PayloadError: It cannot be understood.
        """
        kind = self.catalog.decide(event.entity_type, event.payload, event.operation)
        kind.check_id(event.entity_id, f"{kind.entity_type}.{kind.id_fields[0]}")
        typed = replace(event, entity_type=kind.entity_type)
        timed = with_own_time(typed, time_zone=self.time_zone, formats=self.date_formats)
        if timed.arrival is not None:
            refuse_future(timed.effective_time, timed.arrival.time, path=timed.entity_type)
        return replace(timed, organization_id=self.organization(timed.organization_id))

    def organization(self, named: str | None) -> str:
        """Return the organization that is meant.

        Raises:
            PayloadError: It is not one that is configured.
        """
        named, configured = named or DEFAULT_ORGANIZATION, self.organization_ids
        if len(configured) == 1 and named == DEFAULT_ORGANIZATION:
            return configured[0]
        if configured and named not in configured:
            raise PayloadError("organization_id", "an organization that is not configured")
        return named


class _Body(NamedTuple):
    """A body's object, and the fields of a form that stand beside it."""

    content: Mapping[str, Any]
    beside: Mapping[str, Any] = {}
    is_of_body: bool = True


def decode(body: bytes, content_type: str, hints: Hints, rules: DecodingRules) -> SyncEvent | None:
    """Return the event that a delivery makes; None if it is a ping.

    A ping is an empty body, or one that holds nothing but blanks, as Zoho's check call does when a
    webhook is saved: ``payload=``. Unless the query carries the document or its id instead, or
    something says to delete: an id then, or else nobody knows what.

    Args:
        body: As received.
        content_type: The header's value; ``""`` if there is none.
        hints: What route, query, headers and method say.
        rules: What the host has configured.

    Raises:
        UncoveredError: Nothing is to be done, and nothing to be kept; it says what to configure.
        PayloadError: It cannot be understood; names the field, never its content.
    """
    try:
        read = _read(body, content_type, hints, rules.catalog)
        event = _covered_event(read, hints, rules)
    except PayloadError as error:
        raise with_remedy(error, hints) from None
    if event is None:
        refuse_unheard(hints, rules.catalog)
        return None
    refuse_contradiction(event, hints, rules.catalog, has_body=read.is_of_body)
    if hints.timed_only and event.effective_time is None:
        raise PayloadError(
            f"{event.entity_type}.last_modified_time",
            "missing: a flat form needs a time of its own, since others can be cut from it",
        )
    return event


def _covered_event(read: _Body, hints: Hints, rules: DecodingRules) -> SyncEvent | None:
    """Return the event that the covered parts make."""
    hinted = _hinted_kind(hints, rules.catalog)
    if _is_blank(read):
        return _event_without_body(read, hints, hinted, rules)
    if "message" in read.content and str(read.content.get("code", 0)).strip() != "0":
        raise PayloadError("code", "the body is an error that the API answered")
    operation = _operation(hints, read)
    found = recognise(read.content, hinted, rules.catalog)
    kind = _decided(found, hinted, operation, rules.catalog)
    _refuse_foreign(kind, found.document)
    event = SyncEvent(
        entity_type=kind.entity_type,
        entity_id=_entity_id(kind, found.document, hints, operation),
        payload=dict(found.document),
        operation=operation,
        organization_id=_organization(hints, rules, (read.beside, *found.around, found.document)),
    )
    return with_own_time(event, time_zone=rules.time_zone, formats=rules.date_formats)


def _read(body: bytes, content_type: str, hints: Hints, catalog: EntityCatalog) -> _Body:
    if not is_unicode(content_type):
        raise PayloadError("", "the charset of the body is not UTF-8")
    try:
        raw = read_body(body, content_type)
    except ValueError:
        raise PayloadError("", "the body is not UTF-8, or has too many fields") from None
    if raw.text is None:
        raise PayloadError("", "the body is not UTF-8")
    read = _of_form(raw, catalog) if raw.form is not None else _Body(_object(raw.text))
    if not _is_blank(read):
        if hints.document is not None:
            raise PayloadError(JSON_FIELD, "the body and the query both carry a document")
        return read
    # A delivery without a body may have the document, or its id, in the query.
    content = _object(hints.document) if hints.document else hints.ids
    return _Body(content, read.beside, is_of_body=False)


def _of_form(raw: ReadBody, catalog: EntityCatalog) -> _Body:
    fields, carrier = raw.fields, raw.carrier
    if carrier is None:
        return _Body(fields)
    content = _object(fields.pop(carrier).strip())
    wrappers = {key for kind in catalog.kinds.values() for key in kind.wrappers}
    if carrier in wrappers and carrier not in content:
        content = {carrier: content}
    return _Body(content, fields)


def _is_blank(read: _Body) -> bool:
    return all(is_blank(value) or value in ({}, []) for value in read.content.values())


def _object(text: str) -> Mapping[str, Any]:
    # Those in its texts count as well: what has so many is no document in any case.
    if text.count(",") + text.count("{") + text.count("[") > _MOST_VALUES:
        raise PayloadError("", "the body has more values than any document")
    try:
        value = exact_json.loads(text) if text else {}
    except ValueError as error:
        raise PayloadError("", f"the body is not JSON: {error}") from None
    if isinstance(value, str) and is_blank(value):
        return {}
    if not isinstance(value, dict):
        raise PayloadError("", f"expected an object, not {_named(value)}")
    if _HALF_A_PAIR.search(text):
        try:
            # exact_json would escape it, and PostgreSQL refuse it later, far from its sender.
            json.dumps(value, ensure_ascii=False, default=str).encode()
        except UnicodeEncodeError:
            raise PayloadError("", "the body holds half of a surrogate pair") from None
    return value


def _named(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false"}
    names[type(None)] = "null"
    return names.get(type(value), "a number")


def _hinted_kind(hints: Hints, catalog: EntityCatalog) -> EntityKind | None:
    if hints.entity is None:
        return None
    name = catalog.resolve(hints.entity)
    if name is None:
        # The word came from the route, the query or a header, not from the body.
        known, near = ", ".join(catalog.kinds), did_you_mean(hints.entity, catalog.names)
        problem = f"no entity type goes by {shown(hints.entity)}; known are {known}{near}"
        raise PayloadError("entity", problem)
    return catalog.kinds[name]


def _event_without_body(
    read: _Body, hints: Hints, hinted: EntityKind | None, rules: DecodingRules
) -> SyncEvent | None:
    operation = _operation(hints, read)
    if operation is not Operation.DELETE:
        return None
    if hints.entity_id is None:
        raise PayloadError("id", "a delete without a body needs the id in the route, or as ?id=…")
    if hinted is None:
        raise PayloadError("entity", "a delete without a body must be told which entity it deletes")
    return SyncEvent(
        entity_type=hinted.entity_type,
        entity_id=hinted.check_id(hints.entity_id, "entity_id"),
        operation=operation,
        organization_id=_organization(hints, rules, (read.beside,)),
    )


def _operation(hints: Hints, read: _Body) -> Operation:
    if hints.operation is not None:
        return operation_of(hints.operation)
    for place, field in product((read.beside, read.content), OPERATION_FIELDS):
        word = place.get(field)
        if is_blank(word):
            continue
        if not isinstance(word, str):
            raise PayloadError(field, f"expected text, not {_named(word)}")
        # "bill.created", "Bill Created", "bill_created"
        return operation_of(re.split(r"[^a-z]+", word.strip().lower())[-1], field, quoted=False)
    return Operation.DELETE if hints.method.upper() == "DELETE" else Operation.UPSERT


def _decided(
    found: Recognised, hinted: EntityKind | None, operation: Operation, catalog: EntityCatalog
) -> EntityKind:
    if found.kind.entity_type not in CONTACT_KINDS:
        return found.kind
    decided = _contact_type(found, hinted)
    if decided == CONTACT and operation is not Operation.DELETE:
        raise PayloadError("contact.contact_type", "missing: is it a customer or a vendor?")
    kind = catalog.kinds.get(decided)
    if kind is None:
        raise PayloadError("contact.contact_type", "an entity that is not synced")
    return kind


def _contact_type(found: Recognised, hinted: EntityKind | None) -> str:
    document = found.document
    if document.get("contact_type") not in (None, ""):
        word = str(document["contact_type"]).strip().lower()
        if word not in ("customer", "vendor"):
            raise PayloadError("contact.contact_type", "expected customer or vendor")
        return word
    for kind in (hinted, found.kind):
        if kind is not None and kind.entity_type != CONTACT:
            return kind.entity_type
    is_customer = given(document, "customer_id") or given(document, "customer_name")
    is_vendor = given(document, "vendor_id") or given(document, "vendor_name")
    if is_customer == is_vendor:
        return CONTACT
    return "vendor" if is_vendor else "customer"


def _refuse_foreign(kind: EntityKind, document: Mapping[str, Any]) -> None:
    field, problem = _FOREIGN_FIELDS.get(kind.entity_type, ("", ""))
    if field and given(document, field) and not given(document, "customer_id"):
        raise PayloadError(f"{kind.entity_type}.{field}", problem)


def _entity_id(
    kind: EntityKind, document: Mapping[str, Any], hints: Hints, operation: Operation
) -> str:
    path = f"{kind.entity_type}.{kind.id_fields[0]}"
    own = kind.entity_id(document)
    if not own:
        if operation is not Operation.DELETE or hints.entity_id is None:
            raise PayloadError(path, "missing, or not an id: expected text or a whole number")
        return kind.check_id(hints.entity_id, "entity_id")
    if hints.entity_id not in (None, own):
        raise PayloadError(path, "another id than the one that was told")
    return kind.check_id(own, path)


def _organization(hints: Hints, rules: DecodingRules, objects: Iterable[Mapping[str, Any]]) -> str:
    if not rules.organization_ids:
        return DEFAULT_ORGANIZATION
    named = {hints.organization_id, hints.secret_of} - {None}
    for each in objects:
        value = each.get("organization_id")
        if given(each, "organization_id"):
            named.add(str(value).strip())
        elif value not in (None, "") and not isinstance(value, str):
            raise PayloadError("organization_id", f"expected text, not {_named(value)}")
    if not named and len(rules.organization_ids) > 1:
        raise PayloadError("organization_id", "missing, and several organizations are configured")
    if len(named) > 1:
        secret = ", the secret's among them" if hints.secret_of else ""
        raise PayloadError("organization_id", f"several organizations are named{secret}")
    chosen = named.pop() if named else rules.organization_ids[0]
    if chosen not in rules.organization_ids:
        raise PayloadError("organization_id", "an organization that is not configured")
    return chosen
