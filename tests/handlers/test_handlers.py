"""Handlers that the host calls itself: what `sync` gives back, raises and leaves behind."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, ClassVar

import pytest
from sqlalchemy import ForeignKey, String, delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tests.hosts.handlers import CLIENTS
from tests.hosts.tables import ClientTable
from zoho_sync import (
    ABSENT,
    BaseEntityHandler,
    ConfigurationError,
    EntityMap,
    HandlerRegistry,
    Operation,
    Outcome,
    PayloadError,
    Reference,
    ReferenceFailed,
    ReferencePending,
    RowRejected,
    SyncEvent,
    SyncResult,
    UnknownEntityType,
)
from zoho_sync.database.creation import create_missing
from zoho_sync.handlers import CustomerHandler
from zoho_sync.payloads import Payload
from zoho_sync.payloads.fields import Amount, EntityId, Text, ZohoId
from zoho_sync.store.tables import library_tables

pytestmark = pytest.mark.databases("sqlite", "postgresql", "mariadb")

LIBRARY = library_tables()


class Base(DeclarativeBase):
    """The host's tables."""

    # MariaDB's texts have a length, or no index.
    type_annotation_map: ClassVar[Any] = {str: String(255)}


class Client(ClientTable, Base):
    created_by: Mapped[str] = mapped_column(default="host")


class Shipment(Base):
    __tablename__ = "shipment"

    id: Mapped[int] = mapped_column(primary_key=True)
    zoho_id: Mapped[str] = mapped_column(unique=True)
    number: Mapped[str | None] = mapped_column(unique=True)
    weight: Mapped[str | None]
    client_id: Mapped[int | None] = mapped_column(ForeignKey("clients.id"))


class ShipmentPayload(Payload):
    """An entity of the host's own."""

    entity_type = "shipment"
    id_fields = ("shipment_id",)

    shipment_id: EntityId
    number: Text = None
    weight: Amount = None
    customer_id: ZohoId = None


def _weight(payload: ShipmentPayload) -> Any:
    return ABSENT if payload.weight is None else str(payload.weight)


class Clients(CustomerHandler):
    mapping = replace(CLIENTS, table=Client, on_delete="ignore", deleted_column=None)


class Shipments(BaseEntityHandler[ShipmentPayload]):
    mapping = EntityMap(
        table=Shipment,
        key="zoho_id",
        columns={"number": "number", "weight": _weight},
        references=[Reference("client_id", to="customer", source="customer_id")],
        on_delete="hard",
    )


class Impatient(Shipments):
    """Does not wait for customers."""

    mapping = EntityMap(
        table=Shipment,
        key="zoho_id",
        columns={"number": "number"},
        references=[Reference("client_id", to="customer", source="customer_id", missing="fail")],
        on_delete="hard",
    )


def shipment(time: str = "10:00:00", **fields: Any) -> dict[str, Any]:
    return {"shipment_id": "1", "last_modified_time": f"2024-05-01T{time}+0000"} | fields


