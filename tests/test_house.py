"""The house stays plain: what the contracts of the imports cannot say about it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests import house

MODULES = house.modules()
LONGEST_MODULE = 350
LONGEST_FUNCTION = 40
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
