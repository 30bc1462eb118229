"""The handlers of an application behave as a collection."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table

from zoho_sync import (
    BaseEntityHandler,
    ConfigurationError,
    EntityMap,
    EntityType,
    HandlerRegistry,
    MappingError,
    UnknownEntityType,
    default_registry,
)
from zoho_sync.handlers import CustomerHandler, InvoiceHandler, ProductHandler
from zoho_sync.handlers.registry import ENTRY_POINT_GROUP
from zoho_sync.payloads import EntityId, Payload, ProductPayload

ELEVEN = {
    "product": "ProductHandler",
    "customer": "CustomerHandler",
    "invoice": "InvoiceHandler",
    "sales_order": "SalesOrderHandler",
    "payment": "PaymentHandler",
    "vendor": "VendorHandler",
    "user": "UserHandler",
    "bill": "BillHandler",
    "credit_note": "CreditNoteHandler",
    "stock_adjustment": "StockAdjustmentHandler",
    "price_list": "PriceListHandler",
}


class Shipment(Payload):
    """A document of the application's own."""

    entity_type = "shipment"
    id_fields = ("shipment_id",)

    shipment_id: EntityId


class Shipments(BaseEntityHandler[Shipment]):
    """A handler without a mapping."""

    async def upsert(self, payload: Shipment) -> str:
        return payload.entity_id


class Goods(ProductHandler):
    """Another handler of products."""


def test_the_eleven() -> None:
    registry = default_registry()
    assert {name: registry[name].__name__ for name in registry} == ELEVEN
    assert len(registry) == 11
    assert default_registry() is not registry
    assert repr(HandlerRegistry([Goods])) == "HandlerRegistry(Goods)"


def test_a_collection_that_knows_aliases() -> None:
    registry = default_registry()
    assert registry["Sales-Orders"] is registry["sales_order"]
    assert registry["items"] is ProductHandler
    assert "Invoices" in registry
    assert "shipment" not in registry
    assert 7 not in registry
    assert registry.get("pricebook") is registry["price_list"]
    assert registry.get("shipment") is None
    assert "contact" not in registry


def test_a_miss_lists_what_is_known() -> None:
    registry = HandlerRegistry([ProductHandler, CustomerHandler])
    with pytest.raises(UnknownEntityType) as raised:
        registry["invoice"]
    assert raised.value.known == ("customer", "product")
    assert str(raised.value) == "unknown entity type 'invoice'; known are customer, product"


@pytest.mark.parametrize(("name", "near"), [("invoce", "invoice"), ("Itm", "item")])
def test_a_miss_names_the_nearest(name: str, near: str) -> None:
    for look_up in (default_registry().__getitem__, default_registry().catalog().require):
        with pytest.raises(UnknownEntityType) as raised:
            look_up(name)
        assert str(raised.value).endswith(f", user, vendor; did you mean {near!r}?")


def test_register_as_a_decorator() -> None:
    registry = HandlerRegistry()

    @registry.register
    class Plain(ProductHandler):
        pass

    @registry.register()
    class Called(CustomerHandler):
        pass

    assert [registry["product"], registry["customer"]] == [Plain, Called]
    assert registry.register(Plain) is Plain
    assert len(registry) == 2


def test_register_replaces_nothing() -> None:
    registry = default_registry()
    with pytest.raises(ConfigurationError, match=r"by ProductHandler already; use override\(Goods"):
        registry.register(Goods)
    assert registry["product"] is ProductHandler


def test_override_replaces() -> None:
    registry = default_registry()
    assert registry.override(Goods) is Goods
    assert registry["item"] is Goods
    assert registry.override(Shipments) is Shipments
    assert registry["shipments"] is Shipments
    assert len(registry) == 12


@pytest.mark.parametrize("handler", [ProductPayload, object(), "product", None])
@pytest.mark.parametrize("method", ["register", "override"])
def test_what_is_no_handler(handler: Any, method: str) -> None:
    registry = HandlerRegistry()
    if handler is None and method == "register":
        return
    with pytest.raises(ConfigurationError, match="not a subclass of BaseEntityHandler"):
        getattr(registry, method)(handler)


def test_an_instance_is_no_handler() -> None:
    handler: Any = Shipments.__new__(Shipments)
    with pytest.raises(ConfigurationError, match="give the class itself"):
        HandlerRegistry([handler])


def test_a_handler_without_a_type() -> None:
    class Nameless(BaseEntityHandler[Payload]):
        pass

    with pytest.raises(ConfigurationError, match="has no entity_type"):
        HandlerRegistry([Nameless])


def test_a_handler_that_does_nothing() -> None:
    class Idle(BaseEntityHandler[Shipment]):
        pass

    with pytest.raises(ConfigurationError, match="neither a mapping nor an upsert"):
        HandlerRegistry([Idle])


