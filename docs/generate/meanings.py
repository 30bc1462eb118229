"""Says what parameters mean whose names mean the same everywhere."""

from __future__ import annotations

__all__ = ["MEANINGS"]

MEANINGS = {
    "aliases": "Other names of them.",
    "attempts": "How many attempts have failed.",
    "body": "Bytes or text, or a document as a mapping.",
    "check": "What to do with it.",
    "connection": "Where to work, for engines in your own database.",
    "count": "How many jobs there are.",
    "delay": "How long nobody may claim them.",
    "document": "The document, without its wrapper.",
    "entity": "The entity type, by any of its names.",
    "entity_id": "Zoho's id of the entity.",
    "entity_type": "The entity type, by any of its names.",
    "event": "The event.",
    "events": "What to queue.",
    "fingerprints": "Entity type → fingerprint of the mapping in force.",
    "handler": "A subclass of `BaseEntityHandler`.",
    "handlers": "Subclasses of `BaseEntityHandler`.",
    "jobs": "What was claimed.",
    "lease": "How long the worker owns them.",
    "letter_id": "The id of the dead letter, which is that of its event.",
    "limit": "The largest number of results.",
    "message": "The bytes.",
    "name": "The name.",
    "needs": "The name of the capability without which it is skipped.",
    "notify": "Called when there may be work.",
    "operation": "What happened, in any of the usual words.",
    "organization_id": "Zoho's organization, where several are configured.",
    "payload": "The document.",
    "primary_key": "The value, or a tuple of values.",
    "priority": "The smaller, the sooner: -1 goes before deliveries, 1 after them.",
    "problem": "What is wrong, in one sentence.",
    "purpose": "What needs it.",
    "queue": "The engine that `opened` gave.",
    "reason": "What the journal says about it.",
    "result": "What applying it did.",
    "seconds": "How much time.",
    "session": "An `AsyncSession` of yours.",
    "waiting_for": "The type and the id of the entity that they wait for.",
    "which": "An id, several ids, or a filter.",
    "window": "How far back to look.",
    "zoho_id": "Zoho's id of the entity.",
}
"""What parameters of these names mean where a docstring does not say more."""
