"""Knows Zoho's eleven entity types, what they are called, and how a document is recognised."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

from zoho_sync.exceptions import PayloadError, UnknownEntityType

__all__ = [
    "BUILTIN_CATALOG",
    "BUILTIN_KINDS",
    "CONTACT",
    "EntityCatalog",
    "EntityKind",
    "EntityType",
]

CONTACT = "contact"
"""The ledger namespace that customers and vendors share, and the type of an undecided contact."""


_ID: Final = re.compile(r"[!-~]{1,100}")
_DIGITS: Final = re.compile(r"0*[1-9][0-9]*")


class EntityType(enum.StrEnum):
    """The eleven entity types that the library knows from the start.

    Members are strings: wherever a type is asked for, a plain string does as well, so that an
    application's own types need no enum. ``EntityType("Sales-Orders")`` understands every alias.
    """

    PRODUCT = "product"
    CUSTOMER = "customer"
    VENDOR = "vendor"
    INVOICE = "invoice"
    SALES_ORDER = "sales_order"
    PAYMENT = "payment"
    USER = "user"
    BILL = "bill"
    CREDIT_NOTE = "credit_note"
    STOCK_ADJUSTMENT = "stock_adjustment"
    PRICE_LIST = "price_list"

    @classmethod
    def _missing_(cls, value: object) -> EntityType | None:
        found = BUILTIN_CATALOG.resolve(str(value))
        return None if found is None or found == CONTACT else cls._value2member_map_[found]  # type: ignore[return-value]  # the map is typed as Enum


@dataclass(frozen=True, slots=True)
class EntityKind:
    """How one entity type is named and recognised.

    Attributes:
        entity_type: The one name that code, tables and messages use.
        wrappers: Keys that wrap its document, ``{"invoice": {…}}``.
        id_fields: Fields of the document that hold its id, the preferred one first.
        aliases: Other names in routes, queries and headers.
        rank: Parents before children: kinds of a lower rank are applied first within a batch.
        namespace: Of its ids in the ledger; types that share ids share a namespace.
        numbered: Whether its ids are digits, as all of Zoho's are: what a template has not filled
            (``${ITEM.ITEM_ID}``, ``null``, ``0``) is no id then.
        known_ids: Every field of its document that holds an id, its own and others'; None where
            nobody has said so. A document with another is one of something else.
    """

    entity_type: str
    wrappers: tuple[str, ...]
    id_fields: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    rank: int = 50
    namespace: str = ""
    numbered: bool = False
    known_ids: frozenset[str] | None = None

    def __post_init__(self) -> None:
        if not self.namespace:
            object.__setattr__(self, "namespace", self.entity_type)

    def entity_id(self, document: Mapping[str, Any]) -> str:
        """Return the document's id as text; ``""`` where it has none."""
        for field in self.id_fields:
            value = document.get(field)
            if isinstance(value, (str, int)) and not isinstance(value, bool) and str(value).strip():
                return str(value).strip()
        return ""

    def check_id(self, text: str, path: str) -> str:
        """Return an id that an entity of this kind may have.

        Args:
            text: The id.
            path: Where it stands, for the error.

        Raises:
            PayloadError: It cannot be one.
        """
        if not _ID.fullmatch(text):
            raise PayloadError(path, "not an id: expected up to 100 characters without blanks")
        if self.numbered and not _DIGITS.fullmatch(text):
            raise PayloadError(path, "not an id of Zoho's: those are digits, and not only zeros")
        return text


