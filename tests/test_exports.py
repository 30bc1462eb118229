"""What users import: exact, sorted, documented, and without a dependency that was not asked for."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import subprocess
import sys
from importlib.resources import files

import pytest

import zoho_sync

ROOT = (
    "ABSENT",
    "AnyOf",
    "BaseEntityHandler",
    "ChildMap",
    "ConfigurationError",
    "DOCUMENT",
    "EntityMap",
    "EntityType",
    "HandlerRegistry",
    "HeaderToken",
    "HostTransactionLost",
    "MappingError",
    "Operation",
    "Outcome",
    "PayloadError",
    "QueryToken",
    "QueueUnavailable",
    "Receipt",
    "ReceiptStatus",
    "Reference",
    "ReferenceFailed",
    "ReferencePending",
    "RetryPolicy",
    "RowRejected",
    "SessionBusy",
    "SignedBody",
    "SignedRequest",
    "SyncEvent",
    "SyncResult",
    "UnknownEntityType",
    "Unverified",
    "ZohoSync",
    "ZohoSyncError",
    "custom_field",
    "default_registry",
    "mirror",
)
OPTIONAL = (
    "aio_pika",
    "aiormq",
    "aiosqlite",
    "alembic",
    "asyncpg",
    "click",
    "django",
    "fastapi",
    "flask",
    "litestar",
    "nats",
    "psycopg",
    "redis",
    "rich",
    "starlette",
    "uvicorn",
    "valkey",
    "waitress",
)
FACES: dict[str, str] = {
    "abc": """AcknowledgesAfterCommit BULK_PRIORITY Capabilities DEFAULT_PRIORITY Depth Enqueued Job
        NotesClaims QueueBackend ReadsPause Relayed RelaysOutbox ReservesConnection SettledEvent
        SettledHook WakesWorkers""",
    "blocking": """BlockingDeadLetters BlockingParkedEvents BlockingQueuedEvents BlockingSync
        enqueue_statement""",
    "events": """Arrival DEFAULT_ORGANIZATION DeadLetterKind EntityCatalog EntityKind EntityType
        Operation Outcome Receipt ReceiptStatus RetryPolicy SyncEvent SyncResult Version""",
    "exceptions": """AmbiguousMatch BrokenOff CallableFailed ConfigurationError Finding
        HandlerTimeout HostTransactionLost LeaseLost MappingError MissingExtra PayloadError
        QueueUnavailable ReferenceFailed ReferencePending RowGone RowRejected SessionBusy
        UnknownEntityType ValueTaken WorkerStopped ZohoSyncError""",
    "handlers": """BaseEntityHandler BillHandler CreditNoteHandler CustomerHandler HandlerRegistry
        InvoiceHandler PaymentHandler PriceListHandler ProductHandler SalesOrderHandler
        StockAdjustmentHandler UserHandler VendorHandler default_registry""",
    "mapping": """ABSENT Absent ChildMap CustomField DOCUMENT EntityMap NaturalKey Placeholder
        Reference Source custom_field folded""",
    "migrations": "IncludeObject combined include_object",
    "mirror": """ExactDecimal ExactJSON MirrorTable MirrorTables UtcDateTime bill_lines bills build
        credit_note_allocations credit_note_lines credit_notes customers invoice_lines invoices
        metadata payment_allocations payments price_list_brackets price_list_items price_lists
        products sales_order_lines sales_orders stock_adjustment_lines stock_adjustments tables
        users vendors""",
    "operate": """AdoptionCount ColumnSource DeadLetter DeadLetterFilter DeadLetters HistoryEntry
        LinkReport ParkedEvent ParkedEvents Provenance QueuedEvent QueuedEvents ReapplyReport
        RefusedLink Replayed StatusReport WorkerReport""",
    "payloads": """Amount BillLine BillPayload ContactPayload CreditNoteAllocation CreditNoteLine
        CreditNotePayload CustomerPayload Day EntityId FieldKind Flag Integer InvoiceLine
        InvoicePayload JsonList JsonObject JsonValue Line ListOf Moment Payload PaymentAllocation
        PaymentPayload Percent PriceBracket PriceListItem PriceListPayload ProductPayload
        SalesOrderLine SalesOrderPayload StockAdjustmentLine StockAdjustmentPayload Text UserPayload
        VendorPayload ZohoId line_key parse""",
    "queues": """MemoryQueue NATSQueue Outbox OutsideQueue RabbitMQQueue RedisQueue SQLQueue decode
        encode undecodable_event""",
    "testing": "QueueMachine QueueSuite",
    "web": """ASGIApp Part PreviewingVerifier SIGNATURE_HEADER Verdict Verifier WHOLE_REQUEST
        WSGIApp sign""",
}
"""What users import from each public package; nothing else below `zoho_sync` is promised."""
NEEDS_AN_EXTRA = {"cli", "testing"}
"""Parts that import what their extra brings."""


def modules() -> list[str]:
    """Every module and package of the library that needs no extra."""
    found = pkgutil.walk_packages(zoho_sync.__path__, "zoho_sync.")
    names = [module.name for module in found]
    return [name for name in names if name.split(".")[1] not in NEEDS_AN_EXTRA]


def test_the_root_exports_exactly_these() -> None:
    assert sorted(zoho_sync.__all__) == list(ROOT)
    assert len(ROOT) <= 40
    namespace: dict[str, object] = {}
    exec("from zoho_sync import *", namespace)  # noqa: S102  # what users may write
    assert set(ROOT) <= namespace.keys()


def order(name: str) -> tuple[int, str]:
    """Constants first, then classes, then the rest."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def test_the_root_is_sorted_constants_first_then_classes_then_the_rest() -> None:
    assert list(zoho_sync.__all__) == sorted(zoho_sync.__all__, key=order)


