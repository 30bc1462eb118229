"""The library's own tables, as operators' SQL finds them."""

from __future__ import annotations

from zoho_sync.store.tables import library_tables

# An event may lack a time of its own; a body that was not understood lacks most of an event.
EVENT = {"effective_time", "arrival_sequence"}
NOT_UNDERSTOOD = {"entity_type", "entity_id", "operation", "content_hash"}
LEASE = {"lease_token", "lease_expires_at"}
CLAIM = {"claimed_at", "claimed_by"}

MAY_BE_NULL = {
    "jobs": EVENT | LEASE | {"dedupe_key", "first_parked_at", "contested"} | CLAIM,
    "outbox": EVENT | LEASE | {"dedupe_key"},
    "parked": EVENT | {"dedupe_key", "first_parked_at"},
    "journal": EVENT | NOT_UNDERSTOOD | {"dedupe_key", "lease_token"},
    "dead_letters": EVENT
    | NOT_UNDERSTOOD
    | {"payload", "body", "content_type", "hints", "first_parked_at"}
    | {"body_hash", "last_arrived_at"},
    # A row is made before its entity's first event is applied.
    "ledger": EVENT
    | {"entity_type", "event_id", "arrival_time", "version_rank", "deleted_at"}
    | {"table_name", "primary_key"},
    "child_links": set(),
    "debts": set(),
    "leaders": set(),
    "pauses": set(),
    "refusals": set(),
    "fields": set(),
    "workers": {"claimed_at", "busy_since"},
    "versions": set(),
}


def test_nothing_else_may_be_null() -> None:
    found = {
        table.name.removeprefix("zoho_sync_"): {
            column.name for column in table.columns if column.nullable
        }
        for table in library_tables().metadata.sorted_tables
    }
    assert found == MAY_BE_NULL
