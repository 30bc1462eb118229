"""The writes of one event: what `upsert` and `delete` of a handler do unless overridden."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from zoho_sync._binding import BoundEntity
from zoho_sync._children import ChildWriter
from zoho_sync._host_keys import plain_key
from zoho_sync._ledger import LedgerKey
from zoho_sync._row_values import Key
from zoho_sync._upsert import Change, Resolver, RowWriter
from zoho_sync.exceptions import ConfigurationError
from zoho_sync.payloads import Payload

__all__ = ["Writing"]


@dataclass
class Writing:
    """One event on its way into the host's tables.

    Attributes:
        connection: Inside the event's transaction.
        joined: Whether that transaction is the host's, and what the session holds may be, too.
        bound: Where the entity is mapped; None for a handler that writes by its own code.
        links: The library's table of child links.
        resolve: Finds other entities.
        owner: The entity.
        located: Its row's primary key, while it has a row.
        change: What an upsert writes; None for a delete.
        deleted_at: What a delete writes.
    """

    connection: AsyncConnection
    joined: bool
    bound: BoundEntity | None
    links: Table
    resolve: Resolver
    owner: LedgerKey
    located: Key | None = None
    change: Change | None = None
    deleted_at: datetime | None = None

    async def upsert(self, payload: Payload) -> Any:
        """Write the change, and return the host's primary key."""
        bound = self._mapped("upsert")
        if self.change is None:
            message = "upsert() called while a delete is applied"
            raise ConfigurationError(message)
        rows = RowWriter(self.connection, bound, self.resolve)
        self.located = await rows.upsert(self.change, self.located)
        for child in bound.children:
            if child.name in self.change.write:
                writer = ChildWriter(self.connection, child, self.links, self.resolve)
                await writer.replace(self.owner, self.located, payload)
        return plain_key(self.located)

    async def delete(self, entity_id: str) -> None:
        """Mark or remove the row, as the mapping says; without a row there is nothing to do."""
        bound = self._mapped("delete")
        if self.deleted_at is None:
            message = f"delete({entity_id!r}) called while an upsert is applied"
            raise ConfigurationError(message)
        if self.located is None:
            return
        rows = RowWriter(self.connection, bound, self.resolve)
        if bound.mapping.on_delete == "soft":
            await rows.mark_deleted(self.located, self.deleted_at)
            return
        for child in bound.children:
            writer = ChildWriter(self.connection, child, self.links, self.resolve)
            await writer.remove_all(self.owner, self.located)
        await rows.remove(self.located)
        self.located = None

    def _mapped(self, method: str) -> BoundEntity:
        if self.bound is None:
            message = f"a handler without a mapping must override {method}()"
            raise ConfigurationError(message)
        return self.bound
