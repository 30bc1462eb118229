"""A mapping that does not fit its tables, or its documents, says so before anything is applied."""

from __future__ import annotations

import asyncio
import enum
import logging
import textwrap
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Enum,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    Time,
    UniqueConstraint,
    Uuid,
    false,
    func,
    insert,
    text,
    true,
)
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator, UserDefinedType

from tests.hosts.sql import Sessions
from zoho_sync import (
    ABSENT,
    DOCUMENT,
    BaseEntityHandler,
    ChildMap,
    EntityMap,
    HandlerRegistry,
    MappingError,
    Outcome,
    Reference,
    ZohoSync,
    custom_field,
    default_registry,
    mirror,
)
from zoho_sync.checks.check import MappingCheck
from zoho_sync.database.creation import create_missing
from zoho_sync.database.reflection import stored_type
from zoho_sync.exceptions import Finding
from zoho_sync.handlers import (
    CreditNoteHandler,
    CustomerHandler,
    InvoiceHandler,
    PaymentHandler,
    PriceListHandler,
    ProductHandler,
    VendorHandler,
)
from zoho_sync.mapping.keys import decode_key
from zoho_sync.payloads import ProductPayload
from zoho_sync.store.tables import library_tables

# The rules are about declarations and columns; tests of what databases do otherwise say so.
pytestmark = pytest.mark.databases("sqlite")
BOTH = pytest.mark.databases("sqlite", "postgresql")

Handler = type[BaseEntityHandler[Any]]


class Cents(TypeDecorator[Decimal]):
    """Money as whole cents: a type of the host's own, which knows what it does."""

    impl = BigInteger
    cache_ok = True


class Unknown(UserDefinedType[Any]):
    """A type of the host's that does not say what it is in Python."""

    cache_ok = True

    @property
    def python_type(self) -> type[Any]:
        raise NotImplementedError

    def get_col_spec(self, **_: Any) -> str:
        return "INTEGER"


class YesNo(TypeDecorator[bool]):
    """A boolean of the host's own making."""

    impl = Boolean
    cache_ok = True


def a_table(*columns: Any, name: str = "goods", key: bool = True, **options: Any) -> Table:
    """A table of the host, with an id, a Zoho column, and what a test is about."""
    zoho = [Column("zoho_id", String(50), unique=True)] if key else []
    options.setdefault("sqlite_autoincrement", True)
    own = Column("id", Integer, primary_key=True)
    return Table(name, MetaData(), own, *zoho, *columns, **options)


def a_handler(base: Any, table: Any, *, name: str = "Mine", **mapping: Any) -> Handler:
    """A handler with a mapping onto a table."""
    settings = {"key": "zoho_id", "columns": {}, "on_delete": "hard"} | mapping
    return type(name, (base,), {"mapping": EntityMap(table=table, **settings)})


def goods(table: Any, **mapping: Any) -> Handler:
    """A handler of products."""
    return a_handler(ProductHandler, table, **mapping)


async def created(engine: AsyncEngine, *tables: Table) -> None:
    """Make the library's tables, and those of the host."""
    async with engine.begin() as connection:
        await connection.run_sync(create_missing, library_tables().metadata)
        for table in tables:
            await connection.run_sync(table.create, checkfirst=True)


async def checked(
    engine: AsyncEngine, *handlers: Handler, tables: Iterable[Table] | None = None
) -> tuple[tuple[Finding, ...], list[str]]:
    """What a check finds and warns of, once the tables of the handlers are there."""
    mappings = [handler.mapping for handler in handlers if handler.mapping]
    named: list[Any] = [m.table for m in mappings]
    named += [child.table for m in mappings for child in m.children]
    await created(engine, *(dict.fromkeys(named) if tables is None else tables))
    sync = ZohoSync(async_sessionmaker(engine), registry=HandlerRegistry(handlers))
    try:
        return (), await sync.check()
    except MappingError as error:
        return error.findings, []


async def the_finding(engine: AsyncEngine, *handlers: Handler, **given: Any) -> Finding:
    """The only thing that a check finds."""
    findings, _ = await checked(engine, *handlers, **given)
    assert len(findings) == 1, [str(each) for each in findings]
    return findings[0]


async def the_warning(engine: AsyncEngine, *handlers: Handler) -> str:
    """The only thing that a check warns of."""
    findings, warnings = await checked(engine, *handlers)
    assert not findings, [str(each) for each in findings]
    assert len(warnings) == 1, warnings
    return warnings[0]


async def assert_fits(engine: AsyncEngine, *handlers: Handler) -> None:
    """Nothing is found, and nothing warned of."""
    findings, warnings = await checked(engine, *handlers)
    assert ([str(each) for each in findings], warnings) == ([], [])


@BOTH
async def test_the_mirror_has_nothing_to_say(engine: AsyncEngine) -> None:
    sync = ZohoSync(async_sessionmaker(engine))
    await sync.create_tables()
    assert await sync.check() == []
    assert await MappingCheck(sync._runtime.sessions, sync.registry, library_tables()).check() == []


@BOTH
async def test_a_whole_mapping_of_the_hosts_own_fits(engine: AsyncEngine) -> None:
    clients = a_table(
        Column("name", String(100)), Column("gone", Boolean, nullable=False), name="c"
    )
    sales = a_table(
        Column("number", String(50), nullable=False, server_default=""),
        Column("amount", mirror.ExactDecimal()),
        Column("issued_on", Date),
        Column("changed", DateTime(timezone=True)),
        Column("naive", DateTime),
        Column("emailed", Boolean),
        Column("flag", Integer),
        Column("city", Text),
        Column("note", Text),
        Column("days", BigInteger),
        Column("status", Enum("draft", "sent", name="sales_status")),
        Column("document", mirror.ExactJSON()),
        Column("cents", Cents),
        Column("branch", Integer, nullable=False),
        Column("client_id", ForeignKey(clients.c.id)),
        Column("deleted_at", DateTime(timezone=True)),
        name="s",
    )
    sales.to_metadata(clients.metadata)
    lines = a_table(
        Column("sale_id", Integer, nullable=False),
        Column("quantity", mirror.ExactDecimal()),
        name="l",
        key=False,
    )
    client = a_handler(
        CustomerHandler,
        clients,
        columns={"name": "contact_name"},
        on_delete="soft",
        deleted_column="gone",
    )
    sale = a_handler(
        InvoiceHandler,
        clients.metadata.tables["s"],
        columns={
            "number": "invoice_number",
            "amount": "total",
            "issued_on": "date",
            "changed": "last_modified_time",
            "naive": "created_time",
            "emailed": "is_emailed",
            "flag": "is_inclusive_tax",
            "city": "billing_address.city",
            "note": custom_field("cf_note"),
            "days": "payment_terms",
            "status": "status",
            "document": DOCUMENT,
            "cents": "balance",
        },
        insert_only={"branch": 7},
        references=[Reference("client_id", to="customers", source="customer_id")],
        children=[
            ChildMap(
                table=lines, source="line_items", parent="sale_id", columns={"quantity": "quantity"}
            )
        ],
        on_delete="soft",
        deleted_column="deleted_at",
    )
    await assert_fits(engine, client, sale)


