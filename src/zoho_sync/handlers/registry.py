"""Registers the handlers that an application uses, one for each entity type."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import entry_points
from typing import Any, Final, TypeVar, overload

from zoho_sync.events.entities import BUILTIN_KINDS, EntityCatalog
from zoho_sync.exceptions import ConfigurationError, Finding, MappingError, UnknownEntityType
from zoho_sync.exceptions.arguments import kind_of
from zoho_sync.handlers.base import BaseEntityHandler
from zoho_sync.handlers.builtin import BUILTIN_HANDLERS
from zoho_sync.handlers.declaration import misplaced
from zoho_sync.mapping.binding import BoundEntity

__all__ = ["ENTRY_POINT_GROUP", "HandlerRegistry", "default_registry"]

ENTRY_POINT_GROUP: Final = "zoho_sync.handlers"
"""Packages that bring handlers name them in this entry-point group."""

Handler = type[BaseEntityHandler[Any]]
_HandlerT = TypeVar("_HandlerT", bound=Handler)


class HandlerRegistry:
    """A collection of handler classes, one for each entity type.

    ``registry["invoice"]``, ``"Sales-Orders" in registry``, ``len(registry)`` and iteration over
    the entity types work as in a mapping; names may be aliases.
    """

    def __init__(self, handlers: Iterable[Handler] = ()) -> None:
        self._handlers: dict[str, Handler] = {}
        self._ignored: set[str] = set()
        for handler in handlers:
            self.register(handler)

    @overload
    def register(self, handler: _HandlerT) -> _HandlerT: ...

    @overload
    def register(self, handler: None = None) -> Callable[[_HandlerT], _HandlerT]: ...

    def register(self, handler: Handler | None = None) -> Any:
        """Add a handler; usable as a decorator, ``@registry.register`` or with parentheses.

        Raises:
            ConfigurationError: There is a handler of that type already (`override` replaces it),
                its type is another name of one that exists, or the class is no usable handler.
        """
        if handler is None:
            return self.register
        _check(handler, "register")
        present = self._handlers.get(handler.entity_type)
        if present is not None and present is not handler:
            message = (
                f"{handler.entity_type!r} is handled by {present.__name__} already; "
                f"use override({handler.__name__}) to replace it"
            )
            raise ConfigurationError(message)
        return self._put(handler)

    def override(self, handler: _HandlerT) -> _HandlerT:
        """Put a handler in the place of the one of its type; usable as a decorator."""
        _check(handler, "override")
        self._put(handler)
        return handler

    def merge(self, other: HandlerRegistry) -> HandlerRegistry:
        """Return a new registry with the handlers of both.

        Args:
            other: The registry whose handlers win.
        """
        merged = HandlerRegistry({**self._handlers, **other._handlers}.values())
        for name in self._ignored - set(other._handlers) | other._ignored:
            merged.ignore(name)
        return merged

    def ignore(self, entity_type: str) -> None:
        """Settle the events of a type as ignored: they are counted, and change nothing.

        Raises:
            UnknownEntityType: With the types that are known.
        """
        self._ignored.add(self.catalog().require(entity_type).entity_type)

    def is_ignored(self, entity_type: str) -> bool:
        """Return whether the events of a type are ignored."""
        return self._name(entity_type) in self._ignored

    def discover(self) -> HandlerRegistry:
        """Register what installed packages offer in the entry-point group; return the registry."""
        for entry_point in entry_points(group=ENTRY_POINT_GROUP):
            self.override(entry_point.load())
        return self

    def get(self, entity_type: str) -> Handler | None:
        """Return the handler of a type, or None."""
        return self._handlers.get(self._name(entity_type))

    def catalog(self) -> EntityCatalog:
        """Return the names of all entity types: the built-in ones and those of the handlers."""
        own = [handler.kind() for handler in self._handlers.values()]
        names = {kind.entity_type for kind in own}
        return EntityCatalog([*own, *(k for k in BUILTIN_KINDS if k.entity_type not in names)])

    def bindings(self) -> dict[str, BoundEntity]:
        """Return every handler's mapping, bound to its tables.

        Raises:
            MappingError: With the findings of all handlers.
        """
        findings: list[Finding] = []
        bindings: dict[str, BoundEntity] = {}
        for name, handler in self._handlers.items():
            try:
                if (bound := handler.binding()) is not None:
                    bindings[name] = bound
            except MappingError as error:
                findings += error.findings
        if findings:
            raise MappingError(findings)
        return bindings

    def __getitem__(self, entity_type: str) -> Handler:
        """Return the handler of a type.

        Raises:
            UnknownEntityType: With the types that are known.
        """
        handler = self.get(entity_type)
        if handler is None:
            handled = EntityCatalog(each.kind() for each in self._handlers.values())
            raise UnknownEntityType(entity_type, handled.kinds, handled.names)
        return handler

    def __contains__(self, entity_type: object) -> bool:
        return isinstance(entity_type, str) and self.get(entity_type) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self._handlers)

    def __len__(self) -> int:
        return len(self._handlers)

    def __repr__(self) -> str:
        handlers = ", ".join(handler.__name__ for handler in self._handlers.values())
        return f"{type(self).__name__}({handlers})"

    def _name(self, entity_type: str) -> str:
        if entity_type in self._handlers:
            return entity_type
        return self.catalog().resolve(entity_type) or entity_type

    def _put(self, handler: Handler) -> Handler:
        own = handler.entity_type
        meant = self.catalog().resolve(own)
        if meant not in (None, own):
            # Its events would go to the other one: names lead to types, not to handlers.
            message = (
                f"{handler.__name__}: entity_type {own!r} is another name of {meant!r}; set "
                f"entity_type = {meant!r}, or choose a name that no other type goes by"
            )
            raise ConfigurationError(message)
        self._handlers[handler.entity_type] = handler
        self._ignored.discard(handler.entity_type)
        return handler


def _check(handler: Any, method: str) -> None:
    if not (isinstance(handler, type) and issubclass(handler, BaseEntityHandler)):
        message = (
            f"{method}() takes a handler class; this is {kind_of(handler)}, and not a subclass of "
            "BaseEntityHandler; give the class itself"
        )
        raise ConfigurationError(message)
    if findings := [*misplaced(handler)]:
        raise MappingError(findings)
    if not handler.entity_type:
        message = (
            f"{handler.__name__} has no entity_type; subclass a handler of zoho_sync.handlers, or "
            "set it on the class or on its payload model"
        )
        raise ConfigurationError(message)
    if not getattr(handler.payload_model, "id_fields", ()):
        message = (
            f"{handler.__name__} has no payload_model that names its id_fields; "
            f"subclass Payload, and {handler.__name__} as BaseEntityHandler[YourPayload]"
        )
        raise ConfigurationError(message)
    if handler.mapping is None and handler.upsert is BaseEntityHandler.upsert:
        message = f"{handler.__name__} has neither a mapping nor an upsert() of its own"
        raise ConfigurationError(message)


def default_registry() -> HandlerRegistry:
    """Return a new registry with the eleven handlers, which write into the mirror's tables."""
    return HandlerRegistry(BUILTIN_HANDLERS)
