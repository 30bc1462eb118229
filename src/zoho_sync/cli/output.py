"""Prints tables for people and JSON for programs, and nothing that must stay secret."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from decimal import Decimal
from io import TextIOWrapper
from typing import Any, Final

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from sqlalchemy.engine import URL

from zoho_sync.events import exact_json

__all__ = [
    "age",
    "counted",
    "indented",
    "listed",
    "numbered",
    "one_line",
    "picked",
    "print_json",
    "safe",
    "show",
    "shown_url",
    "table",
]

_WIDTH: Final = 100
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def show(*parts: RenderableType) -> None:
    """Print for people: at most 100 columns; plain, without colours, where there is no terminal."""
    # A pipe may have an encoding that lacks a character: a question mark is better than a crash.
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    console = Console(highlight=False, emoji=False, markup=False)
    console.width = min(console.width, _WIDTH) if console.is_terminal else _WIDTH
    if console.is_terminal:
        console.print(*parts, sep="\n")
        return
    with console.capture() as captured:
        console.print(*parts, sep="\n")
    # Tables fill their lines with blanks, which are in the way of whoever reads them from a file.
    lines = captured.get().replace("\u00a0", " ").splitlines()
    sys.stdout.writelines(f"{line.rstrip()}\n" for line in lines)


def table(*columns: str, numbers: Iterable[str] = (), narrow: Iterable[str] = ()) -> Table:
    """Return an empty table with these headings.

    Those of numbers are aligned to the right; they and the narrow ones are never broken into lines.
    """
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    right, unbroken = set(numbers), set(narrow)
    for heading in columns:
        made.add_column(
            heading,
            justify="right" if heading in right else "left",
            no_wrap=heading in right | unbroken,
            overflow="fold",
        )
    return made


def listed(rows: Table, count: int, limit: int, things: str) -> list[RenderableType]:
    """Return a table of the oldest things, and say so; or that there are none."""
    if not count:
        return [f"There are no such {things}."]
    return [rows, f"\nOnly the oldest {limit}; --limit shows more."] if count == limit else [rows]


def safe(value: object) -> Text:
    """Return text that is shown as it is: control characters of a sender reach no terminal."""
    text = "" if value is None else str(value)
    return Text(_CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text))


def one_line(value: object, longest: int = 60) -> str:
    """Return a value as one line of at most so many characters."""
    text = "" if value is None else " ".join(str(value).split())
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def picked(source: object, names: str) -> dict[str, Any]:
    """Return what programs are told of an object: its attributes of these names."""
    return {name: getattr(source, name) for name in names.split()}


def print_json(value: Any) -> None:  # any JSON value, with times and decimals
    """Print a value as one line of JSON, decimals with all their digits."""
    sys.stdout.write(f"{exact_json.dumps(_plain(value))}\n")


def _plain(value: Any) -> Any:  # as above
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, Decimal)):
        return value
    if isinstance(value, float):
        # Of a column of the host's own: its shortest digits are what it means.
        return Decimal(repr(value))
    if isinstance(value, timedelta):
        return int(value.total_seconds())
    return value.isoformat() if isinstance(value, date) else str(value)


def age(since: timedelta) -> str:
    """Return how long something took, in one unit: ``3 h``."""
    seconds = max(int(since.total_seconds()), 0)
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def shown_url(url: URL) -> str:
    """Return where a URL leads, without user, password and options."""
    host = f"{url.host or ''}{f':{url.port}' if url.port else ''}"
    place = f"{host}/{url.database or ''}"
    if host:
        # Of a password with an @ that nobody has escaped, a part is the host's and the database's.
        _, at, last = place.rpartition("@")
        place = f"…@{last}" if at else place
    return f"{url.drivername}://{place}"


def counted(count: int, singular: str, plural: str = "") -> str:
    """Return a number with its noun: ``1 list``, ``2 lists``."""
    return f"{count} {singular if count == 1 else plural or f'{singular}s'}"


def numbered(counts: Mapping[str, int]) -> str:
    """Return how many came to what: ``3 applied, 1 stale``."""
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "nothing to do"


def indented(part: RenderableType) -> Padding:
    """Return a part of the output, two blanks further to the right."""
    return Padding(part, (0, 0, 0, 2))