@pytest.fixture
async def session(engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
    async with engine.begin() as connection:
        await connection.run_sync(create_missing, LIBRARY.metadata)
        await connection.run_sync(create_missing, Base.metadata)
    async with AsyncSession(engine) as session:
        yield session


async def left_behind(session: AsyncSession) -> int:
    """Count what calls have left in the tables, once their session is through."""
    assert not session.in_transaction()
    tables = (Client.__table__, Shipment.__table__, LIBRARY.ledger, LIBRARY.journal)
    found = [await session.scalar(select(func.count()).select_from(each)) for each in tables]
    await session.rollback()
    return sum(each or 0 for each in found)


async def one(session: AsyncSession, column: Any) -> Any:
    value = (await session.execute(select(column))).scalar_one()
    await session.rollback()
    return value


async def test_says_what_it_did(session: AsyncSession) -> None:
    result = await Shipments(session).sync(shipment(number="S-1"))
    assert result.outcome is Outcome.APPLIED
    assert result.primary_key == await one(session, Shipment.id)
    assert result.changed == ("number",)
    assert result.committed
    assert result.version is not None
    assert result.version.second == 1714557600


async def test_an_older_state_is_stale_and_an_equal_one_a_duplicate(session: AsyncSession) -> None:
    handler = Shipments(session)
    await handler.sync(shipment("10:00:02", number="new"))
    stale = await handler.sync(shipment("10:00:01", number="old"))
    equal = await handler.sync(shipment("10:00:02", number="new"))
    assert (stale.outcome, equal.outcome) == (Outcome.STALE, Outcome.DUPLICATE)
    assert stale.changed == equal.changed == ()
    assert stale.reason
    assert equal.reason
    assert stale.primary_key == equal.primary_key == await one(session, Shipment.id)
    assert await one(session, Shipment.number) == "new"


async def test_takes_a_model_of_the_document(session: AsyncSession) -> None:
    """A field that was not set is absent, as in a document that lacks it."""
    handler = Shipments(session)
    await handler.sync(shipment(number="S-1", weight="2.50"))
    model = ShipmentPayload.model_validate(shipment("11:00:00", weight=Decimal("3.10")))
    result = await handler.sync(model)
    assert result.changed == ("weight",)
    assert await one(session, Shipment.number) == "S-1"
    assert await one(session, Shipment.weight) == "3.10"


@pytest.mark.parametrize(("number", "kept"), [(3, "3"), ("2.50", "2.50"), (Decimal("0.1"), "0.1")])
async def test_takes_exact_numbers(session: AsyncSession, number: Any, kept: str) -> None:
    await Shipments(session).sync(shipment(weight=number))
    assert await one(session, Shipment.weight) == kept


@pytest.mark.parametrize(
    ("document", "path"),
    [
        (shipment(weight=2.5), "shipment.weight"),
        (shipment(unknown=2.5), "shipment.unknown"),
        (shipment(nested={"list": [{"deep": 0.1}]}), "shipment.nested.list[0].deep"),
    ],
)
async def test_refuses_binary_floats(
    session: AsyncSession, document: dict[str, Any], path: str
) -> None:
    with pytest.raises(PayloadError, match="float") as refused:
        await Shipments(session).sync(document)
    assert refused.value.path == path
    assert await left_behind(session) == 0


@pytest.mark.parametrize("word", ["upsert", "create", "Updated", " ADDED ", Operation.UPSERT])
async def test_understands_words_for_an_upsert(session: AsyncSession, word: str) -> None:
    assert (await Shipments(session).sync(shipment(), word)).outcome is Outcome.APPLIED
    assert await one(session, Shipment.zoho_id) == "1"


@pytest.mark.parametrize("word", ["delete", "DELETE", "Deleted", "remove", Operation.DELETE])
async def test_understands_words_for_a_delete(session: AsyncSession, word: str) -> None:
    """The id is enough."""
    handler = Shipments(session)
    await handler.sync(shipment())
    result = await handler.sync({"shipment_id": 1}, word)
    assert result.outcome is Outcome.APPLIED
    assert await session.scalar(select(func.count(Shipment.id))) == 0


@pytest.mark.parametrize("word", ["", "void", "upsert or delete", "None"])
async def test_refuses_other_words(session: AsyncSession, word: str) -> None:
    with pytest.raises(PayloadError) as refused:
        await Shipments(session).sync(shipment(), word)
    assert refused.value.path == "operation"
    assert await left_behind(session) == 0


async def test_a_delete_of_what_nobody_knows_is_remembered(session: AsyncSession) -> None:
    handler = Shipments(session)
    deleted = await handler.sync(shipment("11:00:00"), "delete")
    assert (deleted.outcome, deleted.primary_key) == (Outcome.APPLIED, None)
    late = await handler.sync(shipment("10:00:00", number="S-1"))
    assert (late.outcome, late.reason) == (Outcome.STALE, "deleted")
    assert await session.scalar(select(func.count(Shipment.id))) == 0


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({}, "shipment.shipment_id"),
        ({"shipment_id": ""}, "shipment.shipment_id"),
        ({"shipment_id": "1" * 256}, "shipment.shipment_id"),
        (shipment(weight="heavy"), "shipment.weight"),
        (shipment(number="a\x00b"), "shipment.number"),
        (shipment() | {"last_modified_time": "yesterday"}, "shipment.last_modified_time"),
        (shipment() | {"last_modified_time": "2024-05-01 10:00:00"}, "shipment.last_modified_time"),
        (shipment() | {"last_modified_time": 5}, "shipment.last_modified_time"),
        (
            shipment() | {"last_modified_time": "2999-05-01T10:00:00Z"},
            "shipment.last_modified_time",
        ),
    ],
)
async def test_names_the_field_that_it_does_not_understand(
    session: AsyncSession, document: dict[str, Any], path: str
) -> None:
    with pytest.raises(PayloadError) as refused:
        await Shipments(session).sync(document)
    assert refused.value.path == path
    assert await left_behind(session) == 0


