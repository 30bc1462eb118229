"""Compares the database with the oldest version that the library is meant for."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from sqlalchemy import Dialect

from zoho_sync.checks.report import Report

__all__ = ["OLDEST", "check_server"]

OLDEST: Final[Mapping[str, tuple[int, ...]]] = MappingProxyType(
    {
        "SQLite": (3, 35),  # RETURNING
        "PostgreSQL": (14,),
        "MariaDB": (10, 6),  # SKIP LOCKED
    }
)
"""The oldest versions that are supported."""

_NAMES: Final = {
    "sqlite": "SQLite",
    "postgresql": "PostgreSQL",
    "mysql": "MariaDB",
    "mariadb": "MariaDB",
}


def check_server(report: Report, dialect: Dialect) -> None:
    """Refuse a database that is too old."""
    name = _NAMES.get(dialect.name, "")
    version = tuple(dialect.server_version_info or ())
    oldest = OLDEST.get(name, ())
    if version and version[: len(oldest)] < oldest:
        found, wanted = (".".join(map(str, each)) for each in (version[:3], oldest))
        problem = f"the database is {name} {found}, and {wanted} is the oldest that is supported."
        report.refuse("session_factory", problem, f"Use {name} {wanted} or later.")
