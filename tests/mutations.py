"""Finds where code can be broken in a small way: a condition, a constant, a call left out."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["Mutant", "mutants_of"]

OPPOSITES: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
"""What a comparison becomes; of an order, whether equals count."""
SIGNS: Final[dict[type[ast.operator], type[ast.operator]]] = {ast.Add: ast.Sub, ast.Sub: ast.Add}


@dataclass(frozen=True)
class Mutant:
    """Code that is broken in one place.

    Attributes:
        path: The module, below the repository.
        line: Where, from 1.
        start: The first byte that is replaced.
        end: The first byte that is not.
        before: What stands there.
        after: What stands there instead.
    """

    path: Path
    line: int
    start: int
    end: int
    before: str
    after: str

    def __str__(self) -> str:
        before, after = (" ".join(text.split()) for text in (self.before, self.after))
        return f"{self.path}:{self.line}: {before}  ->  {after}"

    def applied(self, source: bytes) -> bytes:
        """Return a source with this place broken."""
        return source[: self.start] + self.after.encode() + source[self.end :]


def mutants_of(path: Path, source: bytes) -> list[Mutant]:
    """Return all mutants of a module, in the order of its lines."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found: set[Mutant] = set()
    for node in _code(ast.parse(source)):
        for place, after in _broken(node):
            start = starts[place.lineno - 1] + place.col_offset
            end = starts[(place.end_lineno or 0) - 1] + (place.end_col_offset or 0)
            before = source[start:end].decode()
            found.add(Mutant(path, place.lineno, start, end, before, after))
    return sorted(found, key=lambda each: (each.start, each.end, each.after))


def _code(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what is run: no annotations, no text with fields, no words for errors and logs."""
    yield node
    for name, value in ast.iter_fields(node):
        if name in {"annotation", "returns", "decorator_list"}:
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _is_said(child):
                yield from _code(child)


def _is_said(node: ast.AST) -> bool:
    """Return whether a node only speaks: text with fields, an error that is raised, a log."""
    if isinstance(node, ast.JoinedStr | ast.Raise | ast.Assert):
        return True
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return True
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return "log" in ast.unparse(node.value.func).partition(".")[0].lower()
    return False


def _broken(node: ast.AST) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    """Yield what may be replaced because of a node, and by what."""
    if isinstance(node, ast.If | ast.While | ast.comprehension):
        for condition in node.ifs if isinstance(node, ast.comprehension) else [node.test]:
            # Those with operators are broken for themselves.
            if isinstance(condition, ast.Name | ast.Call | ast.Attribute | ast.Await):
                yield condition, f"(not {ast.unparse(condition)})"
    elif isinstance(node, ast.Expr) and isinstance(_awaited(node.value), ast.Call):
        yield node, "pass"
    elif isinstance(node, ast.expr):
        for other in _others(node):
            yield node, f"({ast.unparse(ast.fix_missing_locations(other))})"


def _others(node: ast.expr) -> Iterator[ast.expr]:
    """Yield what an expression may become."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        yield ast.Compare(node.left, [OPPOSITES[type(node.ops[0])]()], node.comparators)
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
        for dropped in range(len(node.values)):
            rest = [value for place, value in enumerate(node.values) if place != dropped]
            yield ast.BoolOp(node.op, rest) if len(rest) > 1 else rest[0]
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.operand
    elif isinstance(node, ast.BinOp) and type(node.op) in SIGNS:
        yield ast.BinOp(node.left, SIGNS[type(node.op)](), node.right)
    elif isinstance(node, ast.IfExp):
        yield ast.IfExp(node.test, node.orelse, node.body)
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield ast.Constant(node.value + 1)


def _awaited(node: ast.expr) -> ast.expr:
    return node.value if isinstance(node, ast.Await) else node
