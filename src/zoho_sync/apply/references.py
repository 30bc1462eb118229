"""Fills the columns that hold other entities' primary keys; some may wait for theirs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync.apply.context import HandlerContext
from zoho_sync.apply.placeholders import make_placeholder
from zoho_sync.apply.resolving import resolve_key
from zoho_sync.exceptions import (
    CallableFailed,
    ConfigurationError,
    PayloadError,
    ReferenceFailed,
    ReferencePending,
)
from zoho_sync.mapping.binding import BoundReference
from zoho_sync.mapping.callables import NamedCallable
from zoho_sync.mapping.declaration import ABSENT, read_source
from zoho_sync.mapping.values import Values, coerce
from zoho_sync.payloads import Line, Payload
from zoho_sync.store.debts import Debt
from zoho_sync.store.ledger import LedgerKey

__all__ = ["References"]


@dataclass
class References:
    """Resolves the references of one event.

    Attributes:
        owner: The entity that refers.
        entity_type: The owner's.
        hold: Whether the rows that are found are held until the transaction ends.
        own_resolve: The handler's own code that finds keys, if it has any.
        debts: Columns that are NULL until what they refer to arrives.
    """

    connection: AsyncConnection
    context: HandlerContext
    owner: LedgerKey
    entity_type: str
    hold: bool = False
    own_resolve: Callable[..., Awaitable[Any]] | None = None
    debts: list[Debt] = field(default_factory=list)

    async def values(
        self,
        references: Sequence[BoundReference],
        node: Payload | Line,
        path: str,
        *,
        line: tuple[str, str] = ("", ""),
    ) -> Values:
        """Return the columns that hold other entities' primary keys; an empty id is NULL.

        Args:
            references: The columns.
            node: The document or line.
            path: Where it stands, for an error: ``invoice.line_items[2]``.
            line: The list of lines and the line's key, for the columns of a line.

        Raises:
            ReferencePending: An entity is not there yet.
            ReferenceFailed: An entity is not there, and the mapping does not want to wait.
            PayloadError: An id is not text.
        """
        values: Values = {}
        for reference in references:
            key = None
            if zoho_id := _read_id(reference, node, path):
                kind = self.context.catalog.require(reference.to)
                kind.check_id(zoho_id, _field(path, reference))
                key = await self._key(reference, zoho_id, path, line)
            values[reference.column] = coerce(reference.column, key)
        return values

    async def _key(
        self, reference: BoundReference, zoho_id: str, path: str, line: tuple[str, str]
    ) -> Any:
        missing = reference.missing
        try:
            return await self._resolve(reference, zoho_id)
        except ReferenceFailed as failed:
            failed.path = failed.path or _field(path, reference)
            if not failed.deleted or reference.deleted == "fail":
                raise
        except ReferencePending:
            if isinstance(missing, NamedCallable):
                return await self._stand_in(reference, zoho_id, missing)
            if missing != "null":
                raise
        self._owe(reference, zoho_id, line)
        return None

    async def _resolve(self, reference: BoundReference, zoho_id: str) -> Any:
        missing = "fail" if reference.missing == "fail" else "park"
        if self.own_resolve is not None:
            return await self.own_resolve(reference.to, zoho_id, missing=missing)
        return await resolve_key(
            self.connection,
            self.context,
            self.owner.organization_id,
            reference.to,
            zoho_id,
            missing=missing,
            hold=self.hold,
        )

    async def _stand_in(
        self, reference: BoundReference, zoho_id: str, missing: NamedCallable
    ) -> Any:
        try:
            target, entity_type = self._target(reference, zoho_id)
            columns = missing(zoho_id)
            return await make_placeholder(
                self.connection, self.context, target, entity_type, columns
            )
        except ConfigurationError as error:
            raise CallableFailed(missing.where, str(error)) from error

    def _target(self, reference: BoundReference, zoho_id: str) -> tuple[LedgerKey, str]:
        kind = self.context.catalog.require(reference.to)
        return LedgerKey(self.owner.organization_id, kind.namespace, zoho_id), kind.entity_type

    def _owe(self, reference: BoundReference, zoho_id: str, line: tuple[str, str]) -> None:
        target, entity_type = self._target(reference, zoho_id)
        debt = Debt(self.owner, self.entity_type, reference.name, target, entity_type, *line)
        self.debts.append(debt)


def _read_id(reference: BoundReference, node: Payload | Line, path: str) -> str:
    """Return the id that a reference gives; ``""`` where it gives none."""
    value = read_source(reference.source, node)
    if value is ABSENT or value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        problem = "the source of a reference must give an id"
        if isinstance(reference.source, NamedCallable):
            raise CallableFailed(reference.source.where, problem)
        raise PayloadError(_field(path, reference), problem)
    return value.strip()


def _field(path: str, reference: BoundReference) -> str:
    source = reference.source
    return f"{path}.{source if isinstance(source, str) else reference.name}"
