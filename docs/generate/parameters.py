"""Reads what a class or a function is called with: names, types and defaults, as written."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from docs.generate.source import Definition, decorators, definition, members

__all__ = ["Parameter", "bases", "expanded", "fields_of", "parameters_of", "signature"]


@dataclass(frozen=True)
class Parameter:
    """One parameter of a function, or one field of a class.

    Attributes:
        name: Its name; `*` or `**` stands before that of variable ones.
        type: Its annotation.
        default: Its default; empty if it has none.
        keyword: Whether it is given by name alone.
        module: The module that it is written in.
        is_field: Whether it is a field, which needs no description.
    """

    name: str
    type: str
    default: str
    keyword: bool
    module: str
    is_field: bool = False


def bases(found: Definition) -> list[Definition]:
    """Return the classes of this library that a class inherits from, its own first."""
    if not isinstance(found.node, ast.ClassDef):
        return []
    line = [found]
    for base in found.node.bases:
        named = base.value if isinstance(base, ast.Subscript) else base
        parent = definition(found.module, ast.unparse(named))
        line += [each for each in (bases(parent) if parent else []) if each not in line]
    return line


def parameters_of(module: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[Parameter]:
    """Return the parameters of a function; `self` and `cls` are none."""
    found = node.args
    positional = [*found.posonlyargs, *found.args]
    missing: list[ast.expr | None] = [None] * (len(positional) - len(found.defaults))
    pairs = [*zip(positional, [*missing, *found.defaults], strict=True)]
    made = [_parameter(module, each, default) for each, default in pairs]
    if found.vararg:
        made.append(_parameter(module, found.vararg, None, "*"))
    for each, given in zip(found.kwonlyargs, found.kw_defaults, strict=True):
        made.append(_parameter(module, each, given, keyword=not found.vararg))
    if found.kwarg:
        made.append(_parameter(module, found.kwarg, None, "**"))
    return [each for each in made if each.name not in {"self", "cls"}]


def _parameter(
    module: str,
    argument: ast.arg,
    default: ast.expr | None,
    stars: str = "",
    *,
    keyword: bool = False,
) -> Parameter:
    annotation = ast.unparse(argument.annotation) if argument.annotation else ""
    return Parameter(
        f"{stars}{argument.arg}", annotation, _default(module, default), keyword, module
    )


def _default(module: str, default: ast.expr | None) -> str:
    """Return a default as written, or what its name stands for if that name is private."""
    if default is None:
        return ""
    if isinstance(default, ast.Name) and default.id.startswith("_"):
        found = definition(module, default.id)
        value = getattr(found.node, "value", None) if found else None
        if found and isinstance(value, ast.expr):
            return _default(found.module, value)
    if isinstance(default, ast.Call) and ast.unparse(default.func).endswith("field"):
        return _made(default)
    return ast.unparse(default)


def _made(call: ast.Call) -> str:
    given = {each.arg: ast.unparse(each.value) for each in call.keywords}
    empty = {"dict": "{}", "list": "[]", "tuple": "()"}
    factory = given.get("default_factory", "")
    return given.get("default") or empty.get(factory, f"{factory}()" if factory else "")


def fields_of(found: Definition) -> list[Parameter]:
    """Return the fields of a dataclass, a named tuple or a model, those of its bases first."""
    made: dict[str, Parameter] = {}
    for each in reversed(bases(found)):
        node = each.node
        if not isinstance(node, ast.ClassDef):
            continue
        keyword = any("kw_only=True" in ast.unparse(mark) for mark in node.decorator_list)
        for name, statement, _ in members(node.body):
            if isinstance(statement, ast.AnnAssign) and not _of_class(statement):
                annotation = ast.unparse(statement.annotation)
                keyword = keyword or annotation == "KW_ONLY"
                if not name.startswith("_"):
                    default = _default(each.module, statement.value)
                    made[name] = Parameter(
                        name, annotation, default, keyword, each.module, is_field=True
                    )
    return [*made.values()]


def _of_class(statement: ast.AnnAssign) -> bool:
    return ast.unparse(statement.annotation).startswith("ClassVar")


def signature(name: str, parameters: list[Parameter], *, prefix: str = "") -> str:
    """Return a call with all parameters, without types, in lines that fit a narrow screen."""
    parts: list[str] = []
    for each in parameters:
        if each.keyword and "*" not in parts:
            parts.append("*")
        parts.append(f"{each.name}={each.default}" if each.default else each.name)
    whole = f"{prefix}{name}({', '.join(parts)})"
    if len(whole) <= LINE:
        return whole
    return "\n".join((f"{prefix}{name}(", *(f"    {part}," for part in parts), ")"))


LINE = 40
"""Characters of code that a telephone shows in one line."""


def expanded(annotation: str, module: str, public: Callable[[str], bool]) -> str:
    """Return an annotation whose private aliases are replaced by what they stand for."""
    if not annotation:
        return ""
    tree = ast.parse(annotation, mode="eval")
    return ast.unparse(_Expansion(module, public).visit(tree))


class _Expansion(ast.NodeTransformer):
    def __init__(self, module: str, public: Callable[[str], bool]) -> None:
        self._module = module
        self._public = public

    def visit_Name(self, node: ast.Name) -> ast.expr:  # the name is ast's
        """Replace a name by what it stands for."""
        found = None if self._public(node.id) else definition(self._module, node.id)
        value = getattr(found.node, "value", None) if found else None
        if found is None or not isinstance(value, ast.BinOp | ast.Subscript | ast.Name):
            return node
        made: ast.expr = _Expansion(found.module, self._public).visit(value)
        return made


def names_in(annotation: str) -> Iterator[str]:
    """Yield the names of an annotation."""
    if annotation:
        for node in ast.walk(ast.parse(annotation, mode="eval")):
            if isinstance(node, ast.Name):
                yield node.id


def is_static(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Return whether a function is called on the class."""
    return bool(decorators(node) & {"classmethod", "staticmethod"})
