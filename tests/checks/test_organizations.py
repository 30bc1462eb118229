"""No organization reaches another's rows, where several are configured."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Column, DateTime, Integer, MetaData, String, Table, UniqueConstraint

from tests.hosts.sql import Sessions, make, rows
from zoho_sync import EntityMap, MappingError, Outcome, Reference, ZohoSync, default_registry
from zoho_sync.handlers import CustomerHandler, InvoiceHandler

pytestmark = pytest.mark.databases("sqlite")

BOTH = ("60001", "60002")
metadata = MetaData()
shared = Table(
    "shared_clients",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("zoho_id", String(100)),
    Column("organization", String(20)),
    Column("name", String(50)),
    Column("gone", DateTime(timezone=True)),
    UniqueConstraint("zoho_id", "organization"),
    UniqueConstraint("zoho_id"),
    sqlite_autoincrement=True,
)
per_row = Table(
    "clients_of_both",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("zoho_id", String(100)),
    Column("organization", String(20)),
    Column("name", String(50)),
    UniqueConstraint("zoho_id", "organization"),
    sqlite_autoincrement=True,
)
bills = Table(
    "bills_of_both",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("zoho_id", String(100)),
    Column("organization", String(20)),
    Column("client_id", Integer),
    UniqueConstraint("zoho_id", "organization"),
    sqlite_autoincrement=True,
)


def clients(table: Table, **options: Any) -> type[CustomerHandler]:
    """A handler of customers with this mapping."""
    options.setdefault("on_delete", "hard")
    mapped = EntityMap(table=table, columns={"name": "contact_name"}, **options)
    return type("Clients", (CustomerHandler,), {"mapping": mapped})


def invoices(**options: Any) -> type[InvoiceHandler]:
    """A handler of invoices that refer to customers."""
    refer = Reference("client_id", to="customers", source="customer_id")
    mapped = EntityMap(
        table=bills, key="zoho_id", columns={}, references=[refer], on_delete="hard", **options
    )
    return type("Invoices", (InvoiceHandler,), {"mapping": mapped})


async def opened(sessions: Sessions, *handlers: Any, of: Any = BOTH) -> ZohoSync:
    await make(sessions, metadata)
    registry = default_registry()
    for handler in handlers:
        registry.override(handler)
    return ZohoSync(sessions, registry=registry, organization_id=of)


async def take(sync: ZohoSync, organization: str, **documents: Any) -> dict[Outcome, int]:
    for wrapper, document in documents.items():
        await sync.ingest({wrapper: document}, organization_id=organization)
    return await sync.drain()


def client(**fields: Any) -> dict[str, Any]:
    return {"contact_id": "5", "contact_type": "customer", "contact_name": "Acme", **fields}


@pytest.mark.parametrize("key", ["zoho_id", None])
async def test_a_mapping_that_cannot_tell_them_apart_is_refused(
    sessions: Sessions, key: str | None
) -> None:
    mapped = clients(shared, key=key)
    sync = await opened(sessions, mapped)
    await sync.ingest({"contact": client()}, organization_id="60001")
    for step in (sync.check, sync.drain):
        with pytest.raises(MappingError, match="organization_id='60001'") as refused:
            await step()
        assert "Clients.organization_column" in str(refused.value)
    assert await rows(sessions, shared) == []
    # With one organization, or none, there is nothing to tell apart.
    for one in ("60001", None):
        assert isinstance(await (await opened(sessions, mapped, of=one)).check(), list)


async def test_rows_that_say_whose_they_are_are_kept_apart(sessions: Sessions) -> None:
    mapped = clients(per_row, key="zoho_id", organization_column="organization")
    sync = await opened(sessions, mapped, invoices(organization_column="organization"))
    for organization in BOTH:
        await take(sync, organization, contact=client(contact_name=organization))
    await sync.ingest({"contact": client()}, organization_id="60002", operation="delete")
    await sync.drain()
    (left,) = await rows(sessions, per_row)
    assert (left["organization"], left["name"]) == ("60001", "60001")
    # B's invoice does not find A's customer of the same id.
    await take(sync, "60002", invoice={"invoice_id": "8", "customer_id": "5"})
    (bill,) = await rows(sessions, bills)
    assert (bill["organization"], bill["client_id"]) == ("60002", None)


async def test_a_table_of_one_organization_is_that_ones_alone(sessions: Sessions) -> None:
    sync = await opened(sessions, clients(shared, key="zoho_id", organization_id="60001"))
    assert await take(sync, "60001", contact=client()) == {Outcome.APPLIED: 1}
    other = client(contact_name="Other")
    assert await take(sync, "60002", contact=other) == {Outcome.IGNORED: 1}
    await sync.ingest({"contact": client()}, organization_id="60002", operation="delete")
    assert await sync.drain() == {Outcome.IGNORED: 1}
    (kept,) = await rows(sessions, shared)
    assert kept["name"] == "Acme"


async def test_an_organization_that_is_not_configured_owns_no_table(sessions: Sessions) -> None:
    sync = await opened(sessions, clients(shared, key="zoho_id", organization_id="60003"))
    with pytest.raises(MappingError, match="'60001' or '60002'"):
        await sync.check()


async def test_no_reference_leads_into_a_table_of_another_organization(sessions: Sessions) -> None:
    of_one = clients(shared, key="zoho_id", organization_id="60001")
    for more in (
        {"organization_column": "organization"},
        {"organization_column": "organization", "organization_id": "60002"},
    ):
        sync = await opened(sessions, of_one, invoices(**more))
        with pytest.raises(MappingError, match="no reference crosses organizations"):
            await sync.check()
    sync = await opened(
        sessions, of_one, invoices(organization_id="60001", organization_column="organization")
    )
    await sync.check()
    await take(sync, "60001", contact=client())
    counts = await take(sync, "60001", invoice={"invoice_id": "8", "customer_id": "5"})
    assert counts == {Outcome.APPLIED: 1}


async def test_a_handler_of_ones_own_resolves_within_its_organization(sessions: Sessions) -> None:
    """A reference that the check does not see: what a handler's own code asks for."""
    found: list[Any] = []

    class Own(InvoiceHandler):
        async def upsert(self, payload: Any) -> None:
            found.append(await self.resolve("customer", payload.customer_id))

    sync = await opened(sessions, clients(shared, key="zoho_id", organization_id="60001"), Own)
    await take(sync, "60001", contact=client())
    for organization, outcome in (("60001", Outcome.APPLIED), ("60002", Outcome.PARKED)):
        counts = await take(sync, organization, invoice={"invoice_id": "8", "customer_id": "5"})
        assert counts == {outcome: 1}
    assert len(found) == 1
