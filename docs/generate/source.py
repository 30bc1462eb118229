"""Finds what a module of the library offers, by reading its source and importing nothing.

So the pages depend neither on the version of Python nor on that of any package.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["Definition", "definition", "exported", "members", "named_in"]

SOURCE = Path(__file__).parent.parent.parent / "src"
LIBRARY = "zoho_sync"


@dataclass(frozen=True)
class Definition:
    """Where a name is defined.

    Attributes:
        module: The module that defines it.
        name: The name.
        node: The class, the function or the assignment.
        doc: Its docstring; that of an assignment is the text below it.
    """

    module: str
    name: str
    node: ast.stmt
    doc: str


@cache
def statements(module: str) -> tuple[ast.stmt, ...]:
    """Return the statements of a module, also those that only type checkers read."""
    path = SOURCE.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    found = ast.parse(file.read_text(encoding="utf-8")).body
    inner = [each for node in found if isinstance(node, ast.If) for each in node.body]
    return (*found, *inner)


def exported(module: str) -> list[str]:
    """Return the names in `__all__` of a module, without those of modules."""
    for node in statements(module):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            names: list[str] = ast.literal_eval(node.value)
            return [name for name in names if definition(module, name)]
    message = f"{module} has no __all__"
    raise LookupError(message)


@cache
def definition(module: str, name: str) -> Definition | None:
    """Return what a name in a module means; None if it is not of this library."""
    body = statements(module)
    found = _defined(module, name, body)
    if found is not None:
        return found
    for node in body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(LIBRARY):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return _imported(node.module or "", alias.name)
    return None


def _imported(module: str, name: str) -> Definition | None:
    path = SOURCE.joinpath(*module.split("."), name)
    if path.is_dir() or path.with_suffix(".py").is_file():
        return None  # a module
    return definition(module, name)


def _defined(module: str, name: str, body: Sequence[ast.stmt]) -> Definition | None:
    found = None
    for defined, node, doc in members(body):
        if defined == name:
            found = Definition(module, name, node, doc)
    return found


def members(body: Sequence[ast.stmt]) -> Iterator[tuple[str, ast.stmt, str]]:
    """Yield what a body defines: its name, its statement and its docstring.

    Of overloaded functions it yields the one that runs.
    """
    for node, after in zip(body, (*body[1:], ast.Pass()), strict=True):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if "overload" not in decorators(node):
                yield node.name, node, ast.get_docstring(node) or ""
        elif (name := named_in(node)) is not None:
            yield name, node, _text(after)


def named_in(node: ast.stmt) -> str | None:
    """Return the name that a statement assigns to: `x` or, in a method, `self.x`."""
    target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
    if isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self":
        return target.attr
    return target.id if isinstance(target, ast.Name) else None


def decorators(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """Return the names of what decorates a class or function, without arguments and modules."""
    called = (each.func if isinstance(each, ast.Call) else each for each in node.decorator_list)
    return {ast.unparse(each).rpartition(".")[2] for each in called}


def _text(node: ast.stmt) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        text = node.value.value
        if isinstance(text, str):
            lines = text.splitlines()
            rest = "\n".join(line.removeprefix("    ") for line in lines[1:])
            return "\n".join((*lines[:1], *([rest] if rest else []))).strip()
    return ""
