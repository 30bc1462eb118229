"""Recognises the entity of a body by wrappers and ids, and refuses where that is not sure.

A body is either *wrapped*, ``{"invoice": {…}}``, at the top or one level down under ``data``,
``payload`` or ``object``; or it is *bare*, the document itself. Documents hold the ids of others
(a payment that of its invoice, an invoice that of its order) and even small objects under the
wrapper of another (an invoice its contact's balances). So a bare document is looked for first, and
is what the most specific of its ids says: children name their parents, never the reverse.

The document itself may stand under ``data`` as well, where the delivery says what it is, or the
template does: ``{"event": "bill.created", "data": {"bill_id": …}}``. An answer of Zoho's API with a
list of documents is refused: these lack fields and lines.

Entities that this library does not handle name the same parents: a package holds the id of its
order, a contact person that of the contact. Their own ids are in the same list, so that none of
them is taken for its parent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from zoho_sync.events.entities import CONTACT, EntityCatalog, EntityKind
from zoho_sync.exceptions import PayloadError
from zoho_sync.payloads.fields import is_blank

__all__ = ["CONTACT_KINDS", "Recognised", "given", "recognise"]

CONTACT_KINDS: Final = frozenset({CONTACT, "customer", "vendor"})
"""Kinds of one document, whose ``contact_type`` tells them apart."""

_HOLDERS: Final = ("data", "payload", "object")

# Most specific first. Where the catalog has no kind for an id, the document is not one of ours.
_ID_FIELDS: Final = (
    "line_item_id",
    "pricebook_item_id",
    "payment_refund_id",
    "payment_id",
    "creditnote_refund_id",
    "creditnote_id",
    "vendor_credit_id",
    "inventory_adjustment_id",
    "expense_id",
    "time_entry_id",
    "deliverychallan_id",
    "bill_id",
    "invoice_id",
    "shipment_id",
    "package_id",
    "salesreturn_id",
    "purchaseorder_id",
    "salesorder_id",
    "retainerinvoice_id",
    "recurring_invoice_id",
    "recurring_bill_id",
    "estimate_id",
    "contact_person_id",
    "contact_id",  # before price lists: a contact names the one that it buys by
    "pricebook_id",
    "pricelist_id",
    "composite_item_id",
    "item_id",
    "user_id",
)


class Recognised(NamedTuple):
    """A document inside a body.

    Attributes:
        kind: What it is; ``contact`` where only ``contact_type`` can tell.
        document: The entity's document.
        around: The objects that the document stands in, the outermost first.
    """

    kind: EntityKind
    document: Mapping[str, Any]
    around: tuple[Mapping[str, Any], ...] = ()


_NAME_AND_WORD: Final = re.compile(r"([A-Za-z _-]+)[^A-Za-z]+[A-Za-z]+")
"""What a template calls its event: ``bill.created``, ``Sales Order Deleted``."""

_Object = Mapping[str, Any]
_Kinds = list[EntityKind | None]
"""Of the ids in a body, the most specific first; None for an entity that is not synced."""


def given(document: Mapping[str, Any], field: str) -> bool:
    """Return whether a field holds text or a whole number, and is not blank."""
    value = document.get(field)
    is_id = isinstance(value, (str, int)) and not isinstance(value, bool)
    return is_id and bool(str(value).strip())


def recognise(
    body: Mapping[str, Any], hinted: EntityKind | None, catalog: EntityCatalog
) -> Recognised:
    """Find the document in a body.

    ``hinted`` is what route, query or header say it is; None if they say nothing.

    Raises:
        PayloadError: No entity, more than one, or another than was told.
    """
    wrapped = _wrapped(body, catalog)
    listed = _listed(body, catalog)
    if not wrapped and not _has_id(body, catalog):
        _refuse_list(body, catalog)
    held = _held(body, catalog)
    if held is not None and (told := hinted or _told_by_event(body, catalog)) is not None:
        found = _hinted(held, _listed(held, catalog), _wrapped(held, catalog), told, catalog)
        return found._replace(around=(body, *found.around))
    if held is not None and not wrapped:
        problem = (
            "no entity is recognised: a document that stands by itself in another object must be"
            ' named, by entity=… in the query, or as in "event": "invoice.created"'
        )
        raise PayloadError("", problem)
    if hinted is None:
        return _unhinted(body, listed, wrapped, catalog)
    return _hinted(body, listed, wrapped, hinted, catalog)


def _has_id(body: _Object, catalog: EntityCatalog) -> bool:
    own = (field for kind in catalog.kinds.values() for field in kind.id_fields)
    return any(given(body, field) for field in (*_ID_FIELDS, *own))


def _refuse_list(body: _Object, catalog: EntityCatalog) -> None:
    for key, value in body.items():
        name = catalog.resolve(key) if isinstance(value, list) else None
        if name is not None and key not in catalog.kinds[name].wrappers:
            problem = (
                f"a list of {name} documents, and Zoho's lists leave out fields and lines: fetch"
                " each document by its id, and hand it over by itself"
            )
            raise PayloadError("", problem)


def _held(body: _Object, catalog: EntityCatalog) -> _Object | None:
    """Return the one document that stands under ``data`` and the like by itself."""
    if _has_id(body, catalog) or any(_wrappers(body, catalog)):
        return None
    holders = [body[key] for key in _HOLDERS if isinstance(body.get(key), dict)]
    return holders[0] if len(holders) == 1 and _has_id(holders[0], catalog) else None


def _told_by_event(body: _Object, catalog: EntityCatalog) -> EntityKind | None:
    for field in ("event", "event_type", "action"):
        word = body.get(field)
        named = _NAME_AND_WORD.fullmatch(word.strip()) if isinstance(word, str) else None
        found = catalog.resolve(named[1]) if named else None
        if found is not None:
            return catalog.kinds[found]
    return None


def _unhinted(
    body: _Object, listed: _Kinds, wrapped: list[Recognised], catalog: EntityCatalog
) -> Recognised:
    own = _own(body, listed, catalog)
    if own is not None:
        # {"user_id": …, "invoice": {"invoice_id": …}}: a template's extra, or the document's own?
        full = [found for found in wrapped if found.kind.entity_id(found.document)]
        if all(_more_specific(own, found.kind) for found in full):
            _refuse_unknown_ids(own, body, catalog)
            return Recognised(own, body)
    if own is not None or len(wrapped) > 1:
        raise PayloadError("", "the body holds several entities; name the one meant")
    if not wrapped:
        known = [key for kind in catalog.kinds.values() for key in kind.wrappers]
        _refuse_other_wrapper(body, known)
        raise PayloadError("", "no entity is recognised: neither a known wrapper nor a known id")
    _refuse_foreign_own_id(wrapped[0].kind, wrapped[0].document, catalog)
    return wrapped[0]


def _refuse_unknown_ids(own: EntityKind, body: _Object, catalog: EntityCatalog) -> None:
    """Refuse a document that has an id which documents of its kind never have.

    Zoho has more modules than anyone has listed, and their documents name orders and invoices by
    their ids: a picklist is no order, though it has the id of one.
    """
    kinds = [kind for kind in catalog.kinds.values() if _same(kind, own)]
    if not any(kind.known_ids for kind in kinds):
        return
    known = {"organization_id"}.union(
        *((*kind.id_fields, *(kind.known_ids or ())) for kind in kinds)
    )
    for field in body:
        name = field.lower()
        is_id = name.endswith("_id") and not name.startswith("cf_")
        if is_id and field not in known and not is_blank(body[field]):
            raise PayloadError(
                f"{own.entity_type}.{field}",
                "an id that such documents do not have: is it one of something else? If not, name "
                f"it in the webhook's URL, ?entity={own.entity_type}, or declare the field in the "
                "payload model of your handler",
            )


def _refuse_foreign_own_id(hinted: EntityKind, body: _Object, catalog: EntityCatalog) -> None:
    """Refuse a package that is told to be its order, though it has an id of its own."""
    more_specific = _ID_FIELDS[: _place(hinted)] if _place(hinted) >= 0 else ()
    owned = {field for kind in catalog.kinds.values() for field in kind.id_fields}
    foreign = [field for field in more_specific if field not in owned and given(body, field)]
    if foreign:
        raise PayloadError(
            f"{hinted.entity_type}.{foreign[0]}",
            f"the own id of something that is not synced: it is no {hinted.entity_type}",
        )


def _hinted(
    body: _Object,
    listed: _Kinds,
    wrapped: list[Recognised],
    hinted: EntityKind,
    catalog: EntityCatalog,
) -> Recognised:
    first = next((kind for kind in listed if kind is not None), None)
    if first is not None and not _same(hinted, first) and not _more_specific(hinted, first):
        raise _other_than(hinted, first.entity_type)
    fitting = [found for found in wrapped if _same(hinted, found.kind)]
    bare = any(given(body, field) for field in hinted.id_fields)
    if len(fitting) == 1 and (not bare or hinted.entity_id(fitting[0].document)):
        _refuse_foreign_own_id(fitting[0].kind, fitting[0].document, catalog)
        return fitting[0]
    if wrapped and not bare:
        raise _other_than(hinted, " and ".join(found.kind.entity_type for found in wrapped))
    spoken_for = any(kind is not None and _same(hinted, kind) for kind in listed)
    if listed and not spoken_for and _place(hinted) >= 0 and (bare or first is None):
        # An item, or a vendor credit, that is told to be a vendor because it holds a vendor_id.
        raise _other_than(hinted, first.entity_type if first else "an entity that is not synced")
    if not bare:
        _refuse_other_wrapper(body, hinted.wrappers)
    _refuse_foreign_own_id(hinted, body, catalog)
    return Recognised(hinted, body)


def _own(body: _Object, listed: _Kinds, catalog: EntityCatalog) -> EntityKind | None:
    # Of the application's own kinds nobody knows how specific they are.
    others = [
        kind
        for kind in catalog.kinds.values()
        if _place(kind) < 0 and any(given(body, field) for field in kind.id_fields)
    ]
    if others and (listed or len(others) > 1):
        raise PayloadError("", "the document has ids of several entities; name the one meant")
    if listed and listed[0] is None:
        own = next(field for field in _ID_FIELDS if given(body, field))
        raise PayloadError(own, "the own id of something that is not synced")
    return (listed or others or [_contact_without_id(body, catalog)])[0]


def _listed(body: _Object, catalog: EntityCatalog) -> _Kinds:
    kinds = catalog.kinds.values()
    owners = {field: _undecided(kind, catalog) for kind in kinds for field in kind.id_fields}
    return [owners.get(field) for field in _ID_FIELDS if given(body, field)]


def _wrapped(body: Mapping[str, Any], catalog: EntityCatalog) -> list[Recognised]:
    holders = [body[key] for key in _HOLDERS if isinstance(body.get(key), dict)]
    outer = [(body, ()), *((holder, (body,)) for holder in holders)]
    for holder, around in outer:
        found = [
            Recognised(kind, holder[key], (*around, holder))
            for kind, key in _wrappers(holder, catalog)
        ]
        if found:
            return found
    return []


def _wrappers(holder: _Object, catalog: EntityCatalog) -> Iterator[tuple[EntityKind, str]]:
    for kind in catalog.kinds.values():
        for key in kind.wrappers:
            if isinstance(holder.get(key), dict):
                yield kind, key


def _contact_without_id(body: Mapping[str, Any], catalog: EntityCatalog) -> EntityKind | None:
    # Every document of a purchase has a vendor_id: it is a contact only if it is named like one.
    named = given(body, "contact_name") or given(body, "contact_type")
    own = given(body, "customer_id") or given(body, "vendor_id")
    return catalog.kinds.get(CONTACT) if named and own else None


def _undecided(kind: EntityKind, catalog: EntityCatalog) -> EntityKind:
    return catalog.kinds.get(CONTACT, kind) if kind.entity_type in CONTACT_KINDS else kind


def _same(one: EntityKind, other: EntityKind) -> bool:
    if one.entity_type in CONTACT_KINDS:
        return other.entity_type in CONTACT_KINDS
    return one.entity_type == other.entity_type


def _place(kind: EntityKind) -> int:
    places = [_ID_FIELDS.index(field) for field in kind.id_fields if field in _ID_FIELDS]
    return min(places, default=-1)


def _more_specific(one: EntityKind, other: EntityKind) -> bool:
    return _place(one) < _place(other)


def _other_than(hinted: EntityKind, found: str) -> PayloadError:
    return PayloadError("", f"said to be {hinted.entity_type}, but the body is {found}")


def _refuse_other_wrapper(body: Mapping[str, Any], wrappers: Iterable[str]) -> None:
    for holder in (body, *(body.get(key) for key in _HOLDERS)):
        for key in wrappers:
            if isinstance(holder, dict) and holder.get(key) not in (None, ""):
                raise PayloadError(key, "expected an object under the name of the entity")