async def test_everything_is_said_at_once(engine: AsyncEngine) -> None:
    table = a_table(Column("amount", Float))
    first = goods(table, columns={"amount": "rate", "zoho_id": "skuu"})
    second = a_handler(CustomerHandler, a_table(name="clients"), on_delete="soft", name="Clients")
    third = a_handler(VendorHandler, a_table(name="nowhere"), name="Vendors")
    findings, _ = await checked(engine, first, second, third, tables=[table, second.mapping.table])  # type: ignore[union-attr]  # it has one
    assert [each.where for each in findings] == [
        "Vendors.table",
        "Mine.columns['zoho_id']",
        "Mine.columns['amount']",
        "Mine.columns['zoho_id']",
        "Clients.on_delete",
    ]


async def test_names_that_are_not_declared_are_found_as_well(engine: AsyncEngine) -> None:
    registry = HandlerRegistry([goods(a_table(Column("name", Text)), columns={"nmae": "name"})])
    await created(engine)
    check = MappingCheck(
        async_sessionmaker(engine),
        registry,
        library_tables(),
    )
    with pytest.raises(MappingError) as raised:
        await check.check()
    assert [str(each) for each in raised.value.findings] == [
        "Mine.columns['nmae']: table 'goods' has no column 'nmae'. Did you mean 'name'?"
    ]


@BOTH
async def test_a_table_that_is_not_in_the_database(engine: AsyncEngine) -> None:
    finding = await the_finding(engine, goods(a_table(name="godos")), tables=[a_table()])
    assert finding == Finding(
        "Mine.table", "the database has no table 'godos'.", "Did you mean 'goods'?"
    )


async def test_a_table_with_no_likeness(engine: AsyncEngine) -> None:
    finding = await the_finding(engine, goods(a_table(name="qqqq")), tables=[])
    assert finding.remedy == "Create it with your migrations."


@BOTH
async def test_a_schema_that_is_not_in_the_database(engine: AsyncEngine) -> None:
    finding = await the_finding(engine, goods(a_table(schema="erp")), tables=[])
    assert finding.problem == "the database has no table 'erp.goods'."


@BOTH
async def test_a_table_in_a_schema(engine: AsyncEngine, tmp_path: Path) -> None:
    table = a_table(Column("name", Text), schema="erp")
    async with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            await connection.execute(text("CREATE SCHEMA erp"))
    if engine.dialect.name == "sqlite":
        from sqlalchemy import event  # noqa: PLC0415  # of this branch only

        statement = f"ATTACH DATABASE '{tmp_path / 'erp.db'}' AS erp"
        event.listen(engine.sync_engine, "connect", lambda raw, _: raw.execute(statement))
        await engine.dispose()
    await assert_fits(engine, goods(table, columns={"name": "name"}))


@BOTH
async def test_a_schema_that_is_translated(engine: AsyncEngine) -> None:
    table = a_table(Column("name", Text), schema="tenant")
    translated = engine.execution_options(schema_translate_map={"tenant": None})
    await assert_fits(translated, goods(table, columns={"name": "name"}))


@BOTH
@pytest.mark.without_tables
@pytest.mark.parametrize("whole", [True, False])
async def test_tables_that_the_library_makes(engine: AsyncEngine, whole: bool) -> None:  # noqa: FBT001  # a parameter
    sync = ZohoSync(async_sessionmaker(engine))
    with pytest.raises(MappingError) as raised:
        await (sync.check() if whole else sync.drain())
    library, tables = raised.value.findings
    assert (library.where, tables.where) == ("zoho_sync", "mirror")
    assert "zoho_sync_jobs, " in library.problem
    assert "zoho_products, " in tables.problem
    assert "await sync.create_tables()" in library.remedy
    assert "zoho-sync tables create" in tables.remedy


async def test_a_column_that_is_not_in_the_database(engine: AsyncEngine) -> None:
    real = a_table(Column("namee", Text))
    declared = a_table(Column("name", Text))
    finding = await the_finding(engine, goods(declared, columns={"name": "name"}), tables=[real])
    assert finding == Finding(
        "Mine.columns['name']",
        "the database has no column 'name' in 'goods'.",
        "Did you mean 'namee'?",
    )


async def test_a_key_that_is_not_unique(engine: AsyncEngine) -> None:
    table = a_table(Column("zid", String(50), index=True))
    finding = await the_finding(engine, goods(table, key="zid"))
    assert (finding.where, finding.problem) == ("Mine.key", "(zid) is not unique in 'goods'.")
    assert "UniqueConstraint('zid')" in finding.remedy


@BOTH
async def test_a_partial_index_does_not_count(engine: AsyncEngine) -> None:
    where = text("zid <> ''")
    index = Index("ux", "zid", unique=True, sqlite_where=where, postgresql_where=where)
    finding = await the_finding(engine, goods(a_table(Column("zid", String(50)), index), key="zid"))
    assert finding.problem == "(zid) is not unique in 'goods'."


@BOTH
async def test_an_expression_does_not_count(engine: AsyncEngine) -> None:
    index = Index("ux", text("lower(zid)"), unique=True)
    finding = await the_finding(engine, goods(a_table(Column("zid", String(50)), index), key="zid"))
    assert finding.problem == "(zid) is not unique in 'goods'."


@BOTH
@pytest.mark.parametrize("how", ["constraint", "index", "primary key"])
async def test_what_counts_as_unique(engine: AsyncEngine, how: str) -> None:
    if how == "primary key":
        table = Table("goods", MetaData(), Column("zid", String(50), primary_key=True))
    else:
        unique = UniqueConstraint("zid") if how == "constraint" else Index("ux", "zid", unique=True)
        table = a_table(Column("zid", String(50)), unique)
    await assert_fits(engine, goods(table, key="zid"))


async def test_the_organization_is_part_of_the_key(engine: AsyncEngine) -> None:
    org = Column("org", String(50))
    finding = await the_finding(engine, goods(a_table(org), organization_column="org"))
    assert "UniqueConstraint('org', 'zoho_id')" in finding.remedy


async def test_the_organization_and_the_key_are_unique_together(engine: AsyncEngine) -> None:
    columns = Column("org", String(50)), UniqueConstraint("zoho_id", "org")
    await assert_fits(engine, goods(a_table(*columns), organization_column="org"))


