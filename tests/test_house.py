"""The house stays plain: what the contracts of the imports cannot say about it."""

from __future__ import annotations

import ast
import asyncio
import re
import tomllib
from pathlib import Path

import pytest

from docs.generate.pictures import FLOORS
from tests import house

MODULES = house.modules()
LONGEST_MODULE = 350
LONGEST_FUNCTION = 40
ARCHITECTURE = Path(__file__).parent.parent / "docs" / "architecture.md"
VERB = re.compile(
    r"(?!(Arguments|Bills|Columns|Customers|Debts|Engines|Events|Handlers|Invoices|"
    r"Keys|Messages|Products|Rows|Tables|Users|Values|Words)\b)[A-Z][a-z]+s\b"
)
"""What a docstring opens with: a verb, and none of the nouns that look like one."""


@pytest.mark.parametrize("name", MODULES)
def test_nothing_imports_the_package_root(name: str) -> None:
    imported = house.imports()[name]
    assert "zoho_sync" not in imported or name == "zoho_sync.cli.__main__"


def test_the_top_folder_is_a_list_of_rooms() -> None:
    assert house.entries() <= 25


def test_no_module_imports_itself_through_others() -> None:
    assert house.circles(house.imports()) == []


def test_the_house_is_ten_floors_high() -> None:
    assert house.floors(house.rooms(house.imports())) <= 10


def test_an_events_way_is_short() -> None:
    walk, depth = asyncio.run(house.walked())
    assert walk.files <= 15
    assert walk.returns <= 15
    assert depth <= 7


@pytest.mark.parametrize("path", MODULES.values(), ids=MODULES)
def test_a_module_is_one_idea(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGEST_MODULE
    assert [*_long_functions(ast.parse(text))] == []


def _long_functions(tree: ast.Module) -> list[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    functions = [node for node in ast.walk(tree) if isinstance(node, kinds)]
    return [each.name for each in functions if _length(each) > LONGEST_FUNCTION]


def _length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    documented = ast.get_docstring(function) is not None and len(function.body) > 1
    first = function.body[1 if documented else 0]
    return (function.end_lineno or 0) - first.lineno + 1


@pytest.mark.parametrize("path", MODULES.values(), ids=MODULES)
def test_a_module_says_what_it_does(path: Path) -> None:
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert said
    assert VERB.match(said)


NAMELESS = {"cli", "testing", "migrations"}
"""Rooms whose modules are named like what they do for users, and need no map."""


def test_the_map_names_every_module() -> None:
    """And so whoever knows a module's name finds on the page what it is for."""
    rooms = ARCHITECTURE.read_text(encoding="utf-8").split("## The rooms")[1].split("\n## ")[0]
    bullets = {text.split("`")[1]: text for text in rooms.split("\n- ")[1:]}
    for room in {name.split(".")[1] for name in MODULES if name.count(".") > 1} - NAMELESS:
        modules = {name.split(".")[2] for name in MODULES if name.startswith(f"zoho_sync.{room}.")}
        named = set(re.findall(r"`(\w+)`", bullets[room]))
        assert modules <= named, f"{room}: {sorted(modules - named)}"


def test_the_map_names_nothing_else() -> None:
    text = ARCHITECTURE.read_text(encoding="utf-8")
    for room, module in re.findall(r"`(?!src/)([a-z]+)/([a-z_]+)`", text):
        assert f"zoho_sync.{room}.{module}" in MODULES, f"{room}/{module}"


def test_the_picture_shows_what_the_contract_says() -> None:
    with (ARCHITECTURE.parent.parent / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    drawn = [room.name for floor in FLOORS for room in reversed(floor)]
    assert drawn == next(each["layers"] for each in contracts if each["type"] == "layers")
