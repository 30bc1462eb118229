"""Applies one event through a handler: understand, decide, write; the ledger comes last."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from zoho_sync.apply.handler import Handler
from zoho_sync.apply.references import References
from zoho_sync.apply.refusals import in_our_words
from zoho_sync.apply.resolving import locate
from zoho_sync.apply.writing import Change, Writing
from zoho_sync.database.unit_of_work import UnitOfWork
from zoho_sync.events.decision import Decision, LedgerState, Proposal, decide, writers
from zoho_sync.events.event import Operation, SyncEvent
from zoho_sync.events.outcome import Outcome, SyncResult
from zoho_sync.events.version import Version
from zoho_sync.exceptions import PayloadError
from zoho_sync.mapping.binding import BoundEntity
from zoho_sync.mapping.declaration import ABSENT, read_source
from zoho_sync.mapping.keys import encode_key, plain_key
from zoho_sync.mapping.values import Key
from zoho_sync.payloads import Payload, parse
from zoho_sync.store.debts import Debts
from zoho_sync.store.field_rows import FieldRows
from zoho_sync.store.journal import Journal, JournalEntry
from zoho_sync.store.ledger import Ledger, LedgerEntry, LedgerKey

__all__ = ["Applied", "OneEvent"]

_WHOLE_DOCUMENT: Final = frozenset({"*"})
"""The one column of a handler without a mapping: its document is versioned as one."""


@dataclass(frozen=True, slots=True)
class Applied:
    """One event's effect, before the ledger is written.

    Attributes:
        result: What was done.
        entry: What the ledger knows from now on; None where it stays as it is.
        fingerprint: Of the mapping in force.
    """

    result: SyncResult
    entry: LedgerEntry | None
    fingerprint: str = ""


@dataclass
class OneEvent:
    """An event whose ledger row is locked, on its way onto the host's rows.

    Attributes:
        settled: What was settled in this transaction, and is not in the journal yet.
        bound: Where its entity is mapped; None for a handler without a mapping.
        version: Its place in the order.
        payload: Its document, once it is understood; None for a delete.
        located: The primary key of its entity's row, once that is looked up.
        sibling: Where a contact is mapped under the other type that the ledger knows it by.
        own_code: Whether the handler writes by its own code.
    """

    handler: Handler
    work: UnitOfWork
    event: SyncEvent
    owner: LedgerKey
    entry: LedgerEntry
    settled: Iterable[JournalEntry]
    bound: BoundEntity | None = field(init=False)
    version: Version = field(init=False)
    payload: Payload | None = field(init=False, default=None)
    located: Key | None = field(init=False, default=None)
    sibling: BoundEntity | None = field(init=False, default=None)
    own_code: bool = field(init=False)

    def __post_init__(self) -> None:
        context, bound = self.handler.context, self.handler.binding()
        self.bound = bound
        self.own_code = self.handler.overrides("upsert")
        self.version = Version.of(self.event, grace=context.grace)
        if bound is not None and self.entry.entity_type not in {None, bound.entity_type}:
            other = context.bindings.get(str(self.entry.entity_type))
            # Where both types live in one table, there is but one row, and nothing to move.
            self.sibling = None if other is None or other.table is bound.table else other

    async def apply(self) -> Applied:
        """Apply the event, and say what the ledger is to hold then.

        Raises:
            PayloadError: The document cannot be understood, or the row is another handler's.
            ReferencePending: An entity that it refers to has not arrived yet.
            ReferenceFailed: An entity that it refers to does not exist.
            RowRejected: The host's schema refuses the values.
        """
        if self.event.operation is Operation.DELETE:
            self._refuse_sibling()
        else:
            self.payload = parse(
                self.handler.payload_model,
                self.event.payload,
                time_zone=self.handler.context.time_zone,
                date_formats=self.handler.context.date_formats,
            )
        if reason := self._unwanted():
            return Applied(SyncResult(Outcome.IGNORED, reason=reason), None)
        if self.bound is not None:
            connection = self.work.connection
            self.located = await locate(connection, self.bound, self.owner, self.entry)
            leaves = self.bound.mapping.host_deleted == "leave" and self.payload is not None
            if leaves and self.located is None and self._was_linked:
                reason = "the host has deleted the row"
                return Applied(SyncResult(Outcome.IGNORED, reason=reason), None)
        decision = await self._decide()
        result = self._result(decision)
        if decision.outcome is Outcome.APPLIED:
            result = await self._write(decision, result)
            await self._note_fields()
            known = await self._linked(decision, result)
        else:
            known = replace(self.entry, state=decision.state)
            if decision.outcome is Outcome.DUPLICATE and decision.state.version == self.version:
                known = replace(known, entity_type=self.event.entity_type)
        return Applied(result, known, self._fingerprint)

    async def _note_fields(self) -> None:
        """Note the mapped custom fields that the document has, as far as that was not done."""
        if self.bound is None or self.payload is None:
            return
        context, entity_type = self.handler.context, self.bound.entity_type
        here = filter(self.payload.mentions_custom_field, self.bound.mapping.custom_fields)
        fresh = [name for name in here if (entity_type, name) not in context.noted]
        if fresh:
            rows = FieldRows(self.work.connection, context.tables)
            # What is noted by this transaction may be rolled back with it: not yet certain.
            before = await rows.note(entity_type, fresh)
            context.noted.update((entity_type, name) for name in before)

    def _refuse_sibling(self) -> None:
        """Refuse the delete of a contact by the handler of the type that it had before."""
        if self.sibling is not None:
            kind = self.handler.kind()
            problem = f"it is a {self.entry.entity_type} by now; call that type's handler"
            raise PayloadError(f"{self.event.entity_type}.{kind.id_fields[0]}", problem)

    def _unwanted(self) -> str:
        """Return why the mapping does not want the event; ``""`` where it does."""
        if self.bound is None:
            return ""
        if self.bound.mapping.organization_id not in (None, self.event.organization_id):
            return "the mapping is for another organization"
        if self.payload is None:
            return "deletes are ignored" if self.bound.mapping.on_delete == "ignore" else ""
        when = self.bound.when
        is_wanted = when is None or when(self.payload)
        return "" if is_wanted else "the mapping's condition does not hold"

    @property
    def _was_linked(self) -> bool:
        is_same = self.bound is not None and self.entry.table_name == self.bound.table.fullname
        return is_same and self.entry.primary_key is not None

    async def _decide(self) -> Decision:
        """Decide what the event does; what its equals have written is not written again."""
        context, state = self.handler.context, self._state()
        proposal = Proposal.of(
            self.event,
            self._carried(),
            fingerprint=self._fingerprint,
            hard=self._is_hard,
            grace=context.grace,
        )
        decision = decide(state, proposal)
        # Own code may write more than what is mapped; late events do not get there.
        if decision.state.version != self.version or not self.own_code:
            arrivals = writers(state, proposal, decision)
            if arrivals:
                journal = Journal(self.work.connection, context.tables.journal)
                equals = await journal.equals_among(
                    arrivals, self.event, proposal.fingerprint, self.settled
                )
                decision = decide(state, replace(proposal, equals=equals))
        is_rowless = self.located is None and self.own_code
        if decision.state.version != self.version and (self.sibling is not None or is_rowless):
            # Own code sees whole documents, and knows no column's version.
            return Decision(Outcome.STALE, self.entry.state, reason="overtaken by a newer event")
        return decision

    def _carried(self) -> frozenset[str]:
        """Return the names of the columns, and of the lists of lines, that the event carries."""
        bound, payload = self.bound, self.payload
        if bound is None or payload is None:
            return _WHOLE_DOCUMENT
        sources = {name: source for name, (_, source) in bound.columns.items()}
        sources |= {reference.name: reference.source for reference in bound.references}
        sources |= {child.name: child.source for child in bound.children}
        document = self.event.payload
        return frozenset(
            name
            for name, source in sources.items()
            if read_source(source, payload, document) is not ABSENT
        )

    @property
    def _is_hard(self) -> bool:
        """Whether deletes of the entity are final."""
        return self.bound is not None and self.bound.mapping.on_delete == "hard"

    @property
    def _fingerprint(self) -> str:
        return self.bound.fingerprint if self.bound is not None else ""

    def _state(self) -> LedgerState:
        """Return what the ledger knows, as far as it holds for the row that is there."""
        state = self.entry.state
        if self.bound is None or (self.located is None and self.own_code):
            # Whether there is a row, only the handler's own code knows.
            return state
        if self.located is None or self.sibling is not None:
            return replace(state, carried=frozenset(), older={})
        return state

    async def _write(self, decision: Decision, result: SyncResult) -> SyncResult:
        """Write as the mapping says, or by the handler's own code; its hooks run around that."""
        handler, event = self.handler, self.event
        writing = self._writing(decision)
        if self.sibling is not None:
            await self._retire(self.sibling, writing)
        await handler.before_apply(event)
        key: Any = None
        handler._writing = writing  # noqa: SLF001  # `super().upsert()` finds it there
        try:
            with in_our_words(self.bound, event.entity_id, deletes=self.payload is None):
                if self.payload is None:
                    delete = handler.delete if handler.overrides("delete") else writing.delete
                    await delete(event.entity_id)
                else:
                    # Own code sees whole documents; of a late one some columns alone are written.
                    late = self.bound is not None and decision.state.version != self.version
                    upsert = handler.upsert if self.own_code and not late else writing.upsert
                    key = await upsert(self.payload)
                await self.work.flush()
        finally:
            handler._writing = None  # noqa: SLF001  # the same
        if key is None and writing.located is not None:
            # A delete; or own code that wrote the mapped row, and did not hand the key on.
            key = plain_key(writing.located)
        reason = "took over a row of the host" if writing.adopted else result.reason
        result = replace(result, primary_key=key, reason=reason)
        await handler.after_apply(event, result)
        await self.work.flush()
        return result

    async def _retire(self, other: BoundEntity, writing: Writing) -> None:
        """Delete the row that a contact had under its other type, as that type's mapping says."""
        connection, owner, moment = writing.connection, self.owner, self.version.effective_time
        await Debts(connection, writing.tables.debts).forget(owner)
        if other.mapping.on_delete == "ignore":
            return
        located = await locate(connection, other, owner, self.entry)
        leaving = replace(writing, bound=other, located=located, change=None, deleted_at=moment)
        with in_our_words(other, owner.entity_id, deletes=True):
            await leaving.delete(owner.entity_id)

    def _writing(self, decision: Decision) -> Writing:
        change, payload = None, self.payload
        if payload is not None:
            # A contact that comes back to a table finds the row there that it was deleted from.
            was_deleted = self.entry.state.deleted_at is not None or self.sibling is not None
            change = Change(
                payload=payload,
                document=self.event.payload,
                write=decision.write,
                deleted_at=decision.state.deleted_at,
                revives=was_deleted and decision.state.deleted_at is None,
            )
        handler, context = self.handler, self.handler.context
        return Writing(
            connection=self.work.connection,
            bound=self.bound,
            tables=context.tables,
            owner=self.owner,
            located=self.located,
            may_adopt=not self._was_linked,
            change=change,
            deleted_at=decision.state.deleted_at if payload is None else None,
            references=References(
                self.work.connection,
                context,
                self.owner,
                self.event.entity_type,
                hold=handler.holds_targets,
                own_resolve=handler.resolve if handler.overrides("resolve") else None,
            ),
        )

    def _result(self, decision: Decision) -> SyncResult:
        """Return what a decision comes to, while the entity's row is the one that was located."""
        changed = decision.write
        if decision.outcome is Outcome.APPLIED and self.event.operation is Operation.DELETE:
            column = self.bound.mapping.deleted_column if self.bound is not None else None
            changed = frozenset({column} if column else ())
        return SyncResult(
            outcome=decision.outcome,
            primary_key=plain_key(self.located),
            version=self.version,
            changed=tuple(sorted(changed)),
            reason=decision.reason,
        )

    async def _linked(self, decision: Decision, result: SyncResult) -> LedgerEntry:
        """Return what the ledger is to hold, with the link to the row; another loses its own."""
        entry, event, bound, key = self.entry, self.event, self.bound, result.primary_key
        newest = decision.state.version == self.version
        link: tuple[str | None, str | None] = (None, None)
        if key is not None:
            table = bound.table.fullname if bound is not None else None
            link = (table, encode_key(key if isinstance(key, tuple) else (key,)))
        elif bound is not None and event.operation is Operation.DELETE and not self._is_hard:
            # The host has deleted the row: that there was one is to be remembered.
            link = entry.row
        known = LedgerEntry(
            state=decision.state,
            entity_type=event.entity_type if newest else entry.entity_type or event.entity_type,
            event_id=event.id if newest else entry.event_id or event.id,
            table_name=link[0],
            primary_key=link[1],
        )
        if bound is not None and bound.key is not None and known.row != entry.row:
            # What the host's key column says goes before a link that was made for another row.
            ledger = Ledger(self.work.connection, self.handler.context.tables.ledger)
            await ledger.unlink(known, self.owner)
        return known