@BOTH
@pytest.mark.parametrize(
    ("kind", "source", "loss", "remedy"),
    [
        (Float(), "rate", "loses digits", "Numeric"),
        (Integer(), "rate", "loses digits", "callable"),
        (JSON(), "rate", "loses digits", "Numeric"),
        (String(9), "rate", "does not take it", "Numeric"),
        (DateTime(), "date", "would invent a midnight", "Date"),
        (String(9), "date", "does not take it", "Date"),
        (Date(), "last_modified_time", "loses the time", "DateTime(timezone=True)"),
        (Time(), "last_modified_time", "does not take it", "DateTime(timezone=True)"),
        (Numeric(9, 2), "status", "does not take it", "String"),
        (Integer(), "status", "does not take it", "String"),
        (Uuid(), "status", "does not take it", "String"),
        (Numeric(20, 2), "customer_id", "does not take it", "String"),
        (JSON(), "billing_address", "loses digits of the numbers in it", "ExactJSON"),
        (JSON(), DOCUMENT, "loses digits of the numbers in it", "ExactJSON"),
        (Text(), "taxes", "does not take it", "ExactJSON"),
        (String(9), "is_emailed", "does not take it", "Boolean"),
        (Boolean(), "payment_terms", "does not take it", "BigInteger"),
    ],
    ids=str,
)
async def test_columns_that_cannot_hold_the_source(
    engine: AsyncEngine, kind: Any, source: Any, loss: str, remedy: str
) -> None:
    if source == "rate":
        source = "total"
    handler = a_handler(InvoiceHandler, a_table(Column("it", kind)), columns={"it": source})
    finding = await the_finding(engine, handler)
    assert finding.where == "Mine.columns['it']"
    assert finding.problem.endswith(f"a column of type {type(kind).__name__} {loss}.")
    assert remedy in finding.remedy
    assert "callable" in finding.remedy


async def test_a_callable_may_make_anything(engine: AsyncEngine) -> None:
    table = a_table(Column("it", Float))
    await assert_fits(engine, goods(table, columns={"it": lambda product: product.rate or ABSENT}))


@BOTH
async def test_whole_numbers_only_lose_digits(engine: AsyncEngine) -> None:
    handler = goods(a_table(Column("it", Numeric(12, 0))), columns={"it": "rate"})
    if engine.dialect.name == "sqlite":
        assert "99999999999999.98" in await the_warning(engine, handler)
    else:
        finding = await the_finding(engine, handler)
        assert (
            finding.problem == "the column is NUMERIC(12, 0): it has no decimals, and loses digits."
        )


async def test_sqlite_keeps_numeric_as_a_float(sqlite_url: str) -> None:
    engine = create_async_engine(sqlite_url)
    table = a_table(Column("it", Numeric(18, 2)))
    warning = await the_warning(engine, goods(table, columns={"it": "rate"}))
    assert warning.startswith("Mine.columns['it']: SQLite keeps NUMERIC as a binary float")
    assert "zoho_sync.mirror.ExactDecimal" in warning
    assert mirror.ExactDecimal.__name__ in mirror.__all__
    await engine.dispose()


@BOTH
async def test_a_variant_for_sqlite_is_seen(engine: AsyncEngine) -> None:
    kind = Numeric(18, 2).with_variant(mirror.ExactDecimal(), "sqlite")
    await assert_fits(engine, goods(a_table(Column("it", kind)), columns={"it": "rate"}))


@pytest.mark.parametrize(
    ("declared", "real"),
    [
        (Numeric(18, 2), Float()),
        (Numeric(18, 2), BigInteger()),
        (mirror.ExactDecimal(), Float()),
        (mirror.ExactJSON(), JSON()),
        (DateTime(), DateTime(timezone=True)),
        (mirror.UtcDateTime(), DateTime()),
        (String(9), BigInteger()),
    ],
    ids=str,
)
async def test_a_type_that_the_database_does_not_have(
    postgres_url: str, declared: Any, real: Any
) -> None:
    engine = create_async_engine(postgres_url)
    handler = goods(a_table(Column("it", declared)), columns={"it": lambda product: product.rate})
    finding = await the_finding(engine, handler, tables=[a_table(Column("it", real))])
    assert finding.problem.startswith("the column is declared as ")
    assert finding.remedy == "Declare the type that the database has."
    await engine.dispose()


@pytest.mark.parametrize(
    ("path", "remedy"),
    [
        ("raet", "Did you mean 'rate'?"),
        ("cf_note", "Read it with custom_field('cf_note')."),
        ("rate.sub", "Give the path of a nested object, or a callable."),
    ],
)
async def test_a_path_that_reads_nothing(engine: AsyncEngine, path: str, remedy: str) -> None:
    finding = await the_finding(engine, goods(a_table(Column("it", Text)), columns={"it": path}))
    assert (finding.where, finding.remedy) == ("Mine.columns['it']", remedy)


async def test_a_constant_is_no_source(engine: AsyncEngine) -> None:
    handlers = HandlerRegistry([goods(a_table(Column("it", Integer)), columns={"it": 7})])
    with pytest.raises(MappingError) as raised:
        ZohoSync(async_sessionmaker(engine), registry=handlers)
    (finding,) = raised.value.findings
    assert finding.where == "Mine.columns['it']"
    assert finding.problem == "it is of type int, not a source."
    assert "insert_only" in finding.remedy


async def test_a_list_of_lines_is_no_column(engine: AsyncEngine) -> None:
    table = a_table(Column("it", mirror.ExactJSON()))
    handler = a_handler(InvoiceHandler, table, columns={"it": "line_items"})
    assert (await the_finding(engine, handler)).remedy == "Map the list with a ChildMap."


def sale_with(reference: Reference, kind: Any = Integer) -> Handler:
    table = a_table(Column("other", kind), name="sales")
    return a_handler(InvoiceHandler, table, references=[reference], name="Sales")


async def test_a_reference_to_an_unknown_type(engine: AsyncEngine) -> None:
    handler = sale_with(Reference("other", to="custmer", source="customer_id"))
    finding = await the_finding(engine, handler)
    assert finding == Finding(
        "Sales.references['other']", "'custmer' is no entity type.", "Did you mean 'customer'?"
    )


async def test_a_reference_to_a_type_without_a_handler(engine: AsyncEngine) -> None:
    finding = await the_finding(
        engine, sale_with(Reference("other", to="customer", source="customer_id"))
    )
    assert finding.problem == "no handler keeps 'customer', so that nothing can be referred to."


async def test_a_reference_to_a_type_that_is_ignored(engine: AsyncEngine) -> None:
    """Its rows never come: each event would wait for one, and die of it."""
    registry = default_registry()
    registry.override(a_handler(CustomerHandler, a_table(name="clients"), name="Clients"))
    registry.override(a_handler(VendorHandler, a_table(name="suppliers"), name="Suppliers"))
    sales = sale_with(Reference("other", to="customers", source="customer_id"))
    registry.override(sales)
    registry.ignore("customer")
    sync = ZohoSync(async_sessionmaker(engine), registry=registry)
    await sync.create_tables()
    await created(engine, *(registry[name].mapping.table for name in ("customer", "vendor")))  # type: ignore[union-attr]  # they have one
    await created(engine, sales.mapping.table)  # type: ignore[union-attr]  # as above
    with pytest.raises(MappingError) as raised:
        await sync.check()
    assert raised.value.findings == (
        Finding(
            "Sales.references['other']",
            "events of 'customers' are ignored, so that nothing can be referred to.",
            "Take registry.ignore('customer') back, or the reference out.",
        ),
    )


