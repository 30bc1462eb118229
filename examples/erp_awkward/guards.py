"""Triggers: two of the ERP's own, and the guards, which watch everybody but the ERP itself.

The guards write a line into ``violations`` whenever somebody who is not the ERP changes a column, a
line or a row that is the ERP's alone, fills such a column in a new row, or removes what it may not.
They also write a line into ``writes`` for each row that was written, so that nothing is written
twice unseen.

The ERP tells its own writes apart by a table of one row: it sets ``who.host`` to 1 at the beginning
of a transaction and back to 0 at its end, as `examples.erp_awkward.host.as_host` does. Nobody else
sees it in between.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Column, Connection, Integer, Table, Text, insert

from examples.erp_awkward.tables import (
    SCHEMA,
    Bill,
    Branch,
    Customer,
    Employee,
    Invoice,
    InvoiceLine,
    Party,
    Vendor,
    allocations,
    metadata,
    order_lines,
    orders,
    receipts,
    stock_items,
    table_of,
)

who = Table("who", metadata, Column("host", Integer, nullable=False))
violations = Table(
    "violations",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("table_name", Text, nullable=False),
    Column("row_key", Text, nullable=False),
    Column("what", Text, nullable=False),
)
writes = Table(
    "writes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("table_name", Text, nullable=False),
    Column("row_key", Text, nullable=False),
)
reserved = Table(
    "reserved",
    metadata,
    Column("table_name", Text, primary_key=True),
    Column("row_key", Text, primary_key=True),
)
"""Rows that are the ERP's alone: nobody else may touch them at all."""


@dataclass(frozen=True)
class Guard:
    """What is watched in one table.

    Attributes:
        table: The table.
        owned: The ERP's own columns, with what they hold in a row that somebody else makes, in SQL.
        kept: Columns that the ERP's triggers keep; what these do is nobody's write.
        removable: Whether others may remove the rows that they made.
        lines: Whether rows that the ERP adds are its own for good.
    """

    table: Any  # a Table, or the __table__ of a class
    owned: dict[str, str]
    kept: tuple[str, ...] = ()
    removable: bool = False
    lines: bool = False


GUARDS: Final = (
    Guard(table_of(Branch), {}),
    Guard(table_of(Party), {"internal_note": "NULL"}, kept=("search_name",)),
    Guard(table_of(Customer), {"credit_limit": "1000"}),
    Guard(table_of(Vendor), {"rating": "NULL"}),
    Guard(stock_items, {"Shelf": "NULL", "Reorder Level": "5"}, kept=("Updated At",)),
    Guard(table_of(Invoice), {"printed_copies": "0", "remark": "NULL"}),
    Guard(table_of(InvoiceLine), {"picked": "FALSE"}, removable=True, lines=True),
    Guard(orders, {"Picker": "NULL"}),
    Guard(order_lines, {"Packed?": "FALSE"}, removable=True, lines=True),
    Guard(receipts, {"Booked By": "NULL"}, removable=True),
    Guard(allocations, {}, removable=True, lines=True),
    Guard(table_of(Bill), {"approved": "FALSE"}),
    Guard(table_of(Employee), {"desk": "NULL"}),
)


def create_triggers(connection: Connection) -> None:
    """Create the ERP's own triggers and the guards; nobody is the host at first."""
    connection.execute(insert(who).values(host=0))
    for statement in _erp_triggers(connection.dialect.name):
        connection.exec_driver_sql(statement)
    for guard in GUARDS:
        for statement in _guard_triggers(connection, guard):
            connection.exec_driver_sql(statement)


