"""Runs a handler's own methods, and says in our words what the database refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zoho_sync._faults import (
    Fault,
    breaks_reference,
    breaks_uniqueness,
    classify,
    hide_values,
    primary_message,
)
from zoho_sync._host_keys import plain_key
from zoho_sync._unique import value_taken
from zoho_sync.exceptions import ReferencePending, RowGone, RowRejected, ZohoSyncError
from zoho_sync.handlers._refusal import RefusedAt
from zoho_sync.handlers._writing import Writing
from zoho_sync.payloads import Payload

if TYPE_CHECKING:
    from zoho_sync.handlers.base import BaseEntityHandler

__all__ = ["call_handler", "refusal"]


async def call_handler(
    handler: BaseEntityHandler[Any],
    writing: Writing,
    payload: Payload | None,
    entity_id: str,
    *,
    late: bool,
) -> Any:
    handler._begin(writing)  # noqa: SLF001  # the two halves of one class
    try:
        if payload is None:
            await handler.delete(entity_id)
            key = plain_key(writing.located)
        elif late and writing.bound is not None:
            key = await writing.upsert(payload)
        else:
            key = await handler.upsert(payload)
        if key is None and writing.located is not None:
            # Its code wrote the mapped row, and did not hand the key on.
            key = plain_key(writing.located)
        if not writing.joined:
            await _flush(handler)
    except Exception as error:
        if classify(error) is Fault.REJECTED:
            raise refusal(writing, error, payload) from error
        raise
    finally:
        handler._end()  # noqa: SLF001  # the two halves of one class
    return key


async def _flush(handler: BaseEntityHandler[Any]) -> None:
    """Write what a handler's code added to the session, so that what is refused is its error."""
    session = handler.session
    if session.new or session.dirty or session.deleted:
        await session.flush()


def refusal(writing: Writing, error: Exception, payload: Payload | None) -> ZohoSyncError:
    """Return what the database refuses, in our words; a delete that is refused may only wait."""
    if breaks_uniqueness(error):
        # By the handler's own code: what it was to write is not known here.
        return value_taken(error, writing.bound.table.name if writing.bound else "")
    problem, constraint = primary_message(error)
    hide_values(error)
    bound, dangling = writing.bound, breaks_reference(error)
    if dangling and payload is None and bound is not None:
        return ReferencePending(
            bound.entity_type,
            writing.owner.entity_id,
            f"rows of the host still refer to the deleted row ({constraint or problem})",
        )
    place = RefusedAt.of(error, bound)
    kind = RowGone if dangling else RowRejected
    told = place.told(problem, dangling=dangling and not constraint)
    rejected = kind(told, table=place.table, constraint=constraint)
    rejected.path = place.field
    return rejected
