"""Law 6: the host owns its tables; triggers watch over what the library may not touch."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    Column,
    Integer,
    String,
    Table,
    delete,
    event,
    insert,
    update,
)
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tests.hosts.application import take
from tests.hosts.documents import at, customer, invoice
from tests.hosts.handlers import CLIENTS, INVOICES, LINES
from tests.hosts.sql import Sessions, clear, execute, library, make, row, rows
from tests.hosts.tables import ClientTable, InvoiceLineTable, InvoiceTable, ProductTable
from tests.laws.tools import EXAMPLES
from zoho_sync import ChildMap, EntityMap, HandlerRegistry, MappingError, Outcome, ZohoSync
from zoho_sync.handlers import CustomerHandler, InvoiceHandler, SalesOrderHandler


class Owned(DeclarativeBase):
    """The ERP's tables, and two that have no column of Zoho's at all."""


class Client(ClientTable, Owned): ...


class Product(ProductTable, Owned): ...


class Invoice(InvoiceTable, Owned): ...


class InvoiceLine(InvoiceLineTable, Owned):
    zoho_id: Mapped[str] = mapped_column(String(50), server_default="")


host = Owned.metadata
clients, invoices = host.tables["clients"], host.tables["invoices"]
invoice_lines = host.tables["invoice_lines"]
orders = Table(
    "orders",
    host,
    Column("id", Integer, primary_key=True),
    Column("number", String(50)),
    Column("branch", Integer, nullable=False),
    Column("paid", Integer),
    sqlite_autoincrement=True,
)
order_lines = Table(
    "order_lines",
    host,
    Column("id", Integer, primary_key=True),
    Column("order_id", Integer, nullable=False),
    Column("name", String(50)),
    Column("shelf", String(20)),
    sqlite_autoincrement=True,
)
guard = Table("owned_guard", host, Column("id", Integer, primary_key=True))
"""While it holds a row, the triggers are armed."""

OWN_COLUMNS: Final = {
    clients: "created_by, points",
    invoices: "branch, paid, dunned",
    invoice_lines: "shelf",
    orders: "branch, paid",
    order_lines: "shelf",
}
OWN_LINES: Final = {invoice_lines: "OLD.zoho_id = ''", order_lines: "OLD.name = 'of the host'"}


class Clients(CustomerHandler):
    mapping = replace(CLIENTS, table=clients)


class Invoices(InvoiceHandler):
    mapping = replace(
        INVOICES,
        table=invoices,
        insert_only={"branch": lambda payload: len(payload.entity_id)},
        children=[
            replace(
                LINES,
                table=invoice_lines,
                columns={"name": "name"},
                insert_only={"quantity": 1, "shelf": "new"},
                references=[],
            )
        ],
    )


class Orders(SalesOrderHandler):
    mapping = EntityMap(
        table=orders,
        columns={"number": "salesorder_number"},
        insert_only={"branch": 7},
        children=[
            ChildMap(
                table=order_lines,
                source="line_items",
                parent="order_id",
                columns={"name": "name"},
                insert_only={"shelf": "new"},
            )
        ],
        on_delete="hard",
    )


def order(order_id: str = "31", **fields: Any) -> dict[str, Any]:
    document = {"salesorder_id": order_id, "salesorder_number": "SO-1"}
    return {"salesorder": document | {"last_modified_time": at(0)} | fields}


def items(*keys: str) -> list[dict[str, Any]]:
    return [{"line_item_id": key, "name": f"line {key}"} for key in keys]


def _trigger(dialect: str, table: Table, action: str, condition: str) -> str:
    name = f"guard_{table.name}_{action.split(maxsplit=1)[0]}_{len(condition)}"
    head = f"CREATE TRIGGER {name} BEFORE {action} ON {table.name} FOR EACH ROW"
    if dialect == "sqlite":
        when = f"{condition} AND EXISTS (SELECT 1 FROM owned_guard)"  # noqa: S608  # made up here
        return f"{head} WHEN {when} BEGIN SELECT RAISE(ABORT, 'the host has this'); END"
    if dialect == "mysql":
        # It has no UPDATE OF: what is looked at is whether a column of the host's has changed.
        verb, _, columns = action.partition(" OF ")
        changed = (f"NOT (OLD.{name} <=> NEW.{name})" for name in columns.split(", "))
        when = " OR ".join(changed) if columns else condition
        guarded = f"({when}) AND EXISTS (SELECT 1 FROM owned_guard)"  # noqa: S608  # made up here
        refuse = "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the host has this'"
        head = f"CREATE TRIGGER {name} BEFORE {verb} ON {table.name} FOR EACH ROW"
        return f"{head} IF {guarded} THEN {refuse}; END IF"
    return f"{head} WHEN ({condition}) EXECUTE FUNCTION owned_refuse()"


REFUSE: Final = (
    "CREATE FUNCTION owned_refuse() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION 'the host has this'; END $$"
)


async def arm(engine: AsyncEngine, sessions: Sessions, *, armed: bool) -> None:
    """Arm the triggers, or let the host itself write."""
    if engine.dialect.name != "postgresql":
        statement = insert(guard).values(id=1) if armed else delete(guard)
        await execute(sessions, statement)
        return
    verb = "ENABLE" if armed else "DISABLE"
    async with engine.begin() as connection:
        for table in OWN_COLUMNS:
            await connection.exec_driver_sql(f"ALTER TABLE {table.name} {verb} TRIGGER USER")


@pytest.fixture
async def sync(sessions: Sessions) -> ZohoSync:
    """A host with tables of its own."""
    sync = ZohoSync(sessions, registry=HandlerRegistry([Clients, Invoices, Orders]))
    await sync.create_tables()
    await make(sessions, host)
    return sync


@pytest.fixture
async def guarded(engine: AsyncEngine, sync: ZohoSync) -> ZohoSync:
    """Its database refuses statements that name a column of the host's, or touch its lines."""
    dialect = engine.dialect.name
    statements = [REFUSE] if dialect == "postgresql" else []
    for table, columns in OWN_COLUMNS.items():
        statements.append(_trigger(dialect, table, f"UPDATE OF {columns}", "1 = 1"))
    for table, condition in OWN_LINES.items():
        statements += [_trigger(dialect, table, verb, condition) for verb in ("UPDATE", "DELETE")]
    async with engine.begin() as connection:
        for statement in statements:
            await connection.exec_driver_sql(statement)
    return sync


