"""Shows operators where events are, and lets them mend what is stuck.

Beside the way of an event: it reads what the other stages have recorded in `zoho_sync.store`, and
what it changes goes back into the queue. `ZohoSync` and the command line offer all of it.
"""

from __future__ import annotations

from zoho_sync.operate.adoption_report import AdoptionCount
from zoho_sync.operate.dead_letters import DeadLetter, DeadLetterFilter, DeadLetters, Replayed
from zoho_sync.operate.linking import LinkReport, RefusedLink
from zoho_sync.operate.parked import ParkedEvent, ParkedEvents
from zoho_sync.operate.provenance import ColumnSource, HistoryEntry, Provenance
from zoho_sync.operate.queued import QueuedEvent, QueuedEvents
from zoho_sync.operate.reapplying import ReapplyReport
from zoho_sync.operate.status import StatusReport
from zoho_sync.operate.working import WorkerReport

__all__ = [
    "AdoptionCount",
    "ColumnSource",
    "DeadLetter",
    "DeadLetterFilter",
    "DeadLetters",
    "HistoryEntry",
    "LinkReport",
    "ParkedEvent",
    "ParkedEvents",
    "Provenance",
    "QueuedEvent",
    "QueuedEvents",
    "ReapplyReport",
    "RefusedLink",
    "Replayed",
    "StatusReport",
    "WorkerReport",
]
