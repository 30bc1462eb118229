"""Checks that a document has what a mapping reads, and that the column can hold it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final, get_args, get_origin

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    ClauseElement,
    Column,
    Date,
    DateTime,
    Dialect,
    Enum,
    Float,
    Integer,
    Interval,
    LargeBinary,
    Numeric,
    String,
    Time,
    Uuid,
)
from sqlalchemy.types import TypeDecorator, TypeEngine

from zoho_sync.checks.report import Report
from zoho_sync.database.reflection import RealColumn, stored_type
from zoho_sync.exceptions.wording import listed, meant
from zoho_sync.mapping.declaration import DOCUMENT, CustomField
from zoho_sync.mapping.untyped_values import is_untyped
from zoho_sync.payloads import FieldKind, Line, Payload

__all__ = [
    "Model",
    "SourceCheck",
    "family",
    "line_model",
    "nearest",
    "source_kind",
    "warn_of_narrow_ids",
]

Model = type[Payload] | type[Line]
"""A payload model or a line model."""

_FAMILIES: Final[tuple[tuple[type[TypeEngine[Any]], str], ...]] = (
    # Float stands before Numeric, whose subclass it is in one line of SQLAlchemy.
    (Float, "float"),
    (Numeric, "number"),
    (Boolean, "boolean"),
    (Integer, "integer"),
    (DateTime, "time"),
    (Date, "date"),
    (JSON, "json"),
    (Enum, "enum"),
    (String, "text"),
    (Uuid, "uuid"),
    (Time, "time of day"),
    (Interval, "interval"),
    (LargeBinary, "bytes"),
)

_ACCEPTED: Final = {
    FieldKind.TEXT: {"text", "json"},
    # Ids are turned into integers where the column holds integers.
    FieldKind.ID: {"text", "json", "integer"},
    FieldKind.NUMBER: {"number"},
    FieldKind.INTEGER: {"integer", "number", "float", "text", "json"},
    FieldKind.FLAG: {"boolean", "integer", "json"},
    FieldKind.DAY: {"date"},
    FieldKind.MOMENT: {"time"},
    FieldKind.JSON: set[str](),
}

_MEANT: Final = {
    FieldKind.TEXT: ("text", "String"),
    FieldKind.ID: ("an id, as text", "String"),
    FieldKind.NUMBER: ("an exact number", "Numeric, or zoho_sync.mirror.ExactDecimal"),
    FieldKind.INTEGER: ("an integer", "BigInteger"),
    FieldKind.FLAG: ("true or false", "Boolean"),
    FieldKind.DAY: ("a day without a time", "Date"),
    FieldKind.MOMENT: (
        "a moment, with its time",
        "DateTime(timezone=True), or zoho_sync.mirror.UtcDateTime",
    ),
    FieldKind.JSON: ("JSON, with exact numbers", "zoho_sync.mirror.ExactJSON"),
}
"""The Python types of each kind of field, and the types of a column that takes it."""

_ADDRESS: Final = (
    "address",
    "address_id",
    "attention",
    "city",
    "country",
    "country_code",
    "fax",
    "phone",
    "state",
    "state_code",
    "street2",
    "zip",
)
"""The fields of an address that Zoho documents; no model declares them."""

_LOSSES: Final = {
    (FieldKind.NUMBER, "float"): "loses digits",
    (FieldKind.NUMBER, "integer"): "loses digits",
    (FieldKind.NUMBER, "json"): "loses digits",
    (FieldKind.JSON, "json"): "loses digits of the numbers in it",
    (FieldKind.MOMENT, "date"): "loses the time",
    (FieldKind.DAY, "time"): "would invent a midnight",
}

# By sort of column: what its constants may be in Python. Other columns take what nobody can tell.
_CONSTANTS: Final[dict[str, tuple[type, ...]]] = {
    "date": (date,),
    "time": (date,),
    "number": (int, float, Decimal),
    "integer": (int, bool, Decimal),
    "boolean": (bool, int),
    "text": (str, int),
}


def family(kind: TypeEngine[Any], dialect: Dialect) -> str | None:
    """Return what sort of values a declared type takes.

    None stands for what cannot be told: a type of another make, or a `TypeDecorator`, which may
    convert anything.
    """
    kind = kind.dialect_impl(dialect)
    if isinstance(kind, TypeDecorator):
        return None
    if isinstance(kind, Enum) and kind.enum_class is None:
        return "text"
    return next((name for base, name in _FAMILIES if isinstance(kind, base)), None)


def nearest(name: str, known: Iterable[str], *, of: str = "") -> str:
    """Return the sentence that names what was probably meant."""
    names = list(known)
    return meant(name, names, of=of) or f"Known are {listed(sorted(names))}."


def source_kind(model: Model | None, source: Any) -> FieldKind | None:  # any source
    """Return what a source gives, as far as the model knows."""
    if source is DOCUMENT:
        return FieldKind.JSON
    info = model.model_fields.get(source) if model and isinstance(source, str) else None
    if info is None:
        return None
    return next((each for each in info.metadata if isinstance(each, FieldKind)), None)


def line_model(model: Model | None, source: Any) -> type[Line] | None:  # any source
    """Return the model of a list's lines; None where the source is no list of lines."""
    info = model.model_fields.get(source) if model and isinstance(source, str) else None
    found = next(iter(get_args(info.annotation)), None) if info is not None else None
    return found if isinstance(found, type) and issubclass(found, Line) else None


