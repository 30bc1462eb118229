"""The auditor: plain SQL and a model of its own; none of the library's code decides anything.

What it knows of the library is where events may be: queued, parked, a dead letter, or in the
journal. What it knows of the host is its tables, and the record that the host's triggers keep of
every write to them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from tests.faults.databases import Database
from tests.faults.traffic import Client, Invoice, Traffic
from zoho_sync import SyncEvent

__all__ = ["Auditor", "Violation"]

_QUEUED: Final = ("outbox", "jobs")
_PLACES: Final = (*_QUEUED, "parked", "dead_letters", "journal")
_SETTLED: Final = {"applied", "stale", "duplicate"}
Document = tuple[str, str, str, str]
"""What tells one change from another: type, Zoho's id, operation, time."""


@dataclass(frozen=True)
class Violation:
    """Something that must not be.

    Attributes:
        kind: ``lost``, ``double`` or ``wrong``.
        what: What it is.
        event_id: Of the event, as far as it is one's.
        stamp: Of its document, as far as it is one's.
    """

    kind: str
    what: str
    event_id: str = ""
    stamp: str = ""


class Auditor:
    """Compares what is in a database with what was sent.

    Args:
        database: Where to look.
        sent: What was sent, and what must come of it.
        accepted: Ids that the front door has answered with.
    """

    def __init__(self, database: Database, sent: Traffic, accepted: Collection[str]) -> None:
        self._ask = database.ask
        self._sent, self._accepted = sent, set(accepted)
        self._stamps = {each.id: _stamp(each) for each in sent.deliveries}

    def audit(self) -> list[Violation]:
        """Return everything that is lost, double or wrong."""
        return [
            *self._places(),
            *self._letters(),
            *self._applied_twice(),
            *self._written_twice(),
            *_compared("client", self._clients(), self._sent.clients),
            *_compared("invoice", self._invoices(), self._sent.invoices),
        ]

    def missing(self) -> set[str]:
        """Return the ids that were accepted, and are in no place of the database."""
        places = (self._ask(f"SELECT event_id FROM zoho_sync_{place}") for place in _PLACES)  # noqa: S608  # our own names
        return self._accepted.difference(row["event_id"] for rows in places for row in rows)

    def trace(self, violation: Violation) -> str:
        """Return all that is known of what a violation is about, line by line."""
        stamp = violation.stamp or self._stamps.get(violation.event_id, "")
        lines = [f"{violation.kind}: {violation.what}"]
        ids = {violation.event_id} | {i for i, each in self._stamps.items() if each == stamp != ""}
        for place in _PLACES:
            for row in self._ask(f"SELECT * FROM zoho_sync_{place}"):  # noqa: S608  # our own names
                if row["event_id"] in ids:
                    told = {name: value for name, value in row.items() if name != "payload"}
                    lines.append(f"  {place}: {told}")
        writes = self._ask("SELECT * FROM shop_writes ORDER BY id") if stamp else []
        lines += [f"  written: {row}" for row in writes if row["stamp"] == stamp]
        return "\n".join(lines)

    def _places(self) -> Iterator[Violation]:
        """Every accepted event is in one place, and the right one; nothing else is anywhere."""
        found = defaultdict[str, list[str]](list)
        documents = {_document_of(each) for each in self._sent.deliveries}
        for place in _PLACES:
            for row in self._ask(f"SELECT * FROM zoho_sync_{place}"):  # noqa: S608  # our own names
                found[row["event_id"]].append(place)
                if _document(row) not in documents:
                    yield Violation("wrong", f"{place} has what nobody sent", row["event_id"])
        for event_id in self._accepted - found.keys():
            yield Violation("lost", "accepted, and in no place", event_id)
        for event_id, places in found.items():
            settled = [place for place in places if place not in _QUEUED]
            if len(settled) > 1:
                yield Violation("double", f"in {' and '.join(settled)}", event_id)
            wanted = self._place(event_id)
            if places[0] in _QUEUED:
                yield Violation("lost", "still queued", event_id)
            elif places[0] != wanted:
                yield Violation("lost", f"in {places[0]} and not in {wanted}", event_id)

    def _place(self, event_id: str) -> str:
        if event_id in self._sent.dead:
            return "dead_letters"
        return "parked" if event_id in self._sent.waiting else "journal"

    def _letters(self) -> Iterator[Violation]:
        """Dead letters name the error that they must."""
        for row in self._ask("SELECT event_id, error_type, error FROM zoho_sync_dead_letters"):
            wanted = self._sent.dead.get(row["event_id"])
            if wanted is not None and wanted != row["error_type"]:
                told = f"died of {row['error_type']} ({row['error'][:80]}) and not of {wanted}"
                yield Violation("wrong", told, row["event_id"])

    def _applied_twice(self) -> Iterator[Violation]:
        """The journal has each event once, and each document as applied once at most."""
        journal = self._ask("SELECT * FROM zoho_sync_journal")
        for row in journal:
            if row["outcome"] not in _SETTLED:
                yield Violation("wrong", f"settled as {row['outcome']}", row["event_id"])
        for event_id, count in Counter(row["event_id"] for row in journal).items():
            if count > 1:
                yield Violation("double", f"in the journal {count} times", event_id)
        stamps = {_document_of(each): _stamp(each) for each in self._sent.deliveries}
        applied = Counter(_document(row) for row in journal if row["outcome"] == "applied")
        for document, count in applied.items():
            if count > 1:
                what = f"{' '.join(document)} was applied {count} times"
                yield Violation("double", what, stamp=stamps.get(document, ""))

    def _written_twice(self) -> Iterator[Violation]:
        """The host's triggers have seen each document written to its row once at most."""
        writes = self._ask("SELECT table_name, row_id, stamp, gone FROM shop_writes")
        seen = Counter((w["table_name"], w["row_id"], w["stamp"], bool(w["gone"])) for w in writes)
        for (table, row_id, stamp, _), count in seen.items():
            if count > 1:
                what = f"row {row_id} of {table} was written {count} times"
                yield Violation("double", what, stamp=str(stamp))
        never = {self._stamps[i] for i in {*self._sent.dead, *self._sent.waiting}}
        for write in writes:
            if write["stamp"] in never:
                yield Violation("wrong", "written, and not applied", stamp=str(write["stamp"]))

    def _clients(self) -> dict[str, Client]:
        zoho_ids, found = self._zoho_ids(), dict[str, Client]()
        for row in self._ask("SELECT * FROM clients"):
            zoho_id = zoho_ids.get(row["id"], f"row {row['id']}")
            found[zoho_id] = (row["name"], row["note"], row["deleted_at"] is not None)
        return found

    def _zoho_ids(self) -> dict[int, str]:
        linked = self._ask(
            "SELECT entity_id, primary_key FROM zoho_sync_ledger WHERE table_name = 'clients'"
        )
        # The ledger writes keys as JSON lists.
        return {int(row["primary_key"].strip('[]"')): row["entity_id"] for row in linked}

    def _invoices(self) -> dict[str, Invoice]:
        lines = defaultdict[int, list[tuple[str, Decimal]]](list)
        for row in self._ask("SELECT * FROM invoice_lines ORDER BY invoice_id, description"):
            lines[row["invoice_id"]].append((row["description"], _decimal(row["quantity"])))
        zoho_ids, found = self._zoho_ids(), dict[str, Invoice]()
        for row in self._ask("SELECT * FROM invoices"):
            client = zoho_ids.get(row["client_id"], f"row {row['client_id']}")
            total, gone = _decimal(row["total"]), row["deleted_at"] is not None
            found[row["zoho_id"]] = (client, total, row["note"], gone, lines[row["id"]])
        return found


