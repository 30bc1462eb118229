"""Reads docstrings in the Google style, and turns their text into Markdown."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Docstring", "filled", "flowing", "item", "linked", "read"]

WIDTH = 100

_SECTION = re.compile(r"^(Args|Attributes|Raises|Returns|Yields):$")
_ITEM = re.compile(r"^(\*{0,2}[\w.]+): (.*)$")
_CODE = re.compile(r"(?<![`\[])`([A-Za-z_][\w.]*)(\(\))?`(?!`)")


@dataclass
class Docstring:
    """A docstring, taken apart.

    Attributes:
        text: What stands before and between the sections, as Markdown.
        items: Of each section with a list of names: name → text.
        returns: What is returned, or yielded.
    """

    text: str
    items: dict[str, dict[str, str]] = field(default_factory=dict)
    returns: str = ""


def read(docstring: str) -> Docstring:
    """Take a docstring apart."""
    text: list[str] = []
    sections: dict[str, list[str]] = {}
    current = text
    for line in docstring.splitlines():
        heading = _SECTION.match(line)
        if heading:
            current = sections.setdefault(heading[1], [])
        elif line and not line.startswith(" ") and current is not text:
            current = text
            text += ["", line]
        else:
            current.append(line)
    found = Docstring(_markdown(text))
    for name, lines in sections.items():
        body = textwrap.dedent("\n".join(lines)).strip()
        if name in {"Returns", "Yields"}:
            found.returns = " ".join(body.split())
        else:
            found.items[name] = _items(body)
    return found


def _items(body: str) -> dict[str, str]:
    items: dict[str, str] = {}
    name = ""
    for line in body.splitlines():
        started = _ITEM.match(line)
        if started:
            name = started[1]
            items[name] = started[2]
        elif name:
            items[name] = f"{items[name]} {line.strip()}".strip()
    return items


def _markdown(lines: list[str]) -> str:
    """Return text with fences around what is indented after `::`."""
    made: list[str] = []
    code: list[str] | None = None
    for line in [*lines, "end"]:
        if code is not None and (line.startswith("    ") or not line):
            code.append(line)
            continue
        if code is not None:
            block = textwrap.dedent("\n".join(code)).strip("\n")
            # `py`, and not `python`: that the tests run.
            made += ["", "```py", block, "```", ""]
            code = None
        if line.rstrip().endswith("::"):
            kept = line.rstrip()[:-1]
            made += [] if kept == ":" else [kept]
            code = []
        else:
            made.append(line)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(made[:-1])).strip()


def linked(text: str, address: Callable[[str], str | None]) -> str:
    """Return text whose names of documented things lead to them; blocks of code stay.

    Args:
        text: Markdown.
        address: Gives where a name is described; None if it is not.
    """

    def link(found: re.Match[str]) -> str:
        to = address(found[1])
        return found[0] if to is None else f"[{found[0]}]({to})"

    parts = re.split(r"(```.*?```)", text, flags=re.DOTALL)
    return "".join(
        part if part.startswith("```") else _CODE.sub(link, part.replace("``", "`"))
        for part in parts
    )


def flowing(text: str) -> str:
    """Return Markdown with its paragraphs and items filled; blocks of code stay."""
    blocks = re.split(r"(```.*?```)", text, flags=re.DOTALL)
    return "".join(block if block.startswith("```") else _without_code(block) for block in blocks)


def _without_code(text: str) -> str:
    paragraphs = re.split(r"(\n{2,})", text)
    return "".join(each if not each.strip() else _paragraph(each) for each in paragraphs)


def _paragraph(text: str) -> str:
    parts = re.split(r"^- ", text, flags=re.MULTILINE)
    lines = [filled(parts[0])] if parts[0].strip() else []
    return "\n".join((*lines, *map(item, parts[1:])))


def item(text: str) -> str:
    """Return an item of a list, in lines of a readable width."""
    return filled(text, "- ", "  ")


def filled(text: str, first: str = "", after: str = "") -> str:
    """Return a paragraph in lines of a readable width; no name is broken."""
    return textwrap.fill(
        " ".join(text.split()),
        WIDTH,
        initial_indent=first,
        subsequent_indent=after,
        break_long_words=False,
        break_on_hyphens=False,
    )