def test_a_handler_without_a_model_of_its_own() -> None:
    class Vague(BaseEntityHandler[Any]):
        entity_type = "vague"

        async def upsert(self, payload: Any) -> None:
            """Write nothing."""

    with pytest.raises(ConfigurationError, match="payload_model"):
        HandlerRegistry([Vague])


def test_merge_makes_a_third() -> None:
    mine, theirs = default_registry(), HandlerRegistry([Goods, Shipments])
    mine.ignore("product")
    mine.ignore("user")
    theirs.ignore("bill")
    merged = mine.merge(theirs)
    assert merged["product"] is Goods
    assert len(merged) == 12
    assert mine["product"] is ProductHandler
    assert len(theirs) == 2
    assert [merged.is_ignored(name) for name in ("product", "user", "bill")] == [False, True, True]


def test_ignore_and_take_back() -> None:
    registry = HandlerRegistry([InvoiceHandler])
    registry.ignore("Items")
    registry.ignore("invoice")
    assert registry.is_ignored("product")
    assert registry.is_ignored("invoices")
    assert not registry.is_ignored("bill")
    registry.override(InvoiceHandler)
    assert not registry.is_ignored("invoice")
    with pytest.raises(UnknownEntityType, match=r"did you mean 'user'\?"):
        registry.ignore("usr")
    assert not registry.is_ignored("usr")


@pytest.mark.parametrize(
    ("name", "meant"), [("item", "product"), ("Invoices", "invoice"), ("pricelist", "price_list")]
)
@pytest.mark.parametrize("method", ["register", "override"])
def test_another_name_of_a_type_is_no_type(name: str, meant: str, method: str) -> None:
    """Names lead to types: what was sent as an item would go to the handler of products."""
    handler = type("Mine", (Shipments,), {"entity_type": name})
    registry = default_registry()
    with pytest.raises(ConfigurationError) as raised:
        getattr(registry, method)(handler)
    assert str(raised.value) == (
        f"Mine: entity_type {name!r} is another name of {meant!r}; set entity_type = {meant!r}, "
        "or choose a name that no other type goes by"
    )
    assert list(registry) == list(default_registry())


class FakeEntryPoint:
    """What an installed package offers."""

    def __init__(self, handler: Any) -> None:
        self._handler = handler

    def load(self) -> Any:
        return self._handler


def test_discovery(monkeypatch: pytest.MonkeyPatch) -> None:
    groups: list[str] = []

    def offered(*, group: str) -> list[FakeEntryPoint]:
        groups.append(group)
        return [FakeEntryPoint(Shipments), FakeEntryPoint(Goods)]

    monkeypatch.setattr("zoho_sync.handlers.registry.entry_points", offered)
    registry = default_registry()
    assert registry.discover() is registry
    assert groups == [ENTRY_POINT_GROUP] == ["zoho_sync.handlers"]
    assert (registry["shipment"], registry["product"]) == (Shipments, Goods)


def test_discovery_of_what_is_no_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    offered = [FakeEntryPoint(Shipment)]
    monkeypatch.setattr("zoho_sync.handlers.registry.entry_points", lambda **_: offered)
    with pytest.raises(ConfigurationError, match="not a subclass"):
        HandlerRegistry().discover()


def test_discovery_without_packages() -> None:
    assert len(HandlerRegistry().discover()) == 0


def test_the_catalog_knows_the_applications_types() -> None:
    catalog = HandlerRegistry([Shipments]).catalog()
    assert catalog.resolve("Shipments") == "shipment"
    assert catalog.resolve("contacts") == "contact"
    assert catalog.kinds["shipment"].id_fields == ("shipment_id",)


def test_bindings_of_handlers_with_a_mapping() -> None:
    bindings = HandlerRegistry([Shipments, ProductHandler]).bindings()
    assert set(bindings) == {"product"}


def test_bindings_collect_what_is_wrong_in_all_handlers() -> None:
    table = Table("goods", MetaData(), Column("id", Integer, primary_key=True))

    class First(ProductHandler):
        mapping = EntityMap(table=table, columns={"a": "name"})

    class Second(CustomerHandler):
        mapping = EntityMap(table=table, columns={"b": "name"})

    with pytest.raises(MappingError) as raised:
        HandlerRegistry([First, Second, InvoiceHandler]).bindings()
    assert [finding.where for finding in raised.value.findings] == [
        "First.columns['a']",
        "Second.columns['b']",
    ]


def test_an_entity_type_goes_by_any_of_its_names() -> None:
    assert EntityType("Sales Orders") is EntityType.SALES_ORDER
    assert EntityType("item") is EntityType.PRODUCT
    for unknown in ("contact", "spaceship"):  # a contact is a customer or a vendor
        with pytest.raises(ValueError, match=unknown):
            EntityType(unknown)