async def test_what_is_ignored_may_refer_to_what_is_ignored(engine: AsyncEngine) -> None:
    registry = default_registry()
    sales = sale_with(Reference("other", to="contact", source="customer_id"))
    registry.override(sales)
    for name in ("invoice", "customer"):
        registry.ignore(name)
    sync = ZohoSync(async_sessionmaker(engine), registry=registry)
    await sync.create_tables()
    await created(engine, sales.mapping.table)  # type: ignore[union-attr]  # it has one
    assert await sync.check() == []


@pytest.mark.parametrize("source", ["total", "line_items", "is_emailed"])
async def test_a_reference_without_an_id(engine: AsyncEngine, source: str) -> None:
    clients = a_handler(CustomerHandler, a_table(name="clients"))
    finding = await the_finding(
        engine, clients, sale_with(Reference("other", to="customer", source=source))
    )
    assert finding.problem == f"{source!r} holds no id."


async def test_a_reference_that_reads_nothing(engine: AsyncEngine) -> None:
    clients = a_handler(CustomerHandler, a_table(name="clients"))
    handler = sale_with(Reference("other", to="customer", source="custmer_id"))
    assert (await the_finding(engine, clients, handler)).remedy == "Did you mean 'customer_id'?"


async def test_a_reference_with_an_unknown_way_out(engine: AsyncEngine) -> None:
    clients = a_handler(CustomerHandler, a_table(name="clients"))
    odd: Any = "drop"
    handler = sale_with(Reference("other", to="customer", source="customer_id", missing=odd))
    assert (await the_finding(engine, clients, handler)).problem == "missing='drop' is unknown."


async def test_a_reference_to_a_key_of_several_columns(engine: AsyncEngine) -> None:
    handler = sale_with(Reference("other", to="customer", source="customer_id"), String(50))
    finding = await the_finding(engine, CustomerHandler, handler)
    assert "organization_id, contact_id" in finding.problem
    assert "columns={'other': 'customer_id'}" in finding.remedy


async def test_a_reference_of_another_type(engine: AsyncEngine) -> None:
    table = Table("clients", MetaData(), Column("zoho_id", String(50), primary_key=True))
    clients = a_handler(CustomerHandler, table)
    handler = sale_with(Reference("other", to="customer", source="customer_id"))
    finding = await the_finding(engine, clients, handler)
    assert (
        finding.problem == "the column is INTEGER, and the primary key of 'clients' is VARCHAR(50)."
    )


async def test_references_that_are_in_order(engine: AsyncEngine) -> None:
    clients = a_handler(CustomerHandler, a_table(name="clients"))
    vendors = a_handler(VendorHandler, a_table(name="vendors"))

    class Unmapped(BaseEntityHandler[ProductPayload]):
        async def upsert(self, payload: Any) -> Any:
            return payload.entity_id

    table = a_table(
        Column("a", Integer), Column("b", String(9)), Column("c", Integer), name="sales"
    )
    references = [
        Reference("a", to="contact", source="customer_id"),
        Reference("b", to="customer", source="billing_address.id"),
        Reference("c", to="item", source=lambda invoice: invoice.line_items[0].item_id),
    ]
    findings, _ = await checked(
        engine,
        clients,
        vendors,
        Unmapped,
        a_handler(InvoiceHandler, table, references=references),
        tables=[table, clients.mapping.table, vendors.mapping.table],  # type: ignore[union-attr]  # they have one
    )
    assert findings == ()


def waits_for(base: Any, name: str, to: str, source: Any, **options: Any) -> Handler:
    table = a_table(Column("other", Integer), name=name.lower())
    reference = Reference("other", to=to, source=source, **options)
    return a_handler(base, table, references=[reference], name=name)


async def test_a_cycle_of_references_that_wait(engine: AsyncEngine) -> None:
    def source(_: object) -> str:
        return "1"

    finding = await the_finding(
        engine,
        waits_for(InvoiceHandler, "Invoices", "payment", source),
        waits_for(PaymentHandler, "Payments", "credit_note", source),
        waits_for(CreditNoteHandler, "Credits", "invoice", source),
    )
    assert finding.where == "Credits.references"
    assert "credit_note → invoice → payment → credit_note" in finding.problem
    assert 'missing="null"' in finding.remedy


async def test_a_cycle_that_is_broken(engine: AsyncEngine) -> None:
    def source(_: object) -> str:
        return "1"

    await assert_fits(
        engine,
        waits_for(InvoiceHandler, "Invoices", "payment", source),
        waits_for(PaymentHandler, "Payments", "invoice", source, missing="fail"),
    )


async def test_a_type_that_refers_to_itself_is_a_warning(engine: AsyncEngine) -> None:
    handler = waits_for(ProductHandler, "Goods", "product", "group_id")
    assert "would wait for itself" in await the_warning(engine, handler)


def lines_table(*columns: Any, key: Any = None, **options: Any) -> Table:
    key = String(50) if key is None else key
    own = Column("line", key), Column("sale_id", Integer), *columns
    return a_table(*own, name="lines", key=False, **options)


def sale_of(*children: ChildMap, table: Any = None) -> Handler:
    table = a_table(name="sales") if table is None else table
    return a_handler(InvoiceHandler, table, children=children)


def lines(table: Table, **settings: Any) -> ChildMap:
    given = {"source": "line_items", "parent": "sale_id", "key": "line", "columns": {}} | settings
    return ChildMap(table=table, **given)


@pytest.mark.parametrize("source", ["taxes", "line_item", "status", "billing_address.x", DOCUMENT])
async def test_a_source_that_is_no_list_of_lines(engine: AsyncEngine, source: Any) -> None:
    finding = await the_finding(engine, sale_of(lines(lines_table(), source=source)))
    assert finding.where == "Mine.children[0].source"
    assert "is no list of lines of InvoicePayload" in finding.problem
    assert "line_items" in finding.remedy


async def test_lines_of_a_document_without_lists(engine: AsyncEngine) -> None:
    child = lines(lines_table(), source="tags")
    finding = await the_finding(engine, goods(a_table(), children=[child]))
    assert finding.remedy == "Lists are: none; or give a callable."


async def test_lines_of_a_callable(engine: AsyncEngine) -> None:
    table = lines_table(Column("it", Text))
    child = lines(table, source=lambda invoice: invoice.line_items, columns={"it": "anything"})
    await assert_fits(engine, sale_of(child))


@pytest.mark.parametrize("source", [custom_field("cf_x"), DOCUMENT])
async def test_a_line_has_no_document(engine: AsyncEngine, source: Any) -> None:
    table = lines_table(Column("it", Text))
    finding = await the_finding(engine, sale_of(lines(table, columns={"it": source})))
    assert finding.where == "Mine.children[0].columns['it']"
    assert "always be NULL" in finding.problem


