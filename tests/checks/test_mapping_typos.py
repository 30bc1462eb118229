"""Whatever a slip makes of a mapping, the answer names the place, the right name and the remedy."""

from __future__ import annotations

import types
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    ForeignKey,
    Numeric,
    String,
    UniqueConstraint,
    func,
)
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from zoho_sync import (
    BaseEntityHandler,
    ChildMap,
    ConfigurationError,
    EntityMap,
    HandlerRegistry,
    MappingError,
    Reference,
    ZohoSync,
    custom_field,
    default_registry,
)
from zoho_sync.handlers import (
    CustomerHandler,
    InvoiceHandler,
    ProductHandler,
    SalesOrderHandler,
    VendorHandler,
)
from zoho_sync.mapping.declaration import CustomField, folded
from zoho_sync.payloads import Payload, Text, ZohoId

Handler = type[BaseEntityHandler[Any]]
Check = Callable[..., Any]


# What is wrong here on purpose is wrong for type checkers, too.
change: Any = replace


class Base(DeclarativeBase):
    """A back office that was there before."""


class Branch(Base):
    __tablename__ = "branches"
    code: Mapped[str] = mapped_column(String(4), primary_key=True)


class Partner(Base):
    __tablename__ = "partners"
    __table_args__ = ({"sqlite_autoincrement": True},)
    partner_no: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[str | None] = mapped_column(String(20), unique=True)
    display: Mapped[str | None]
    mail: Mapped[str | None]
    town: Mapped[str | None]
    branch_code: Mapped[str | None] = mapped_column(ForeignKey("branches.code"))
    orders: Mapped[list[Order]] = relationship(
        back_populates="partner", foreign_keys="Order.partner_no"
    )


class Machine(Base):
    __tablename__ = "machines"
    id: Mapped[int] = mapped_column(primary_key=True)
    zoho_ref: Mapped[str | None] = mapped_column(String(40), unique=True)
    article: Mapped[str | None]
    stock_code: Mapped[str | None]
    price: Mapped[Decimal | None] = mapped_column(Numeric(12, 2))


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    zoho_order: Mapped[str | None] = mapped_column(String(40), unique=True)
    number: Mapped[str | None]
    ordered_on: Mapped[date | None]
    partner_no: Mapped[int | None] = mapped_column(ForeignKey("partners.partner_no"))
    partner_number: Mapped[str | None] = mapped_column(ForeignKey("partners.number"))
    somewhere: Mapped[int | None] = mapped_column(ForeignKey("nowhere.id"))
    cancelled_at: Mapped[datetime | None]
    partner: Mapped[Partner | None] = relationship(
        back_populates="orders", foreign_keys=[partner_no]
    )


class Position(Base):
    __tablename__ = "positions"
    __table_args__ = (UniqueConstraint("order_id", "pos"), {"sqlite_autoincrement": True})
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    pos: Mapped[int | None]
    machine_id: Mapped[int | None] = mapped_column(ForeignKey("machines.id"))
    label: Mapped[str | None]


class Nowhere(Base):
    __tablename__ = "nowhere"
    id: Mapped[int] = mapped_column(primary_key=True)


PARTNERS = EntityMap(
    table=Partner,
    adopt=(("display", folded),),
    columns={"display": "contact_name", "mail": "email", "town": "billing_address.city"},
    on_delete="ignore",
)
MACHINES = EntityMap(
    table=Machine,
    key="zoho_ref",
    columns={"article": "name", "stock_code": "sku"},
    on_delete="ignore",
)
POSITIONS = ChildMap(
    table=Position,
    source="line_items",
    parent="order_id",
    columns={"pos": "item_order", "label": "name"},
    references=[Reference("machine_id", to="product", source="item_id")],
)
CUSTOMER = Reference("partner_no", to="customer", source="customer_id")
ORDERS = EntityMap(
    table=Order,
    key="zoho_order",
    columns={"number": "salesorder_number", "ordered_on": "date"},
    references=[CUSTOMER],
    children=[POSITIONS],
    deleted_column="cancelled_at",
)


