"""Turns documents into rows of the mirror, as a handler does that is written by hand.

Every peer uses this, and so does the reference with which final rows are compared. The library does
not: its rows come out equal, or its run does not count.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
)
from sqlalchemy.types import TypeEngine

from benchmarks.events import ORGANIZATION, Kind, generate
from zoho_sync import mirror

__all__ = ["HEADS", "LINES", "Record", "Shape", "read"]

# The mirror's tables with SQLAlchemy's own types, so that no peer pays for the library's.
_METADATA: Final = MetaData()
_Read = Callable[[Any], Any]


def _text(value: Any) -> str | None:
    return value or None


def _number(value: Any) -> Decimal | int | None:
    return None if value == "" else value


def _day(value: str) -> date | None:
    return date.fromisoformat(value) if value else None


def _moment(value: str) -> datetime | None:
    return datetime.fromisoformat(value) if value else None


def _nested(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=float)


_READERS: Final[Mapping[type[TypeEngine[Any]], tuple[Callable[[], TypeEngine[Any]], _Read]]] = {
    mirror.ExactDecimal: (lambda: Numeric(28, 10), _number),
    mirror.UtcDateTime: (lambda: DateTime(timezone=True), _moment),
    mirror.ExactJSON: (Text, _nested),
    Text: (Text, _text),
    String: (lambda: String(255), _text),
    BigInteger: (BigInteger, _number),
    Boolean: (Boolean, _number),
    Date: (Date, _day),
}
"""By the type of a mirror's column: the plain type, and how its value is read."""


def _plain(table: Table) -> Table:
    columns = [
        Column(each.name, _READERS[type(each.type)][0](), primary_key=each.primary_key)
        for each in table.columns
    ]
    return Table(table.name, _METADATA, *columns)


@dataclass(frozen=True)
class Shape:
    """Says what is written into one table: the columns that documents fill, in a fixed order.

    Attributes:
        table: With plain types.
        keys: Of its primary key.
        fields: What is read from a document or a line, and how.
        raw: Whether the document itself is a column as well.
    """

    table: Table
    keys: tuple[str, ...]
    fields: tuple[tuple[str, _Read], ...]
    raw: bool

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Return all columns that are written, in the order of a row's values."""
        owner = self.keys[:1] if self.raw else self.keys[:2]
        return (*owner, *(name for name, _ in self.fields), *(["raw"] if self.raw else []))

    @cached_property
    def changed(self) -> tuple[str, ...]:
        """Return the columns that an update writes."""
        return tuple(name for name in self.columns if name not in self.keys)

    def values(self, owner: Sequence[Any], document: Mapping[str, Any]) -> list[Any]:
        """Return a row's values without the raw document."""
        return [*owner, *[read_value(document[name]) for name, read_value in self.fields]]


def _shape(source: Table, keys: tuple[str, ...], sample: Iterable[str]) -> Shape:
    fields = [name for name in sample if name in source.c]
    readers = tuple((name, _READERS[type(source.c[name].type)][1]) for name in fields)
    return Shape(_plain(source), keys, readers, raw="raw" in source.c)


# All documents of a kind have the same keys; columns that none of them has stay empty.
_SAMPLES: Final = {event.kind: json.loads(event.text) for event in generate(100, seed=1)}

HEADS: Final[Mapping[Kind, Shape]] = {
    "item": _shape(mirror.products, ("organization_id", "item_id"), _SAMPLES["item"]),
    "invoice": _shape(mirror.invoices, ("organization_id", "invoice_id"), _SAMPLES["invoice"]),
}
LINES: Final = _shape(
    mirror.invoice_lines,
    ("organization_id", "invoice_id", "line_item_id"),
    _SAMPLES["invoice"]["line_items"][0],
)
_TIME_AT: Final = {kind: shape.columns.index("last_modified_time") for kind, shape in HEADS.items()}


@dataclass(frozen=True, slots=True)
class Record:
    """Holds what one event writes: the values of its row, and of its lines."""

    entity_id: str
    time: datetime
    row: list[Any]
    lines: list[list[Any]]


def read(kind: Kind, text: str) -> Record:
    """Read a document; amounts are exact."""
    document = json.loads(text, parse_float=Decimal)
    entity_id: str = document[f"{kind}_id"]
    row = HEADS[kind].values((ORGANIZATION,), document)
    row.append(text)
    owner = (ORGANIZATION, entity_id)
    lines = [LINES.values(owner, each) for each in document.get("line_items", ())]
    return Record(entity_id, row[_TIME_AT[kind]], row, lines)
