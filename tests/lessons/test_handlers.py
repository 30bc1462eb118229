"""Handlers and mappings: what a document does to the host's rows."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, event, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.hosts import tables
from tests.hosts.application import Host, open_host
from tests.hosts.documents import at, customer, invoice, item, line, payment, sparse
from tests.hosts.handlers import Products
from tests.hosts.sql import Sessions, library, make
from zoho_sync import EntityMap, MappingError, Outcome, PayloadError, mirror
from zoho_sync.handlers import ProductHandler
from zoho_sync.handlers.builtin import BUILTIN_HANDLERS
from zoho_sync.payloads import ProductPayload

pytestmark = pytest.mark.databases("sqlite", "postgresql", "mariadb")


async def test_lesson_06_delete_is_not_an_upsert(erp: Host) -> None:
    """It would be back if a delete left the row alive, or wrote its document into the row."""
    await erp.take(customer())
    body = customer(contact_name="Gone", last_modified_time=at(1))
    assert await erp.take(body, operation="delete") == {Outcome.APPLIED: 1}
    row = await erp.row(tables.clients)
    assert row["deleted_at"] is not None
    assert row["name"] == "Acme"


async def test_lesson_07_money_never_goes_through_a_float(erp: Host) -> None:
    """It would be back if 99999999999999.99 came out as …99.98, or a float were taken."""
    body = b'{"item":{"item_id":"p1","name":"Bolt","status":"active","rate":99999999999999.99}}'
    await erp.take(body)
    assert (await erp.row(tables.products))["price"] == Decimal("99999999999999.99")
    async with erp.sessions() as session:
        with pytest.raises(PayloadError, match="float"):
            await Products(session).sync({"item_id": "p2", "name": "x", "rate": 0.1})


async def test_lesson_08_absent_fields_leave_their_columns(erp: Host) -> None:
    """It would be back if what a document lacks were written as "", 0, True or NULL."""
    await erp.take(item(sku="B-1", stock_on_hand=4, status="inactive"))
    before = await erp.row(tables.products)
    await erp.take(sparse("item", item_id="p1", name="Bolt M8", last_modified_time=at(1)))
    assert await erp.row(tables.products) == before | {"name": "Bolt M8"}
    await erp.take(sparse("item", item_id="p1", sku="", last_modified_time=at(2)))
    assert await erp.row(tables.products) == before | {"name": "Bolt M8", "sku": None}


async def test_lesson_09_unparseable_date_is_a_dead_letter(erp: Host) -> None:
    """It would be back if a bad date became NULL or today; an empty one is NULL."""
    await erp.take(customer(), invoice(date="31.02.2024"))
    assert [path for path, _ in await erp.dead()] == ["invoice.date"]
    assert await erp.count(tables.invoices) == 0
    await erp.take(invoice("i2"), invoice("i3", date="", invoice_number="INV-3"))
    dates = [row["issued_on"] for row in await erp.rows(tables.invoices)]
    assert dates == [date(2024, 5, 17), None]


async def test_lesson_10_older_event_does_not_overwrite(erp: Host) -> None:
    """It would be back if what is applied last won: the name would be the old one."""
    await erp.take(customer(contact_name="New", last_modified_time=at(5)))
    counts = await erp.take(customer(contact_name="Old", last_modified_time=at(4)))
    assert counts == {Outcome.STALE: 1}
    assert (await erp.row(tables.clients))["name"] == "New"


async def test_lesson_11_identity_is_the_zoho_id(erp: Host) -> None:
    """It would be back if the number were the identity: renumbering would make a second row."""
    await erp.take(customer(), invoice(), invoice("i2"))
    await erp.take(invoice(invoice_number="INV-9", last_modified_time=at(1)))
    numbers = {row["zoho_id"]: row["number"] for row in await erp.rows(tables.invoices)}
    assert numbers == {"i1": "INV-9", "i2": "INV-1"}


async def test_lesson_11_organizations_do_not_collide(sessions: Sessions) -> None:
    """It would be back if two organizations' documents of one id, or number, were one row."""
    host = await open_host(sessions, None, organization_id=["10", "20"])
    for organization in ("10", "20"):
        name = f"of {organization}"
        await host.take(customer(contact_name=name), organization_id=organization)
    rows = await host.rows(mirror.customers)
    assert {row["organization_id"]: row["contact_name"] for row in rows} == {
        "10": "of 10",
        "20": "of 20",
    }


