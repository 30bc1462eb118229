"""Applies the events of one entity type to the host's tables: the class that users subclass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Generic, TypeVar, TypeVarTuple, get_args, get_origin, overload

from sqlalchemy import Executable, Result
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.selectable import TypedReturnsRows

from zoho_sync.apply.context import HandlerContext
from zoho_sync.apply.directly import apply_directly
from zoho_sync.apply.resolving import resolve_key
from zoho_sync.apply.writing import Writing
from zoho_sync.database.unit_of_work import unit_of_work
from zoho_sync.events.entities import BUILTIN_CATALOG, EntityKind
from zoho_sync.events.event import (
    DEFAULT_ORGANIZATION,
    Operation,
    SyncEvent,
    effective_time,
    operation_of,
)
from zoho_sync.events.outcome import SyncResult
from zoho_sync.exceptions import ConfigurationError, MappingError, PayloadError
from zoho_sync.handlers.declaration import misplaced
from zoho_sync.mapping.binding import BoundEntity, bind
from zoho_sync.mapping.declaration import EntityMap
from zoho_sync.payloads import Payload
from zoho_sync.payloads.base import known_ids_of

__all__ = ["BaseEntityHandler", "PayloadT"]

PayloadT = TypeVar("PayloadT", bound=Payload)
# SQLAlchemy 2.0 types rows by one tuple, 2.1 by the columns themselves. Each overload below that
# uses one of these says nothing under the other version; what is ignored there is what mypy says
# about the version that it does not fit.
_Row = TypeVar("_Row", bound=tuple[Any, ...])
_Columns = TypeVarTuple("_Columns")


class BaseEntityHandler(Generic[PayloadT]):
    """Applies the events of one entity type to the host's tables.

    A subclass declares; it rarely needs code::

        class Invoices(InvoiceHandler):
            mapping = EntityMap(
                table=Invoice,
                key="zoho_invoice_id",
                columns={"amount": "total"},
                deleted_column="deleted_at",
            )

    For full control, override `upsert` and `delete`. A handler belongs to one session and, like
    it, to one task. ``await Invoices(session).sync(payload)`` works alone, in a transaction of its
    own, and inside a transaction that the host has opened, in a savepoint.
    """

    entity_type: ClassVar[str] = ""
    payload_model: ClassVar[type[Payload]] = Payload
    mapping: ClassVar[EntityMap | None] = None
    _bound: ClassVar[BoundEntity]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base in cls.__dict__.get("__orig_bases__", ()):
            arguments = get_args(base) if _is_handler(get_origin(base)) else ()
            if arguments and isinstance(arguments[0], type) and "payload_model" not in vars(cls):
                cls.payload_model = arguments[0]
        if not cls.entity_type:
            cls.entity_type = getattr(cls.payload_model, "entity_type", "")

    def __init__(self, session: AsyncSession, *, organization_id: str | None = None) -> None:
        self.session = session
        self.organization_id = organization_id or DEFAULT_ORGANIZATION
        self.context = HandlerContext()
        self.holds_targets = False
        """Whether rows that are referred to are held until the transaction ends."""
        self._writing: Writing | None = None

    @classmethod
    def kind(cls) -> EntityKind:
        """Return how the entity type is named and recognised.

        Raises:
            ConfigurationError: Neither the class nor its payload model says so.
        """
        if (builtin := BUILTIN_CATALOG.kinds.get(cls.entity_type)) is not None:
            return replace(builtin, known_ids=known_ids_of(cls.payload_model))
        id_fields: tuple[str, ...] = getattr(cls.payload_model, "id_fields", ())
        if not cls.entity_type or not id_fields:
            message = f"{cls.__name__}: its payload model must declare entity_type and id_fields"
            raise ConfigurationError(message)
        numbered = bool(getattr(cls.payload_model, "numbered", False))
        return EntityKind(cls.entity_type, (cls.entity_type,), id_fields, numbered=numbered)

    @classmethod
    def binding(cls) -> BoundEntity | None:
        """Return the mapping bound to its tables; None for a handler without a mapping.

        Raises:
            MappingError: A table or column does not exist, or a mapping has another name.
        """
        if cls.mapping is None:
            return None
        bound: BoundEntity | None = vars(cls).get("_bound")
        if bound is None or bound.mapping is not cls.mapping:
            if findings := [*misplaced(cls)]:
                raise MappingError(findings)
            bound = cls._bound = bind(cls.mapping, cls.__name__, cls.entity_type)
        return bound

    async def sync(
        self, payload: PayloadT | Mapping[str, Any], operation: Operation | str = Operation.UPSERT
    ) -> SyncResult:
        """Apply one change now.

        Args:
            payload: The document, or a model of it. For a delete, the id is enough. Numbers are
                `int`, `str` or `decimal.Decimal`; binary floats are refused.
            operation: Upsert or delete, in any of the usual words.

        Returns:
            What was done; stale and duplicate are outcomes, not errors.

        Raises:
            PayloadError: The document cannot be understood.
            ReferencePending: An entity that it refers to has not arrived yet.
            ReferenceFailed: An entity that it refers to does not exist.
            RowRejected: The host's schema refuses the values.
            HostTransactionLost: The database ended the host's transaction.
        """
        operation = operation_of(operation)
        async with unit_of_work(self.session) as work:
            result = await apply_directly(self, work, self._event_of(payload, operation))
        return replace(result, committed=not work.joined)

    def _event_of(self, payload: PayloadT | Mapping[str, Any], operation: Operation) -> SyncEvent:
        kind, context = self.kind(), self.context
        document: Mapping[str, Any] = (
            payload.model_dump(exclude_unset=True) if isinstance(payload, Payload) else payload
        )
        entity_id = kind.entity_id(document)
        path = f"{kind.entity_type}.{kind.id_fields[0]}"
        if not entity_id:
            raise PayloadError(path, "missing or empty")
        moment = effective_time(
            document,
            path=kind.entity_type,
            time_zone=context.time_zone,
            formats=context.date_formats,
        )
        return SyncEvent(
            entity_type=kind.entity_type,
            entity_id=kind.check_id(entity_id, path),
            payload=document,
            operation=operation,
            organization_id=self.organization_id,
            effective_time=moment,
        )

    async def upsert(self, payload: PayloadT) -> Any:
        """Write the document into the host's tables and return the host's primary key.

        Runs inside the transaction of `sync` or of the worker, once the event is known to be
        fresh. Override it for full control; ``await super().upsert(payload)`` writes what the
        mapping says. Return None where there is no row to speak of.
        """
        return await self._current().upsert(payload)

    async def delete(self, entity_id: str) -> None:
        """Do what the mapping says about a deleted entity; override it for full control."""
        await self._current().delete(entity_id)

    async def before_apply(self, event: SyncEvent) -> None:
        """Run before a fresh event is applied, in the same transaction."""

    async def after_apply(self, event: SyncEvent, result: SyncResult) -> None:
        """Run after a fresh event was applied, in the same transaction."""

    @overload
    async def execute_with_context(
        self, statement: TypedReturnsRows[_Row], params: Any = None
    ) -> Result[_Row]: ...

    @overload
    async def execute_with_context(  # type: ignore[overload-overlap, unused-ignore]
        self,
        statement: TypedReturnsRows[*_Columns],  # type: ignore[valid-type, type-arg, unused-ignore]
        params: Any = None,
    ) -> Result[*_Columns]: ...  # type: ignore[valid-type, type-arg, unused-ignore]

    @overload
    async def execute_with_context(
        self, statement: Executable, params: Any = None
    ) -> Result[Any]: ...

    async def execute_with_context(self, statement: Executable, params: Any = None) -> Result[Any]:
        """Execute a statement: in a savepoint of the open transaction, or in one of its own.

        Args:
            statement: Any statement that the session executes.
            params: A mapping of parameters, or a list of mappings.

        Returns:
            The result, buffered: readable after the transaction has ended.

        Raises:
            SessionBusy: Another task is using the session.
            HostTransactionLost: The database ended the host's transaction.
        """
        async with unit_of_work(self.session):
            with self.session.no_autoflush:
                return await self.session.execute(statement, params)

    async def resolve(self, entity_type: str, zoho_id: str, *, missing: str = "park") -> Any:
        """Return the host's primary key of another entity.

        Args:
            entity_type: Its type, or an alias.
            zoho_id: Zoho's id.
            missing: ``"park"`` to wait for an entity that is unknown, ``"fail"`` to refuse.

        Raises:
            ReferencePending: It is unknown as yet.
            ReferenceFailed: It is unknown or deleted, and waiting is not wanted or would not help.
        """
        async with unit_of_work(self.session) as work:
            return await resolve_key(
                work.connection,
                self.context,
                self.organization_id,
                entity_type,
                zoho_id,
                missing=missing,
                hold=self.holds_targets,
            )

    def overrides(self, method: str) -> bool:
        """Return whether a method is the host's own code, and not what this class does.

        Args:
            method: Its name.
        """
        own = getattr(getattr(self, method), "__func__", None)
        return own is not getattr(BaseEntityHandler, method)

    def _current(self) -> Writing:
        if self._writing is None:
            message = f"{type(self).__name__}: call sync(); upsert() and delete() run inside it"
            raise ConfigurationError(message)
        return self._writing


def _is_handler(origin: Any) -> bool:
    return isinstance(origin, type) and issubclass(origin, BaseEntityHandler)