def _compared(kind: str, found: dict[str, Any], wanted: dict[str, Any]) -> Iterator[Violation]:
    """Rows are those of the oracle."""
    for zoho_id in wanted.keys() - found.keys():
        yield Violation("lost", f"no row of {kind} {zoho_id}", stamp=_stamp_of_row(wanted[zoho_id]))
    for zoho_id in found.keys() - wanted.keys():
        yield Violation("wrong", f"a row of {kind} {zoho_id}, which there should not be")
    for zoho_id in wanted.keys() & found.keys():
        if found[zoho_id] != wanted[zoho_id]:
            what = f"{kind} {zoho_id} is {found[zoho_id]} and not {wanted[zoho_id]}"
            yield Violation("wrong", what, stamp=_stamp_of_row(wanted[zoho_id]))


def _stamp_of_row(row: Client | Invoice) -> str:
    return row[1] if len(row) == 3 else row[2]


def _stamp(event: SyncEvent) -> str:
    return str(event.payload.get("notes", ""))


def _decimal(value: Any) -> Decimal:
    return Decimal(str(value))


def _document(row: dict[str, Any]) -> Document:
    moment = row["effective_time"]
    told = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return row["entity_type"], row["entity_id"], row["operation"], _moment(told)


def _document_of(event: SyncEvent) -> Document:
    return event.entity_type, event.entity_id, event.operation.value, _moment(event.effective_time)


def _moment(moment: datetime | None) -> str:
    if moment is None:
        return ""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat()