async def test_lesson_12_payment_over_three_invoices(erp: Host) -> None:
    """It would be back if the allocations shared one unique number: the last alone would stay."""
    allocations = [
        {"invoice_payment_id": f"a{n}", "invoice_id": f"i{n}", "amount_applied": f"{n}.10"}
        for n in (1, 2, 3)
    ]
    invoices = [invoice(f"i{n}", invoice_number=f"INV-{n}") for n in (1, 2, 3)]
    body = payment(amount="10.00", unused_amount="3.70", invoices=allocations)
    assert await erp.take(customer(), *invoices, body) == {Outcome.APPLIED: 5}
    paid = await erp.row(tables.payments)
    rows = await erp.rows(tables.allocations)
    amounts = [row["amount"] for row in rows]
    assert amounts == [Decimal("1.10"), Decimal("2.10"), Decimal("3.10")]
    assert len({row["invoice_id"] for row in rows}) == 3
    assert sum(amounts) + paid["unused"] == paid["amount"]


async def test_lesson_13_line_of_an_unknown_product_waits(erp: Host) -> None:
    """It would be back if the invoice were applied without the line, or called a success."""
    body = invoice(line_items=[line("l1"), line("l2", item_id="p1")])
    assert await erp.take(customer(), body) == {Outcome.APPLIED: 1, Outcome.PARKED: 1}
    assert await erp.count(tables.invoices) == 0
    assert await erp.take(item()) == {Outcome.APPLIED: 2}
    lines = await erp.rows(tables.invoice_lines)
    product = await erp.row(tables.products)
    assert [row["product_id"] for row in lines] == [None, product["id"]]


async def test_lesson_14_missing_customer_is_awaited_not_invented(erp: Host) -> None:
    """It would be back if a nameless client were made for the invoice that came too early."""
    assert await erp.take(invoice()) == {Outcome.PARKED: 1}
    assert (await erp.count(tables.clients), await erp.count(tables.invoices)) == (0, 0)
    (waiting,) = await erp.sync.parked.list()
    assert (waiting.waiting_type, waiting.waiting_id) == ("customer", "c1")
    await erp.take(customer())
    client = await erp.row(tables.clients)
    assert client["name"] == "Acme"
    assert (await erp.row(tables.invoices))["client_id"] == client["id"]


async def test_lesson_15_invoice_lines_are_stored(erp: Host, mirrored: Host) -> None:
    """It would be back if an invoice came without its lines, in the host's tables or the mirror."""
    lines = [line("l1", name="Work", quantity="1.5"), line("l2", name="Travel", rate="0.000001")]
    await erp.take(customer(), invoice(line_items=lines))
    stored = [
        (row["name"], row["quantity"], row["rate"]) for row in await erp.rows(tables.invoice_lines)
    ]
    assert stored == [
        ("Work", Decimal("1.5"), Decimal(10)),
        ("Travel", Decimal(1), Decimal("0.000001")),
    ]
    await mirrored.take(invoice("i9", line_items=lines))
    rows = await mirrored.rows(mirror.invoice_lines)
    assert [(row["line_item_id"], row["invoice_id"]) for row in rows] == [
        ("l1", "i9"),
        ("l2", "i9"),
    ]


