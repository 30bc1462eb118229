"""Tables that law 3 is tried on, a host's own and the mirror, with handlers that may fail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Final, Protocol

from sqlalchemy import Table, insert

from tests.hosts.sql import Sessions, clear, execute, make, rows
from tests.hosts.tables import metadata
from tests.laws import erp, oracle
from tests.laws.histories import ID_FIELDS
from tests.laws.oracle import moment, number, text
from zoho_sync import SyncEvent, mirror
from zoho_sync.exceptions import PayloadError
from zoho_sync.handlers import (
    BaseEntityHandler,
    CustomerHandler,
    InvoiceHandler,
    PaymentHandler,
    ProductHandler,
    UserHandler,
)


class Failing:
    """Fails once for each planned event: for good or for a while, before or after the write."""

    plan: ClassVar[dict[str, str]] = {}

    async def before_apply(self, event: SyncEvent) -> None:
        if self.plan.get(event.id) == "before":
            del self.plan[event.id]
            raise PayloadError("injected", "cannot be applied, the first time")

    async def after_apply(self, event: SyncEvent, _: object) -> None:
        how = self.plan.pop(event.id, None)
        if how == "after":
            raise PayloadError("injected", "cannot be applied, the first time")
        if how is not None:
            raise ConnectionError("the service does not answer, the first time")


Entities = Mapping[tuple[str, str], tuple[dict[str, Any], dict[str, Any]]]


class World(Protocol):
    """Tables, the handlers that write them, and what the oracle knows of them."""

    @property
    def handlers(self) -> Sequence[type[BaseEntityHandler[Any]]]: ...
    @property
    def expected(self) -> Mapping[str, oracle.Rows]: ...

    async def build(self, sessions: Sessions) -> None: ...
    async def begin(self, sessions: Sessions) -> None: ...
    async def work_on(self, sessions: Sessions) -> None: ...
    async def entities(self, sessions: Sessions) -> Entities: ...
    async def snapshot(self, sessions: Sessions) -> tuple[Any, dict[Any, Any]]: ...


class ErpClients(Failing, erp.Clients): ...


class ErpItems(Failing, erp.Items): ...


class ErpInvoices(Failing, erp.Invoices): ...


class ErpPayments(Failing, erp.Payments): ...


class Erp:
    """A host with tables of its own."""

    handlers = (ErpClients, ErpItems, ErpInvoices, ErpPayments)
    expected = erp.EXPECTED

    async def build(self, sessions: Sessions) -> None:
        await make(sessions, metadata)

    async def begin(self, sessions: Sessions) -> None:
        await clear(sessions, metadata)
        await erp.settle_in(sessions)

    async def work_on(self, sessions: Sessions) -> None:
        await erp.work_on(sessions)

    async def entities(self, sessions: Sessions) -> Entities:
        return (await erp.Reading().read(sessions)).entities()

    async def snapshot(self, sessions: Sessions) -> tuple[Any, dict[Any, Any]]:
        reading = await erp.Reading().read(sessions)
        return reading.hosts_rows(), reading.hosts_columns()


class MirrorCustomers(Failing, CustomerHandler): ...


class MirrorProducts(Failing, ProductHandler): ...


class MirrorInvoices(Failing, InvoiceHandler): ...


class MirrorPayments(Failing, PaymentHandler): ...


class MirrorUsers(Failing, UserHandler): ...


def _mirrored(*fields: tuple[str, oracle.Reader], **lists: oracle.Lines) -> oracle.Rows:
    times = (("last_modified_time", moment), ("updated_time", moment))
    columns = {name: (name, read) for name, read in fields + times}
    return oracle.Rows(columns, lists, keeps_document=True)


def _mirrored_lines(source: str, key: str, *fields: tuple[str, oracle.Reader]) -> oracle.Lines:
    return oracle.Lines(source, key, {name: (name, read) for name, read in fields})


class Mirror:
    """The library's own tables for hosts that have none."""

    handlers = (MirrorCustomers, MirrorProducts, MirrorInvoices, MirrorPayments, MirrorUsers)
    tables: ClassVar[Mapping[str, tuple[Table, Table | None, str]]] = {
        "customer": (mirror.customers, None, ""),
        "product": (mirror.products, None, ""),
        "invoice": (mirror.invoices, mirror.invoice_lines, "line_item_id"),
        "payment": (mirror.payments, mirror.payment_allocations, "invoice_payment_id"),
        "user": (mirror.users, None, ""),
    }
    expected = MappingProxyType(
        {
            "customer": _mirrored(("contact_name", text), ("email", text)),
            "product": _mirrored(("name", text), ("sku", text), ("rate", number)),
            "invoice": _mirrored(
                ("invoice_number", text),
                ("customer_id", text),
                ("total", number),
                ("notes", text),
                lines=_mirrored_lines(
                    "line_items",
                    "line_item_id",
                    ("item_id", text),
                    ("quantity", number),
                    ("description", text),
                ),
            ),
            "payment": _mirrored(
                ("amount", number),
                ("customer_id", text),
                ("reference_number", text),
                ("invoice_id", text),
                lines=_mirrored_lines(
                    "invoices",
                    "invoice_payment_id",
                    ("invoice_id", text),
                    ("amount_applied", number),
                ),
            ),
            "user": _mirrored(("name", text), ("email", text)),
        }
    )

    async def build(self, sessions: Sessions) -> None:
        """Do nothing: the library makes its mirror."""

    async def begin(self, sessions: Sessions) -> None:
        await clear(sessions, mirror.metadata)
        # Another organization's, in the same tables under the same ids.
        other = {"organization_id": "other"}
        await execute(
            sessions,
            insert(mirror.products).values(item_id="41", name="theirs", **other),
            insert(mirror.invoices).values(invoice_id="21", **other),
            insert(mirror.invoice_lines).values(invoice_id="21", line_item_id="21-1", **other),
        )

    async def work_on(self, sessions: Sessions) -> None:
        """Do nothing: the mirror is the library's."""

    async def entities(self, sessions: Sessions) -> Entities:
        found = {}
        for kind, (table, children, key) in self.tables.items():
            id_field = ID_FIELDS[kind]
            lines = [] if children is None else await rows(sessions, children, **OURS)
            for row in await rows(sessions, table, **OURS):
                name = row[id_field]
                mine = {
                    line[key]: telling(line, {"organization_id", id_field, key})
                    for line in lines
                    if line[id_field] == name
                }
                found[kind, name] = (telling(row, {"organization_id", id_field}), mine)
        return found

    async def snapshot(self, sessions: Sessions) -> tuple[Any, dict[Any, Any]]:
        tables = (mirror.products, mirror.invoices, mirror.invoice_lines)
        return [await rows(sessions, table, organization_id="other") for table in tables], {}


OURS: Final = {"organization_id": "default"}


def telling(row: Mapping[str, Any], dropped: set[str]) -> dict[str, Any]:
    """The columns that say something; that all others are NULL goes with it."""
    return {key: value for key, value in row.items() if value is not None and key not in dropped}
