"""Decides what a body is, a form or JSON; verifying and decoding both take this answer.

A form begins with the name of a field and JSON with a bracket or a quote, so that neither can be
taken for the other, whatever the content type says: what is signed as pairs is never read as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from zoho_sync.intake.http import Pairs, is_form, pairs

__all__ = ["JSON_FIELD", "OPERATION_FIELDS", "ReadBody", "is_form_by_type", "read_body"]

JSON_FIELD: Final = "JSONString"
"""The form field, or query parameter, that carries the document in Zoho's own form webhooks."""

OPERATION_FIELDS: Final = ("operation", "event", "event_type", "action")
"""Where a template says what happened."""


@dataclass(frozen=True, slots=True)
class ReadBody:
    """A body's text, or the fields of a form.

    Attributes:
        text: Decoded, without white space around it; None where it is not UTF-8.
        form: The pairs of a form, decoded, in the order received; None for anything else.
    """

    text: str | None
    form: Pairs | None = None

    @property
    def fields(self) -> dict[str, str]:
        """The form's fields; of equal ones the last."""
        return dict(self.form or ())

    @property
    def carrier(self) -> str | None:
        """The form's field that carries the document as JSON; None for a flat form."""
        return carrier_of(self.fields)


def carrier_of(fields: Mapping[str, str]) -> str | None:
    """Return the field that carries a document as JSON, of any name; None for a flat document.

    A flat document has an id beside its nested objects, a carrier has at most others' parameters.
    """
    if JSON_FIELD in fields:
        return JSON_FIELD
    objects = [name for name, value in fields.items() if value.lstrip().startswith("{")]
    ids = [name for name in fields if name.endswith("_id") and name != "organization_id"]
    is_alone = len(objects) == 1 and {*ids} <= {*objects}
    return objects[0] if is_alone else None


def read_body(body: bytes, content_type: str) -> ReadBody:
    """Return what a body is.

    Raises:
        ValueError: A form that is not UTF-8, or has more fields than any document.
    """
    try:
        text = body.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        if is_form(content_type):
            raise
        return ReadBody(None)
    if _is_form_itself(text) or (is_form(content_type) and _may_be_form(text)):
        return ReadBody("", pairs(text.encode()))
    return ReadBody(text)


def is_form_by_type(body: bytes, content_type: str) -> bool:
    """Return whether a body is a form only because its content type says so."""
    text = body.decode("utf-8-sig", "replace").strip()
    return is_form(content_type) and _may_be_form(text) and not _is_form_itself(text)


def _is_form_itself(text: str) -> bool:
    return text.startswith(f"{JSON_FIELD}=")


def _may_be_form(text: str) -> bool:
    return "=" in text and not text.startswith(("{", "[", '"'))