async def test_lesson_16_update_leaves_what_the_host_owns(erp: Host) -> None:
    """It would be back if an update reset paid, created_by, branch or a line of ours."""
    await erp.take(customer(), invoice(line_items=[line()]))
    owner = (await erp.row(tables.invoices))["id"]
    own_line = {"invoice_id": owner, "name": "ours", "quantity": 1}
    await erp.write(
        update(tables.clients).values(created_by="ann", points=5),
        update(tables.invoices).values(paid=Decimal(4), branch=9),
        insert(tables.invoice_lines).values(own_line),
    )
    later: dict[str, Any] = {"last_modified_time": at(1)}
    await erp.take(customer(email="a@b.c", **later), invoice(total="11", line_items=[], **later))
    client, bill = await erp.row(tables.clients), await erp.row(tables.invoices)
    assert (client["email"], client["created_by"], client["points"]) == ("a@b.c", "ann", 5)
    assert (bill["total"], bill["paid"], bill["branch"]) == (Decimal(11), Decimal(4), 9)
    assert [row["name"] for row in await erp.rows(tables.invoice_lines)] == ["ours"]


async def test_lesson_17_handlers_change_no_schema(erp: Host, engine: AsyncEngine) -> None:
    """It would be back if an event ran CREATE, ALTER or DROP: seen at the driver."""
    sent: list[str] = []

    def record(*arguments: Any) -> None:
        sent.append(arguments[2].split(maxsplit=1)[0].upper())

    event.listen(engine.sync_engine, "before_cursor_execute", record)
    await erp.take(customer(), item(), invoice(line_items=[line(item_id="p1")]))
    await erp.take(invoice(), operation="delete")
    assert {"INSERT", "SELECT"} <= set(sent)
    assert not {"CREATE", "ALTER", "DROP", "TRUNCATE"} & set(sent)


ELEVEN = {
    "product": {"item": {"item_id": "1"}},
    "customer": {"contact": {"contact_id": "2", "contact_type": "customer"}},
    "vendor": {"contact": {"contact_id": "3", "contact_type": "vendor"}},
    "invoice": {"invoice": {"invoice_id": "4"}},
    "sales_order": {"salesorder": {"salesorder_id": "5"}},
    "payment": {"payment": {"payment_id": "6"}},
    "user": {"user": {"user_id": "7"}},
    "bill": {"bill": {"bill_id": "8"}},
    "credit_note": {"creditnote": {"creditnote_id": "9"}},
    "stock_adjustment": {"inventory_adjustment": {"inventory_adjustment_id": "10"}},
    "price_list": {"pricebook": {"pricebook_id": "11"}},
}


async def test_lesson_18_all_eleven_handlers_work(mirrored: Host) -> None:
    """It would be back if one of them raised, for an upsert or for a delete."""
    assert {handler.entity_type for handler in BUILTIN_HANDLERS} == set(ELEVEN)
    assert await mirrored.take(*ELEVEN.values()) == {Outcome.APPLIED: 11}
    deleted = await mirrored.take(*ELEVEN.values(), operation="delete")
    assert deleted == {Outcome.APPLIED: 11}
    for name in ELEVEN:
        table = mirror.metadata.tables[f"zoho_{name}s"]
        assert (await mirrored.row(table))["deleted_at"] is not None


async def test_lesson_19_inactive_items_stay_inactive(erp: Host, mirrored: Host) -> None:
    """It would be back if a missing `is_active` counted as True: the item would come to life."""
    await erp.take(item(status="inactive"))
    assert (await erp.row(tables.products))["active"] is False
    await erp.take(sparse("item", item_id="p1", rate="2", last_modified_time=at(1)))
    assert (await erp.row(tables.products))["active"] is False
    await mirrored.take(item("p9", status="inactive"))
    assert (await mirrored.row(mirror.products, item_id="p9"))["status"] == "inactive"


async def test_lesson_20_empty_sku_is_null(erp: Host) -> None:
    """It would be back if "" were stored: the second item would violate the unique constraint."""
    assert await erp.take(item("p1", sku=""), item("p2", sku="")) == {Outcome.APPLIED: 2}
    assert [row["sku"] for row in await erp.rows(tables.products)] == [None, None]


async def test_lesson_21_ids_are_text_however_they_arrive(erp: Host) -> None:
    """It would be back if an id printed as a number were refused, or made a second row."""
    number = 460000000026049123
    await erp.take(customer(number), invoice(customer_id=number))
    await erp.take(customer(str(number), contact_name="Same", last_modified_time=at(1)))
    client = await erp.row(tables.clients)
    assert (client["zoho_id"], client["name"]) == (str(number), "Same")
    assert (await erp.row(tables.invoices))["client_id"] == client["id"]


