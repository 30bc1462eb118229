"""Declares where the fields of a Zoho document go, without any I/O.

An `EntityMap` says which table of the host holds an entity, which of its columns hold what, and
what happens on a delete. It is checked against the real schema when the application starts.
"""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import reduce
from typing import Any, Final, Literal, Protocol, cast

from sqlalchemy import ClauseElement, ColumnElement, Text, func, literal

from zoho_sync.exceptions import ConfigurationError
from zoho_sync.payloads import Line, Payload

__all__ = [
    "ABSENT",
    "DOCUMENT",
    "Absent",
    "ChildMap",
    "CustomField",
    "EntityMap",
    "NaturalKey",
    "Placeholder",
    "Reference",
    "Source",
    "custom_field",
    "describe_source",
    "folded",
    "read_source",
]


class Absent(enum.Enum):
    """The type of `ABSENT`."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT
"""Returned by a callable source, it leaves the column alone: the document does not say."""


class _Document(enum.Enum):
    DOCUMENT = "document"


DOCUMENT: Final = _Document.DOCUMENT
"""A source: the whole document as received."""


@dataclass(frozen=True, slots=True)
class CustomField:
    """A source: a custom field in any of its three spellings; made by `custom_field`.

    Raises:
        ConfigurationError: It is given no name.
    """

    name: str

    def __post_init__(self) -> None:
        given: Any = self.name
        if not isinstance(given, str) or not given.strip():
            message = "custom_field() is given no name; give the field's API name or label"
            raise ConfigurationError(message)


def custom_field(name: str) -> CustomField:
    """Return a source that reads a custom field by its API name (``cf_note``) or its label."""
    return CustomField(name)


class _Callable(Protocol):
    def __call__(self, payload: Any, /) -> Any: ...  # any payload model


Source = str | CustomField | Literal[_Document.DOCUMENT] | ColumnElement[Any] | _Callable
"""The place that a column's value comes from.

A path (``"total"``, ``"billing_address.city"``), `custom_field`, `DOCUMENT`, a callable of the
document, or a SQL expression, which the database evaluates with every event that writes the row. A
callable may give a SQL expression too.
"""

NaturalKey = str | tuple[str, Callable[[Any], Any]]
"""A mapped column of the host; or a column and a callable that makes spellings alike: `folded`."""

Placeholder = Callable[[str], Mapping[str, Any]]
"""Is given Zoho's id of an unknown entity; returns the columns of a row that stands for it."""