@pytest.mark.parametrize("name", FACES)
def test_a_public_package_exports_exactly_these(name: str) -> None:
    face = importlib.import_module(f"zoho_sync.{name}")
    assert face.__doc__
    assert list(face.__all__) == sorted(FACES[name].split(), key=order)
    for each in face.__all__:
        assert hasattr(face, each), each


def test_no_other_package_has_a_face() -> None:
    packages = [each for each in pkgutil.iter_modules(zoho_sync.__path__) if each.ispkg]
    others = {each.name for each in packages} - FACES.keys()
    faces = {
        name
        for name in others
        if getattr(importlib.import_module(f"zoho_sync.{name}"), "__all__", ())
    }
    assert faces <= {"cli"}


@pytest.mark.parametrize("name", FACES)
def test_what_a_public_package_exports_is_documented(name: str) -> None:
    module = importlib.import_module(f"zoho_sync.{name}")
    for each in module.__all__:
        exported = getattr(module, each)
        if inspect.isclass(exported) or inspect.isfunction(exported):
            assert inspect.getdoc(exported), each
        if inspect.isclass(exported) and exported.__module__.startswith("zoho_sync"):
            undocumented = [*undocumented_methods(exported)]
            assert not undocumented, f"{each}: {undocumented}"


@pytest.mark.parametrize("name", modules())
def test_every_module_exports_what_it_has_and_says_what_it_does(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__
    exported = getattr(module, "__all__", ())
    assert len(exported) == len(set(exported))
    for each in exported:
        assert hasattr(module, each), each


def undocumented_methods(exported: type) -> list[str]:
    """Public methods and properties of a class, its own ones, without a docstring."""
    members = {n: m for n, m in vars(exported).items() if not n.startswith("_")}
    callables = {
        n: m
        for n, m in members.items()
        if inspect.isfunction(m) or isinstance(m, (property, classmethod, staticmethod))
    }
    return [n for n, m in callables.items() if not (m.__doc__ or inspect.getdoc(m))]


def test_importing_the_library_imports_nothing_optional() -> None:
    code = "import sys, zoho_sync; print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    loaded = set(ran.stdout.split())
    assert "zoho_sync" in loaded
    assert not loaded & set(OPTIONAL)


def test_every_module_imports_without_an_extra() -> None:
    """With the optional packages made impossible to import."""
    code = (
        "import sys, importlib\n"
        f"sys.modules.update(dict.fromkeys({OPTIONAL!r}))\n"
        f"for name in {modules()!r}: importlib.import_module(name)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr


def test_the_package_is_typed() -> None:
    assert (files(zoho_sync) / "py.typed").is_file()