shelf_metadata = MetaData()
shelves = Table(
    "erp_shelves",
    shelf_metadata,
    Column("id", Integer, primary_key=True),
    Column("zoho_id", String(50), unique=True),
    Column("pieces", Integer),
    sqlite_autoincrement=True,
)


def pieces(payload: ProductPayload) -> Any:
    """The host's own reading of the stock."""
    return payload.stock_on_hand


class _Shelves(ProductHandler):
    mapping = EntityMap(table=shelves, key="zoho_id", columns={"pieces": pieces}, on_delete="hard")


class _CarelessShelves(ProductHandler):
    mapping = EntityMap(
        table=shelves, key="zoho_id", columns={"pieces": "stock_on_hand"}, on_delete="hard"
    )


async def test_lesson_22_stock_keeps_its_fraction(erp: Host) -> None:
    """It would be back if 12.7 were stored as 12, or "12.5" crashed."""
    await erp.take(item("p1", stock_on_hand=12), item("p2", stock_on_hand="12.5"))
    await erp.take(b'{"item":{"item_id":"p3","name":"x","status":"active","stock_on_hand":12.7}}')
    stock = [row["stock"] for row in await erp.rows(tables.products)]
    assert stock == [Decimal(12), Decimal("12.5"), Decimal("12.7")]


async def test_lesson_22_integer_column_does_not_cut(sessions: Sessions) -> None:
    """It would be back if a driver cut 12.7 to 12, or the start-up check let such a mapping be."""
    await make(sessions, shelf_metadata)
    host = await open_host(sessions, [_Shelves])
    counts = await host.take(
        item("p1", stock_on_hand="12.7"), item("p2", stock_on_hand="12.0"), item("p3")
    )
    assert counts == {Outcome.APPLIED: 2, Outcome.DEAD_LETTER: 1}
    assert [row["pieces"] for row in await host.rows(shelves)] == [12, None]
    ((_, error),) = await host.dead()
    assert "pieces" in error
    careless = await open_host(sessions, [_CarelessShelves])
    with pytest.raises(MappingError, match="pieces"):
        await careless.sync.drain()


async def test_lesson_23_removed_prices_leave_the_list(mirrored: Host) -> None:
    """It would be back if a price that is not in the list any more stayed in the table."""

    def prices(*ids: str, **more: Any) -> dict[str, Any]:
        rows = [{"pricebook_item_id": f"r{n}", "item_id": n, "pricebook_rate": n} for n in ids]
        return {"pricebook": {"pricebook_id": "b1", "pricebook_items": rows} | more}

    await mirrored.take(prices("1", "2", "3"))
    await mirrored.take(prices("1", "3"))
    kept = [row["item_id"] for row in await mirrored.rows(mirror.price_list_items)]
    assert kept == ["1", "3"]


async def test_lesson_23_removed_brackets_leave_the_list(mirrored: Host) -> None:
    """It would be back if the brackets of a removed price, or a removed bracket, stayed."""

    def list_of(*starts: int) -> dict[str, Any]:
        brackets = [
            {"start_quantity": start, "end_quantity": "", "pricebook_rate": 1} for start in starts
        ]
        rows = [{"item_id": "1", "price_brackets": brackets}]
        return {"pricebook": {"pricebook_id": "b1", "pricebook_items": rows if starts else []}}

    brackets = mirror.price_list_brackets
    await mirrored.take(list_of(1, 10, 100))
    assert await mirrored.count(brackets) == 3
    await mirrored.take(list_of(1, 50))
    starts = [row["start_quantity"] for row in await mirrored.rows(brackets)]
    assert starts == [Decimal(1), Decimal(50)]
    await mirrored.take(list_of())
    assert await mirrored.count(brackets) == 0
    async with mirrored.sessions() as session:
        ledger = (await session.execute(select(library.ledger.c.entity_id))).scalars().all()
    assert ledger == ["b1"]
