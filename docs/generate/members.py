"""Tells what the members of a class are, and which of them users need."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from docs.generate.source import Definition, decorators, members

__all__ = [
    "Function",
    "Member",
    "aliased",
    "attribute",
    "hidden",
    "is_enum",
    "is_value",
    "origin",
    "set_in",
]

Function = ast.FunctionDef | ast.AsyncFunctionDef

_AS_THERE = re.compile(r"see `([A-Z]\w+)\.(\w+)`")


@dataclass(frozen=True)
class Member:
    """A method, a property or an attribute of a class, and the module it is written in."""

    module: str
    name: str
    node: ast.stmt
    doc: str


def _name_of(node: ast.stmt) -> str:
    return str(getattr(node, "name", ""))


def is_value(found: Definition) -> bool:
    """Return whether a class is made of fields: a dataclass or a named tuple."""
    node = found.node
    if not isinstance(node, ast.ClassDef) or "__init__" in map(_name_of, node.body):
        return False
    return "dataclass" in decorators(node) or "NamedTuple" in map(ast.unparse, node.bases)


def is_enum(found: Definition) -> bool:
    """Return whether a class is an enumeration."""
    return isinstance(found.node, ast.ClassDef) and any(
        ast.unparse(base) in {"enum.StrEnum", "enum.Enum"} for base in found.node.bases
    )


def hidden(node: Function) -> bool:
    """Return whether nobody calls it as a method: properties, and the rules of Hypothesis."""
    machinery = {"property", "cached_property", "rule", "invariant", "initialize", "precondition"}
    machinery |= {"model_validator", "setter"}
    return bool(decorators(node) & machinery) or node.name == "model_post_init"


def origin(each: Member) -> str:
    """Return the class to which the docstring of a method refers for the rest."""
    found = _AS_THERE.search(each.doc.partition("\n\n")[0])
    return found[1] if found and found[2] == each.name else ""


def aliased(node: ast.stmt) -> str:
    """Return the class whose method a class takes over: `receive = blocking(ZohoSync.receive)`."""
    value = getattr(node, "value", None)
    if isinstance(node, ast.Assign) and isinstance(value, ast.Call):
        for each in ast.walk(value):
            if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name):
                return each.value.id
    return ""


def set_in(init: Member | None) -> Iterator[tuple[str, str]]:
    """Yield the attributes that a constructor sets and describes."""
    if init is not None and isinstance(init.node, Function):
        for name, _, doc in members(init.node.body):
            if doc and not name.startswith("_"):
                yield name, " ".join(doc.split())


def attribute(name: str, kind: str, text: str) -> str:
    """Return the line about an attribute."""
    told = " ".join(text.split())
    return f"`{name}`" + (f" (`{kind}`)" if kind else "") + (f": {told}" if told else "")
