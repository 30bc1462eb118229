"""Reads whole tables, and compares them with what the oracle foresaw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Table, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from examples.erp_awkward.guards import writes
from examples.erp_awkward.host import Row
from examples.erp_awkward.oracle import Label, Oracle
from examples.erp_awkward.tables import (
    Bill,
    Branch,
    Customer,
    Employee,
    Invoice,
    InvoiceLine,
    Party,
    Vendor,
    allocations,
    order_lines,
    orders,
    receipts,
    stock_items,
    table_of,
)

Sessions = async_sessionmaker[AsyncSession]
Lines = list[tuple[Any, ...]]

OWN: Final[Mapping[str, Row]] = {
    "customers": {"credit_limit": Decimal(1000), "internal_note": None},
    "Stock Items": {"Shelf": None, "Reorder Level": 5},
    "vendors": {"rating": None, "internal_note": None},
    "invoices": {"printed_copies": 0, "remark": None},
    "order": {"Picker": None},
    "receipts": {"Booked By": None},
    "bills": {"approved": False},
    "staff": {"desk": None},
}
"""The ERP's own columns, and what they hold where the ERP has said nothing."""

REFERENCES: Final[Mapping[tuple[str, str], tuple[str, str]]] = {
    ("customers", "parent"): ("parent_id", "customers"),
    ("Stock Items", "Part Of"): ("Part Of", "Stock Items"),
    ("invoices", "customer"): ("customer_id", "customers"),
    ("order", "Customer"): ("Customer", "customers"),
    ("receipts", "Customer"): ("Customer", "customers"),
    ("bills", "vendor"): ("vendor_id", "vendors"),
}
"""What the oracle calls a reference → the column, and the table that it leads to."""


@dataclass(frozen=True)
class Found:
    """What the tables hold.

    Attributes:
        rows: Table → primary key → columns.
        labels: Table → primary key → what the oracle calls the row.
    """

    rows: Mapping[str, Mapping[Any, Row]]
    labels: Mapping[str, Mapping[Any, Label]]


async def differences(sessions: Sessions, oracle: Oracle) -> list[str]:
    """Return everything that is not as it must be, one sentence each."""
    async with sessions() as session:
        found = await _read(session, oracle)
        written = await _written(session)
        applied = await _applied(session)
        branches = [tuple(row) for row in await session.execute(select(Branch.id, Branch.name))]
    own = _own_columns(oracle)
    told = [] if sorted(branches) == [(1, "Head office"), (2, "Warehouse")] else ["branches differ"]
    for table in OWN:
        told += _compare(table, oracle, found, own.get(table, {}))
    told += _compare_lines(oracle, found)
    told += _written_twice(oracle, found, written, applied)
    return told


async def _read(session: AsyncSession, oracle: Oracle) -> Found:
    tables: dict[str, Any] = {
        "customers": (table_of(Party), table_of(Customer)),
        "vendors": (table_of(Party), table_of(Vendor)),
        "Stock Items": (stock_items,),
        "invoices": (table_of(Invoice),),
        "invoice_lines": (table_of(InvoiceLine),),
        "order": (orders,),
        "Order Lines": (order_lines,),
        "receipts": (receipts,),
        "allocations": (allocations,),
        "bills": (table_of(Bill),),
        "staff": (table_of(Employee),),
    }
    rows = {name: await _rows(session, *parts) for name, parts in tables.items()}
    there = {
        "customers": {row["key"] for row in oracle.first.customers},
        "staff": {row["key"] for row in oracle.first.staff},
    }
    named: dict[str, Callable[[Row], Label]] = {
        "customers": lambda row: row["id"] if row["id"] in there["customers"] else row["name"],
        "staff": lambda row: row["id"] if row["id"] in there["staff"] else row["email"],
        "vendors": lambda row: row["zoho_vendor_id"] or row["id"],
        "Stock Items": lambda row: row["Zoho Item"] or row["Item No."],
        "invoices": lambda row: row["number"],
        "order": lambda row: row["Number"],
        "receipts": lambda row: row["Voucher"],
        "bills": lambda row: row["zoho_bill_id"],
    }
    labels = {
        name: {key: label(row) for key, row in rows[name].items()} for name, label in named.items()
    }
    return Found(rows, labels)


async def _rows(session: AsyncSession, *tables: Table) -> dict[Any, Row]:
    """Return the rows of a table, or of a base table and the one that is joined to it."""
    *base, table = tables
    columns = list(table.columns)
    statement = select(*columns)
    if base:
        more = [column for column in base[0].columns if column.name != "id"]
        statement = select(*columns, *more).join(base[0], base[0].c.id == table.c.id)
    keys = [column.key for column in table.primary_key]
    found: dict[Any, Row] = {}
    for row in (await session.execute(statement)).mappings():
        values = {str(name): value for name, value in row.items()}
        key = tuple(values[name] for name in keys)
        found[key[0] if len(key) == 1 else key] = values
    return found


def _own_columns(oracle: Oracle) -> dict[str, dict[Any, Row]]:
    """Return what the ERP itself has written into its own columns, by table and primary key."""
    first, shadow = oracle.first, oracle.shadow
    there = {
        "customers": first.customers,
        "Stock Items": first.items,
        "vendors": first.vendors,
        "staff": first.staff,
    }
    own: dict[str, dict[Any, Row]] = {}
    for table in OWN:
        rows = {row["key"]: row for row in there.get(table, ())} | shadow.rows.get(table, {})
        known = own[table] = {
            key: {column: row[column] for column in OWN[table] if column in row}
            for key, row in rows.items()
        }
        for key, changed in shadow.columns.get(table, {}).items():
            known[key] = known.get(key, {}) | changed
    return own