async def test_a_path_that_no_line_has(engine: AsyncEngine) -> None:
    table = lines_table(Column("it", mirror.ExactDecimal()))
    finding = await the_finding(engine, sale_of(lines(table, columns={"it": "quantty"})))
    assert (finding.problem, finding.remedy) == (
        "InvoiceLine has no field 'quantty'.",
        "Did you mean 'quantity'?",
    )


async def test_the_parents_number_of_columns(engine: AsyncEngine) -> None:
    table = lines_table(Column("org", String(9)))
    finding = await the_finding(engine, sale_of(lines(table, parent=("org", "sale_id"))))
    assert finding.problem == "it names 2 column(s), and the primary key of 'sales' has 1."
    assert finding.remedy == "Name a column for each of (id), in order."


async def test_the_parents_types(engine: AsyncEngine) -> None:
    head = Table("sales", MetaData(), Column("zoho_id", String(50), primary_key=True))
    finding = await the_finding(engine, sale_of(lines(lines_table()), table=head))
    assert finding.where == "Mine.children[0].parent"
    assert finding.problem == "column 'sale_id' is INTEGER, and sales.zoho_id is VARCHAR(50)."


async def test_the_key_of_a_line_is_text(engine: AsyncEngine) -> None:
    finding = await the_finding(engine, sale_of(lines(lines_table(key=BigInteger()))))
    assert finding.where == "Mine.children[0].key"
    assert "'#0'" in finding.problem


async def test_two_lists_in_one_table(engine: AsyncEngine) -> None:
    table = lines_table()
    both = lines(table, source="pricebook_items"), lines(table, source="price_brackets")
    handler = a_handler(PriceListHandler, a_table(name="sales"), children=both)
    finding = await the_finding(engine, handler)
    assert finding.problem == "Mine.children[0] fills 'lines' as well."


@BOTH
@pytest.mark.parametrize("kind", [Integer(), BigInteger()])
async def test_an_id_may_be_a_number(engine: AsyncEngine, kind: Any) -> None:
    table = a_table(Column("zid", kind, unique=True))
    handler = goods(table, key="zid")
    if engine.dialect.name == "postgresql" and not isinstance(kind, BigInteger):
        assert "2147483647" in await the_warning(engine, handler)
    else:
        await assert_fits(engine, handler)


async def test_an_id_in_a_narrow_column(postgres_url: str) -> None:
    engine = create_async_engine(postgres_url)
    handler = goods(a_table(Column("it", Integer)), columns={"it": "vendor_id"})
    assert "2147483647" in await the_warning(engine, handler)
    await engine.dispose()


@pytest.mark.parametrize("attribute", ["key", "organization_column"])
async def test_a_key_that_holds_no_id(engine: AsyncEngine, attribute: str) -> None:
    table = a_table(Column("it", Float, unique=True), UniqueConstraint("it", "zoho_id"))
    finding = await the_finding(engine, goods(table, **{attribute: "it"}))
    assert finding.where == f"Mine.{attribute}"
    assert finding.problem == "Zoho's ids are text, and a column of type FLOAT is not."


async def test_a_column_that_nothing_fills(engine: AsyncEngine) -> None:
    finding = await the_finding(engine, goods(a_table(Column("branch", Integer, nullable=False))))
    assert finding.problem == (
        "column 'branch' of 'goods' may not be NULL and has no default, and nothing fills it."
    )
    assert "insert_only={'branch': …}" in finding.remedy


async def test_a_column_that_is_not_even_declared(engine: AsyncEngine) -> None:
    real = a_table(Column("branch", Integer, nullable=False))
    assert "'branch'" in (await the_finding(engine, goods(a_table()), tables=[real])).problem


@BOTH
async def test_a_default_that_is_only_declared(engine: AsyncEngine) -> None:
    real = a_table(Column("branch", Integer, nullable=False))
    declared = a_table(Column("branch", Integer, nullable=False, server_default="7"))
    assert "'branch'" in (await the_finding(engine, goods(declared), tables=[real])).problem


async def test_a_line_column_that_nothing_fills(engine: AsyncEngine) -> None:
    table = lines_table(Column("warehouse", Integer, nullable=False))
    finding = await the_finding(engine, sale_of(lines(table)))
    assert finding.where == "Mine.children[0].columns"


@BOTH
async def test_columns_that_something_fills(engine: AsyncEngine) -> None:
    from sqlalchemy import Computed, FetchedValue, Identity  # noqa: PLC0415  # of this test only

    made = Column("seq", Integer, Identity(), nullable=False)
    table = a_table(
        Column("python", Integer, nullable=False, default=1),
        Column("server", Integer, nullable=False, server_default="1"),
        Column("computed", Integer, Computed("1 + 1"), nullable=False),
        Column("trigger", Integer, FetchedValue(), nullable=False),
        *([made] if engine.dialect.name == "postgresql" else []),
    )
    await assert_fits(engine, goods(table))


@BOTH
async def test_a_primary_key_that_nothing_makes(engine: AsyncEngine) -> None:
    columns = Column("id", String(36), primary_key=True), Column("zoho_id", String(9), unique=True)
    finding = await the_finding(engine, goods(Table("goods", MetaData(), *columns)))
    assert "'id'" in finding.problem


async def test_a_column_that_may_be_empty(engine: AsyncEngine) -> None:
    table = a_table(Column("name", Text, nullable=False))
    warning = await the_warning(engine, goods(table, columns={"name": "name"}))
    assert warning == (
        "Mine.columns['name']: 'name' can be empty, and the column may not be NULL: an empty one "
        "becomes a dead letter, and so does a line without it; a document without it waits for a "
        "fuller one. Leave it where Zoho always has a value, or give a callable that has one, "
        "declare a default, or allow NULL."
    )


async def test_a_column_of_lines_that_may_be_empty(engine: AsyncEngine) -> None:
    """A line is whole: what it lacks is not waited for."""
    lines = a_table(
        Column("sale_id", Integer), Column("words", Text, nullable=False), name="l", key=False
    )
    child = ChildMap(
        table=lines, source="line_items", parent="sale_id", columns={"words": "description"}
    )
    warning = await the_warning(
        engine, a_handler(InvoiceHandler, a_table(name="s"), children=[child])
    )
    assert "becomes a dead letter, and so does a line without it; " in warning


async def test_what_several_columns_have_in_common_is_said_once(engine: AsyncEngine) -> None:
    def needed(name: str) -> Column[Any]:
        return Column(name, Text, nullable=False)

    sales = a_table(needed("number"), needed("note"), Column("client", Integer, nullable=False))
    lines = a_table(needed("name"), Column("sale_id", Integer), name="lines", key=False)
    clients = a_table(needed("name"), name="clients")
    mine = a_handler(
        InvoiceHandler,
        sales,
        columns={"number": "invoice_number", "note": "notes"},
        references=[Reference("client", to="customer", source="customer_id")],
        children=[
            ChildMap(table=lines, source="line_items", parent="sale_id", columns={"name": "name"})
        ],
    )
    yours = a_handler(CustomerHandler, clients, name="Yours", columns={"name": "contact_name"})
    findings, warnings = await checked(engine, mine, yours)
    assert not findings
    first, second = sorted(warnings)
    assert first.startswith(
        "Mine.columns['number'], columns['note'], references['client'], "
        "children[0].columns['name']: 'invoice_number', 'notes', 'customer_id', 'name' can be "
    )
    assert first.count("allow NULL") == 1
    assert second.startswith("Yours.columns['name']: 'contact_name' can be empty, ")