async def test_a_reference_that_has_not_arrived_is_raised(session: AsyncSession) -> None:
    with pytest.raises(ReferencePending) as pending:
        await Shipments(session).sync(shipment(customer_id="7"))
    assert (pending.value.entity_type, pending.value.zoho_id) == ("customer", "7")
    assert await left_behind(session) == 0
    await Clients(session).sync({"contact_id": "7", "contact_name": "Ada"})
    await Shipments(session).sync(shipment(customer_id="7"))
    assert await one(session, Shipment.client_id) == await one(session, Client.id)


async def test_a_reference_that_must_be_there_fails(session: AsyncSession) -> None:
    with pytest.raises(ReferenceFailed, match="customer 7"):
        await Impatient(session).sync(shipment(customer_id="7"))
    assert await left_behind(session) == 0


async def test_what_the_schema_refuses_names_the_table(session: AsyncSession) -> None:
    handler = Shipments(session)
    await handler.sync(shipment(number="S-1"))
    before = await left_behind(session)
    with pytest.raises(RowRejected) as rejected:
        await handler.sync(shipment(number="S-1", shipment_id="2"))
    assert rejected.value.table == "shipment"
    assert "number" in f"{rejected.value} {rejected.value.constraint}"
    assert await left_behind(session) == before


class Watched(Shipments):
    """Records its hooks, and fails in one of them."""

    def __init__(self, session: AsyncSession, failing: str = "") -> None:
        super().__init__(session)
        self.failing = failing
        self.seen: list[tuple[str, Any]] = []

    async def before_apply(self, event: SyncEvent) -> None:
        await self.execute_with_context(insert(Client).values(zoho_id="hook", name="before"))
        self.seen.append(("before", event.operation))
        self._maybe_fail("before")

    async def after_apply(self, event: SyncEvent, result: SyncResult) -> None:
        rows = await self.execute_with_context(select(func.count()).select_from(Shipment))
        assert rows.scalar_one() == (1 if event.operation is Operation.UPSERT else 0)
        await self.execute_with_context(delete(Client))
        self.seen.append(("after", result.outcome))
        self._maybe_fail("after")

    def _maybe_fail(self, hook: str) -> None:
        if self.failing == hook:
            raise ZeroDivisionError


async def test_hooks_run_around_what_is_fresh(session: AsyncSession) -> None:
    handler = Watched(session)
    await handler.sync(shipment("10:00:00"))
    await handler.sync(shipment("09:00:00"))
    await handler.sync(shipment("10:00:00"))
    await handler.sync(shipment("11:00:00"), "delete")
    assert handler.seen == [
        ("before", Operation.UPSERT),
        ("after", Outcome.APPLIED),
        ("before", Operation.DELETE),
        ("after", Outcome.APPLIED),
    ]


@pytest.mark.parametrize("failing", ["before", "after"])
async def test_a_hook_that_fails_takes_everything_back(session: AsyncSession, failing: str) -> None:
    with pytest.raises(ZeroDivisionError):
        await Watched(session, failing).sync(shipment())
    assert await left_behind(session) == 0


async def test_writes_are_called_by_sync_alone(session: AsyncSession) -> None:
    handler = Shipments(session)
    await handler.sync(shipment())
    for call in (
        handler.upsert(ShipmentPayload.model_validate(shipment())),
        handler.delete("1"),
    ):
        with pytest.raises(ConfigurationError, match="sync"):
            await call


class CrossedOver(Shipments):
    """Deletes where it should write, and writes where it should delete."""

    async def upsert(self, payload: ShipmentPayload) -> None:
        await super().delete(payload.entity_id)

    async def delete(self, entity_id: str) -> None:
        await super().upsert(ShipmentPayload(shipment_id=entity_id))


@pytest.mark.parametrize("operation", list(Operation))
async def test_the_other_write_is_refused(session: AsyncSession, operation: Operation) -> None:
    with pytest.raises(ConfigurationError, match="while"):
        await CrossedOver(session).sync(shipment(), operation)
    assert await left_behind(session) == 0


class ByHand(BaseEntityHandler[ShipmentPayload]):
    """Has no mapping; knows its own way."""

    async def upsert(self, payload: ShipmentPayload) -> int:
        made = await self.execute_with_context(
            insert(Shipment).values(zoho_id=payload.entity_id).returning(Shipment.id)
        )
        return made.scalar_one()

    async def delete(self, entity_id: str) -> None:
        await self.execute_with_context(delete(Shipment).where(Shipment.zoho_id == entity_id))