def _erp_triggers(dialect: str) -> Iterator[str]:
    """The search column of parties, and the time of an item's last change."""
    if dialect == "sqlite":
        for when in ("INSERT", "UPDATE OF name"):
            yield (
                f'CREATE TRIGGER "search {when}" AFTER {when} ON parties BEGIN'  # noqa: S608  # our own names
                " UPDATE parties SET search_name = lower(trim(NEW.name)) WHERE id = NEW.id; END"
            )
        for when in ("INSERT", 'UPDATE OF "Name", "Net Price"'):
            yield (
                f'CREATE TRIGGER "touch {when.split()[0]}" AFTER {when} ON "Stock Items" BEGIN'  # noqa: S608  # our own names
                ' UPDATE "Stock Items" SET "Updated At" ='
                " strftime('%Y-%m-%d %H:%M:%f', 'now') || '000+00:00'"
                ' WHERE "Item Key" = NEW."Item Key"; END'
            )
        return
    for name, table, body in (
        ("search", "parties", "NEW.search_name := lower(trim(NEW.name))"),
        ("touch", '"Stock Items"', 'NEW."Updated At" := clock_timestamp()'),
    ):
        yield (
            f"CREATE FUNCTION {SCHEMA}.{name}() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN {body}; RETURN NEW; END $$"
        )
        yield (
            f"CREATE TRIGGER {name} BEFORE INSERT OR UPDATE ON {SCHEMA}.{table}"
            f" FOR EACH ROW EXECUTE FUNCTION {SCHEMA}.{name}()"
        )


def _guard_triggers(connection: Connection, guard: Guard) -> Iterator[str]:
    sqlite = connection.dialect.name == "sqlite"
    place = "" if sqlite else f"{SCHEMA}."
    watched = ", ".join(f'"{column.name}"' for column in _written(guard))
    for verb, when, row in (
        ("insert", "INSERT", "NEW"),
        ("update", f"UPDATE OF {watched}", "NEW"),
        ("delete", "DELETE", "OLD"),
    ):
        name = f'"guard {guard.table.name} {verb}"'
        body = "; ".join(_actions(guard, verb, row, place)) + ";"
        if sqlite:
            yield f'CREATE TRIGGER {name} AFTER {when} ON "{guard.table.name}" BEGIN {body} END'
            continue
        yield (
            f"CREATE FUNCTION {SCHEMA}.{name}() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN {body} RETURN NULL; END $$"
        )
        yield (
            f'CREATE TRIGGER {name} AFTER {when} ON {SCHEMA}."{guard.table.name}"'
            f" FOR EACH ROW EXECUTE FUNCTION {SCHEMA}.{name}()"
        )


def _written(guard: Guard) -> Sequence[Any]:
    return [
        column
        for column in guard.table.columns
        if column.computed is None and column.name not in guard.kept
    ]


def _actions(guard: Guard, verb: str, row: str, place: str) -> Iterator[str]:
    """What a guard does, in SQL that both databases understand."""
    name = guard.table.name
    key = row_key(guard.table, f"{row}.")
    others = f"(SELECT host FROM {place}who) = 0"  # noqa: S608  # our own names

    def violation(what: str, condition: str) -> str:
        return (
            f"INSERT INTO {place}violations (table_name, row_key, what)"
            f" SELECT '{name}', {key}, '{what}' WHERE {others} AND {condition}"
        )

    if verb != "delete":
        for column, default in guard.owned.items():
            before = f'OLD."{column}"' if verb == "update" else default
            changed = f'NEW."{column}" IS DISTINCT FROM {before}'
            if verb == "insert" and default not in {"NULL", "FALSE"}:
                # SQLite keeps exact numbers as text.
                changed = f'CAST(NEW."{column}" AS NUMERIC) <> {default}'
            yield violation(f"{verb} of the own column {column}", changed)
    if verb != "insert":
        mine = (
            f"EXISTS (SELECT 1 FROM {place}reserved"  # noqa: S608  # our own names
            f" WHERE table_name = '{name}' AND row_key = {key})"
        )
        yield violation(f"{verb} of an own row", mine)
    if verb == "delete" and not guard.removable:
        yield violation("delete", "1 = 1")
    if verb == "insert" and guard.lines:
        yield (
            f"INSERT INTO {place}reserved (table_name, row_key)"
            f" SELECT '{name}', {key} WHERE NOT {others}"
        )
    yield (f"INSERT INTO {place}writes (table_name, row_key) SELECT '{name}', {key} WHERE {others}")


def row_key(table: Any, prefix: str = "") -> str:
    """Return the SQL that makes text of a row's primary key; parts are joined by a stroke."""
    parts = (f'CAST({prefix}"{column.name}" AS TEXT)' for column in table.primary_key)
    return " || '/' || ".join(parts)