async def test_the_example_of_the_base_class_fits(engine: AsyncEngine) -> None:
    _, _, example = str(BaseEntityHandler.__doc__).partition("code::")
    code, _, _ = example.partition("For full control")
    invoice = a_table(
        Column("zoho_invoice_id", String(50), unique=True),
        Column("amount", mirror.ExactDecimal()),
        Column("deleted_at", mirror.UtcDateTime()),
        key=False,
    )
    names: dict[str, Any] = {
        "InvoiceHandler": InvoiceHandler,
        "EntityMap": EntityMap,
        "Invoice": invoice,
    }
    exec(textwrap.dedent(code), names)  # noqa: S102  # the library's own docstring
    await assert_fits(engine, names["Invoices"])


class Letter(enum.Enum):
    """An enumeration of the host's own: its members are no text."""

    A = "a"


@BOTH
@pytest.mark.parametrize("source", ["name", custom_field("cf_letter"), "custom_field_hash.letter"])
async def test_text_is_no_member_of_an_enumeration(engine: AsyncEngine, source: Any) -> None:
    table = a_table(Column("letter", Enum(Letter, name="letter_of_ours")))
    finding = await the_finding(engine, goods(table, columns={"letter": source}))
    assert finding.where == "Mine.columns['letter']"
    assert "is text, and a column of type Enum does not take it" in finding.problem
    assert "give a callable that converts" in finding.remedy


async def test_a_callable_and_an_enumeration_of_text_are_fine(engine: AsyncEngine) -> None:
    table = a_table(
        Column("letter", Enum(Letter, name="letter_of_ours")),
        Column("word", Enum("a", "b", name="words_of_ours")),
    )
    sources = {"letter": lambda payload: Letter(payload.name), "word": "name"}
    await assert_fits(engine, goods(table, columns=sources))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Date(), "2024-01-01"),
        (DateTime(), "2024-01-01"),
        (Numeric(9, 2), "a lot"),
        (Numeric(9, 2), True),
        (Integer(), "one"),
        (Boolean(), "yes"),
        (Text(), True),
        (Text(), date(2024, 1, 1)),
    ],
)
async def test_a_constant_that_the_column_does_not_take(
    engine: AsyncEngine, kind: Any, value: Any
) -> None:
    table = a_table(Column("made", kind))
    finding = await the_finding(engine, goods(table, insert_only={"made": value}))
    assert finding.where == "Mine.insert_only['made']"
    assert f"{type(value).__name__} is no value of a column" in finding.problem


async def test_constants_that_columns_take(engine: AsyncEngine) -> None:
    constants: dict[str, tuple[Any, Any]] = {
        "day": (Date(), date(2024, 1, 1)),
        "moment": (DateTime(), datetime(2024, 1, 1)),  # noqa: DTZ001  # as the column is
        "digits": (Integer(), "7"),
        "flag": (Integer(), True),
        "switch": (Boolean(), 1),
        "words": (Text(), 7),
        "empty": (Date(), None),
        "now": (DateTime(), func.now()),
        "letter": (Enum(Letter, name="letter_of_ours"), Letter.A),
    }
    table = a_table(*(Column(name, kind) for name, (kind, _) in constants.items()))
    values = {name: value for name, (_, value) in constants.items()}
    await assert_fits(engine, goods(table, insert_only=values))


async def test_a_custom_field_that_may_be_empty(engine: AsyncEngine) -> None:
    table = a_table(Column("note", Text, nullable=False))
    handler = goods(table, columns={"note": custom_field("cf_note")})
    assert "'cf_note' can be empty" in await the_warning(engine, handler)


async def test_a_reference_that_may_be_empty(engine: AsyncEngine) -> None:
    clients = a_handler(CustomerHandler, a_table(name="clients"))
    table = a_table(Column("other", Integer, nullable=False), name="sales")
    references = [Reference("other", to="customer", source="customer_id")]
    sales = a_handler(InvoiceHandler, table, references=references)
    assert "'customer_id' can be empty" in await the_warning(engine, clients, sales)


async def test_columns_that_are_never_empty(engine: AsyncEngine) -> None:
    table = a_table(
        Column("number", Text, nullable=False),
        Column("name", Text, nullable=False, default=""),
        Column("raw", mirror.ExactJSON(), nullable=False),
        Column("made", Text, nullable=False),
    )
    columns = {"number": "item_id", "name": "name", "raw": DOCUMENT, "made": lambda _: "x"}
    await assert_fits(engine, goods(table, columns=columns))


async def test_a_soft_delete_without_a_column(engine: AsyncEngine) -> None:
    finding = await the_finding(engine, goods(a_table(), on_delete="soft"))
    assert finding.where == "Mine.on_delete"
    assert all(word in finding.remedy for word in ("deleted_column", '"hard"', '"ignore"'))


@pytest.mark.parametrize("kind", [Text(), Integer(), YesNo()])
async def test_a_deleted_column_of_another_kind(engine: AsyncEngine, kind: Any) -> None:
    handler = goods(a_table(Column("gone", kind)), on_delete="soft", deleted_column="gone")
    assert "neither a boolean nor" in (await the_finding(engine, handler)).problem


@BOTH
@pytest.mark.parametrize("kind", [Boolean(), DateTime(), Date(), mirror.UtcDateTime()])
async def test_deleted_columns(engine: AsyncEngine, kind: Any) -> None:
    handler = goods(a_table(Column("gone", kind)), on_delete="soft", deleted_column="gone")
    await assert_fits(engine, handler)


@pytest.mark.parametrize(
    "default",
    [
        {"default": True},
        {"server_default": true()},
        {"server_default": text("'1'"), "nullable": False},
    ],
)
async def test_a_deleted_column_that_is_true_by_default(
    engine: AsyncEngine, default: dict[str, Any]
) -> None:
    table = a_table(Column("gone", Boolean, **default))
    warning = await the_warning(engine, goods(table, on_delete="soft", deleted_column="gone"))
    assert warning.startswith(
        "Mine.deleted_column: True would say that it is deleted, and its default is true. "
    )


@BOTH
async def test_a_deleted_column_that_only_the_database_has_true(engine: AsyncEngine) -> None:
    real = a_table(Column("gone", Boolean, server_default=true()))
    declared = a_table(Column("gone", Boolean))
    handler = goods(declared, on_delete="soft", deleted_column="gone")
    findings, warnings = await checked(engine, handler, tables=[real])
    assert findings == ()
    assert "its default is true" in warnings[0]


