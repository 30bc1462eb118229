"""Says which page of the reference describes what, and from where it is imported.

This table is all that has to change when a module moves or a name is added.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["PAGES", "Face", "Page"]


@dataclass(frozen=True)
class Face:
    """Names that users import from one module.

    Attributes:
        module: The module that users import from.
        names: What is described, with blanks between; everything in its `__all__` if empty.
        read_from: The module whose source is read, where that is another one.
        style: `full`; or `list`, a line for each name; `fields`, for the models of payloads;
            `names`, the bare names.
        title: A heading above the names, for every style but `full`.
        made: Names of classes that the library makes: users never call them.
        contract: Names of classes whose methods only users' frameworks call.
    """

    module: str
    names: str = ""
    read_from: str = ""
    style: Literal["full", "list", "fields", "names"] = "full"
    title: str = ""
    made: str = ""
    contract: str = ""

    @property
    def source(self) -> str:
        """The module whose source is read."""
        return self.read_from or self.module


@dataclass(frozen=True)
class Page:
    """One page of the reference.

    Attributes:
        file: Its name in `docs/reference`, without `.md`.
        title: Its heading.
        introduction: What stands below the heading.
        faces: What it describes.
    """

    file: str
    title: str
    introduction: str
    faces: tuple[Face, ...]


PAGES = (
    Page(
        "application",
        "The application",
        "`ZohoSync` is the object that your application holds. `BlockingSync` is the same for "
        "code without an event loop.",
        (
            Face("zoho_sync", "ZohoSync"),
            Face("zoho_sync", "RetryPolicy"),
            Face(
                "zoho_sync.blocking",
                made="BlockingDeadLetters BlockingParkedEvents BlockingQueuedEvents",
            ),
        ),
    ),
    Page(
        "handlers",
        "Handlers and the registry",
        "A handler applies the events of one entity type to your tables. A registry holds one "
        "handler for each type. See [Map your tables](../how-to/map-your-tables.md) and "
        "[Add entities of your own](../how-to/custom-entities.md).",
        (
            Face("zoho_sync", "BaseEntityHandler"),
            Face("zoho_sync", "HandlerRegistry default_registry"),
            Face(
                "zoho_sync.handlers",
                "ProductHandler CustomerHandler VendorHandler SalesOrderHandler "
                "InvoiceHandler PaymentHandler CreditNoteHandler BillHandler "
                "StockAdjustmentHandler PriceListHandler UserHandler",
                style="list",
                title="The eleven handlers",
            ),
        ),
    ),
    Page(
        "mapping",
        "Mapping",
        "A mapping says which of your columns hold what. It is a declaration, and runs nothing. "
        "The guide is [Map your tables](../how-to/map-your-tables.md).",
        (
            Face(
                "zoho_sync",
                "EntityMap ChildMap Reference custom_field ABSENT DOCUMENT",
            ),
            Face("zoho_sync.mapping", "folded Source NaturalKey Placeholder Absent CustomField"),
        ),
    ),
    Page(
        "payloads",
        "Payloads",
        "A payload model reads a document of Zoho's. Every field of a model is optional, except "
        "its id. Keys that no field declares are kept.",
        (
            Face("zoho_sync.payloads", "Payload Line parse line_key"),
            Face(
                "zoho_sync.payloads",
                "Text EntityId ZohoId Amount Percent Integer Flag Day Moment ListOf JsonObject "
                "JsonList JsonValue",
                style="list",
                title="Types of fields",
            ),
            Face("zoho_sync.payloads", "FieldKind"),
            Face(
                "zoho_sync.payloads",
                "ProductPayload ContactPayload CustomerPayload VendorPayload "
                "SalesOrderPayload SalesOrderLine InvoicePayload InvoiceLine "
                "PaymentPayload PaymentAllocation CreditNotePayload CreditNoteLine "
                "CreditNoteAllocation BillPayload BillLine StockAdjustmentPayload "
                "StockAdjustmentLine PriceListPayload PriceListItem PriceBracket "
                "UserPayload",
                style="fields",
                title="The models",
            ),
        ),
    ),
    Page(
        "events",
        "Events and results",
        "These are the values that you hand over and get back.",
        (
            Face("zoho_sync", "SyncEvent Operation"),
            Face("zoho_sync", "EntityType"),
            Face("zoho_sync", "Receipt ReceiptStatus SyncResult"),
            Face("zoho_sync", "Outcome"),
            Face("zoho_sync.events", "DeadLetterKind"),
            Face("zoho_sync.events", "Version", made="Version"),
            Face("zoho_sync.events", "Arrival DEFAULT_ORGANIZATION"),
            Face("zoho_sync.events", "EntityKind EntityCatalog"),
        ),
    ),
    Page(
        "verifiers",
        "Verifiers and the front door",
        "A verifier decides which deliveries are let in. The guide is "
        "[Configure webhooks in Zoho](../how-to/webhooks.md).",
        (
            Face(
                "zoho_sync",
                "SignedRequest SignedBody HeaderToken QueryToken AnyOf Unverified",
            ),
            Face(
                "zoho_sync.web",
                "sign SIGNATURE_HEADER Verifier PreviewingVerifier Verdict Part WHOLE_REQUEST",
            ),
            Face("zoho_sync.web", "ASGIApp WSGIApp"),
        ),
    ),
    Page(
        "queues",
        "Queues",
        "Each class is an engine that holds events between the front door and the workers. The "
        "guide is [Choose a queue](../how-to/queues.md), and the contract of all engines is "
        "`QueueBackend`.",
        (
            Face(
                "zoho_sync.queues", "SQLQueue Outbox RedisQueue RabbitMQQueue NATSQueue MemoryQueue"
            ),
            Face(
                "zoho_sync.queues",
                "OutsideQueue",
                made="OutsideQueue",
            ),
            Face(
                "zoho_sync.queues",
                "encode decode undecodable_event",
            ),
        ),
    ),
    Page(
        "interfaces",
        "Interfaces",
        "Implement these where you want a queue engine or a hook of your own.",
        (
            Face("zoho_sync.abc", "SettledEvent SettledHook"),
            Face(
                "zoho_sync.abc",
                "QueueBackend Capabilities Enqueued Job Depth DEFAULT_PRIORITY "
                "BULK_PRIORITY AcknowledgesAfterCommit ReadsPause WakesWorkers "
                "ReservesConnection NotesClaims RelaysOutbox Relayed",
            ),
        ),
    ),
    Page(
        "operating",
        "Operating",
        "This is what the methods of `ZohoSync` return to whoever keeps it running. The guide is "
        "[Operate](../how-to/operate.md).",
        (
            Face("zoho_sync.operate", "StatusReport WorkerReport"),
            Face(
                "zoho_sync.operate",
                "DeadLetters DeadLetter DeadLetterFilter Replayed",
                made="DeadLetters",
            ),
            Face(
                "zoho_sync.operate",
                "ParkedEvents ParkedEvent",
                made="ParkedEvents",
            ),
            Face(
                "zoho_sync.operate",
                "QueuedEvents QueuedEvent",
                made="QueuedEvents",
            ),
            Face(
                "zoho_sync.operate",
                "HistoryEntry Provenance ColumnSource",
            ),
            Face("zoho_sync.operate", "LinkReport RefusedLink"),
            Face("zoho_sync.operate", "AdoptionCount"),
            Face("zoho_sync.operate", "ReapplyReport"),
        ),
    ),
    Page(
        "mirror",
        "The mirror",
        "The mirror is ready-made tables for Zoho's data. Their names in the database begin with "
        "`zoho_`, and their columns have Zoho's own names.\n\n"
        "- The primary key of a document is `(organization_id, <its id>)`.\n"
        "- The primary key of a line is `(organization_id, <id of the document>, <its id>)`. A "
        "line without an id has `#` and its position instead.\n"
        "- Amounts and quantities are NUMERIC(28, 10). On SQLite they are the same number as "
        "text. A number with more than ten decimals is refused by name, and not rounded.\n"
        "- Times are aware UTC. On MariaDB they are DATETIME(6) in UTC.\n"
        "- Nested objects and lists are JSON as text. Numbers keep every digit.\n"
        "- `raw` is the document as received.\n"
        "- `deleted_at` says when the entity was deleted in Zoho. It is NULL while the entity "
        "lives.\n"
        "- All other columns can be NULL. There are no foreign keys, because entities arrive in "
        "any order.",
        (
            Face(
                "zoho_sync.mirror",
                "products customers vendors sales_orders sales_order_lines invoices "
                "invoice_lines payments payment_allocations credit_notes "
                "credit_note_lines credit_note_allocations bills bill_lines "
                "stock_adjustments stock_adjustment_lines price_lists "
                "price_list_items price_list_brackets users metadata tables",
                style="names",
                title="The tables",
            ),
            Face(
                "zoho_sync.mirror",
                "ExactDecimal UtcDateTime ExactJSON build MirrorTables MirrorTable",
                made="MirrorTables MirrorTable",
                contract="ExactDecimal UtcDateTime ExactJSON",
            ),
        ),
    ),
    Page(
        "testing",
        "Testing",
        'These checks need the extra `testing`: `pip install "zoho-sync[testing]"`. Run them in '
        "your own continuous integration.",
        (Face("zoho_sync.testing", "QueueSuite QueueMachine"),),
    ),
    Page(
        "exceptions",
        "Exceptions",
        "Every error that the library raises on purpose is a `ZohoSyncError`. Where `permanent` "
        "is True, the event becomes a dead letter at once, because it would fail again in the "
        "same way. Every other error is tried again.",
        (
            Face("zoho_sync.exceptions", style="list", title="All of them"),
            Face(
                "zoho_sync",
                "ZohoSyncError ConfigurationError MappingError UnknownEntityType "
                "PayloadError ReferenceFailed ReferencePending RowRejected "
                "HostTransactionLost SessionBusy QueueUnavailable",
            ),
            Face(
                "zoho_sync.exceptions",
                "ValueTaken AmbiguousMatch CallableFailed HandlerTimeout BrokenOff WorkerStopped "
                "MissingExtra LeaseLost Finding",
            ),
        ),
    ),
    Page(
        "migrations",
        "Alembic",
        "Your own Alembic must leave the library's tables alone. See "
        "[Operate](../how-to/operate.md#your-own-alembic).",
        (Face("zoho_sync.migrations", "include_object combined IncludeObject"),),
    ),
)
