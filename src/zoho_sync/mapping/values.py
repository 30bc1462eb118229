"""Prepares what goes into the columns of one row: values, defaults, identity."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import (
    Boolean,
    ClauseElement,
    Column,
    ColumnElement,
    Date,
    DateTime,
    DefaultClause,
    Dialect,
    Integer,
    String,
    and_,
    literal_column,
)

from zoho_sync.database.types import ExactDecimal
from zoho_sync.exceptions import RowRejected
from zoho_sync.mapping.binding import BoundRows
from zoho_sync.mapping.declaration import ABSENT, CustomField, read_source
from zoho_sync.mapping.untyped_values import is_untyped, read_untyped
from zoho_sync.payloads import Line, Payload

__all__ = [
    "Key",
    "Values",
    "coerce",
    "deletion_mark",
    "equals",
    "field_of",
    "identity_values",
    "insert_only_values",
    "read_values",
    "refusals_at",
    "required_columns",
    "suspect",
    "with_defaults",
]

_INTEGER_BITS: Final = 63
_NUMBERS: Final = (int, float, Decimal)
_WHOLE: Final = re.compile(r"0|-?[1-9][0-9]*")

Key = tuple[Any, ...]
"""A primary key: the values of its columns, in their order."""

Values = dict[Column[Any], Any]
"""The values to write, by column."""


def read_values(
    rows: BoundRows,
    node: Payload | Line,
    document: Mapping[str, Any] | None = None,
    only: frozenset[str] | None = None,
) -> Values:
    """Return what a document or a line holds for the mapped columns.

    ``only`` names the columns to read, for a document. Without it, for a line, every column is
    read, and one that the line lacks is None: a list that is present is the whole truth of its
    lines.
    """
    values: Values = {}
    for name, (column, source) in rows.columns.items():
        if only is None or name in only:
            value = read_source(source, node, document)
            value = None if value is ABSENT else value
            if is_untyped(source):
                value = read_untyped(column, source, node, value)
            values[column] = coerce(column, value)
    return values


def coerce(column: Column[Any], value: Any) -> Any:
    """Return a value as its column takes it; what the types cannot agree on is left to fail."""
    kind = column.type
    if isinstance(value, datetime) and isinstance(kind, DateTime) and value.tzinfo:
        # In UTC in any case: a database without time zones drops the offset.
        moment = value.astimezone(UTC)
        return moment if kind.timezone else moment.replace(tzinfo=None)
    if isinstance(value, (str, int, Decimal)) and isinstance(kind, Integer):
        return _integer(column, value)
    if isinstance(value, int) and not isinstance(value, bool) and isinstance(kind, String):
        return str(value)
    if isinstance(value, Decimal) and isinstance(kind, ExactDecimal):
        _refuse_inexact(column, kind, value)
    return value


def _refuse_inexact(column: Column[Any], kind: ExactDecimal, value: Decimal) -> None:
    """Refuse a number that the column does not hold, before it reaches the database."""
    try:
        kind.stored(value)
    except ValueError as error:
        raise _rejected(column, str(error)) from None


def _integer(column: Column[Any], value: str | int | Decimal) -> int:
    """Return a whole number; some drivers cut a fraction off without a word.

    Of text, only what the number itself is written as: ids that differ must not become one.
    """
    finite = not isinstance(value, Decimal) or value.is_finite()
    is_number = finite if not isinstance(value, str) else _WHOLE.fullmatch(value)
    number = int(value) if is_number else None
    if number is None or (isinstance(value, Decimal) and number != value):
        raise _rejected(column, "holds integers, and what the document holds is not one")
    if number.bit_length() > _INTEGER_BITS:
        problem = f"holds integers, and the document's is longer than {_INTEGER_BITS} bits"
        raise _rejected(column, problem)
    return number


def _rejected(column: Column[Any], problem: str) -> RowRejected:
    message = f"{column.table.name}.{column.name}: {problem}"
    return RowRejected(message, table=column.table.name, constraint=column.name)


@contextmanager
def refusals_at(rows: BoundRows, path: str) -> Iterator[None]:
    """Let what a row is refused for name the field of the document that fills the column.

    ``path`` is where the document or line stands: ``invoice.line_items[2]``.
    """
    try:
        yield
    except RowRejected as rejected:
        rejected.path = field_of(rows, rejected.table, rejected.constraint, path)
        raise


def field_of(rows: BoundRows, table: str, column: str, path: str) -> str:
    """Return the field that fills a column; ``""`` where the mapping does not say it."""
    sources = {found.name: source for found, source in rows.columns.values()}
    sources |= {reference.column.name: reference.source for reference in rows.references}
    is_here = table in {part.table.name for part in rows.parts}
    source = sources.get(column) if is_here else None
    name = source.name if isinstance(source, CustomField) else source
    return f"{path}.{name}" if isinstance(name, str) else ""


def identity_values(rows: BoundRows, zoho_id: str, organization_id: str) -> Values:
    """Return the Zoho identity of a row; nothing for link identity but the organization."""
    values: Values = {}
    if rows.organization is not None:
        values[rows.organization] = coerce(rows.organization, organization_id)
    if rows.key is not None:
        values[rows.key] = coerce(rows.key, zoho_id)
    return values


def insert_only_values(rows: BoundRows, node: Payload | Line) -> Values:
    """Return what is written when a row is made, and never again."""
    return {
        column: coerce(column, value(node) if callable(value) else value)
        for column, value in rows.insert_only.items()
    }


def required_columns(rows: BoundRows) -> list[Column[Any]]:
    """Return the columns that an INSERT must name: not null, and nothing else fills them."""
    found = []
    for part in rows.parts:
        inherited = {column for column, _ in part.inherits}
        open_to = [c for c in part.table.columns if not c.nullable and c not in inherited]
        found += [column for column in open_to if not _filled(column)]
    return [c for c in found if rows.discriminator is None or c is not rows.discriminator.column]


def _filled(column: Column[Any]) -> bool:
    table = column.table
    generated = column.server_default is not None or column.default is not None
    return generated or column.computed is not None or column is table.autoincrement_column


def with_defaults(values: Values, *, inserting: bool) -> Values:
    """Replace NULL by the column's default where it may not be NULL.

    Raises:
        RowRejected: There is no default either.
    """
    settled: Values = {}
    for column, value in values.items():
        if value is not None or column.nullable:
            settled[column] = value
        elif not _filled(column):
            raise _rejected(column, "may not be NULL, and the document has nothing for it")
        elif not inserting:
            settled[column] = _default(column)
    return settled


def _default(column: Column[Any]) -> Any:
    default = column.default
    if default is not None and default.is_scalar:
        return default.arg  # type: ignore[attr-defined]  # a scalar default has one
    if isinstance(column.server_default, DefaultClause):
        given = column.server_default.arg
        if isinstance(given, str):
            return literal_column("'" + given.replace("'", "''") + "'")
        return given
    raise _rejected(column, "may not be NULL, and its default cannot be written again")


def deletion_mark(column: Column[Any], deleted_at: datetime | None) -> Any:
    """Return what a deleted-column holds: a time, a date, or whether."""
    if isinstance(column.type, Boolean):
        return deleted_at is not None
    if deleted_at is not None and isinstance(column.type, Date):
        return deleted_at.date()
    return coerce(column, deleted_at)


def suspect(values: Values, dialect: Dialect) -> Column[Any] | None:
    """Return the one column whose value is nothing that its type takes; None if that is unclear."""
    found = [column for column, value in values.items() if not _is_taken(column, value, dialect)]
    return found[0] if len(found) == 1 else None


def _is_taken(column: Column[Any], value: Any, dialect: Dialect) -> bool:
    if value is None or isinstance(value, ClauseElement):
        return True
    try:
        convert = column.type.dialect_impl(dialect).bind_processor(dialect)
        if convert is not None:
            convert(value)
        kind = column.type.python_type
    except NotImplementedError:
        return True
    except Exception:  # noqa: BLE001  # whatever a type of the host raises
        return False
    return isinstance(value, (kind, *_NUMBERS) if kind in _NUMBERS else kind)


def equals(columns: Sequence[Column[Any]], values: Sequence[Any]) -> ColumnElement[bool]:
    """Return the condition that columns have values."""
    return and_(*(column == value for column, value in zip(columns, values, strict=True)))