def folded(text: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return text for comparison: lower case, white space as one blank, none at the ends.

    White space are tabs, the ends of lines and pages, and every space of Unicode's that people
    write. For `EntityMap.adopt`; evaluated by the database, on both sides. An index on the same
    expression makes it quick. SQLite lowers ASCII letters alone.

    Args:
        text: A column, or another SQL expression.
    """
    spaced = reduce(lambda found, space: _replaced(found, space, " "), _SPACES, text)
    marked = _replaced(_replaced(spaced, " ", "\u0001\u0002"), "\u0002\u0001", "")
    return func.lower(func.trim(_replaced(marked, "\u0001\u0002", " ")))


_SPACES: Final = "\t\n\v\f\r\u00a0\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
# Not the Ogham space, nor the separators of records: SQLite nests some 25 calls, and no more.


def _replaced(text: ColumnElement[Any], old: str, new: str) -> ColumnElement[Any]:
    # Constants in the statement itself: SQLite takes an index for nothing that has parameters.
    return func.replace(text, *(literal(each, Text, literal_execute=True) for each in (old, new)))


def read_source(
    source: Source, node: Payload | Line, document: Mapping[str, Any] | None = None
) -> Any:  # whatever the document holds
    """Return what a document holds at a source, or `ABSENT`.

    A key that the document lacks, at any level of the path, is absent; one that is there and empty
    is None.
    """
    if source is DOCUMENT:
        return ABSENT if document is None else document
    if isinstance(source, CustomField):
        if isinstance(node, Payload) and node.has_custom_field(source.name):
            return node.custom_field(source.name)
        return ABSENT
    if isinstance(source, str):
        return _read_path(source, node)
    if isinstance(source, ClauseElement):
        return source
    return cast("_Callable", source)(node)


def _read_path(path: str, node: Payload | Line) -> Any:
    first, *rest = path.split(".")
    if first not in node.model_fields_set:
        return ABSENT
    value = getattr(node, first)
    for key in rest:
        if not isinstance(value, Mapping):
            return None
        if key not in value:
            return ABSENT
        value = value[key]
    return None if value == "" else value


def describe_source(source: Any) -> str:  # a source, or an insert-only value
    """Return the text that stands for a source in a mapping's fingerprint.

    Callables count by qualified name: whoever changes what one does, changes ``revision=``.
    """
    if isinstance(source, ClauseElement):
        compiled = source.compile()
        return f"{compiled} {sorted(compiled.params.items())}"
    if callable(source) and not isinstance(source, enum.Enum):
        # An instance that can be called, and a partial, go by the name of their class.
        named = source if hasattr(source, "__qualname__") else type(source)
        return f"{named.__module__}.{named.__qualname__}()"
    return repr(source)


@dataclass(frozen=True)
class Reference:
    """A column that holds the host's primary key of another entity.

    Attributes:
        column: The host's column.
        to: The entity type referred to.
        source: Where the document holds the other entity's Zoho id; an empty id is NULL.
        missing: While the other entity is unknown: ``"park"`` the event until it arrives,
            ``"fail"``, which makes it a dead letter, ``"null"``, which writes NULL now and the
            key when the entity arrives, or a callable, which is given Zoho's id and returns
            columns of the entity's table: a row is made of them that stands for the entity
            until it arrives.
        deleted: Where the other entity was deleted and its row is gone: ``"null"``, or ``"fail"``,
            which makes the event a dead letter. Not given, it is ``"null"`` where the column
            allows that. A row that is only marked as deleted is referred to like any other.
    """

    column: str
    _: KW_ONLY
    to: str
    source: Source
    missing: Literal["park", "fail", "null"] | Placeholder = "park"
    deleted: Literal["null", "fail"] | None = None


@dataclass(frozen=True, kw_only=True)
class ChildMap:
    """A list of lines, each a row of a table of its own.

    Attributes:
        table: ORM class or `Table` of the host.
        source: The list in the document: a path, or a callable that returns lines or `ABSENT`.
        parent: The column, or columns, that hold the parent's primary key.
        key: The text column that holds the line's Zoho id; without one the library keeps links.
        columns: Host column → source in the line.
        insert_only: Host column → value, or callable of the line; written when a row is made.
        references: Columns that hold primary keys of other entities.
    """

    table: Any
    source: Source
    parent: str | Sequence[str]
    columns: Mapping[str, Source]
    key: str | None = None
    insert_only: Mapping[str, Any] = field(default_factory=dict)
    references: Sequence[Reference] = ()


@dataclass(frozen=True, kw_only=True)
class EntityMap:
    """Says which table of the host holds an entity type, and which of its columns hold what.

    Attributes:
        table: ORM class or `Table` of the host.
        columns: Host column → source in the document.
        key: The host column, unique, that holds Zoho's id; without one the library's ledger links
            the entity to the host's primary key, and the table needs no Zoho column at all.
        adopt: Natural keys: the mapped columns in which an entity's first event looks for its row.
            Exactly one row that no other entity has is taken over. If there is none, a row is
            made. Several are a dead letter that names them.
        insert_only: Host column → value, or callable of the payload; written when a row is made
            and never again.
        references: Columns that hold primary keys of other entities.
        children: Lists of lines.
        on_delete: ``"soft"`` marks the row in ``deleted_column``, ``"hard"`` removes it for good,
            ``"ignore"`` leaves it.
        deleted_column: For soft deletes: a boolean that is True when deleted, or a time or date.
        host_deleted: Where the host itself has deleted the row: ``"recreate"`` makes it anew,
            ``"leave"`` ignores the entity's events from then on.
        organization_column: Holds the organization; part of the row's identity together with
            ``key``, for tables that several organizations share. Without ``key`` it is written
            when a row is made or adopted, and adoption looks at rows of that organization, or of
            none. Required where several organizations are configured.
        organization_id: Zoho's organization, where several are configured and this table holds
            entities of one alone: events of the others are ignored then.
        when: Called with the payload; where it returns False the event is ignored.
        revision: Part of the fingerprint; change it when a callable changes what it returns.
    """

    table: Any
    columns: Mapping[str, Source]
    key: str | None = None
    adopt: Sequence[NaturalKey] = ()
    insert_only: Mapping[str, Any] = field(default_factory=dict)
    references: Sequence[Reference] = ()
    children: Sequence[ChildMap] = ()
    on_delete: Literal["soft", "hard", "ignore"] = "soft"
    deleted_column: str | None = None
    host_deleted: Literal["recreate", "leave"] = "recreate"
    organization_column: str | None = None
    organization_id: str | None = None
    when: Callable[[Any], bool] | None = None
    revision: str = ""

    @property
    def custom_fields(self) -> frozenset[str]:
        """The custom fields that the columns read, by API name or label."""
        sources = self.columns.values()
        return frozenset(each.name for each in sources if isinstance(each, CustomField))

    @property
    def fingerprint(self) -> str:
        """A hash of everything that decides what an event writes; SHA-256, hex."""
        parts = [
            *_describe_rows(self),
            self.on_delete,
            self.deleted_column,
            self.organization_id,
            None if self.when is None else describe_source(self.when),
            self.revision,
            [
                [*_describe_rows(child), describe_source(child.source), _names(child.parent)]
                for child in self.children
            ],
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _names(parent: str | Sequence[str]) -> list[str]:
    return [parent] if isinstance(parent, str) else list(parent)


def _describe_rows(rows: EntityMap | ChildMap) -> list[Any]:
    return [
        str(getattr(rows.table, "__tablename__", rows.table)),
        rows.key,
        getattr(rows, "organization_column", None),
        {name: describe_source(source) for name, source in sorted(rows.columns.items())},
        {name: describe_source(value) for name, value in sorted(rows.insert_only.items())},
        [[r.column, r.to, describe_source(r.source)] for r in rows.references],
    ]
