"""Defines every error that zoho_sync raises, in one tree.

::

    ZohoSyncError
    ├── ConfigurationError          the host wired something wrongly: mend the code
    │   ├── MappingError            a mapping does not fit the tables; lists every finding
    │   ├── UnknownEntityType       no handler, and no alias, of that name
    │   └── MissingExtra            an optional dependency is not installed
    ├── PayloadError                a document that cannot be understood; names the field
    ├── ReferenceFailed             a reference that must exist does not, and never will by waiting
    ├── RowRejected                 the host's schema refuses the values; names the row's table
    │   ├── RowGone                 the host deleted the row meanwhile
    │   └── ValueTaken              another row has a unique value, for now; names both rows
    ├── AmbiguousMatch              several rows of the host match; names them, and takes none
    ├── ReferencePending            another entity must arrive first
    ├── HostTransactionLost         the database ended a transaction that the host had opened
    ├── SessionBusy                 two tasks use one session at once
    ├── CallableFailed              a callable of your mapping made a mistake; names it
    ├── BrokenOff                   your code ended by a cancellation that nobody asked for
    ├── HandlerTimeout              your code took too long over one event
    ├── WorkerStopped               a part of the worker ended, and the worker with it
    ├── LeaseLost                   another worker owns the job now
    └── QueueUnavailable            the queue cannot be reached

``permanent`` says whether a worker makes it a dead letter at once, or tries again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from zoho_sync.exceptions.wording import did_you_mean, one_line

__all__ = [
    "AmbiguousMatch",
    "BrokenOff",
    "CallableFailed",
    "ConfigurationError",
    "Finding",
    "HandlerTimeout",
    "HostTransactionLost",
    "LeaseLost",
    "MappingError",
    "MissingExtra",
    "PayloadError",
    "QueueUnavailable",
    "ReferenceFailed",
    "ReferencePending",
    "RowGone",
    "RowRejected",
    "SessionBusy",
    "UnknownEntityType",
    "ValueTaken",
    "WorkerStopped",
    "ZohoSyncError",
]


class ZohoSyncError(Exception):
    """The root: catch it to catch everything that the library raises on purpose."""

    permanent: ClassVar[bool] = False
    """Whether the same event would fail in the same way for ever."""


class ConfigurationError(ZohoSyncError):
    """The host wired something wrongly; the message says what, and the remedy."""

    permanent = True


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a mapping.

    Attributes:
        where: The handler and the attribute, for example ``InvoiceHandler.columns['amount']``.
        problem: What is wrong, in one sentence.
        remedy: What to do about it, in one sentence.
    """

    where: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.where}: {self.problem} {self.remedy}"


class MappingError(ConfigurationError):
    """A mapping that does not fit the host's tables.

    Attributes:
        findings: Everything that is wrong, not only the first thing.
    """

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        lines = "\n".join(f"  - {finding}" for finding in self.findings)
        super().__init__(f"{len(self.findings)} problem(s) in the mapping:\n{lines}")


class UnknownEntityType(ConfigurationError):
    """No handler and no alias has that name; a worker of a newer release may know it.

    Attributes:
        name: What was asked for.
        known: The names that exist.
    """

    permanent = False

    def __init__(self, name: str, known: Iterable[str], aliases: Iterable[str] = ()) -> None:
        self.name = name
        self.known = tuple(sorted(known))
        near = did_you_mean(name, [*self.known, *aliases])
        super().__init__(f"unknown entity type {name!r}; known are {', '.join(self.known)}{near}")


class MissingExtra(ConfigurationError):
    """An optional dependency is not installed.

    Attributes:
        extra: The extra that brings it.
    """

    def __init__(self, extra: str, purpose: str) -> None:
        self.extra = extra
        super().__init__(f'{purpose} needs an extra: pip install "zoho-sync[{extra}]"')


class PayloadError(ZohoSyncError):
    """A document that cannot be understood.

    Attributes:
        path: The field, for example ``invoice.line_items[2].quantity``; ``""`` for the whole body.
            A key of the document is cut in it, and its control characters are replaced: an error is
            one line of a log, whoever chose the key.
        problem: What is wrong with it, without the value (bodies reach no log).
    """

    permanent = True

    def __init__(self, path: str, problem: str) -> None:
        self.path = one_line(path)
        self.problem = one_line(problem, 2_000)
        super().__init__(f"{self.path}: {self.problem}" if path else self.problem)


class ReferenceFailed(ZohoSyncError):
    """A reference that must exist does not, and waiting would not help.

    Attributes:
        entity_type: Of the entity referred to.
        zoho_id: Its id.
        deleted: Whether it existed, and was deleted.
        path: The field that refers to it, for example ``invoice.line_items[2].item_id``; ``""``
            where that is not known.
    """

    permanent = True

    def __init__(
        self,
        entity_type: str,
        zoho_id: str,
        problem: str = "does not exist",
        *,
        deleted: bool = False,
    ) -> None:
        self.entity_type = entity_type
        self.zoho_id = zoho_id
        self.deleted = deleted
        self.path = ""
        super().__init__(f"{entity_type} {zoho_id} {problem}")


