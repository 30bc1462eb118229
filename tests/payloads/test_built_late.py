"""A model of the library's is built when it is needed; one of an application's own at once."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import PydanticSchemaGenerationError

from zoho_sync.payloads import EntityId, InvoicePayload, Payload


class Odd:
    """A type that no document can hold."""


@pytest.mark.parametrize("base", [Payload, InvoicePayload])
def test_what_is_wrong_with_an_own_model_is_heard_where_it_is_declared(base: type[Payload]) -> None:
    with pytest.raises(PydanticSchemaGenerationError, match="Odd"):

        class Shipment(base):  # type: ignore[misc, valid-type]  # one of several
            entity_type = "shipment"
            id_fields = ("shipment_id",)

            shipment_id: EntityId
            box: Odd


def test_an_import_builds_no_model() -> None:
    script = (
        "import zoho_sync\n"
        "from zoho_sync import payloads\n"
        "model = payloads.InvoicePayload\n"
        "before = model.__pydantic_complete__\n"
        "assert model.model_validate({'invoice_id': '1'}).entity_id == '1'\n"
        "print(before, model.__pydantic_complete__)\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["False", "True"]
