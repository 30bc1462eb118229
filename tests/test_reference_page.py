"""The tables of docs/reference.md name what is there, and all of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from zoho_sync import default_registry, handlers, payloads
from zoho_sync._mapping_sources import line_model
from zoho_sync.handlers import BUILTIN_HANDLERS

PAGE = Path(__file__).parent.parent / "docs" / "reference.md"
NAME = re.compile(r"`([^`]+)`")


def table(heading: str) -> list[list[str]]:
    """The rows of the table whose first column is headed so, each by its cells."""
    _, found, after = PAGE.read_text(encoding="utf-8").partition(f"\n| {heading} |")
    assert found
    rows = after.partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def fields() -> dict[str, list[str]]:
    """The fields that the page names, by what they are fields of."""
    _, _, page = PAGE.read_text(encoding="utf-8").partition("\n## Entity types\n")
    found: dict[str, list[str]] = {}
    for kind in ("entity type", "line"):
        _, _, after = page.partition(f"\n| {kind} | fields |\n")
        for row in after.partition("\n\n")[0].splitlines()[1:]:
            owners, _, named = row.strip("| ").partition("|")
            found |= dict.fromkeys(NAME.findall(owners), NAME.findall(named))
    return found


@pytest.mark.parametrize("row", table("entity type"), ids=lambda row: row[0])
def test_each_type_is_what_the_page_says(row: list[str]) -> None:
    name, aliases, handler, model, identity, lists, lines = (NAME.findall(cell) for cell in row)
    registry = default_registry()
    found = registry[name[0]]
    assert found is getattr(handlers, handler[0])
    assert found.payload_model is getattr(payloads, model[0])
    assert found.payload_model.id_fields[0] == identity[0]
    for alias in aliases:
        assert alias == "contact_type" or registry.catalog().resolve(alias) == name[0]
    made = {
        each: line_model(found.payload_model, each) for each in found.payload_model.model_fields
    }
    assert {each: kind.__name__ for each, kind in made.items() if kind} == dict(
        zip(lists, lines, strict=True)
    )


def test_all_types_are_there() -> None:
    named = [NAME.findall(row[0])[0] for row in table("entity type")]
    assert sorted(named) == sorted(handler.entity_type for handler in BUILTIN_HANDLERS)


@pytest.mark.parametrize(("owner", "names"), fields().items())
def test_each_field_is_in_its_model(owner: str, names: list[str]) -> None:
    registry = default_registry()
    model = registry[owner].payload_model if owner in registry else getattr(payloads, owner)
    assert names
    assert [name for name in names if name not in model.model_fields] == []


def test_the_fields_of_every_type_and_line_are_there() -> None:
    named = {NAME.findall(row[0])[0] for row in table("entity type")}
    named |= {line for row in table("entity type") for line in NAME.findall(row[6])}
    assert named == set(fields())