def _compare(table: str, oracle: Oracle, found: Found, own: Mapping[Any, Row]) -> Iterator[str]:
    """Compare the rows of one table: which there are, the mapped columns, and the ERP's own."""
    expected = oracle.rows[table]
    labels = found.labels[table]
    for label, count in Counter(labels.values()).items():
        if count > 1:
            yield f"{table} {label!r}: {count} rows"
    for label in expected.keys() - set(labels.values()):
        yield f"{table} {label!r}: there is no row"
    for key, row in found.rows[table].items():
        label = labels[key]
        if label not in expected:
            yield f"{table} {label!r}: nothing makes such a row"
            continue
        wanted = expected[label] | OWN[table] | own.get(key, {}) | _kept(table, row)
        for column, value in wanted.items():
            actual = key if column == "key" else _actual(table, column, row, found)
            if actual != value:
                yield f"{table} {label!r}: {column} is {actual!r}, and must be {value!r}"


def _kept(table: str, row: Row) -> Row:
    """Return what the ERP's triggers, its generated columns and its ORM make of a row."""
    if table == "Stock Items":
        return {"Label": f"{row['Item No.']} {row['Name']}"}
    if table in {"customers", "vendors"}:
        return {"search_name": row["name"].strip(" ").lower(), "kind": table[:-1]}
    return {}


def _actual(table: str, column: str, row: Row, found: Found) -> Any:
    if (table, column) not in REFERENCES:
        return row[column]
    name, target = REFERENCES[table, column]
    return None if row[name] is None else found.labels[target].get(row[name], "a stranger")


def _compare_lines(oracle: Oracle, found: Found) -> Iterator[str]:
    """Compare the lines: those from Zoho as a whole, those of the ERP one by one."""
    labels, own = found.labels, oracle.shadow.rows
    items, invoices = labels["Stock Items"], labels["invoices"]
    readers: dict[str, Callable[[Row], tuple[Any, ...]]] = {
        "invoice_lines": lambda row: (
            invoices[row["invoice_id"]],
            items.get(row["item_key"]),
            row["text"],
            row["quantity"],
            row["price"],
        ),
        "Order Lines": lambda row: (
            labels["order"][row["order ID"]],
            items.get(row["Item"]),
            row["Zoho Line"],
            row["Text"],
            row["Quantity"],
        ),
        "allocations": lambda row: (
            row["Voucher"],
            invoices.get(row["Invoice"]),
            row["Amount"],
        ),
    }
    parents = {"invoice_lines": "invoices", "Order Lines": "order", "allocations": "receipts"}
    for table, read in readers.items():
        mine = own.get(table, {})
        rows = found.rows[table]
        there = Counter(read(row) for key, row in rows.items() if key not in mine)
        wanted = Counter(tuple(line) for line in oracle.lines.get(parents[table], ()))
        yield from (f"{table}: {line!r} is missing" for line in (wanted - there))
        yield from (f"{table}: {line!r} is too many" for line in (there - wanted))
        for key, row in mine.items():
            line = rows.get(key, {})
            if row != {column: line.get(column) for column in row}:
                yield f"{table}: the ERP's own line {key} is {line!r}, and must be {row!r}"


async def _written(session: AsyncSession) -> dict[tuple[str, str], int]:
    """Return how often each row was written by others than the ERP."""
    statement = select(writes.c.table_name, writes.c.row_key, func.count())
    grouped = statement.group_by(writes.c.table_name, writes.c.row_key)
    return {(row[0], row[1].replace("-", "")): row[2] for row in await session.execute(grouped)}


async def _applied(session: AsyncSession) -> dict[tuple[str, str], int]:
    """Return how many events of each entity were applied, as the journal has it."""
    statement = text(
        "SELECT entity_type, entity_id, count(*) FROM zoho_sync_journal"
        " WHERE outcome = 'applied' GROUP BY entity_type, entity_id"
    )
    return {(row[0], row[1]): row[2] for row in await session.execute(statement)}


def _written_twice(
    oracle: Oracle,
    found: Found,
    written: Mapping[tuple[str, str], int],
    applied: Mapping[tuple[str, str], int],
) -> Iterator[str]:
    """Say which rows were written more often than there were events for it.

    An event writes a row once. A reference that was NULL for a while is written once more, when
    what it refers to arrives; Zoho's id is written into an item when it is adopted, or linked; a
    placeholder is written before there is an event; a number that changes hands is set aside first.
    """
    for table, entities in oracle.entities.items():
        parts = (table, "parties") if table in {"customers", "vendors"} else (table,)
        for key, label in found.labels[table].items():
            entity = entities.get(label)
            if entity is None:
                continue
            for part in parts:
                times = 1 + (entity in oracle.renumbered) + (part in {"Stock Items", "customers"})
                limit = applied.get(entity, 0) * times + (table in {"Stock Items", "vendors"})
                count = written.get((part, _key(key)), 0)
                if count > limit:
                    yield f"{part} {label!r}: written {count} times, and {limit} would be enough"


def _key(key: Any) -> str:
    parts: Iterable[Any] = key if isinstance(key, tuple) else (key,)
    return "/".join(str(part).replace("-", "") for part in parts)
