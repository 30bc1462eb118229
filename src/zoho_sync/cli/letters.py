"""Writes dead letters as people and as programs read them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import RenderableType
from rich.table import Table

from zoho_sync.cli.output import age, indented, one_line, picked, safe, table
from zoho_sync.events import exact_json
from zoho_sync.operate.dead_letters import DeadLetter

__all__ = ["as_json", "for_people", "letter_table", "summary"]


def letter_table(letters: Sequence[DeadLetter], now: datetime) -> Table:
    """Return the table of a list; bodies are not in it."""
    rows = table("id", "entity", "error", "age", narrow=["id", "age"])
    for letter in letters:
        where = f"{letter.path}: " if letter.path else ""
        problem = letter.error.removeprefix(where)
        rows.add_row(
            safe(letter.id),
            safe(_entity(letter)),
            safe(f"{letter.error_type} {one_line(where + problem, 120)}"),
            age(now - letter.died_at),
        )
    return rows


def summary(letter: DeadLetter, now: datetime) -> dict[str, Any]:
    """Return what is known of a dead letter, without its body."""
    names = (
        "id organization_id entity_type entity_id operation kind error_type path error attempts "
        "arrived_at last_arrived_at deliveries died_at"
    )
    return {**picked(letter, names), "age_seconds": now - letter.died_at}


def as_json(letter: DeadLetter, now: datetime) -> dict[str, Any]:
    """Return everything; a body that is not UTF-8 is given in Base64."""
    text, encoded = _text(letter.body)
    return {
        **summary(letter, now),
        **picked(letter, "history payload"),
        "body": text,
        "body_base64": encoded,
        **picked(letter, "content_type hints"),
    }


def for_people(letter: DeadLetter, now: datetime) -> list[RenderableType]:
    """Return everything, one part for each thing."""
    rows = table("", "")
    rows.show_header = False
    for name, value in _facts(letter, now):
        if value:
            rows.add_row(name, safe(value))
    parts: list[RenderableType] = [f"dead letter {letter.id}", "", indented(rows)]
    if letter.history:
        parts += ["", "failed attempts"]
        for entry in letter.history:
            problem = f"{entry.get('error_type')}: {one_line(entry.get('error'), 200)}"
            parts.append(indented(safe(f"{entry.get('at')}  {problem}")))
            if line := entry.get("line"):
                parts.append(indented(safe(f"  at {line}")))
    if letter.payload is not None:
        parts += ["", "document", indented(safe(_pretty(letter.payload)))]
    if letter.body is not None:
        text, encoded = _text(letter.body)
        parts += ["", "body", indented(safe(f"(Base64) {encoded}" if text is None else text))]
    return parts


def _facts(letter: DeadLetter, now: datetime) -> list[tuple[str, str]]:
    hints = letter.hints or {}
    return [
        ("entity", _entity(letter)),
        ("operation", letter.operation or ""),
        ("organization", letter.organization_id),
        ("kind", letter.kind),
        ("error", letter.error_type),
        ("", letter.error),
        ("field", letter.path),
        ("arrived", letter.arrived_at.isoformat()),
        ("delivered", _again(letter)),
        ("died", f"{letter.died_at.isoformat()}, {age(now - letter.died_at)} ago"),
        ("attempts", str(letter.attempts)),
        ("content type", letter.content_type or ""),
        ("told", ", ".join(f"{name}={value}" for name, value in hints.items())),
    ]


def _again(letter: DeadLetter) -> str:
    if letter.deliveries == 1:
        return ""
    return f"{letter.deliveries} times, last {letter.last_arrived_at.isoformat()}"


def _entity(letter: DeadLetter) -> str:
    if letter.entity_type is None:
        return "(not understood)"
    return f"{letter.entity_type} {letter.entity_id}"


def _text(body: bytes | None) -> tuple[str | None, str | None]:
    """Return a body as text, or else in Base64."""
    if body is None:
        return None, None
    try:
        return body.decode(), None
    except UnicodeDecodeError:
        return None, base64.b64encode(body).decode()


def _pretty(value: Any, margin: str = "") -> str:  # any JSON value
    deeper = f"{margin}  "
    if isinstance(value, Mapping) and value:
        items = [
            f"{deeper}{exact_json.dumps(name)}: {_pretty(item, deeper)}"
            for name, item in value.items()
        ]
        return "\n".join(("{", ",\n".join(items), f"{margin}}}"))
    if isinstance(value, (list, tuple)) and value:
        items = [f"{deeper}{_pretty(item, deeper)}" for item in value]
        return "\n".join(("[", ",\n".join(items), f"{margin}]"))
    return exact_json.dumps(value)
