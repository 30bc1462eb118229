"""Reads what the database really has: a table's columns, and what is unique in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Dialect, Inspector, Integer, inspect, text
from sqlalchemy.types import TypeDecorator, TypeEngine

from zoho_sync.database.types import MARIADB

__all__ = ["RealColumn", "TableFacts", "read_table", "stored_type", "table_names"]

_AUTOINCREMENT: Final = re.compile(r"\bAUTOINCREMENT\b", re.IGNORECASE)


@dataclass(frozen=True)
class RealColumn:
    """A column as the database has it.

    Attributes:
        generated: Whether the database fills it where an INSERT leaves it out.
        default: What it fills it with, in SQL; ``""`` where there is no default.
    """

    name: str
    type: TypeEngine[Any]
    nullable: bool
    generated: bool
    default: str = ""


@dataclass(frozen=True)
class TableFacts:
    """A table as the database has it.

    Attributes:
        columns: By name; on SQLite and MariaDB, where case does not matter, by the name in lower
            case.
        unique: The sets of columns that together are unique for every row.
        reuses_rowids: Whether SQLite may give a new row the primary key of one that was deleted.
    """

    columns: Mapping[str, RealColumn]
    unique: frozenset[frozenset[str]]
    reuses_rowids: bool
    _folds: bool = False

    def column(self, name: str) -> RealColumn | None:
        """Return the column of that name."""
        return self.columns.get(self._key(name))

    def is_unique(self, names: Iterable[str]) -> bool:
        """Return whether exactly these columns carry a constraint or an index that is unique."""
        return frozenset(map(self._key, names)) in self.unique

    def _key(self, name: str) -> str:
        return name.lower() if self._folds else name


def table_names(connection: Connection, schema: str | None) -> list[str]:
    """Return the names of all tables and views of a schema; none where there is no such schema."""
    inspector = inspect(connection)
    if schema is not None and schema not in inspector.get_schema_names():
        return []
    return [*inspector.get_table_names(schema), *inspector.get_view_names(schema)]


def read_table(connection: Connection, name: str, schema: str | None) -> TableFacts:
    """Return what the database has under the name of a table that is there."""
    inspector = inspect(connection)
    sqlite = connection.dialect.name == "sqlite"
    folds = sqlite or connection.dialect.name in MARIADB
    key = list(inspector.get_pk_constraint(name, schema)["constrained_columns"])
    listed = inspector.get_columns(name, schema)
    alias = _rowid_alias(key, listed) if sqlite else None
    columns = [
        RealColumn(
            name=each["name"],
            type=each["type"],
            # SQLite says of a primary key that it may be NULL, and means the rowid.
            nullable=bool(each["nullable"]) and each["name"] not in key,
            generated=_is_generated(each) or each["name"] == alias,
            default=str(each.get("default") or ""),
        )
        for each in listed
    ]
    read = _unique_on_sqlite(connection, name, schema) if sqlite else None
    unique = [key, *(_unique_columns(inspector, name, schema) if read is None else read)]
    return TableFacts(
        columns={_folded(c.name, folds): c for c in columns},
        unique=frozenset(frozenset(_folded(each, folds) for each in names) for names in unique),
        reuses_rowids=alias is not None and not _autoincrements(connection, name, schema),
        _folds=folds,
    )


def stored_type(kind: TypeEngine[Any], dialect: Dialect) -> TypeEngine[Any]:
    """Return what a declared type is in a database: variants chosen, decorators taken off."""
    kind = kind.dialect_impl(dialect)
    while isinstance(kind, TypeDecorator):
        kind = kind.load_dialect_impl(dialect)
    return kind


def _folded(name: str, folds: bool) -> str:  # noqa: FBT001  # whether the database does
    return name.lower() if folds else name


def _is_generated(column: Mapping[str, Any]) -> bool:
    made = column.get("identity") or column.get("computed") or column.get("autoincrement") is True
    return bool(made) or column.get("default") is not None


def _rowid_alias(key: list[str], columns: Iterable[Mapping[str, Any]]) -> str | None:
    # Only a primary key that is declared as INTEGER, in so many letters, is the rowid itself.
    types = {each["name"]: each["type"] for each in columns}
    if len(key) != 1 or not isinstance(types[key[0]], Integer):
        return None
    return key[0] if str(types[key[0]]).upper() == "INTEGER" else None


def _unique_columns(inspector: Inspector, name: str, schema: str | None) -> Iterator[list[str]]:
    for constraint in inspector.get_unique_constraints(name, schema):
        yield list(constraint["column_names"])
    for index in inspector.get_indexes(name, schema):
        options = index.get("dialect_options", {})
        partial = any(option.endswith("_where") for option in options)
        columns = [each for each in index["column_names"] if each is not None]
        # An expression has no column name: such an index says nothing about columns.
        if index["unique"] and not partial and len(columns) == len(index["column_names"]):
            yield columns


def _unique_on_sqlite(connection: Connection, name: str, schema: str | None) -> Iterator[list[str]]:
    # The inspector warns of every index on an expression; what SQLite itself says is enough.
    quote = connection.dialect.identifier_preparer.quote_identifier
    place = f"{quote(schema)}." if schema else ""
    listed = connection.exec_driver_sql(f"PRAGMA {place}index_list({quote(name)})").fetchall()
    for _, index, unique, _, partial in listed:
        rows = connection.exec_driver_sql(f"PRAGMA {place}index_info({quote(index)})")
        columns = [row[2] for row in rows]
        if unique and not partial and all(columns):
            yield columns


def _autoincrements(connection: Connection, name: str, schema: str | None) -> bool:
    place = f"{connection.dialect.identifier_preparer.quote(schema)}." if schema else ""
    statement = f"SELECT sql FROM {place}sqlite_master WHERE name = :name COLLATE NOCASE"  # noqa: S608  # a quoted schema
    definition = connection.execute(text(statement), {"name": name}).scalar()
    return bool(definition and _AUTOINCREMENT.search(definition))
