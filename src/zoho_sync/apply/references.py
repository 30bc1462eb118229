"""Fills the columns that hold other entities' primary keys; some may wait for theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from zoho_sync.events.entities import EntityCatalog
from zoho_sync.exceptions import ConfigurationError, PayloadError, ReferenceFailed, ReferencePending
from zoho_sync.mapping.binding import BoundReference
from zoho_sync.mapping.callables import NamedCallable
from zoho_sync.mapping.declaration import ABSENT, read_source
from zoho_sync.mapping.values import Values, coerce
from zoho_sync.payloads import Line, Payload
from zoho_sync.store.debts import Debt
from zoho_sync.store.ledger import LedgerKey

__all__ = ["References", "Resolver", "StandIn"]


class Resolver(Protocol):
    """Finds the host's primary key of another entity."""

    async def __call__(self, entity_type: str, zoho_id: str, *, missing: str = "park") -> Any:
        """Return the key.

        Raises:
            ReferencePending: The entity is not there yet.
            ReferenceFailed: It is not there, and waiting is not wanted or would not help.
        """
        ...


class StandIn(Protocol):
    """Makes a row that stands for an entity until it arrives."""

    async def __call__(
        self, key: LedgerKey, entity_type: str, columns: Mapping[str, Any], /
    ) -> Any:
        """Return the row's primary key; where the entity is there by now, its own."""
        ...


@dataclass
class References:
    """Resolves the references of one event.

    Attributes:
        resolve: Finds keys: where the context says, or by the handler's own code.
        stand_in: Makes placeholders.
        catalog: The entity types.
        owner: The entity that refers.
        entity_type: The owner's.
        debts: Columns that are NULL until what they refer to arrives.
    """

    resolve: Resolver
    stand_in: StandIn
    catalog: EntityCatalog
    owner: LedgerKey
    entity_type: str
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
            zoho_id = _read_id(reference, node, path)
            key = await self._key(reference, zoho_id, path, line) if zoho_id else None
            values[reference.column] = coerce(reference.column, key)
        return values

    async def _key(
        self, reference: BoundReference, zoho_id: str, path: str, line: tuple[str, str]
    ) -> Any:
        missing = reference.missing
        try:
            return await self.resolve(
                reference.to, zoho_id, missing="fail" if missing == "fail" else "park"
            )
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

    async def _stand_in(
        self, reference: BoundReference, zoho_id: str, missing: NamedCallable
    ) -> Any:
        try:
            target, entity_type = self._target(reference, zoho_id)
            return await self.stand_in(target, entity_type, missing(zoho_id))
        except ConfigurationError as error:
            raise PayloadError(missing.where, str(error)) from error

    def _target(self, reference: BoundReference, zoho_id: str) -> tuple[LedgerKey, str]:
        kind = self.catalog.require(reference.to)
        return LedgerKey(self.owner.organization_id, kind.namespace, zoho_id), kind.entity_type

    def _owe(self, reference: BoundReference, zoho_id: str, line: tuple[str, str]) -> None:
        target, entity_type = self._target(reference, zoho_id)
        child, line_id = line
        self.debts.append(
            Debt(
                self.owner,
                self.entity_type,
                reference.name,
                target,
                entity_type,
                child=child,
                line_id=line_id,
            )
        )


def _read_id(reference: BoundReference, node: Payload | Line, path: str) -> str:
    """Return the id that a reference gives; ``""`` where it gives none."""
    value = read_source(reference.source, node)
    if value is ABSENT or value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise PayloadError(_field(path, reference), "the source of a reference must give an id")
    return value.strip()


def _field(path: str, reference: BoundReference) -> str:
    source = reference.source
    return f"{path}.{source if isinstance(source, str) else reference.name}"