_NUMBERED: Final = (
    EntityKind("user", ("user",), ("user_id",), rank=10),
    EntityKind("product", ("item", "product"), ("item_id",), ("item",), rank=10),
    EntityKind(
        "customer", ("customer",), ("contact_id", "customer_id"), rank=10, namespace=CONTACT
    ),
    EntityKind(
        "vendor",
        ("vendor",),
        ("contact_id", "vendor_id"),
        ("supplier",),
        rank=10,
        namespace=CONTACT,
    ),
    EntityKind(CONTACT, (CONTACT,), ("contact_id", "vendor_id"), rank=10),
    EntityKind(
        "price_list",
        ("pricebook", "pricelist", "price_list"),
        ("pricebook_id", "pricelist_id"),
        ("pricebook",),
        rank=20,
    ),
    EntityKind("sales_order", ("salesorder", "sales_order"), ("salesorder_id",), ("order",), 30),
    EntityKind("invoice", ("invoice",), ("invoice_id",), rank=40),
    EntityKind("bill", ("bill",), ("bill_id",), rank=40),
    EntityKind(
        "stock_adjustment",
        ("inventory_adjustment", "inventoryadjustment", "stock_adjustment"),
        ("inventory_adjustment_id",),
        ("inventory_adjustment", "item_adjustment"),
        rank=40,
    ),
    EntityKind("credit_note", ("creditnote", "credit_note"), ("creditnote_id",), rank=50),
    EntityKind(
        "payment",
        ("payment", "customerpayment", "customer_payment"),
        ("payment_id",),
        ("customer_payment",),
        rank=60,
    ),
)
BUILTIN_KINDS: Final = tuple(replace(kind, numbered=True) for kind in _NUMBERED)


def _names_of(kind: EntityKind) -> tuple[str, ...]:
    return kind.entity_type, *kind.wrappers, *kind.aliases


@cache
def _folded_names_of(kind: EntityKind) -> tuple[str, ...]:
    return tuple(each for name in map(_folded, _names_of(kind)) for each in (name, f"{name}s"))


def _folded(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


class EntityCatalog:
    """The entity types that one registry knows, by every name they go by.

    Plurals, case, hyphens, blanks and underscores do not matter: ``Sales-Orders`` is
    ``sales_order``.

    Args:
        kinds: The entity types.
    """

    def __init__(self, kinds: Iterable[EntityKind]) -> None:
        self.kinds: dict[str, EntityKind] = {kind.entity_type: kind for kind in kinds}
        self._names: dict[str, str] = {}
        for kind in self.kinds.values():
            for name in _folded_names_of(kind):
                self._names.setdefault(name, kind.entity_type)

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that a type goes by, in one spelling; for guessing which one was meant."""
        return tuple(dict.fromkeys(n for kind in self.kinds.values() for n in _names_of(kind)))

    def resolve(self, name: str) -> str | None:
        """Return the entity type that goes by ``name``, or None."""
        return self._names.get(_folded(name))

    def require(self, name: str) -> EntityKind:
        """Return the kind that goes by ``name``.

        Raises:
            UnknownEntityType: With the names that are known.
        """
        found = self.resolve(name)
        if found is None:
            raise UnknownEntityType(name, self.kinds, self.names)
        return self.kinds[found]

    def decide(self, name: str, document: Mapping[str, Any], operation: str) -> EntityKind:
        """Return the kind of a document that goes by ``name``; a contact's own type decides.

        A delete may leave open which of the two it means: the ledger knows.

        Raises:
            UnknownEntityType: With the names that are known.
            PayloadError: A contact that says neither customer nor vendor.
        """
        kind = self.require(name)
        if kind.entity_type != CONTACT or operation == "delete":
            return kind
        decided = str(document.get("contact_type") or "").strip().lower()
        if decided not in ("customer", "vendor"):
            raise PayloadError("contact.contact_type", "missing: is it a customer or a vendor?")
        return self.require(decided)

    def knows(self, name: str) -> bool:
        """Return whether an entity type goes by a name."""
        return self.resolve(name) is not None

    def namespace(self, entity_type: str) -> str:
        """Return the ledger namespace of a type; an unknown type is its own."""
        kind = self.kinds.get(entity_type)
        return kind.namespace if kind else entity_type

    def rank(self, entity_type: str) -> int:
        """Return where a type stands among parents and children; see `EntityKind.rank`."""
        kind = self.kinds.get(entity_type)
        return kind.rank if kind else EntityKind("", (), ()).rank


BUILTIN_CATALOG: Final = EntityCatalog(BUILTIN_KINDS)
"""Where no registry says what else there is; nothing changes it."""