@pytest.mark.parametrize("name", ["active", "is_active", "isActive", "Enabled", "still_valid"])
async def test_a_deleted_column_that_sounds_alive(engine: AsyncEngine, name: str) -> None:
    table = a_table(Column(name, Boolean))
    warning = await the_warning(engine, goods(table, on_delete="soft", deleted_column=name))
    assert f"True would say that it is deleted, and it is called {name!r}. " in warning
    assert "True when deleted" in warning


@pytest.mark.parametrize("name", ["inactive", "is_deleted", "not_active", "disabled", "activity"])
async def test_a_deleted_column_that_does_not(engine: AsyncEngine, name: str) -> None:
    table = a_table(Column(name, Boolean, nullable=False, server_default=false()))
    await assert_fits(engine, goods(table, on_delete="soft", deleted_column=name))


async def test_a_time_may_be_called_as_it_likes(engine: AsyncEngine) -> None:
    table = a_table(Column("no_longer_current", DateTime), Column("active_until", DateTime))
    await assert_fits(engine, goods(table, on_delete="soft", deleted_column="active_until"))


async def test_a_time_that_may_not_be_null(engine: AsyncEngine) -> None:
    table = a_table(Column("gone", DateTime, nullable=False))
    finding = await the_finding(engine, goods(table, on_delete="soft", deleted_column="gone"))
    assert "NULL says that the entity lives" in finding.problem


@pytest.mark.parametrize("how", ["hard", "ignore"])
async def test_a_deleted_column_that_is_not_used(engine: AsyncEngine, how: str) -> None:
    table = a_table(Column("gone", Boolean))
    warning = await the_warning(engine, goods(table, on_delete=how, deleted_column="gone"))
    assert f'not used with on_delete="{how}"' in warning


async def test_an_unknown_delete(engine: AsyncEngine) -> None:
    finding = await the_finding(engine, goods(a_table(), on_delete="none"))
    assert finding.problem == "on_delete='none' is unknown."


@pytest.mark.parametrize(
    "mapping",
    [
        {"columns": {"it": "name"}, "insert_only": {"it": "x"}},
        {"columns": {"it": "name"}, "key": "it"},
        {"columns": {"it": "name"}, "organization_column": "it"},
        {
            "columns": {"it": "name"},
            "references": [Reference("it", to="vendor", source="vendor_id")],
        },
        {
            "insert_only": {"it": "x"},
            "references": [Reference("it", to="vendor", source="vendor_id")],
        },
    ],
    ids="+".join,
)
async def test_a_column_that_is_filled_twice(engine: AsyncEngine, mapping: Any) -> None:
    table = a_table(Column("it", String(50), unique=True), UniqueConstraint("it", "zoho_id"))
    vendors = a_handler(VendorHandler, a_table(name="vendors"), name="Vendors")
    finding = await the_finding(engine, vendors, goods(table, **mapping))
    assert finding.problem.endswith("fills column 'it' as well.")


async def test_a_line_column_that_is_filled_twice(engine: AsyncEngine) -> None:
    finding = await the_finding(engine, sale_of(lines(lines_table(), insert_only={"sale_id": 1})))
    assert finding.problem == "Mine.children[0].parent fills column 'sale_id' as well."


@BOTH
async def test_sqlite_reuses_primary_keys(engine: AsyncEngine) -> None:
    handler = goods(a_table(key=False, sqlite_autoincrement=False), key=None)
    if engine.dialect.name == "postgresql":
        await assert_fits(engine, handler)
    else:
        finding = await the_finding(engine, handler)
        assert "overwrite a stranger" in finding.problem
        assert "sqlite_autoincrement=True" in finding.remedy


async def test_sqlite_reuses_primary_keys_of_lines(sqlite_url: str) -> None:
    engine = create_async_engine(sqlite_url)
    table = lines_table(sqlite_autoincrement=False)
    finding = await the_finding(engine, sale_of(lines(table, key=None, columns={"line": "sku"})))
    assert finding.where == "Mine.children[0].table"
    await engine.dispose()


@BOTH
@pytest.mark.parametrize("kind", [String(36), Uuid()])
async def test_only_rowids_are_reused(engine: AsyncEngine, kind: Any) -> None:
    table = Table("goods", MetaData(), Column("id", kind, primary_key=True, default="x"))
    await assert_fits(engine, goods(table, key=None))


@BOTH
async def test_a_key_makes_reused_rowids_harmless(engine: AsyncEngine) -> None:
    table = a_table(Column("name", Text), sqlite_autoincrement=False)
    handler = goods(table, columns={"name": "name"})
    await assert_fits(engine, handler)
    sessions = async_sessionmaker(engine)
    sync = ZohoSync(sessions, registry=HandlerRegistry([handler]))
    body = '{"item": {"item_id": "7", "name": "%s", "last_modified_time": "2026-01-0%dT00:00:00Z"}}'
    await sync.ingest((body % ("first", 1)).encode())
    assert await sync.drain() == {Outcome.APPLIED: 1}
    async with engine.begin() as connection:
        await connection.execute(table.delete())
        await connection.execute(insert(table).values(id=1, name="a stranger"))
        if engine.dialect.name == "postgresql":
            await connection.execute(text("SELECT setval('goods_id_seq', 1)"))
    await sync.ingest((body % ("second", 2)).encode())
    assert await sync.drain() == {Outcome.APPLIED: 1}
    async with engine.connect() as connection:
        rows = await connection.execute(table.select().order_by(table.c.id))
        assert [tuple(row) for row in rows] == [(1, None, "a stranger"), (2, "7", "second")]


@BOTH
@pytest.mark.parametrize("kind", [LargeBinary(16), Float(), Boolean(), Unknown()])
async def test_a_primary_key_that_the_ledger_cannot_keep(engine: AsyncEngine, kind: Any) -> None:
    column = Column("id", kind, primary_key=True, default=0)
    table = Table("goods", MetaData(), column, Column("zoho_id", String(9), unique=True))
    finding = await the_finding(engine, goods(table))
    assert finding.where == "Mine.table"
    assert finding.problem.startswith("its primary key 'id' is ")
    assert "int, str, UUID" in finding.remedy


async def test_the_primary_key_of_a_line_with_a_key_is_not_kept(engine: AsyncEngine) -> None:
    columns = Column("line", String(50), unique=True), Column("sale_id", Integer)
    own = Column("id", LargeBinary(16), primary_key=True, default=b"")
    await assert_fits(engine, sale_of(lines(Table("lines", MetaData(), own, *columns))))


async def test_a_table_without_a_primary_key(engine: AsyncEngine) -> None:
    table = Table("goods", MetaData(), Column("zoho_id", String(9), unique=True))
    finding = await the_finding(engine, goods(table))
    assert finding.problem == "'goods' has no primary key."


