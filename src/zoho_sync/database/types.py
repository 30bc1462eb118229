"""Gives columns types that return exactly what they were given, on every database.

SQLite keeps numbers as binary floats and has no time zones, so there exact text stands in for both.
MariaDB has no time zones either: its times are UTC. Its TEXT ends at 64 KiB, and it compares text
without regard to case, unless it is told otherwise.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any, Final

from sqlalchemy import DateTime, Dialect, LargeBinary, Numeric, Text
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeDecorator, TypeEngine

from zoho_sync.events.exact_json import dumps, loads

__all__ = [
    "BYTES",
    "LONG_TEXT",
    "MARIADB",
    "MARIADB_TABLE",
    "ExactDecimal",
    "ExactJSON",
    "UtcDateTime",
]

MARIADB: Final = ("mysql", "mariadb")
"""SQLAlchemy's names of MariaDB: as URLs begin with either, so is its dialect called."""

LONG_TEXT: Final = Text().with_variant(mysql.LONGTEXT(), *MARIADB)
"""Text of any length."""

BYTES: Final = LargeBinary().with_variant(mysql.LONGBLOB(), *MARIADB)
"""Bytes of any length."""

# Ids and hashes that differ must not be taken for one, not even by case or by a space at the end.
_TEXT_OPTIONS: Final = {"engine": "InnoDB", "charset": "utf8mb4", "collate": "utf8mb4_nopad_bin"}
MARIADB_TABLE: Final[dict[str, Any]] = {
    f"{each}_{key}": v for each in MARIADB for key, v in _TEXT_OPTIONS.items()
}
"""Options of a table of ours: transactions, and text that is compared exactly."""


class ExactDecimal(TypeDecorator[Decimal]):
    """An exact number: NUMERIC(28, 10), on SQLite the same number as text.

    What has more decimals than the column is rounded, half away from zero, before it is sent. That
    is how the servers round, and so the same number comes back from every database. In the mirror
    it is a `ValueError` instead: nothing is rounded there. A number that is too long is one as
    well; a binary float is a `TypeError`, both ways.

    On SQLite equality is exact; order and arithmetic in SQL are those of text.

    Args:
        precision: Digits in all.
        scale: Digits after the point.
        rounds: Whether more digits after the point are rounded, rather than refused.
    """

    impl = Numeric
    cache_ok = True

    def __init__(self, precision: int = 28, scale: int = 10, *, rounds: bool = True) -> None:
        super().__init__(precision, scale)
        self.precision = precision
        self.scale = scale
        self.rounds = rounds

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the type that stores the number."""
        exact = Text() if dialect.name == "sqlite" else Numeric(self.precision, self.scale)
        return dialect.type_descriptor(exact)

    def process_bind_param(self, value: Any, dialect: Dialect) -> Decimal | str | None:
        """Return what is sent: a number of exactly ``scale`` decimals."""
        if value is None:
            return None
        number = self.stored(_decimal(value))
        return f"{number:f}" if dialect.name == "sqlite" else number

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        """Return the number that was read, as a Decimal."""
        if dialect.name == "sqlite" and isinstance(value, str):
            return Decimal(value)
        return None if value is None else _decimal(value)

    def stored(self, number: Decimal) -> Decimal:
        """Return the number that a row will hold.

        Raises:
            ValueError: It is too long, or would be rounded where nothing is.
        """
        if not number.is_finite():
            message = "a column of exact numbers holds no NaN and no infinity"
            raise ValueError(message)
        integer_digits = self.precision - self.scale
        if number.adjusted() < integer_digits:
            context = Context(prec=self.precision + 1, rounding=ROUND_HALF_UP)
            unit = Decimal((0, (1,), -self.scale))
            # Plus turns -0, which text would keep and a server would not, into 0.
            rounded = context.plus(context.quantize(number, unit))
            if not self.rounds and rounded != number:
                message = f"a number of more than {self.scale} decimals would be rounded"
                raise ValueError(message)
            if rounded.adjusted() < integer_digits:
                return rounded
        message = (
            f"a number of more than {integer_digits} digits before the point does not fit into "
            f"NUMERIC({self.precision}, {self.scale})"
        )
        raise ValueError(message)


class UtcDateTime(TypeDecorator[datetime]):
    """A time, aware UTC, with microseconds: ``timestamp with time zone``.

    On SQLite it is text of one width, ``2026-01-31 09:05:00.000000+00:00``, which sorts by time; on
    MariaDB ``DATETIME(6)``, in UTC. A naive time is a `ValueError`.
    """

    impl = (
        DateTime(timezone=True)
        .with_variant(Text(), "sqlite")
        .with_variant(mysql.DATETIME(fsp=6), *MARIADB)
    )
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> datetime | str | None:
        """Return what is sent: the same time in UTC."""
        if value is None:
            return None
        if not isinstance(value, datetime) or value.utcoffset() is None:
            message = "a column of times takes aware datetimes only; give it a tzinfo"
            raise ValueError(message)
        moment = value.astimezone(UTC)
        if dialect.name == "sqlite":
            return moment.isoformat(sep=" ", timespec="microseconds")
        return moment.replace(tzinfo=None) if dialect.name in MARIADB else moment

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002  # the signature is SQLAlchemy's
        """Return the time that was read, aware UTC."""
        if value is None:
            return None
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        # SQLite's own CURRENT_TIMESTAMP is UTC and does not say so, and nor does MariaDB.
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


class ExactJSON(TypeDecorator[Any]):
    """A JSON document as text, so that its numbers keep every digit; None is SQL NULL.

    Numbers with a fraction come back as `decimal.Decimal`. A value that JSON has no exact form for,
    such as a binary float, is a `TypeError`.
    """

    # Not MariaDB's JSON, which is the same, but for a check that refuses what it cannot read.
    impl = LONG_TEXT
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002  # the signature is SQLAlchemy's
        """Return the document as text."""
        return None if value is None else dumps(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:  # noqa: ARG002  # the signature is SQLAlchemy's
        """Return the document that was read."""
        return None if value is None else loads(value)


def _decimal(value: Any) -> Decimal:
    if isinstance(value, Decimal):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    message = f"a column of exact numbers takes Decimal or int, not {type(value).__name__}"
    raise TypeError(message)
