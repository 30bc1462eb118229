"""Describes one change of one entity: the event, its operation, and where it stands in time."""

from __future__ import annotations

import enum
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final, NamedTuple

from zoho_sync.events.exact_json import InexactError, canonical_hash
from zoho_sync.events.times import parse_time
from zoho_sync.exceptions import PayloadError
from zoho_sync.exceptions.wording import did_you_mean, shown

__all__ = [
    "DEFAULT_ORGANIZATION",
    "OPERATION_WORDS",
    "Arrival",
    "Operation",
    "SyncEvent",
    "effective_time",
    "new_event_id",
    "operation_of",
    "refuse_future",
    "with_own_time",
]

DEFAULT_ORGANIZATION: Final = "default"
"""The organization of every event where the host names none."""

TIME_FIELDS: Final = ("last_modified_time", "updated_time")
"""The fields that say when a document was last changed, the preferred one first."""

REAPPLIED: Final = "reapply-"
"""The beginning of the id of an event that was queued for a mapping that has changed."""

_MAX_NAME: Final = 64
_MAX_ID: Final = 255
_FUTURE_TOLERANCE: Final = timedelta(days=1)

_UPSERT_WORDS: Final = frozenset(
    ("upsert", "create", "created", "add", "added", "edit", "edited", "update", "updated")
)
_DELETE_WORDS: Final = frozenset(("delete", "deleted", "remove", "removed"))
OPERATION_WORDS: Final = _UPSERT_WORDS | _DELETE_WORDS
"""Every word that `Operation` understands, in lower case."""


class Operation(enum.StrEnum):
    """What happened to the entity; ``Operation("edited")`` understands the usual words."""

    UPSERT = "upsert"
    DELETE = "delete"

    @classmethod
    def _missing_(cls, value: object) -> Operation | None:
        word = str(value).strip().lower()
        if word in _UPSERT_WORDS:
            return cls.UPSERT
        return cls.DELETE if word in _DELETE_WORDS else None


def operation_of(word: str, path: str = "operation", *, quoted: bool = True) -> Operation:
    """Return the operation that a word means.

    Args:
        word: As somebody wrote it.
        path: Where it stood, for the error.
        quoted: Whether the error may name the word: not if it comes from a body.

    Raises:
        PayloadError: It means none; the message lists those that do.
    """
    try:
        return Operation(word)
    except ValueError:
        known = [*sorted(_UPSERT_WORDS), *sorted(_DELETE_WORDS)]
        subject = f"{shown(word)} is not" if quoted else "not"
        problem = (
            f"{subject} a known word for an upsert or a delete; known are {', '.join(known)}"
            f"{did_you_mean(word, known)}"
        )
        raise PayloadError(path, problem) from None


class Arrival(NamedTuple):
    """When an event was received, by the clock of the queue's database.

    Attributes:
        time: Aware UTC, microseconds.
        sequence: Decides between equal times; unique in a queue, 0 for a direct call, and of at
            most 63 bits.
    """

    time: datetime
    sequence: int


def new_event_id() -> str:
    """Return a new event id: 32 hexadecimal digits."""
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True)
class SyncEvent:
    """One change of one entity, normalised.

    Attributes:
        entity_type: One of `EntityType`, or a type of the application's own.
        entity_id: Zoho's id, as text.
        payload: The entity's document as received; numbers are `int` or `decimal.Decimal`.
        operation: Upsert or delete.
        organization_id: Zoho's organization, or one constant where the host names none.
        effective_time: The document's own time, aware UTC, whole seconds; None if it has none.
        arrival: When it was received; None until it is.
        id: Unique; it stays with the event through retries, parking and replay.
        content_hash: Of operation and payload, by which a resend is recognised.

    Raises:
        PayloadError: A name or an id that is empty or too long, or a payload with a value that JSON
            has no exact form for, such as a binary float.
    """

    entity_type: str
    entity_id: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    operation: Operation = Operation.UPSERT
    organization_id: str = DEFAULT_ORGANIZATION
    effective_time: datetime | None = None
    arrival: Arrival | None = None
    id: str = field(default_factory=new_event_id)
    content_hash: str = ""

    @property
    def reapplied(self) -> bool:
        """Whether a changed mapping asked for it once more; see `ZohoSync.reapply`."""
        return self.id.startswith(REAPPLIED)

    def __post_init__(self) -> None:
        _check_name("organization_id", self.organization_id, _MAX_NAME)
        _check_name("entity_type", self.entity_type, _MAX_NAME)
        _check_name("entity_id", self.entity_id, _MAX_ID)
        if not self.content_hash:
            try:
                digest = canonical_hash(self.operation, self.payload)
            except InexactError as error:
                path = ".".join(filter(None, (self.entity_type, error.path)))
                raise PayloadError(path, error.problem) from None
            object.__setattr__(self, "content_hash", digest)


def _check_name(field_name: str, value: str, longest: int) -> None:
    if not value or len(value) > longest or "\x00" in value:
        raise PayloadError(field_name, f"expected text of 1 to {longest} characters without NUL")


def effective_time(
    document: Mapping[str, Any],
    *,
    path: str = "",
    time_zone: tzinfo | None = None,
    formats: Iterable[str] = (),
) -> datetime | None:
    """Return a document's own time, aware UTC, cut to whole seconds; None if it has none.

    Args:
        document: The entity's document.
        path: Where the document stands, for the error: ``invoice``.
        time_zone: Of times that have no offset.
        formats: Accepted besides ISO 8601.

    Raises:
        PayloadError: The field is there and cannot be read.
    """
    for name in TIME_FIELDS:
        value = document.get(name)
        if value is None or value == "":
            continue
        where = f"{path}.{name}" if path else name
        if isinstance(value, datetime) and value.tzinfo is not None:
            return value.astimezone(UTC).replace(microsecond=0)
        if not isinstance(value, str):
            raise PayloadError(where, f"expected a time as text, not {type(value).__name__}")
        try:
            moment = parse_time(value, time_zone=time_zone, formats=formats)
        except ValueError as error:
            raise PayloadError(where, str(error)) from None
        return moment.replace(microsecond=0)
    return None


def with_own_time(
    event: SyncEvent, *, time_zone: tzinfo | None, formats: Iterable[str]
) -> SyncEvent:
    """Return an event with its document's `effective_time`, unless it has one already.

    Raises:
        PayloadError: The document's time cannot be read.
    """
    moment = event.effective_time or effective_time(
        event.payload, path=event.entity_type, time_zone=time_zone, formats=formats
    )
    return replace(event, effective_time=moment.replace(microsecond=0) if moment else None)


def refuse_future(event_time: datetime | None, arrived: datetime, *, path: str = "") -> None:
    """Refuse a time more than a day ahead of its arrival: it would freeze the row until then.

    Raises:
        PayloadError: It is.
    """
    if event_time is not None and event_time > arrived + _FUTURE_TOLERANCE:
        where = f"{path}.{TIME_FIELDS[0]}" if path else TIME_FIELDS[0]
        raise PayloadError(where, "more than a day ahead of its arrival")
