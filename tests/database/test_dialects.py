"""What differs between databases: what is not supported, and what their errors say."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import IntegrityError

from zoho_sync.database.faults import named_column
from zoho_sync.database.insertion import insert_if_absent
from zoho_sync.exceptions import ConfigurationError
from zoho_sync.store.tables import library_tables

pytestmark = pytest.mark.databases("sqlite", "postgresql", "mariadb")


def test_a_database_that_is_not_supported_is_refused() -> None:
    """And never given an INSERT that fails for the second of two equal rows."""
    with pytest.raises(ConfigurationError, match="oracle is not supported"):
        insert_if_absent("oracle", library_tables().leaders)


@pytest.mark.parametrize(
    ("message", "named"),
    [
        ("NOT NULL constraint failed: invoices.number", ("invoices", "number")),
        ("UNIQUE constraint failed: invoices.number", ("invoices", "number")),
        ("UNIQUE constraint failed: invoices.number, invoices.branch", ("", "")),
        ("CHECK constraint failed: positive", ("", "")),
        ("UNIQUE constraint failed: index 'lower_number'", ("", "")),
    ],
)
def test_one_column_is_named_where_the_database_names_one(
    message: str, named: tuple[str, str]
) -> None:
    assert named_column(IntegrityError("INSERT", {}, Exception(message))) == named
