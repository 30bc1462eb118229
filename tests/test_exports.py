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
    "nats",
    "psycopg",
    "redis",
    "rich",
    "starlette",
    "uvicorn",
    "valkey",
)
NEEDS_AN_EXTRA = {"cli", "testing"}
"""Parts that import what their extra brings."""


def public_modules() -> list[str]:
    """Every module and package of the library whose name does not begin with ``_``."""
    found = pkgutil.walk_packages(zoho_sync.__path__, "zoho_sync.")
    names = [module.name for module in found]
    public = [name for name in names if not any(p.startswith("_") for p in name.split("."))]
    return [name for name in public if name.split(".")[1] not in NEEDS_AN_EXTRA]


MODULES = public_modules()


def test_the_root_exports_exactly_these() -> None:
    assert sorted(zoho_sync.__all__) == list(ROOT)
    assert len(ROOT) <= 40
    namespace: dict[str, object] = {}
    exec("from zoho_sync import *", namespace)  # noqa: S102  # what users may write
    assert set(ROOT) <= namespace.keys()


def test_the_root_is_sorted_constants_first_then_classes_then_the_rest() -> None:
    def order(name: str) -> tuple[int, str]:
        return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)

    assert list(zoho_sync.__all__) == sorted(zoho_sync.__all__, key=order)


@pytest.mark.parametrize("name", MODULES)
def test_a_public_module_says_what_it_exports(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__
    if name == "zoho_sync.web":
        # A folder; its one module is imported by its own name.
        return
    exported = module.__all__
    assert len(exported) == len(set(exported))
    for each in exported:
        assert hasattr(module, each), each


@pytest.mark.parametrize("name", MODULES)
def test_what_a_public_module_exports_is_documented(name: str) -> None:
    module = importlib.import_module(name)
    for each in getattr(module, "__all__", ()):
        exported = getattr(module, each)
        if inspect.isclass(exported) or inspect.isfunction(exported):
            assert inspect.getdoc(exported), each
        if inspect.isclass(exported) and exported.__module__.startswith("zoho_sync"):
            undocumented = [*undocumented_methods(exported)]
            assert not undocumented, f"{each}: {undocumented}"


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


def test_every_public_module_imports_without_an_extra() -> None:
    """All of them, with the optional packages made impossible to import."""
    code = (
        "import sys, importlib\n"
        f"sys.modules.update(dict.fromkeys({OPTIONAL!r}))\n"
        f"for name in {MODULES!r}: importlib.import_module(name)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr


def test_the_package_is_typed() -> None:
    assert (files(zoho_sync) / "py.typed").is_file()