class RowRejected(ZohoSyncError):
    """The host's schema refuses the values: a constraint, a type, a column that is too narrow.

    Attributes:
        table: The host's table, where it is known.
        constraint: The constraint's name or column, where the database says it.
        path: The field of the document that fills the column, for example
            ``invoice.line_items[2].quantity``; ``""`` where that is not known.
    """

    permanent = True

    def __init__(self, problem: str, *, table: str = "", constraint: str = "") -> None:
        self.table = table
        self.constraint = constraint
        self.path = ""
        super().__init__(problem)


class RowGone(RowRejected):
    """A row that was just looked up has gone meanwhile: the host deleted it.

    The event is repeated once, with the rows that it refers to held.
    """


class ValueTaken(RowRejected):
    """Another row of the host has a value that must be unique.

    Values move from row to row, and the event that frees one may come later: the event is tried
    again, together with those of the entity that has the value. What still conflicts after the
    last attempt is a dead letter.

    Attributes:
        columns: The constraint's columns; empty where the database does not say them.
        row: The primary key of the entity's own row; None while it has none.
        holder: The primary key of the row that has the value; None where it is not known.
        entity_id: Zoho's id of the entity whose row that is; None for a row of the host's own.
        wanted: What was to be written, for whoever applies the event together with others.
    """

    permanent = False

    def __init__(self, problem: str, *, table: str = "", constraint: str = "") -> None:
        super().__init__(problem, table=table, constraint=constraint)
        self.columns: tuple[str, ...] = ()
        self.row: tuple[Any, ...] | None = None
        self.holder: tuple[Any, ...] | None = None
        self.entity_id: str | None = None
        self.wanted: Any = None


class AmbiguousMatch(ZohoSyncError):
    """Several rows of the host match the first event of an entity; none was taken over.

    Link one of them with `ZohoSync.link` or ``zoho-sync link``, and replay the dead letter.

    Attributes:
        entity_type: Of the entity.
        zoho_id: Its id.
        table: The host's table.
        primary_keys: Of the rows, each with the values of its columns.
    """

    permanent = True

    def __init__(
        self, entity_type: str, zoho_id: str, table: str, primary_keys: Sequence[tuple[Any, ...]]
    ) -> None:
        self.entity_type = entity_type
        self.zoho_id = zoho_id
        self.table = table
        self.primary_keys = tuple(primary_keys)
        keys = ", ".join(str(key[0] if len(key) == 1 else key) for key in self.primary_keys)
        super().__init__(
            f"{entity_type} {zoho_id} matches {len(self.primary_keys)} rows of {table}: {keys};"
            " link one of them, then replay"
        )


class ReferencePending(ZohoSyncError):
    """Another entity must arrive first; a queued event parks until it does.

    Attributes:
        entity_type: Of the entity that is awaited.
        zoho_id: Its id.
    """

    def __init__(self, entity_type: str, zoho_id: str, problem: str = "") -> None:
        self.entity_type = entity_type
        self.zoho_id = zoho_id
        super().__init__(problem or f"{entity_type} {zoho_id} has not arrived yet")


class HostTransactionLost(ZohoSyncError):
    """The database ended a transaction that the host had opened.

    The connection is invalidated, so that nothing can commit the half that would follow: roll the
    session back and repeat the whole transaction.
    """


class SessionBusy(ZohoSyncError):
    """Two tasks use one session at once; give each task a session of its own."""


class CallableFailed(ZohoSyncError):
    """A callable of a mapping made a mistake: the application's, whatever the document says.

    A callable that wants to say that the document is wrong raises `PayloadError`.

    Attributes:
        path: The handler and the attribute, for example ``Invoices.columns['number']``.
        problem: What is wrong, without a value of the document.
    """

    permanent = True

    def __init__(self, path: str, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{path}: {problem}")


class BrokenOff(ZohoSyncError):
    """Your code ended by a cancellation that nobody asked for; the event is tried again.

    `SystemExit`, `KeyboardInterrupt` and the like end the worker: they were raised on purpose.

    Args:
        what: The cancellation.
    """

    def __init__(self, what: BaseException) -> None:
        super().__init__(f"broken off by {type(what).__name__}, which nobody asked for")


class HandlerTimeout(ZohoSyncError):
    """Your code took too long over one event; it is tried again.

    Attributes:
        event_id: Of the event.

    Args:
        problem: What took how long, in words.
    """

    def __init__(self, event_id: str, problem: str) -> None:
        self.event_id = event_id
        super().__init__(problem)


class WorkerStopped(ZohoSyncError):
    """A part of the worker ended, so that `ZohoSync.run` ended: start it again."""


class LeaseLost(ZohoSyncError):
    """Another worker owns the job now; this one's transaction was rolled back.

    Attributes:
        event_ids: The events whose lease is gone.
    """

    def __init__(self, event_ids: Iterable[str]) -> None:
        self.event_ids = tuple(event_ids)
        super().__init__(f"lease lost for {len(self.event_ids)} event(s)")


class QueueUnavailable(ZohoSyncError):
    """The queue cannot be reached; nothing was accepted, and the sender should try again."""