KEYS: Final = st.lists(st.sampled_from(["1", "2", "3"]), unique=True)
CHANGES: Final = st.lists(
    st.tuples(
        st.sampled_from([customer, invoice, order]),
        st.integers(0, 5),
        st.none() | KEYS,
        st.sampled_from(["update", "update", "update", "delete"]),
    ),
    min_size=1,
    max_size=8,
)


async def furnish(sync: ZohoSync, sessions: Sessions) -> dict[Table, list[dict[str, Any]]]:
    """Make rows of Zoho's, write the host's own values into them, and add lines of its own."""
    await take(sync, customer(), invoice(line_items=items("1")), order(line_items=items("1")))
    (bill,), (sale,) = await rows(sessions, invoices), await rows(sessions, orders)
    await execute(
        sessions,
        update(clients).values(created_by="Eva", points=12),
        update(invoices).values(branch=3, paid=10),
        update(orders).values(branch=3, paid=10),
        update(invoice_lines).values(shelf="A1"),
        update(order_lines).values(shelf="A1"),
        insert(invoice_lines).values(
            invoice_id=bill["id"], name="of the host", quantity=1, shelf="H"
        ),
        insert(order_lines).values(order_id=sale["id"], name="of the host", shelf="H"),
    )
    return {table: await rows(sessions, table, name="of the host") for table in OWN_LINES}


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(changes=CHANGES)
async def test_law_6_what_is_the_hosts_is_never_touched(
    engine: AsyncEngine, guarded: ZohoSync, sessions: Sessions, changes: list[Any]
) -> None:
    await arm(engine, sessions, armed=False)
    await clear(sessions, host)
    added = await furnish(guarded, sessions)
    before = {table: await rows(sessions, table) for table in (clients, invoices)}
    await arm(engine, sessions, armed=True)
    for document, second, keys, operation in changes:
        fields = {} if keys is None or document is customer else {"line_items": items(*keys)}
        body = document(last_modified_time=at(second), **fields)
        counts = await take(guarded, body, operation=operation)
        assert not counts.keys() & {Outcome.DEAD_LETTER, Outcome.RETRY, Outcome.PARKED}
    for table, own in added.items():
        assert await rows(sessions, table, name="of the host") == own
    for table, kept in before.items():
        found = await rows(sessions, table)
        for name in OWN_COLUMNS[table].split(", "):
            assert [each[name] for each in found] == [each[name] for each in kept]


async def test_law_6_a_new_line_has_its_insert_only_value_once(
    sync: ZohoSync, sessions: Sessions
) -> None:
    await furnish(sync, sessions)
    lines = items("1", "2")
    for body in (
        invoice(line_items=lines, last_modified_time=at(1)),
        order(line_items=lines, last_modified_time=at(1)),
    ):
        assert await take(sync, body) == {Outcome.APPLIED: 1}
    for table in OWN_LINES:
        found = {line["name"]: line["shelf"] for line in await rows(sessions, table)}
        assert found == {"line 1": "A1", "line 2": "new", "of the host": "H"}