def a_handler(base: Any, name: str, mapping: Any, **attributes: Any) -> Handler:
    """A handler class with that mapping, and whatever else stands in it."""
    return type(name, (base,), {"mapping": mapping, **attributes})


def registry(
    partners: Any = PARTNERS, machines: Any = MACHINES, orders: Any = ORDERS
) -> HandlerRegistry:
    """The handlers of the back office."""
    found = default_registry()
    found.override(a_handler(CustomerHandler, "Partners", partners))
    found.override(a_handler(ProductHandler, "Machines", machines))
    found.override(a_handler(SalesOrderHandler, "Orders", orders))
    return found


def with_columns(mapping: Any, **columns: Any) -> Any:
    """That mapping with other sources, or with more of them."""
    return change(mapping, columns={**mapping.columns, **columns})


def with_reference(**changes: Any) -> Any:
    """The orders with another reference to their customer."""
    return change(ORDERS, references=[change(CUSTOMER, **changes)])


def with_lines(**changes: Any) -> Any:
    """The orders with other lines."""
    return change(ORDERS, children=[change(POSITIONS, **changes)])


@pytest.fixture
async def check(tmp_path: Path) -> AsyncIterator[Check]:
    """Checks handlers against the tables; returns what is found and what is warned of."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'erp.db'}")

    async def checked(handlers: Any) -> tuple[list[str], list[str]]:
        try:
            sync = ZohoSync(async_sessionmaker(engine), registry=handlers)
            await sync.create_tables()
            async with engine.begin() as connection:
                await connection.run_sync(Base.metadata.create_all)
            return [], await sync.check()
        except MappingError as error:
            return [str(finding) for finding in error.findings], []

    yield checked
    await engine.dispose()


async def test_the_back_office_is_in_order(check: Check) -> None:
    assert await check(registry()) == ([], [])


def said_by(declare: Callable[[], object]) -> list[str]:
    """What is said of a declaration."""
    with pytest.raises(MappingError) as raised:
        declare()
    return [str(finding) for finding in raised.value.findings]


class Watched(SalesOrderHandler):
    """What may stand in a handler besides the methods that the library calls."""

    mapping = ORDERS
    upsrt = "no method"

    async def upsert_lines(self) -> None: ...

    async def _upsert(self) -> None: ...

    async def after_apply(self, event: Any, result: Any) -> None: ...


ANY: Any = EntityMap
LINE: Any = ChildMap
ONE: Any = Reference


@pytest.mark.parametrize(
    ("declare", "owner", "argument"),
    [
        (lambda: ANY(table=Partner, colums={}), "EntityMap", "colums"),
        (lambda: ANY(table=Partner, columns={}, delete_column="x"), "EntityMap", "delete_column"),
        (lambda: ANY(table=Partner), "EntityMap", "columns"),
        (lambda: ANY(Partner, columns={}), "EntityMap", "positional argument"),
        (lambda: ANY(table=Partner, columns={}, whatever=1), "EntityMap", "whatever"),
        (lambda: ONE("partner_no", to="customer", form="customer_id"), "Reference", "form"),
        (lambda: ONE("partner_no", source="customer_id"), "Reference", "to"),
        (lambda: LINE(table=Position, source="l", columns={}, parents="i"), "ChildMap", "parents"),
        (lambda: change(POSITIONS, on_delete="hard"), "ChildMap", "on_delete"),
        (custom_field, "custom_field", "name"),
        (folded, "folded", "text"),
        (
            lambda: custom_field("a", "b"),  # type: ignore[call-arg]  # that is the slip
            "custom_field",
            "positional argument",
        ),
        (Watched, "BaseEntityHandler", "session"),
        (
            lambda: HandlerRegistry().override(Watched, Watched),  # type: ignore[call-arg]  # that is the slip
            "HandlerRegistry.override",
            "positional arguments",
        ),
    ],
)
def test_arguments_that_no_signature_has(
    declare: Callable[[], object], owner: str, argument: str
) -> None:
    """Python says so at once, with the name of what was called and of the argument."""
    with pytest.raises(TypeError, match=rf"^{owner}.*\b{argument}\b"):
        declare()


async def test_what_has_no_signature_is_not_judged(check: Check) -> None:
    assert await check(registry(change(PARTNERS, when=dict))) == ([], [])


def test_the_name_of_the_mapping() -> None:
    for name in ("maping", "mappings"):
        handler = type("Partners", (CustomerHandler,), {name: PARTNERS})
        assert said_by(partial(default_registry().override, handler)) == [
            f"Partners.{name}: it holds an EntityMap, and is not read. Did you mean `mapping`?"
        ]


def test_the_name_of_the_mapping_where_nothing_resembles_it() -> None:
    handler = type("Partners", (CustomerHandler,), {"what": PARTNERS})
    (said,) = said_by(lambda: HandlerRegistry([handler]))
    assert said.endswith("is not read. Call it `mapping`.")


def test_parts_that_stand_beside_the_mapping() -> None:
    lines = a_handler(SalesOrderHandler, "Orders", PARTNERS, children=[POSITIONS])
    assert said_by(lambda: HandlerRegistry([lines])) == [
        (
            "Orders.children: it holds a ChildMap, and is not read. Put it into the mapping: "
            "EntityMap(children=[ChildMap(…)], …)."
        )
    ]
    single = a_handler(SalesOrderHandler, "Orders", PARTNERS, partner=CUSTOMER)
    assert said_by(single.binding) == [
        (
            "Orders.partner: it holds a Reference, and is not read. Put it into the mapping: "
            "EntityMap(references=[Reference(…)], …)."
        )
    ]


def test_what_a_mapping_is_made_of_may_have_a_name() -> None:
    class Orders(SalesOrderHandler):
        first = ORDERS
        lines = POSITIONS
        mapping = change(first, children=[lines])

    class Others(Orders):
        mapping = change(Orders.first, children=[Orders.lines])

    HandlerRegistry([Orders])
    HandlerRegistry([Others])
    default_registry().override(a_handler(SalesOrderHandler, "Orders", "no mapping"))


ADOPT = 'Give adopt=("name",), or adopt=(("name", folded),).'
NO_KEYS = f"not a list of columns. {ADOPT}"
NO_KEY = f"not a column, or one in a pair with a callable. {ADOPT}"


@pytest.mark.parametrize(
    ("adopt", "where", "said"),
    [
        ("display", "adopt", f"it is of type str, {NO_KEYS}"),
        (("display", folded), "adopt[1]", f"it is of type function, {NO_KEY}"),
        ({"display": folded}, "adopt", f"it is of type dict, {NO_KEYS}"),
        (None, "adopt", f"it is nothing, {NO_KEYS}"),
        (((folded, "display"),), "adopt[0]", f"it is of type tuple, {NO_KEY}"),
        (((5, 6),), "adopt[0]", f"it is of type tuple, {NO_KEY}"),
        (((),), "adopt[0]", f"it is of type tuple, {NO_KEY}"),
        ((("display", folded, "x"),), "adopt[0]", f"it is of type tuple, {NO_KEY}"),
        ((Partner.display,), "adopt[0]", f"it is of type InstrumentedAttribute, {NO_KEY}"),
        ((5,), "adopt[0]", f"it is of type int, {NO_KEY}"),
        ((("display", "folded"),), "adopt[0]", f"it is of type tuple, {NO_KEY}"),
        (("display", "folded"), "adopt[1]", "table 'partners' has no column 'folded'. It has pa"),
        (
            (("display", str.lower),),
            "adopt[0]",
            (
                "it is given a SQL expression of the column, not text: the callable "
                "raised TypeError. "
                "Give ('display', folded), or a callable such as sqlalchemy.func.lower."
            ),
        ),
        (
            (("display", lambda _: None),),
            "adopt[0]",
            (
                "it is given a SQL expression of the column, not text: the callable gives nothing, "
                "not a SQL expression of the column. "
            ),
        ),
        (
            (("display", lambda: None),),
            "adopt[0]",
            (
                "the callable is given one argument, and that does not fit: too many positional "
                "arguments. Give one that takes it."
            ),
        ),
        (("dispaly",), "adopt[0]", "table 'partners' has no column 'dispaly'. Did you mean 'disp"),
        (
            ("contact_name",),
            "adopt[0]",
            (
                "table 'partners' has no column 'contact_name'. That is Zoho's name; the "
                "column that "
                "it fills is 'display'."
            ),
        ),
        (
            ("number",),
            "adopt[0]",
            (
                "nothing fills 'number', so that no row would ever be found by it. Fill it: "
                "columns={'number': …}, or leave it out."
            ),
        ),
        (
            ("branch_code",),
            "adopt[0]",
            "insert_only fills 'branch_code', and only when a row is made. Fill it: ",
        ),
    ],
)
async def test_natural_keys(check: Check, adopt: Any, where: str, said: str) -> None:
    mapping = change(PARTNERS, adopt=adopt, insert_only={"branch_code": None})
    (found,), _ = await check(registry(mapping))
    assert found.startswith(f"Partners.{where}: {said}")


async def test_a_natural_key_that_fails_in_its_own_way(check: Check) -> None:
    def broken(_: Any) -> Any:
        raise RuntimeError

    (found,), _ = await check(registry(change(PARTNERS, adopt=(("display", broken),))))
    assert "not text: RuntimeError. Give ('display', folded)" in found


async def test_a_natural_key_may_be_a_reference_and_any_function_of_the_database(
    check: Check,
) -> None:
    machines = change(MACHINES, adopt=(("article", func.lower), "stock_code"))
    orders = change(ORDERS, adopt=("partner_no", "number"))
    assert await check(registry(machines=machines, orders=orders)) == ([], [])


NO_SOURCE = (
    'not a source. Give a path such as "total", custom_field("cf_note") or a callable; what r'
)
NO_VALUE = (
    "not a value for new rows. Give a value, or a callable; what reads the document belongs in"
)
NO_TABLE = "neither an ORM class nor a Table. Give the mapped class or the sqlalchemy.Table."


@pytest.mark.parametrize(
    ("partners", "said"),
    [
        (with_columns(PARTNERS, mail=None), f"columns['mail']: it is nothing, {NO_SOURCE}"),
        (
            with_columns(PARTNERS, mail=custom_field),
            f"columns['mail']: it is of type function, {NO_SOURCE}",
        ),
        (
            with_columns(PARTNERS, mail=CustomField),
            f"columns['mail']: it is the class CustomField, {NO_SOURCE}",
        ),
        (
            with_columns(PARTNERS, mail=CUSTOMER),
            f"columns['mail']: it is of type Reference, {NO_SOURCE}",
        ),
        (
            change(PARTNERS, insert_only={"branch_code": custom_field("cf_branch")}),
            f"insert_only['branch_code']: it is of type CustomField, {NO_VALUE}",
        ),
        (
            change(PARTNERS, insert_only={"branch_code": CUSTOMER}),
            f"insert_only['branch_code']: it is of type Reference, {NO_VALUE}",
        ),
        (
            change(PARTNERS, insert_only={"branch_code": lambda: "HQ"}),
            (
                "insert_only['branch_code']: the callable is given one argument, and that does not "
                "fit: too many positional arguments. Give one that takes it."
            ),
        ),
        (
            change(PARTNERS, insert_only={"branch_code": func.now}),
            "insert_only['branch_code']: the SQL function is not called. Write func.now(), ",
        ),
        (with_columns(PARTNERS, mail=5), f"columns['mail']: it is of type int, {NO_SOURCE}"),
        (
            with_columns(PARTNERS, mail=object()),
            f"columns['mail']: it is of type object, {NO_SOURCE}",
        ),
        (
            change(PARTNERS, key=("number",)),
            "key: it is of type tuple, not a name. Give the name as text.",
        ),
        (change(PARTNERS, table=Partner()), f"table: it is of type Partner, {NO_TABLE}"),
        (change(PARTNERS, table=None), f"table: it is nothing, {NO_TABLE}"),
        (
            change(PARTNERS, table=Partner.display),
            f"table: it is of type InstrumentedAttribute, {NO_TABLE}",
        ),
        (
            change(PARTNERS, table=Order.partner),
            f"table: it is of type InstrumentedAttribute, {NO_TABLE}",
        ),
        (
            change(PARTNERS, adopt=(), columns={"contact_name": "display"}),
            (
                "columns['contact_name']: table 'partners' has no column 'contact_name'. "
                "'display' is "
                "one, and the host's column goes first: columns={'display': 'contact_name'}."
            ),
        ),
        (
            with_columns(PARTNERS, orders="contact_persons"),
            (
                "columns['orders']: table 'partners' has no column 'orders'. It is a "
                "relationship: map "
                "its rows with children=[ChildMap(table=Order, …)]."
            ),
        ),
        (
            with_columns(PARTNERS, partner_no="contact_id"),
            (
                "columns['partner_no']: it would change the primary key of each row that "
                "is adopted. "
                "Leave it out, or give new rows a value: insert_only={'partner_no': …}."
            ),
        ),
        (
            change(PARTNERS, key="partner_no", adopt=()),
            (
                "key: the database numbers partners.partner_no itself: a row of yours that has an "
                "entity's number by chance would be overwritten. Leave key= out, and the library "
            ),
        ),
        (
            with_columns(PARTNERS, mail="name"),
            "columns['mail']: CustomerPayload has no field 'name'. Did you mean 'contact_name'?",
        ),
        (
            with_columns(PARTNERS, mail="contactName"),
            "columns['mail']: CustomerPayload has no field 'contactName'. Did you mean 'contact_na",
        ),
        (
            with_columns(PARTNERS, mail="taxes_qqq"),
            "columns['mail']: CustomerPayload has no field 'taxes_qqq'. Known are account_id, ",
        ),
        (
            with_columns(PARTNERS, town="billing_address/city"),
            (
                "columns['town']: CustomerPayload has no field 'billing_address/city'. "
                "Did you mean "
                "'billing_address.city'?"
            ),
        ),
        (
            with_columns(PARTNERS, town="billing/city"),
            "columns['town']: CustomerPayload has no field 'billing/city'. ",
        ),
        (
            with_columns(PARTNERS, town="addresses.city"),
            (
                "columns['town']: 'addresses' is a list, so that 'addresses.city' reads "
                "nothing. Give "
                "a callable that chooses one of payload.addresses."
            ),
        ),
        (
            change(PARTNERS, host_deleted="leav"),
            (
                "host_deleted: host_deleted='leav' is unknown. Did you mean 'leave'? It is "
                '"recreate" or "leave".'
            ),
        ),
        (
            change(PARTNERS, on_delete="sfot"),
            (
                "on_delete: on_delete='sfot' is unknown. Did you mean 'soft'? It is \"soft\", "
                '"hard" or "ignore".'
            ),
        ),
    ],
)
async def test_an_entitys_mapping(check: Check, partners: Any, said: str) -> None:
    (found,), _ = await check(registry(partners))
    assert found.startswith(f"Partners.{said}")


async def test_a_callable_that_nothing_awaits(check: Check) -> None:
    async def read(_: Any) -> Any: ...

    (found,), _ = await check(registry(change(PARTNERS, when=read)))
    assert found == (
        "Partners.when: the callable is async, and nothing awaits it. Give one that is not."
    )


@pytest.mark.parametrize(
    ("orders", "said"),
    [
        (
            with_reference(to=Partner),
            (
                "references['partner_no'].to: it is the class Partner, not the name of an "
                "entity type. "
                'Give it as text: to="customer".'
            ),
        ),
        (with_reference(to=ProductHandler), "references['partner_no'].to: it is the class Produ"),
        (
            with_reference(to="Partner"),
            (
                "references['partner_no']: 'Partner' is no entity type. It is where 'customer' is "
                "kept: to='customer'."
            ),
        ),
        (with_reference(to="custmer"), "references['partner_no']: 'custmer' is no entity type. Di"),
        (
            with_reference(to="product"),
            (
                "references['partner_no']: the column has a ForeignKey to partners.partner_no, and "
                "'product' is kept in 'machines'. Did you mean to='customer', which is kept there? "
            ),
        ),
        (
            change(ORDERS, references=[Reference("somewhere", to="product", source="customer_id")]),
            (
                "references['somewhere']: the column has a ForeignKey to nowhere.id, and "
                "'product' is "
                "kept in 'machines'. Give the handler of 'product' the table 'nowhere'."
            ),
        ),
        (
            change(
                ORDERS,
                references=[Reference("partner_number", to="customer", source="customer_id")],
            ),
            (
                "references['partner_number']: the column has a ForeignKey to "
                "partners.number, and a "
                "Reference writes the primary key of 'partners'. Refer to the primary key, or fill "
            ),
        ),
        (
            with_reference(source="customer_name"),
            (
                "references['partner_no']: 'customer_name' is text, and no id. Did you mean "
                "'customer_id'?"
            ),
        ),
        (
            with_reference(missing="prak"),
            (
                "references['partner_no'].missing: missing='prak' is unknown. Did you "
                "mean 'park'? It "
                'is "park", "fail" or "null", or a callable that makes a placeholder.'
            ),
        ),
        (
            with_reference(missing={"display": "?"}),
            "references['partner_no'].missing: missing=… of type dict is unknown. It is ",
        ),
        (with_reference(deleted="nul"), "references['partner_no'].deleted: deleted='nul' is unk"),
        (
            with_reference(column="partnerno"),
            "references[0].column: table 'orders' has no column 'partnerno'. Did you mean 'partn",
        ),
        (
            with_reference(column=Order.partner_no),
            (
                "references[0].column: it is of type InstrumentedAttribute, not a name. "
                "Give the name as text."
            ),
        ),
        (
            with_columns(ORDERS, partner="customer_id"),
            "columns['partner']: table 'orders' has no column 'partner'. Did you mean ",
        ),
        (
            with_lines(parent="oder_id"),
            (
                "children[0].parent: table 'positions' has no column 'oder_id'. Did you mean "
                "'order_id'?"
            ),
        ),
        (
            with_lines(parent="machine_id", references=()),
            (
                "children[0].parent: it has no ForeignKey to 'orders', and 'order_id' has "
                "one. Did you "
                "mean parent='order_id'?"
            ),
        ),
        (
            with_lines(columns={"label": "line_items.name"}),
            (
                "children[0].columns['label']: SalesOrderLine has no field 'line_items'. Paths are "
                "relative to the line: 'name'."
            ),
        ),
        (
            with_lines(columns={"label": lambda: ""}),
            (
                "children[0].columns['label']: the callable is given one argument, and "
                "that does not fit: too many positional arguments. Give one that takes it."
            ),
        ),
        (
            change(ORDERS, key="salesorder_id"),
            (
                "key: table 'orders' has no column 'salesorder_id'. Did you mean "
                "'zoho_order', which "
                "is unique?"
            ),
        ),
        (
            change(ORDERS, references=CUSTOMER),
            "references: it is of type Reference, not a list of R",
        ),
        (change(ORDERS, children=POSITIONS), "children: it is of type ChildMap, not a list of Ch"),
    ],
)
async def test_a_mapping_of_several_tables(check: Check, orders: Any, said: str) -> None:
    found, _ = await check(registry(orders=orders))
    assert found[0].startswith(f"Orders.{said}"), found


async def test_a_mapping_onto_the_table_of_another(check: Check) -> None:
    found, _ = await check(registry(change(PARTNERS, table=Machine)))
    assert found == [
        (
            "Partners.columns['display'], columns['mail'], columns['town'], adopt[0]: "
            "table 'machines' "
            "has none of 'display', 'mail', 'town'. Table 'partners' has them: did you mean table= "
            "that one?"
        )
    ]


async def test_many_names_that_no_table_has(check: Check) -> None:
    columns = {"qqq": "name", "www": "sku", "xxx": "rate"}
    found, _ = await check(registry(machines=change(MACHINES, columns=columns)))
    assert found == [
        (
            "Machines.columns['qqq'], columns['www'], columns['xxx']: table 'machines' has none of "
            "'qqq', 'www', 'xxx'. It has id, zoho_ref, article, stock_code, price."
        )
    ]


async def test_a_relationship_to_one_row(check: Check) -> None:
    class Lone(DeclarativeBase):
        pass

    class Town(Lone):
        __tablename__ = "towns"
        id: Mapped[int] = mapped_column(primary_key=True)

    class House(Lone):
        __tablename__ = "houses"
        id: Mapped[int] = mapped_column(primary_key=True)
        where_id: Mapped[int | None] = mapped_column(ForeignKey("towns.id"))
        town: Mapped[Town | None] = relationship()

    mapping = change(PARTNERS, table=House, adopt=(), columns={"town": "contact_name"})
    (found,), _ = await check(registry(mapping))
    assert found.endswith("fill its column with references=[Reference('where_id', …)].")


async def test_an_id_in_the_column_of_a_foreign_key(check: Check) -> None:
    orders = change(with_columns(ORDERS, partner_no="customer_id"), references=())
    _, (warning,) = await check(registry(orders=orders))
    assert warning == (
        "Orders.columns['partner_no']: 'customer_id' is Zoho's id, and the column has a ForeignKey "
        "to partners.partner_no, the host's own key. Give references=[Reference('partner_no', "
        "to='customer', source='customer_id')]."
    )
    # What refers to no entity's own key may hold what it likes.
    for column in ("somewhere", "partner_number"):
        other = with_columns(ORDERS, **{column: "customer_id"})
        assert await check(registry(orders=other)) == ([], [])


async def test_a_reference_to_what_a_handler_finds_itself(check: Check) -> None:
    class Machines(ProductHandler):
        mapping = MACHINES

        async def resolve(self, entity_type: str, zoho_id: str, *, missing: str = "park") -> Any:
            return await super().resolve(entity_type, zoho_id, missing=missing)

    handlers = registry(orders=with_reference(to="product"))
    handlers.override(Machines)
    assert await check(handlers) == ([], [])


async def test_text_in_place_of_an_id(check: Check) -> None:
    _, (warning,) = await check(registry(orders=with_reference(source="reference_number")))
    assert warning.startswith(
        "Orders.references['partner_no']: 'reference_number' is text, and a reference is found by "
        "Zoho's id alone. Give the field with the id of the customer, if there is one."
    )


async def test_the_class_of_another_entity(check: Check) -> None:
    handlers = default_registry()
    handlers.override(a_handler(VendorHandler, "Partners", change(PARTNERS, adopt=())))
    handlers.override(a_handler(SalesOrderHandler, "Orders", change(ORDERS, children=())))
    found, _ = await check(handlers)
    assert found == [
        (
            "Orders.references['partner_no']: the column has a ForeignKey to "
            "partners.partner_no, and "
            "'customer' is kept in 'zoho_customers'. Did you mean to='vendor', which is "
            "kept there? "
            "Otherwise give the handler of 'customer' the table 'partners'."
        )
    ]


async def test_the_name_of_a_type_that_writes_by_its_own_code(check: Check) -> None:
    class Unmapped(CustomerHandler):
        mapping = None  # type: ignore[assignment]  # it has none

        async def upsert(self, payload: Any) -> Any:
            return payload.entity_id

    handlers = registry(orders=with_reference(to="Unmapped"))
    handlers.override(Unmapped)
    found, _ = await check(handlers)
    assert found[0].endswith(
        "'Unmapped' is no entity type. It is where 'customer' is kept: to='customer'."
    )


@pytest.mark.parametrize(
    ("city", "said"), [("ctiy", "Did you mean 'city'?"), ("district", ""), ("city", "")]
)
async def test_the_field_of_an_address(check: Check, city: str, said: str) -> None:
    found, warnings = await check(registry(with_columns(PARTNERS, town=f"billing_address.{city}")))
    expected = [
        (
            f"Partners.columns['town']: no address of Zoho's documentation has {city!r}; "
            f"it would stay "
            f"empty. {said}"
        )
    ]
    assert (found, warnings) == ([], expected if said else [])


async def test_methods_that_are_in_order(check: Check) -> None:
    handlers = registry()
    handlers.override(Watched)
    assert await check(handlers) == ([], [])


async def test_a_method_that_nobody_calls(check: Check) -> None:
    class Orders(Watched):
        async def aftr_apply(self) -> None: ...

    handlers = registry()
    handlers.override(Orders)
    _, (warning,) = await check(handlers)
    assert warning == (
        "Orders.aftr_apply: the library calls no method of that name. Did you mean 'after_apply'?"
    )


async def test_a_method_that_cannot_be_awaited(check: Check) -> None:
    def upsert(_self: Any, payload: Any) -> Any:
        return payload

    handlers = registry()
    handlers.override(a_handler(SalesOrderHandler, "Orders", ORDERS, upsert=upsert))
    (found,), _ = await check(handlers)
    assert found == (
        "Orders.upsert: it is not an async function, and the library awaits it. Write async def "
        "upsert(_self: 'Any', payload: 'Any') -> 'Any'."
    )


async def test_a_delete_that_is_never_called(check: Check) -> None:
    async def delete(_self: Any, _entity_id: str) -> None: ...

    handlers = registry()
    handlers.override(a_handler(CustomerHandler, "Partners", PARTNERS, delete=delete))
    handlers.override(a_handler(SalesOrderHandler, "Orders", ORDERS, delete=delete))
    (found,), _ = await check(handlers)
    assert found == (
        'Partners.delete: on_delete="ignore" ignores deletes before delete() is called. Choose '
        'on_delete="soft" or "hard", or take delete() out.'
    )


@pytest.mark.parametrize(
    "given", [default_registry, HandlerRegistry, Watched, [Watched], (), types, "mapping"]
)
def test_what_is_no_registry(given: Any) -> None:
    with pytest.raises(ConfigurationError) as raised:
        ZohoSync(async_sessionmaker(), registry=given)
    assert str(raised.value) == (
        "registry must be a HandlerRegistry; give registry = default_registry(), after "
        "registry.override(YourHandler)"
    )


def test_what_a_registry_takes() -> None:
    handlers: Any = default_registry()
    with pytest.raises(ConfigurationError) as raised:
        handlers.override(PARTNERS)
    assert str(raised.value) == (
        "override() takes a handler class; this is of type EntityMap, and not a subclass of "
        "BaseEntityHandler; give the class itself"
    )


def test_what_a_handler_itself_raises_is_left_alone() -> None:
    class Picky(InvoiceHandler):
        def __init__(self, session: Any) -> None:
            super().__init__(session)
            self.organization_id = session.missing + 1

    class Broken:
        def __bool__(self) -> bool:
            raise TypeError("of its own")

    odd: Any = Broken()
    with pytest.raises(TypeError, match="of its own"):
        Watched(odd, organization_id=odd)
    with pytest.raises(TypeError, match="unsupported operand"):
        Picky(types.SimpleNamespace(missing=None))


def test_the_id_of_a_model_of_the_hosts_own() -> None:
    with pytest.raises(ConfigurationError, match="belongs; did you mean 'shipment_id'"):

        class Shipment(Payload):
            entity_type = "shipment"
            id_fields = ("shipmnt_id",)
            shipment_id: ZohoId = None
            note: Text = None


async def test_money_on_sqlite_is_said_once_for_all(check: Check) -> None:
    orders = with_lines(columns={"label": "name"})
    machines = with_columns(MACHINES, price="rate")
    _, warnings = await check(registry(machines=machines, orders=orders))
    assert warnings == [
        (
            "Machines.columns['price']: SQLite keeps NUMERIC as a binary float: "
            "99999999999999.99 comes"
            " back as 99999999999999.98. Leave it where amounts have no more than 15 "
            "digits, or make "
            "the column zoho_sync.mirror.ExactDecimal."
        )
    ]


async def test_an_identity_in_two_tables(check: Check) -> None:
    class Family(DeclarativeBase):
        pass

    class Party(Family):
        __tablename__ = "parties"
        id: Mapped[int] = mapped_column(primary_key=True)
        organization: Mapped[str | None]

    class Client(Party):
        __tablename__ = "clients"
        id: Mapped[int] = mapped_column(ForeignKey("parties.id"), primary_key=True)
        zoho_id: Mapped[str | None] = mapped_column(unique=True)

    mapping = EntityMap(
        table=Client,
        key="zoho_id",
        organization_column="organization",
        columns={},
        on_delete="ignore",
    )
    found, _ = await check(registry(mapping))
    assert (
        "Partners.organization_column: 'organization' and 'zoho_id' are in two tables, and no "
        "constraint spans both. Name columns of one table."
    ) in found
