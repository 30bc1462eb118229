"""The pages of docs/reference say what the code says, and all of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import zoho_sync
from docs.generate.__main__ import FOLDER, written
from docs.generate.markdown import index
from docs.generate.pages import PAGES
from docs.generate.pictures import FLOORS, GAP, WIDTH, Room
from zoho_sync import default_registry, handlers, payloads
from zoho_sync.checks.sources import line_model
from zoho_sync.handlers.builtin import BUILTIN_HANDLERS

PAGE = FOLDER / "entity-types.md"
NAME = re.compile(r"`([^`]+)`")
FACTS = ("Also called", "Handler", "Payload model", "Id field", "Lists of lines", "Fields")


def items(text: str) -> Iterator[tuple[str, str]]:
    """The items of a list, each by what stands before its colon and after it."""
    for item in re.split(r"^- ", text, flags=re.MULTILINE)[1:]:
        name, _, told = " ".join(item.split()).partition(": ")
        yield name, told


def sections() -> dict[str, dict[str, str]]:
    """What the page says about each entity type: the facts, by their names."""
    _, *parts = PAGE.read_text(encoding="utf-8").split("\n## `")
    types = (part.partition("\n## ")[0].partition("`\n") for part in parts)
    return {name: dict(items(text)) for name, _, text in types}


def lines() -> dict[str, str]:
    """What the page says about each line: its fields."""
    text = PAGE.read_text(encoding="utf-8").partition("\n## Lines\n")[2]
    return {name: told for owners, told in items(text) for name in NAME.findall(owners)}


def fields() -> dict[str, list[str]]:
    """The fields that the page names, by what they are fields of."""
    types = {name: facts["Fields"] for name, facts in sections().items()}
    return {name: NAME.findall(told) for name, told in (types | lines()).items()}


@pytest.mark.parametrize("name", sections())
def test_each_type_is_what_the_page_says(name: str) -> None:
    facts = sections()[name]
    assert tuple(facts) == FACTS
    aliases, handler, model, identity, lists = (NAME.findall(facts[each]) for each in FACTS[:5])
    registry = default_registry()
    found = registry[name]
    assert found is getattr(handlers, handler[0])
    assert found.payload_model is getattr(payloads, model[0])
    assert found.payload_model.id_fields[0] == identity[0]
    for alias in aliases:
        assert alias == "contact_type" or registry.catalog().resolve(alias) == name
    made = {
        each: line_model(found.payload_model, each) for each in found.payload_model.model_fields
    }
    assert {each: kind.__name__ for each, kind in made.items() if kind} == dict(
        zip(lists[::2], lists[1::2], strict=True)
    )


def test_all_types_are_there() -> None:
    assert sorted(sections()) == sorted(handler.entity_type for handler in BUILTIN_HANDLERS)


@pytest.mark.parametrize(("owner", "names"), fields().items())
def test_each_field_is_in_its_model(owner: str, names: list[str]) -> None:
    registry = default_registry()
    model = registry[owner].payload_model if owner in registry else getattr(payloads, owner)
    assert names
    assert [name for name in names if name not in model.model_fields] == []


def test_the_fields_of_every_type_and_line_are_there() -> None:
    named = set(sections())
    named |= {line for facts in sections().values() for line in NAME.findall(facts[FACTS[4]])[1::2]}
    assert named == set(fields())


def test_no_page_lags_behind_the_code() -> None:
    late = [
        path.name
        for path, text in written().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
    assert late == [], "run python -m docs.generate"


def test_every_page_is_in_the_list_of_pages() -> None:
    listed = (FOLDER / "index.md").read_text(encoding="utf-8").partition("```{toctree}")[2]
    pages = {path.stem for path in FOLDER.glob("*.md")} - {"index"}
    assert {line for line in listed.splitlines() if re.fullmatch(r"[a-z-]+", line)} == pages


def test_every_name_of_the_root_is_described() -> None:
    described = index(PAGES)
    assert set(zoho_sync.__all__) - described.keys() == {"mirror"}  # a page of its own
    text = (FOLDER / "index.md").read_text(encoding="utf-8")
    assert [name for name in zoho_sync.__all__ if f"[`{name}`]" not in text] == []


@pytest.mark.parametrize(
    "room", [room for floor in FLOORS for room in floor], ids=lambda room: room.name
)
def test_no_word_leaves_its_room_in_the_picture(room: Room) -> None:
    floor = next(floor for floor in FLOORS if room in floor)
    wide = WIDTH / len(floor) - 2 * GAP
    assert len(room.name) * 8.4 <= wide + GAP  # a letter of its font is so wide
    assert [line for line in room.lines if len(line) * 6.8 > wide + GAP] == []


def test_every_name_of_the_root_is_in_a_guide() -> None:
    docs = FOLDER.parent
    guides = [docs.parent / "README.md", docs / "quickstart.md", *docs.glob("how-to/*.md")]
    words = {word for page in guides for word in re.findall(r"\w+", page.read_text("utf-8"))}
    assert set(zoho_sync.__all__) - words == set()


def test_every_room_of_the_picture_is_described() -> None:
    text = (FOLDER.parent / "architecture.md").read_text(encoding="utf-8")
    rooms = [room.name for floor in FLOORS for room in floor]
    described = re.findall(r"^- `(\w+)(?:\.py)?`: ", text, flags=re.MULTILINE)
    assert sorted(described) == sorted(rooms)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.md")), ids=lambda path: path.stem)
def test_no_page_shows_what_is_private(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"(?<![\w/…*])_[A-Za-z]\w*|\._[a-z]\w*", text) == []
    assert "automodule" not in text
