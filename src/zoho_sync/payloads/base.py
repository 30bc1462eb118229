"""Gives every model of a document or a line its id, its custom fields and its unknown keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import tzinfo
from functools import cache
from typing import Any, ClassVar, ForwardRef

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import InitErrorDetails

from zoho_sync.exceptions import ConfigurationError
from zoho_sync.exceptions.wording import did_you_mean
from zoho_sync.payloads.fields import NO_ID, FieldKind, JsonList, JsonObject, is_blank, unreadable

__all__ = ["Line", "Payload", "known_ids_of", "line_key"]


class _Model(BaseModel):
    """A JSON object of Zoho's: unknown keys are kept, and nothing changes it afterwards."""

    # The eleven are built when their first documents come, and not at every import.
    model_config = ConfigDict(extra="allow", frozen=True, defer_build=True)

    # How times were read, for values that no field declares and that are read later.
    _time_zone: tzinfo | None = PrivateAttr(default=None)
    _date_formats: tuple[str, ...] = PrivateAttr(default=())

    def model_post_init(self, context: Any, /) -> None:
        """Keep how times are to be read."""
        if isinstance(context, Mapping):
            self._time_zone = context.get("time_zone")
            self._date_formats = tuple(context.get("date_formats") or ())

    @model_validator(mode="before")
    @classmethod
    def _understand(cls, document: Any) -> Any:
        return cls._respelled(dict(document)) if isinstance(document, Mapping) else document

    @classmethod
    def _respelled(cls, document: dict[str, Any]) -> dict[str, Any]:
        """Return the document with other spellings of its fields in the preferred one."""
        return document


class Line(_Model):
    """One line of a document; ``model_fields_set`` says which fields the document had.

    Attributes:
        id_field: The field that identifies the line within its document.
    """

    id_field: ClassVar[str]

    @property
    def line_id(self) -> str:
        """The line's id; ``""`` where the document has none."""
        return str(getattr(self, self.id_field, None) or "")


@cache
def known_ids_of(model: type[Payload]) -> frozenset[str]:
    """Return the fields of a model that hold ids, by every name that a document may have them."""
    names = {each for name, field in model.model_fields.items() for each in (name, field.alias)}
    return frozenset(name for name in names if name and name.endswith("_id"))


def line_key(line: Line, position: int) -> str:
    """Return what identifies a line within its document: its id, else ``#`` and its position.

    Args:
        line: The line.
        position: In its list, counted from 0.
    """
    return line.line_id or f"#{position}"


class Payload(_Model):
    """A document of Zoho's; ``model_fields_set`` says which fields it had.

    An application's own entity subclasses it::

        class Shipment(Payload):
            entity_type = "shipment"
            id_fields = ("shipment_id",)

            shipment_id: EntityId
            shipped_on: Day = None

    Attributes:
        entity_type: The name that registry, routes and error paths use.
        id_fields: The fields that may hold the entity's id, the preferred one first; it is declared
            in the model as an `EntityId`, and an id under another name fills it. Nothing else is
            required.
        numbered: Whether ids of an application's own entity are digits alone, as all of Zoho's are:
            what a template has not filled is refused then. Otherwise any text is an id.
    """

    entity_type: ClassVar[str]
    id_fields: ClassVar[tuple[str, ...]]
    numbered: ClassVar[bool] = False

    custom_fields: JsonList = Field(default_factory=list)
    custom_field_hash: JsonObject = None

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Check that the id has a field of its own, which no document leaves empty."""
        super().__pydantic_init_subclass__(**kwargs)
        names: tuple[str, ...] | str = getattr(cls, "id_fields", ())
        if isinstance(names, str):
            message = f"{cls.__name__}.id_fields is text; it must be a tuple: ({names!r},)"
            raise ConfigurationError(message)
        if names and names[0] not in cls.model_fields:
            near = did_you_mean(names[0], cls.model_fields)
            message = f"{cls.__name__} declares no field {names[0]!r}, where its id belongs{near}"
            raise ConfigurationError(message)
        if names and not _is_entity_id(cls.model_fields[names[0]]):
            message = (
                f"{cls.__name__}.{names[0]} holds the entity's id and may not be empty; declare it"
                f" without a default, with the type of zoho_sync.payloads: `{names[0]}: EntityId`"
            )
            raise ConfigurationError(message)
        if not cls.__module__.startswith("zoho_sync."):
            # Here and now: what is wrong with a model of an application's own is to be heard early.
            cls.model_rebuild(raise_errors=False)

    @property
    def entity_id(self) -> str:
        """Zoho's id of the entity, as text; never blank."""
        return str(getattr(self, self.id_fields[0]))

    def custom_field(self, name: str) -> Any:
        """Return a custom field's value, whichever way the document spells it.

        The value comes from the first of: ``custom_fields[]`` by ``api_name``, the
        ``custom_field_hash``, ``cf_…`` at the top level, ``custom_fields[]`` by ``label``. Hash and
        top level hold display text beside an ``…_unformatted`` twin, which is preferred.

        Args:
            name: The API name, ``cf_risk_score``, or the label, ``Credit Risk``.

        Returns:
            The value as it came; None where it is ``""``, and where the field is not there:
            `has_custom_field` tells the two apart.
        """
        value = next(self._custom_values(name), None)
        return None if is_blank(value) else value

    def has_custom_field(self, name: str) -> bool:
        """Whether the document says what that custom field holds, be it nothing.

        Zoho lists the fields that have a value. So one that a list or a hash lacks is empty, as
        long as every entry of the list has the key by which the field is looked for.
        """
        return self.mentions_custom_field(name) or self._is_emptied(name)

    def mentions_custom_field(self, name: str) -> bool:
        """Return whether the document itself has a custom field, by API name or label."""
        return any(True for _ in self._custom_values(name))

    def _is_emptied(self, name: str) -> bool:
        is_api_name = name.startswith("cf_")
        if "custom_fields" not in self.model_fields_set:
            return is_api_name and "custom_field_hash" in self.model_fields_set
        key = "api_name" if is_api_name else "label"
        return all(isinstance(each, Mapping) and each.get(key) for each in self.custom_fields)

    def _custom_values(self, name: str) -> Iterator[Any]:
        yield from self._listed_values("api_name", name)
        extra = self.model_extra or {}
        for place in (self.custom_field_hash or {}, extra if name.startswith("cf_") else {}):
            yield from (place[key] for key in (f"{name}_unformatted", name) if key in place)
        yield from self._listed_values("label", name)

    def _listed_values(self, key: str, name: str) -> Iterator[Any]:
        for entry in self.custom_fields:
            if isinstance(entry, Mapping) and entry.get(key) == name and "value" in entry:
                yield entry["value"]

    @model_validator(mode="before")
    @classmethod
    def _identify(cls, document: Any) -> Any:
        if not isinstance(document, Mapping):
            return document
        found = (document.get(name) for name in cls.id_fields)
        value = next((value for value in found if not is_blank(value)), None)
        if value is None:
            problem = InitErrorDetails(type=unreadable(NO_ID), loc=cls.id_fields[:1], input=None)
            raise ValidationError.from_exception_data(cls.__name__, [problem])
        return {**document, cls.id_fields[0]: value}


def _is_entity_id(field: FieldInfo) -> bool:
    """Whether a field is an `EntityId`, maybe one with more to check, and required."""
    if isinstance(field.annotation, ForwardRef):
        return True  # pydantic resolves it later, or refuses every document
    return field.is_required() and field.annotation is str and FieldKind.ID in field.metadata
