"""Writes one page of the reference from what its modules say."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping

from docs.generate.docstrings import Docstring, filled, flowing, item, linked, read
from docs.generate.meanings import MEANINGS
from docs.generate.members import (
    Function,
    Member,
    aliased,
    attribute,
    hidden,
    is_enum,
    is_value,
    origin,
    set_in,
)
from docs.generate.pages import Face, Page
from docs.generate.parameters import (
    Parameter,
    bases,
    expanded,
    fields_of,
    is_static,
    names_in,
    parameters_of,
    signature,
)
from docs.generate.source import Definition, decorators, definition, exported, members

__all__ = ["Writer", "index"]

_LONGEST = 100


def index(pages: tuple[Page, ...]) -> dict[str, tuple[Definition, str]]:
    """Return each name that is described: its definition, and the address of its description."""
    found: dict[str, tuple[Definition, str]] = {}
    for page in pages:
        for face in page.faces:
            for name in described_names(face):
                named = definition(face.source, name)
                if named is None:
                    message = f"{face.source} has no {name}"
                    raise LookupError(message)
                if face.style == "full":
                    found[name] = named, f"{page.file}.md#{name.lower()}"
                elif face.style == "fields":
                    found.setdefault(name, (named, f"{page.file}.md#{name.lower()}"))
                elif face.style == "list":
                    found.setdefault(name, (named, f"{page.file}.md#{_anchor(face.title)}"))
                else:
                    found.setdefault(name, (named, ""))
    return found


def described_names(face: Face) -> list[str]:
    """Return the names of a face, in the order of their descriptions."""
    return face.names.split() or exported(face.source)


def _anchor(heading: str) -> str:
    return heading.lower().replace(" ", "-")


class Writer:
    """Writes pages whose names lead to each other.

    Args:
        described: What `index` found.
    """

    def __init__(self, described: Mapping[str, tuple[Definition, str]]) -> None:
        self._described = described
        self._page = ""
        self._about = ""
        self.unsaid: list[str] = []
        """Parameters of which no docstring says what they mean."""

    def page(self, page: Page) -> str:
        """Return a page as Markdown."""
        self._page = f"{page.file}.md"
        parts = [
            "<!-- Written by `python -m docs.generate` from the docstrings. -->",
            f"# {page.title}",
            self._text(page.introduction),
        ]
        for face in page.faces:
            parts += self._face(face)
        return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"

    def _face(self, face: Face) -> Iterator[str]:
        found = [self._described[name][0] for name in described_names(face)]
        if face.title:
            yield f"## {face.title}"
        if face.style != "full":
            yield f"Imported from `{face.module}`."
        if face.style == "names":
            yield filled(", ".join(f"`{each.name}`" for each in found) + ".")
        elif face.style == "list":
            yield "\n".join(self._line(each) for each in found)
        elif face.style == "fields":
            for each in found:
                yield from self._model(each)
        else:
            for each in found:
                yield from self._full(each, face)

    def _line(self, found: Definition) -> str:
        text = read(found.doc).text.split("\n\n")[0]
        above = [each.name for each in bases(found)[1:2] if each.name in self._described]
        kind = f" (a `{above[0]}`)" if above and above[0] != "BaseEntityHandler" else ""
        own = self._described[found.name][1].endswith(f"#{found.name.lower()}")
        name = self._text(f"`{found.name}`") if own else f"`{found.name}`"
        return item(f"{name}{self._text(f'{kind}: {text}')}")

    def _model(self, found: Definition) -> Iterator[str]:
        yield f"### `{found.name}`"
        yield self._text(read(found.doc).text)
        kinds: dict[str, list[str]] = {}
        for each in fields_of(found):
            kinds.setdefault(each.type, []).append(f"`{each.name}`")
        yield "\n".join(item(f"`{kind}`: {', '.join(names)}") for kind, names in kinds.items())

    def _full(self, found: Definition, face: Face) -> Iterator[str]:
        self._about = found.name
        yield f"## `{found.name}`"
        yield f"`from {face.module} import {found.name}`"
        if isinstance(found.node, ast.ClassDef):
            yield from self._class(found, face)
        elif isinstance(found.node, Function):
            yield from self._function(found.module, found.name, found.node, found.doc)
        else:
            yield self._text(found.doc)
            value = getattr(found.node, "value", None)
            text = self._type(ast.unparse(value), found.module) if value else ""
            if text and len(text) < _LONGEST and not re.search(r"\b_[A-Za-z]", text):
                yield f"```py\n{found.name} = {text}\n```"

    def _class(self, found: Definition, face: Face) -> Iterator[str]:
        doc = read(found.doc)
        above = [each.name for each in bases(found)[1:] if each.name in self._described]
        if above:
            yield self._text(f"A `{above[0]}`.")
        yield self._text(doc.text)
        known = {each.name: each for each in self._members(found)}
        if not is_value(found) and found.name not in face.made.split():
            yield from self._constructor(found, known.get("__init__"), doc)
        if is_value(found):
            yield from self._items("Fields", fields_of(found), doc.items.get("Attributes", {}))
        yield from self._errors(doc)
        yield from self._attributes(found, known, doc)
        if found.name in face.contract.split():
            return
        yield from self._methods(found, known)

    def _members(self, found: Definition) -> list[Member]:
        """Return the members of a class and of the bases that are not described themselves."""
        made: dict[str, Member] = {}
        for each in bases(found):
            if each is not found and each.name in self._described:
                continue
            if not isinstance(each.node, ast.ClassDef):
                continue
            for name, node, doc in members(each.node.body):
                made.setdefault(name, Member(each.module, name, node, doc))
        return [*made.values()]

    def _constructor(self, found: Definition, made: Member | None, doc: Docstring) -> Iterator[str]:
        if made is None or not isinstance(made.node, Function):
            return
        parameters = self._public(parameters_of(made.module, made.node))
        yield f"```py\n{signature(found.name, parameters)}\n```"
        above = [read(each.doc).items.get("Attributes", {}) for each in bases(found)]
        texts = {name: text for each in reversed(above) for name, text in each.items()}
        texts |= doc.items.get("Args", {})
        yield from self._items("Arguments", parameters, texts)

    def _public(self, parameters: list[Parameter]) -> list[Parameter]:
        """Leave out what the library alone gives: parameters of private types with a default."""
        return [
            each
            for each in parameters
            if not each.default or not self._names_private(each.type, each.module)
        ]

    def _is_public(self, each: Member) -> bool:
        """Return whether users call a method: it is no machinery, and its types are described."""
        node = each.node
        if not isinstance(node, Function):
            return False
        types = [parameter.type for parameter in self._public(parameters_of(each.module, node))]
        types += [ast.unparse(node.returns)] if node.returns else []
        return not hidden(node) and not any(
            self._names_private(kind, each.module) for kind in types
        )

    def _names_private(self, annotation: str, module: str) -> bool:
        """Return whether an annotation names a class of the library that no page describes."""
        for name in names_in(annotation):
            found = definition(module, name)
            if found and isinstance(found.node, ast.ClassDef) and name not in self._described:
                return not name.startswith("_")
        return False

    def _type(self, annotation: str, module: str) -> str:
        """Return a type as users know it."""
        text = expanded(annotation, module, self._described.__contains__)
        text = re.sub(r"^(?:ClassVar|Final)\[(.*)\]$", r"\1", text)
        return re.sub(r"\b_(?=[A-Z]\w*\b(?!\.))", "", text)

    def _items(
        self, title: str, parameters: list[Parameter], texts: Mapping[str, str]
    ) -> Iterator[str]:
        if parameters:
            lines = (self._parameter(each, texts) for each in parameters)
            yield f"**{title}**\n\n" + "\n".join(lines)

    def _parameter(self, each: Parameter, texts: Mapping[str, str]) -> str:
        kind = self._type(each.type, each.module)
        facts = [f"`{kind}`"] if kind else []
        facts += [f"default `{each.default}`"] if each.default else []
        name = each.name.lstrip("*")
        text = texts.get(name) or texts.get(each.name) or MEANINGS.get(name, "")
        if not text and not each.is_field:
            self.unsaid.append(f"{each.module}: {self._about}({each.name})")
        told = f": {self._text(text)}" if text else ""
        return item(f"`{each.name}`" + (f" ({', '.join(facts)})" if facts else "") + told)

    def _errors(self, doc: Docstring) -> Iterator[str]:
        if doc.returns:
            yield filled(f"**Returns:** {self._text(doc.returns)}")
        if raised := doc.items.get("Raises"):
            lines = (item(self._text(f"`{name}`: {text}")) for name, text in raised.items())
            yield "**Raises**\n\n" + "\n".join(lines)

    def _attributes(
        self, found: Definition, known: Mapping[str, Member], doc: Docstring
    ) -> Iterator[str]:
        described = {} if is_value(found) else dict(doc.items.get("Attributes", {}))
        types: dict[str, str] = {}
        for each in known.values():
            if each.name.startswith("_") or aliased(each.node):
                continue
            if isinstance(each.node, ast.AnnAssign) and self._names_private(
                ast.unparse(each.node.annotation), each.module
            ):
                continue
            if isinstance(each.node, Function):
                if not decorators(each.node) & {"property", "cached_property"}:
                    continue
                returned = ast.unparse(each.node.returns) if each.node.returns else ""
                types[each.name] = self._type(returned, each.module)
                described[each.name] = read(each.doc).text
            elif isinstance(each.node, ast.AnnAssign) and not is_value(found):
                types[each.name] = self._type(ast.unparse(each.node.annotation), each.module)
                described.setdefault(each.name, each.doc)
            elif is_enum(found) and isinstance(each.node, ast.Assign):
                types[each.name] = ast.unparse(each.node.value)
                described[each.name] = each.doc
        for name, text in set_in(known.get("__init__")):
            described[name] = text
        lines = [attribute(name, types.get(name, ""), text) for name, text in described.items()]
        if lines:
            title = "Members" if is_enum(found) else "Attributes"
            yield f"**{title}**\n\n" + "\n".join(item(self._text(line)) for line in lines)

    def _methods(self, found: Definition, known: Mapping[str, Member]) -> Iterator[str]:
        there: list[str] = []
        own: list[Member] = []
        for each in known.values():
            if each.name.startswith(("_", "test_")) or (not each.doc and not aliased(each.node)):
                continue
            owner = aliased(each.node) or origin(each)
            if owner in self._described and owner != found.name:
                there.append(f"{owner}.{each.name}")
            elif self._is_public(each):
                own.append(each)
        if there:
            listed = ", ".join(f"`{name}`" for name in there)
            yield self._text(f"**Methods that are described elsewhere:** {listed}.")
        for each in own:
            self._about = f"{found.name}.{each.name}"
            yield f"### `{self._about}`"
            if isinstance(each.node, Function):
                yield from self._function(each.module, each.name, each.node, each.doc)

    def _function(self, module: str, name: str, node: Function, docstring: str) -> Iterator[str]:
        doc = read(docstring)
        parameters = self._public(parameters_of(module, node))
        prefix = "await " if isinstance(node, ast.AsyncFunctionDef) else ""
        yield f"```py\n{signature(name, parameters, prefix=prefix)}\n```"
        yield self._text(doc.text)
        yield from self._items("Arguments", parameters, doc.items.get("Args", {}))
        if node.returns and (kind := ast.unparse(node.returns)) != "None":
            told = f" {doc.returns}" if doc.returns else ""
            kind = self._type(kind, module)
            doc.returns = f"`{kind}`." + told
        if is_static(node):
            yield "It is called on the class."
        yield from self._errors(doc)

    def _text(self, text: str) -> str:
        """Return text whose names of described things lead to their descriptions."""

        def address(name: str) -> str | None:
            first, _, rest = name.partition(".")
            found, place = self._described.get(first, (None, ""))
            if found is None or not place:
                return None
            if rest and self._has_heading(found, rest):
                place = place.partition("#")[0] + f"#{first}{rest}".lower()
            return place.removeprefix(self._page)

        return flowing(linked(text, address))

    def _has_heading(self, found: Definition, name: str) -> bool:
        each = next((each for each in self._members(found) if each.name == name), None)
        return (
            each is not None
            and isinstance(each.node, Function)
            and not hidden(each.node)
            and not origin(each)
        )
