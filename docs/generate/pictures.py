"""Draws the pictures of the docs: a delivery's way, and the rooms of the source."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["FLOORS", "delivery", "rooms"]

WIDTH = 440
GAP = 10

STYLE = """\
  .page { fill: #ffffff; }
  .box { fill: #f4f5f7; stroke: #8a919e; }
  .stage { fill: #e3eefc; stroke: #2f6db5; }
  .yours { fill: #e4f4e7; stroke: #2e7d43; }
  .name { font: bold 14px ui-monospace, Menlo, Consolas, monospace; fill: #1b1f24; }
  .text { font: 12px system-ui, sans-serif; fill: #3b4250; }
  .step { font: bold 13px system-ui, sans-serif; fill: #2f6db5; }
  .line { stroke: #5b6472; stroke-width: 1.5; fill: none; }
  .head { fill: #5b6472; }
  @media (prefers-color-scheme: dark) {
    .page { fill: #131416; }
    .box { fill: #22252a; stroke: #6b7380; }
    .stage { fill: #16304f; stroke: #6aa5e8; }
    .yours { fill: #173521; stroke: #68b87d; }
    .name { fill: #eceff3; }
    .text { fill: #c3c9d3; }
    .step { fill: #8dbcf2; }
    .line { stroke: #a5adba; }
    .head { fill: #a5adba; }
  }"""


@dataclass(frozen=True)
class Room:
    """One folder or module of the source.

    Attributes:
        name: Its name.
        lines: What it does, in lines of a few words.
        step: Its place in the way of a delivery; 0 if it is not on that way.
    """

    name: str
    lines: tuple[str, ...]
    step: int = 0


FLOORS = (
    (
        Room("blocking", ("without", "asyncio")),
        Room("cli", ("the command", "zoho-sync")),
        Room("testing", ("checks that", "users run")),
        Room("migrations", ("for your", "Alembic")),
    ),
    (Room("app", ("ZohoSync: puts the parts together",)),),
    (
        Room("operate", ("what operators do and ask",)),
        Room("web", ("the front door over ASGI",), 1),
    ),
    (
        Room("intake", ("bytes to events",), 2),
        Room("queues", ("where events wait",), 3),
        Room("worker", ("claim, attempt,", "settle"), 4),
    ),
    (
        Room("handlers", ("what users subclass",)),
        Room("checks", ("mappings against", "the real schema")),
    ),
    (Room("apply", ("decides, and writes the host's rows",), 5),),
    (
        Room("mapping", ("which column", "holds what")),
        Room("mirror", ("ready-made tables",)),
        Room("store", ("the library's tables",), 6),
    ),
    (
        Room("payloads", ("what Zoho sends",)),
        Room("database", ("what differs between databases",)),
    ),
    (
        Room("exceptions", ("errors, and how", "they are worded")),
        Room("events", ("values, and", "the version order")),
        Room("abc", ("every interface",)),
    ),
)
"""The rooms, the highest floor first; a room imports from lower floors, and its own to the left."""


def rooms() -> str:
    """Return the picture of the rooms."""
    height = 64
    parts: list[str] = []
    for number, floor in enumerate(FLOORS):
        top = GAP + number * (height + GAP)
        width = (WIDTH - GAP * (len(floor) + 1)) // len(floor)
        for place, room in enumerate(floor):
            left = GAP + place * (width + GAP)
            parts += _box(left, top, width, height, room)
    return _picture(
        GAP + len(FLOORS) * (height + GAP),
        "The rooms of the source. Those with a number are on the way of a delivery.",
        parts,
    )


def delivery() -> str:
    """Return the picture of a delivery's way into the application's tables."""
    left, width, height, step = 60, 320, 64, 96
    boxes = (
        ("box", "Zoho", "a webhook: an invoice was edited"),
        ("stage", "front door", "is it signed? which entity, which version?"),
        ("stage", "queue", "a table of yours, or Redis, RabbitMQ, NATS"),
        ("stage", "worker", "is it new? what does your mapping say?"),
        ("yours", "your tables", "the row, its lines, and the record of it"),
    )
    arrows = ("POST", "stored, then answered 200", "claimed", "one transaction")
    parts: list[str] = []
    for number, (kind, name, text) in enumerate(boxes):
        top = GAP + number * step
        parts.append(_rectangle(kind, left, top, width, height))
        parts.append(_text("name", WIDTH // 2, top + 27, name))
        parts.append(_text("text", WIDTH // 2, top + 48, text))
    for number, text in enumerate(arrows):
        top = GAP + number * step + height
        parts += _arrow(WIDTH // 2, top, top + step - height)
        parts.append(_text("text", WIDTH // 2 + 12, top + 20, text, anchor="start"))
    return _picture(
        GAP + len(boxes) * step - (step - height) + GAP,
        "A delivery goes through the front door and the queue to a worker, which writes your "
        "tables.",
        parts,
    )


def _box(left: int, top: int, width: int, height: int, room: Room) -> Iterator[str]:
    middle = left + width // 2
    yield _rectangle("stage" if room.step else "box", left, top, width, height)
    first = top + (25 if len(room.lines) == 1 else 20)
    yield _text("name", middle, first, room.name)
    for number, line in enumerate(room.lines):
        yield _text("text", middle, first + 19 + number * 15, line)
    if room.step:
        yield _text("step", left + 8, top + 16, str(room.step), anchor="start")


def _rectangle(kind: str, left: int, top: int, width: int, height: int) -> str:
    return f'<rect class="{kind}" x="{left}" y="{top}" width="{width}" height="{height}" rx="6"/>'


def _text(kind: str, left: int, top: int, text: str, *, anchor: str = "middle") -> str:
    return f'<text class="{kind}" x="{left}" y="{top}" text-anchor="{anchor}">{text}</text>'


def _arrow(left: int, top: int, bottom: int) -> Iterator[str]:
    yield f'<path class="line" d="M{left} {top} V{bottom - 6}"/>'
    yield f'<path class="head" d="M{left - 5} {bottom - 8} H{left + 5} L{left} {bottom} Z"/>'


def _picture(height: int, title: str, parts: list[str]) -> str:
    lines = (
        '<svg xmlns="http://www.w3.org/2000/svg" role="img"',
        f'  width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}">',
        f"<title>{title}</title>",
        f"<style>\n{STYLE}\n</style>",
        f'<rect class="page" width="{WIDTH}" height="{height}" rx="8"/>',
        *parts,
        "</svg>",
    )
    return "\n".join(lines) + "\n"