async def test_what_is_put_in_the_place_of_a_method_later_is_called(
    session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the class or on the handler, and wrapped so that it looks like the method itself."""
    handler, called = Shipments(session), list[str]()
    methods = ("upsert", "delete", "resolve")
    assert not any(handler.overrides(method) for method in methods)

    def noting(method: Any) -> Any:
        @functools.wraps(method)
        async def call(*args: Any, **kwargs: Any) -> Any:
            called.append(method.__name__)
            return await method(*args, **kwargs)

        return call

    monkeypatch.setattr(Shipments, "upsert", noting(Shipments.upsert))
    monkeypatch.setattr(Shipments, "resolve", noting(Shipments.resolve))
    monkeypatch.setattr(handler, "delete", noting(handler.delete))
    assert all(handler.overrides(method) for method in methods)
    await Clients(session).sync({"contact_id": "11", "contact_name": "Hotel Meridian"})
    await handler.sync(shipment(customer_id="11"))
    await handler.sync(shipment("11:00:00"), "delete")
    assert called == ["upsert", "resolve", "delete"]


async def test_a_handler_without_a_mapping_writes_by_itself(session: AsyncSession) -> None:
    handler = ByHand(session)
    result = await handler.sync(shipment())
    assert result.primary_key == await one(session, Shipment.id)
    assert (await handler.sync(shipment("09:00:00"))).outcome is Outcome.STALE
    assert (await handler.sync(shipment("11:00:00"), "deleted")).outcome is Outcome.APPLIED
    assert await session.scalar(select(func.count(Shipment.id))) == 0


class HalfByHand(BaseEntityHandler[ShipmentPayload]):
    """Has neither a mapping nor a delete."""

    async def upsert(self, payload: ShipmentPayload) -> None:
        """Keep no row."""


async def test_a_handler_without_a_mapping_must_say_what_a_delete_does(
    session: AsyncSession,
) -> None:
    assert (await HalfByHand(session).sync(shipment())).primary_key is None
    before = await left_behind(session)
    with pytest.raises(ConfigurationError, match=r"delete\(\)"):
        await HalfByHand(session).sync(shipment("11:00:00"), "delete")
    assert await left_behind(session) == before


class Untyped(BaseEntityHandler[Payload]):
    """Says neither what it handles nor what its documents look like."""

    async def upsert(self, payload: Payload) -> None:
        """Never reached."""


async def test_a_handler_must_say_what_it_handles(session: AsyncSession) -> None:
    assert Untyped.entity_type == ""
    with pytest.raises(ConfigurationError, match="entity_type"):
        HandlerRegistry([Untyped])
    with pytest.raises(ConfigurationError, match="entity_type"):
        await Untyped(session).sync({"id": "1"})


async def test_the_type_parameter_is_the_model() -> None:
    assert (Shipments.payload_model, Shipments.entity_type) == (ShipmentPayload, "shipment")
    assert (Impatient.payload_model, Impatient.entity_type) == (ShipmentPayload, "shipment")
    assert Shipments.kind().id_fields == ("shipment_id",)


async def test_resolve_finds_the_hosts_key(session: AsyncSession) -> None:
    made = await Clients(session).sync({"contact_id": "7", "contact_name": "Ada"})
    handler = Shipments(session)
    assert await handler.resolve("customers", "7") == made.primary_key
    with pytest.raises(ReferencePending):
        await handler.resolve("customer", "8")
    with pytest.raises(ReferenceFailed):
        await handler.resolve("customer", "8", missing="fail")
    with pytest.raises(UnknownEntityType):
        await handler.resolve("planet", "8")
    assert not session.in_transaction()


async def test_organizations_are_apart(session: AsyncSession) -> None:
    await Shipments(session, organization_id="10").sync(shipment("11:00:00"))
    await Shipments(session, organization_id="20").sync({"shipment_id": "2"})
    found = await session.scalars(select(LIBRARY.ledger.c.organization_id))
    assert set(found) == {"10", "20"}


async def test_a_model_keeps_its_times(session: AsyncSession) -> None:
    """They are times by then, and no text; a naive one is refused as ever."""
    handler = Shipments(session)
    moment = datetime(2024, 5, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    model = ShipmentPayload.model_validate({"shipment_id": "1", "last_modified_time": moment})
    assert (await handler.sync(model)).outcome is Outcome.APPLIED
    assert (await handler.sync(shipment("09:59:59", number="old"))).outcome is Outcome.APPLIED
    assert (await handler.sync(shipment("09:59:58", number="older"))).outcome is Outcome.STALE
    assert (await handler.sync(shipment("10:00:00", number="new"))).outcome is Outcome.APPLIED
    naive = model.model_copy(update={"last_modified_time": moment.replace(tzinfo=None)})
    with pytest.raises(PayloadError, match="expected a time as text, not datetime"):
        await handler.sync(naive)