async def test_law_6_handlers_make_no_tables(
    engine: AsyncEngine, sync: ZohoSync, sessions: Sessions
) -> None:
    statements: list[str] = []

    def note(_conn: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    for body in (
        customer(),
        invoice(line_items=items("1")),
        invoice("22", customer_id="nobody"),
        order(line_items=items("1", "2")),
        order("32", line_items=[1]),
    ):
        await sync.ingest(body)
    await sync.ingest(order(), operation="delete")
    event.listen(engine.sync_engine, "before_cursor_execute", note)
    await sync.drain()
    async with sessions() as session:
        await Clients(session).sync(customer("12")["contact"])
    words = {re.split(r"\W", statement.strip())[0].upper() for statement in statements}
    assert words >= {"SELECT", "INSERT", "UPDATE", "DELETE"}
    assert not words & {"CREATE", "ALTER", "DROP", "TRUNCATE", "RENAME", "GRANT", "COMMENT"}


async def test_law_6_soft_delete_marks_and_a_newer_edit_revives(
    sync: ZohoSync, sessions: Sessions
) -> None:
    await take(sync, customer(), invoice(line_items=items("1", "2")))
    await take(sync, invoice(last_modified_time=at(1)), operation="delete")
    marked = await row(sessions, invoices)
    assert (marked["deleted_at"], marked["number"]) != (None, None)
    assert len(await rows(sessions, invoice_lines)) == 2
    await take(sync, invoice(last_modified_time=at(2)))
    assert await row(sessions, invoices) == marked | {"deleted_at": None}


async def test_law_6_hard_delete_removes_for_good(sync: ZohoSync, sessions: Sessions) -> None:
    await furnish(sync, sessions)
    assert await take(sync, order(), operation="delete") == {Outcome.APPLIED: 1}
    assert await rows(sessions, orders) == []
    assert [line["name"] for line in await rows(sessions, order_lines)] == ["of the host"]
    assert await rows(sessions, library.child_links) == []
    known = [each for each in await rows(sessions, library.ledger) if each["deleted_at"]]
    assert [(each["table_name"], each["primary_key"]) for each in known] == [(None, None)]
    assert await take(sync, order(last_modified_time=at(9))) == {Outcome.STALE: 1}
    assert await rows(sessions, orders) == []


async def test_law_6_row_that_the_host_deleted_is_made_anew(
    sync: ZohoSync, sessions: Sessions
) -> None:
    await take(sync, order(line_items=items("1")), customer())
    old = [(await row(sessions, table))["id"] for table in (orders, clients)]
    await execute(sessions, delete(orders), delete(order_lines), delete(clients))
    again = [order(line_items=items("1"), last_modified_time=at(1)), customer(email="a@b.c")]
    assert await take(sync, *again) == {Outcome.APPLIED: 2}
    for table, before in zip((orders, clients), old, strict=True):
        assert (await row(sessions, table))["id"] > before
    assert (await row(sessions, order_lines))["order_id"] == (await row(sessions, orders))["id"]


async def test_law_6_two_entities_never_share_a_row(sync: ZohoSync, sessions: Sessions) -> None:
    """Not after the host deleted rows, and not where two organizations use one table."""
    await take(sync, *(order(f"3{number}") for number in range(4)))
    await execute(sessions, delete(orders).where(orders.c.id > 2))
    await take(sync, *(order(f"3{number}", last_modified_time=at(1)) for number in range(2, 7)))
    assert len(await rows(sessions, orders)) == 7
    links = [each["primary_key"] for each in await rows(sessions, library.ledger)]
    assert len(set(links)) == 7
    two = ZohoSync(sessions, registry=sync.registry, organization_id=["10", "20"])
    await two.ingest(customer(), organization_id="10")
    await two.ingest(customer(contact_name="Other"), organization_id="20")
    with pytest.raises(MappingError, match="organization_column"):
        await two.drain()
    assert await rows(sessions, clients) == []


async def test_law_6_row_that_the_host_made_is_updated(sync: ZohoSync, sessions: Sessions) -> None:
    own = {"zoho_id": "11", "name": "Old", "created_by": "Eva", "points": 5}
    await execute(sessions, insert(clients).values(own))
    assert await take(sync, customer(), invoice()) == {Outcome.APPLIED: 2}
    found = await row(sessions, clients)
    assert found == found | own | {"name": "Acme"}
    assert (await row(sessions, invoices))["client_id"] == found["id"]