def _is_taken(stored: str, value: Any) -> bool:  # any constant
    taken = _CONSTANTS[stored]
    if isinstance(value, bool):
        return bool in taken
    if isinstance(value, str) and Decimal in taken:
        return re.fullmatch(r"-?\d+(\.\d+)?", value.strip(), re.ASCII) is not None
    return isinstance(value, taken)


@dataclass(frozen=True)
class SourceCheck:
    """Checks the sources of one document, or of one list of lines.

    They read the model; it is None where a callable decides that.
    """

    report: Report
    model: Model | None
    dialect: Dialect
    lines: bool

    def exists(self, where: str, source: Any) -> bool:
        """Report a source that reads nothing; return whether it is in order."""
        if self.lines and (source is DOCUMENT or isinstance(source, CustomField)):
            name = "DOCUMENT" if source is DOCUMENT else "custom_field()"
            self.report.refuse(
                where,
                f"{name} reads the document, and this is a line: it would always be NULL.",
                "Give a callable of the line, for example lambda line: line.item_custom_fields.",
            )
            return False
        return not isinstance(source, str) or self._path_exists(where, source)

    def _path_exists(self, where: str, path: str) -> bool:
        model = self.model
        if model is None:
            return True
        first, *rest = path.split(".")
        fields = model.model_fields
        if first not in fields:
            problem = f"{model.__name__} has no field {first!r}."
            self.report.refuse(where, problem, self._meant_path(model, path))
            return False
        if rest and source_kind(model, first) is not FieldKind.JSON:
            problem = f"{first!r} holds no object, so that {path!r} reads nothing."
            self.report.refuse(where, problem, "Give the path of a nested object, or a callable.")
            return False
        if rest and get_origin(fields[first].annotation) is list:
            problem = f"{first!r} is a list, so that {path!r} reads nothing."
            remedy = f"Give a callable that chooses one of payload.{first}."
            self.report.refuse(where, problem, remedy)
            return False
        if len(rest) == 1 and first.endswith("address") and rest[0] not in _ADDRESS:
            near = meant(rest[0], _ADDRESS, surely=True)
            problem = f"no address of Zoho's documentation has {rest[0]!r}; it would stay empty."
            if near:
                self.report.warn(where, problem, near)
        return True

    def _meant_path(self, model: Model, path: str) -> str:
        fields = model.model_fields
        first, *rest = path.split(".")
        if self.lines and rest and rest[0] in fields:
            return f"Paths are relative to the line: {'.'.join(rest)!r}."
        if first.startswith("cf_") and not self.lines:
            return f"Read it with custom_field({first!r})."
        dotted = path.replace("/", ".")
        if "/" in path and dotted.partition(".")[0] in fields:
            return f"Did you mean {dotted!r}?"
        # What the names of the fields begin with: `contact` for `contact_name`.
        identity = model.id_fields[0] if issubclass(model, Payload) else model.id_field
        return nearest(first, fields, of=identity.removesuffix("_id"))

    def fits(self, where: str, source: Any, column: Column[Any], real: RealColumn | None) -> None:
        """Report a column that cannot hold what a source gives."""
        if line_model(self.model, source) is not None:
            problem = f"{source!r} is a list of lines, which no column holds."
            self.report.refuse(where, problem, "Map the list with a ChildMap.")
            return
        kind = source_kind(self.model, source)
        stored = family(column.type, self.dialect)
        if is_untyped(source) and stored == "enum":
            kind = FieldKind.TEXT
        if kind is None or stored is None:
            return
        if stored not in _ACCEPTED[kind]:
            self._refuse(where, source, kind, column.type, stored)
        elif kind is FieldKind.NUMBER:
            self._check_number(where, column, real)
        elif kind is FieldKind.ID:
            warn_of_narrow_ids(self.report, where, column, self.dialect)

    def constant(self, where: str, column: Column[Any], value: Any) -> None:  # any constant
        """Report an insert-only value that its column cannot hold."""
        stored = family(column.type, self.dialect) or ""
        known = value is None or callable(value) or isinstance(value, ClauseElement)
        if known or stored not in _CONSTANTS or _is_taken(stored, value):
            return
        problem = f"{type(value).__name__} is no value of a column of type {column.type}."
        names = " or ".join(kind.__name__ for kind in _CONSTANTS[stored])
        self.report.refuse(where, problem, f"Give {names}, or a callable.")

    def _refuse(
        self, where: str, source: Any, kind: FieldKind, declared: TypeEngine[Any], stored: str
    ) -> None:
        noun, types = _MEANT[kind]
        name = source.name if isinstance(source, CustomField) else source
        name = "DOCUMENT" if source is DOCUMENT else repr(name)
        loss = _LOSSES.get((kind, stored), "does not take it")
        problem = f"{name} is {noun}, and a column of type {type(declared).__name__} {loss}."
        remedy = f"Make the column {types}, or give a callable that converts."
        self.report.refuse(where, problem, remedy)

    def _check_number(self, where: str, column: Column[Any], real: RealColumn | None) -> None:
        if self.dialect.name == "sqlite":
            self.report.warn(
                where,
                "SQLite keeps NUMERIC as a binary float: 99999999999999.99 comes back as "
                "99999999999999.98.",
                "Leave it where amounts have no more than 15 digits, or make the column "
                "zoho_sync.mirror.ExactDecimal.",
                everywhere=True,
            )
            return
        stored = stored_type(column.type, self.dialect) if real is None else real.type
        if isinstance(stored, Numeric) and stored.precision is not None and not stored.scale:
            problem = f"the column is {stored}: it has no decimals, and loses digits."
            remedy = (
                "Give the column a scale, for example Numeric(18, 4), or a callable that rounds."
            )
            self.report.refuse(where, problem, remedy)


def warn_of_narrow_ids(report: Report, where: str, column: Column[Any], dialect: Dialect) -> None:
    """Warn of a column of 32 bits for Zoho's ids."""
    stored = stored_type(column.type, dialect)
    narrow = isinstance(stored, Integer) and not isinstance(stored, BigInteger)
    if narrow and dialect.name != "sqlite":
        report.warn(
            where,
            "Zoho's ids have up to 19 digits, and an Integer ends at 2147483647.",
            "Make the column String, or BigInteger; or leave it out: without key= the library "
            "keeps the link itself.",
        )