async def test_tables_in_another_database(engine: AsyncEngine, tmp_path: Path) -> None:
    class Base(DeclarativeBase):
        pass

    class Good(Base):
        __tablename__ = "goods"
        id: Mapped[int] = mapped_column(primary_key=True)
        zoho_id: Mapped[str | None] = mapped_column(unique=True)

    await created(engine)
    other = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'other.db'}")
    child = lines(Good.__table__, parent="id", key=None)  # type: ignore[arg-type]  # it is one
    for handler, wheres in [
        (goods(Good), ["Mine.table"]),
        (sale_of(child), ["Mine.children[0].table"]),
    ]:
        sessions = async_sessionmaker(engine, binds={Good: other})
        sync = ZohoSync(sessions, registry=HandlerRegistry([handler]))
        with pytest.raises(MappingError) as raised:
            await sync.check()
        found = [f.where for f in raised.value.findings if "another database" in f.problem]
        assert found == wheres
    await other.dispose()


async def test_library_tables_in_another_database(engine: AsyncEngine, tmp_path: Path) -> None:
    await created(engine)
    other = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'other.db'}")
    jobs = ZohoSync(async_sessionmaker(engine))._runtime.context.tables.jobs
    sync = ZohoSync(async_sessionmaker(engine, binds={jobs: other}), registry=HandlerRegistry())
    with pytest.raises(MappingError, match="zoho_sync_jobs: the session factory sends it"):
        await sync.check()
    await other.dispose()


@BOTH
async def test_a_factory_without_a_database_of_its_own(engine: AsyncEngine) -> None:
    sync = ZohoSync(async_sessionmaker(binds={mirror.products: engine}))
    with pytest.raises(MappingError, match="only binds= of classes") as raised:
        await sync.check()
    assert "bind=engine" in raised.value.findings[0].remedy


async def test_a_bind_that_is_missing(engine: AsyncEngine) -> None:
    await created(engine)
    handler = goods(a_table())

    class Sparse(AsyncSession):
        def get_bind(
            self, mapper: Any = None, clause: Any = None, bind: Any = None, **more: Any
        ) -> Any:
            from sqlalchemy.exc import UnboundExecutionError  # noqa: PLC0415  # as below

            if clause is not None and getattr(clause, "name", "") == "goods":
                raise UnboundExecutionError
            return super().get_bind(mapper, clause, bind, **more)

    sessions = async_sessionmaker(engine, class_=Sparse)
    sync = ZohoSync(sessions, registry=HandlerRegistry([handler]))
    with pytest.raises(MappingError, match=r"Mine\.table: the session factory sends it"):
        await sync.check()


async def test_engines_that_share_a_pool_are_one_database(engine: AsyncEngine) -> None:
    class Base(DeclarativeBase):
        pass

    class Good(Base):
        __tablename__ = "goods"
        id: Mapped[int] = mapped_column(primary_key=True)
        zoho_id: Mapped[str | None] = mapped_column(unique=True)

    table: Any = Good.__table__
    await created(engine, table)
    same = engine.execution_options(isolation_level="SERIALIZABLE")
    sessions = async_sessionmaker(engine, binds={Good: same})
    assert await ZohoSync(sessions, registry=HandlerRegistry([goods(Good)])).check() == []


async def test_a_handler_without_a_mapping_is_left_alone(engine: AsyncEngine) -> None:
    class Own(BaseEntityHandler[ProductPayload]):
        async def upsert(self, payload: Any) -> None:
            """Write nothing."""

    await assert_fits(engine, Own)


async def test_drain_checks_once_and_logs_warnings(
    engine: AsyncEngine, sessions: Sessions, caplog: pytest.LogCaptureFixture
) -> None:
    table = a_table(Column("name", Text, nullable=False))
    await created(engine, table)
    sync = ZohoSync(sessions, registry=HandlerRegistry([goods(table, columns={"name": "name"})]))
    with caplog.at_level(logging.INFO):
        assert await sync.drain() == {}
        assert await sync.drain() == {}
    (record,) = [each for each in caplog.records if each.name == "zoho_sync.checks.check"]
    assert "'name' can be empty" in record.getMessage()


async def test_drain_refuses_a_wrong_mapping_until_it_is_mended(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    table = a_table(Column("name", Text))
    await created(engine)
    sync = ZohoSync(sessions, registry=HandlerRegistry([goods(table, columns={"name": "name"})]))
    with pytest.raises(MappingError, match="has no table 'goods'"):
        await sync.drain()
    await created(engine, table)
    assert await sync.drain() == {}


@pytest.mark.breaks_connections
async def test_run_refuses_a_wrong_mapping(engine: AsyncEngine, sessions: Sessions) -> None:
    await created(engine)
    sync = ZohoSync(sessions, registry=HandlerRegistry([goods(a_table())]))
    with pytest.raises(MappingError, match="has no table 'goods'"):
        await sync.run()


@pytest.mark.breaks_connections
@BOTH
async def test_run_waits_for_a_database_that_is_away(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoho_sync.checks.check._PAUSE", 0.0)
    sync = ZohoSync(sessions)
    await sync.create_tables()
    calls: list[int] = []
    check: Callable[[], Any] = sync._parts.mappings.once

    async def flaky() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise OperationalError("SELECT 1", {}, OSError("away"))
        await check()

    monkeypatch.setattr(sync._parts.mappings, "once", flaky)
    worker = asyncio.create_task(sync.run())
    async with asyncio.timeout(10):
        while len(calls) < 2 or not sync._parts.mappings._passed:  # noqa: ASYNC110  # the library has no event for it
            await asyncio.sleep(0.01)
    worker.cancel()
    with pytest.raises(asyncio.CancelledError):
        await worker


@pytest.mark.breaks_connections
async def test_at_the_start_the_mirror_need_only_exist(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def spy(_: object, name: str, __: object) -> None:
        read.append(name)

    sync = ZohoSync(sessions)
    await sync.create_tables()
    monkeypatch.setattr("zoho_sync.checks.check.read_table", spy)
    assert await sync.drain() == {}
    assert read == []


@pytest.fixture
async def memory() -> AsyncIterator[AsyncEngine]:
    """An in-memory database, whose sessions share one connection."""
    engine = create_async_engine("sqlite+aiosqlite://")
    yield engine
    await engine.dispose()


async def test_an_in_memory_database_is_checked_too(memory: AsyncEngine) -> None:
    sync = ZohoSync(async_sessionmaker(memory))
    await sync.create_tables()
    assert await sync.check() == []
    assert await sync.drain() == {}


async def test_sqlite_does_not_mind_case(sqlite_url: str) -> None:
    engine = create_async_engine(sqlite_url)
    real = a_table(Column("NAME", Text), name="GOODS")
    handler = goods(a_table(Column("name", Text)), columns={"name": "name"})
    assert await checked(engine, handler, tables=[real]) == ((), [])
    await engine.dispose()


def test_a_key_that_does_not_say_what_it_is_stays_as_it_was() -> None:
    assert decode_key("[7]", [Column("id", Unknown)]) == (7,)


def test_the_stored_type_of_a_decorator_of_a_decorator() -> None:
    from sqlalchemy.dialects import sqlite  # noqa: PLC0415  # of this test only

    class Twice(TypeDecorator[Decimal]):
        impl = Cents
        cache_ok = True

    assert isinstance(stored_type(Twice(), sqlite.dialect()), BigInteger)
