"""Measures the house: how the source is laid out, and how far an event walks through it.

``python -m tests.house`` prints the figures that the docs and reviews speak of. They are read from
the imports, and from one invoice that is applied to the mirror on SQLite.
"""

from __future__ import annotations

import ast
import asyncio
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from types import FrameType
from typing import Any, Final

from sqlalchemy import Column, Integer, MetaData, Numeric, String, Table
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

import zoho_sync
from zoho_sync import ChildMap, EntityMap, HandlerRegistry, Reference, ZohoSync
from zoho_sync.handlers import CustomerHandler, InvoiceHandler

SOURCE: Final = Path(zoho_sync.__file__).parent
ROOT: Final = "zoho_sync"
VALUES: Final = {
    "exceptions",
    "events",
    "payloads",
    "mapping",
    "database",
    "store",
    "abc",
    "mirror",
}
"""Rooms that are asked and answer: what they are asked for is no stage of an event's way."""

Graph = Mapping[str, set[str]]


def modules() -> dict[str, Path]:
    """Return the library's modules by their dotted names."""
    found = {}
    for path in SOURCE.rglob("*.py"):
        parts = (ROOT, *path.relative_to(SOURCE).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports() -> dict[str, set[str]]:
    """Return which modules each module imports, wherever in it, and if only for its types."""
    known = modules()
    return {name: set(_imported(path, known)) - {name} for name, path in known.items()}


def _imported(path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module in known:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in known else str(node.module)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)


def entries() -> int:
    """Return how many files and folders the top folder has."""
    return sum(each.name != "__pycache__" for each in SOURCE.iterdir())


def rooms(graph: Graph) -> dict[str, set[str]]:
    """Return which rooms each room imports; a module of the top folder is a room of its own."""
    found: dict[str, set[str]] = {}
    for name, imported in graph.items():
        here = found.setdefault(_room(name), set())
        here |= {_room(each) for each in imported} - {_room(name)}
    return found


def _room(name: str) -> str:
    return [*name.split("."), ""][1]


def circles(graph: Graph) -> list[list[str]]:
    """Return the groups of modules that import each other, directly or through others."""
    reach = {name: _reached(graph, name) for name in graph}
    groups = {
        tuple(sorted(other for other in reach[name] if name in reach[other]))
        for name in graph
        if name in reach[name]
    }
    return [list(group) for group in sorted(groups)]


def _reached(graph: Graph, name: str) -> set[str]:
    seen: set[str] = set()
    ahead = list(graph[name])
    while ahead:
        each = ahead.pop()
        if each not in seen:
            seen.add(each)
            ahead += graph.get(each, ())
    return seen


def floors(graph: Graph) -> int:
    """Return how many floors high the house is: the longest way down by imports."""
    heights: dict[str, int] = {}
    for name in TopologicalSorter(graph).static_order():
        heights[name] = 1 + max((heights[each] for each in graph[name]), default=0)
    return max(heights.values())


@dataclass
class Walk:
    """The files that the control of an event passes, in the order in which it enters them."""

    entered: list[str] = field(default_factory=list)

    def __call__(self, frame: FrameType, kind: str, argument: Any) -> None:
        """Note the file of a function that is called, as `sys.setprofile` wants it."""
        del argument
        path = Path(frame.f_code.co_filename)
        if kind != "call" or not path.is_relative_to(SOURCE) or _is_inner(frame):
            return
        name = str(path.relative_to(SOURCE))
        if name.removesuffix(".py").split("/")[0] in VALUES:
            return
        if not self.entered or self.entered[-1] != name:
            self.entered.append(name)

    @property
    def files(self) -> int:
        """How many files it passes."""
        return len(set(self.entered))

    @property
    def returns(self) -> int:
        """How often it enters a file that it had left."""
        return len(self.entered) - self.files


def _is_inner(frame: FrameType) -> bool:
    """Return whether a frame is no call: a comprehension, or a coroutine that goes on."""
    return frame.f_code.co_name.startswith("<") or frame.f_lasti > _FIRST


_FIRST: Final = 8
"""Where the first instruction of a function is at most, after those that copy its variables."""


METADATA: Final = MetaData()
CUSTOMERS: Final = Table(
    "customers",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("zoho_id", String(50), unique=True),
    Column("name", String(100)),
)
INVOICES: Final = Table(
    "invoices",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("zoho_id", String(50), unique=True),
    Column("customer_id", Integer),
    Column("number", String(50)),
)
LINES: Final = Table(
    "invoice_lines",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("zoho_id", String(50), unique=True),
    Column("invoice_id", Integer),
    Column("quantity", Numeric(12, 2)),
)


class Customers(CustomerHandler):
    """Writes a host's customers."""

    mapping = EntityMap(
        table=CUSTOMERS, key="zoho_id", columns={"name": "contact_name"}, on_delete="ignore"
    )


class Invoices(InvoiceHandler):
    """Writes a host's invoices, which refer to customers and have lines."""

    mapping = EntityMap(
        table=INVOICES,
        key="zoho_id",
        columns={"number": "invoice_number"},
        references=[Reference("customer_id", to="customer", source="customer_id")],
        children=[
            ChildMap(
                table=LINES,
                source="line_items",
                key="zoho_id",
                parent="invoice_id",
                columns={"quantity": "quantity"},
            )
        ],
        on_delete="ignore",
    )


def invoice(day: int) -> dict[str, Any]:
    """Return an invoice as it was on a day of a month."""
    return {
        "invoice_id": "1",
        "invoice_number": f"INV-{day}",
        "customer_id": "7",
        "last_modified_time": f"2026-01-{day:02}T10:00:00Z",
        "line_items": [{"line_item_id": "11", "quantity": f"{day}.5"}],
    }


@dataclass
class Depth:
    """How many of the library's functions lie between two points of the way.

    Attributes:
        top: The file whose outermost call is counted from, and does not count.
        table: The host's table whose statement ends the way.
        deepest: The most that was found.
    """

    top: Path
    table: Table
    deepest: int = 0

    def look(self, statement: Any) -> None:
        """Count, where a statement writes the table; called by what executes it."""
        if getattr(statement, "table", None) is not self.table or statement.is_select:
            return
        frame: FrameType | None = sys._getframe(2)  # nothing else gives the callers
        calls = found = 0
        while frame is not None:
            path = Path(frame.f_code.co_filename)
            found = calls if path == self.top else found
            calls += path.is_relative_to(SOURCE)
            frame = frame.f_back
        self.deepest = max(self.deepest, found)


async def walked() -> tuple[Walk, int]:
    """Let an invoice be changed by a direct call, and by a worker; return both ways."""
    with tempfile.TemporaryDirectory() as folder:
        engine = create_async_engine(f"sqlite+aiosqlite:///{folder}/erp.db")
        sessions = async_sessionmaker(engine)
        sync = ZohoSync(sessions, registry=HandlerRegistry([Customers, Invoices]))
        await sync.create_tables()
        async with engine.begin() as connection:
            await connection.run_sync(METADATA.create_all)
        await sync.ingest({"contact_id": "7", "contact_type": "customer", "contact_name": "A"})
        await sync.ingest(invoice(1))
        await sync.drain()
        walk = await _direct(sync, sessions())
        depth = await _claimed(sync)
        await engine.dispose()
    return walk, depth


async def _direct(sync: ZohoSync, session: AsyncSession) -> Walk:
    walk = Walk()
    async with session:
        handler = sync.handler("invoice", session)
        sys.setprofile(walk)
        try:
            await handler.sync(invoice(2))
        finally:
            sys.setprofile(None)
    return walk


async def _claimed(sync: ZohoSync) -> int:
    depth, execute = Depth(SOURCE / "apply" / "batch.py", INVOICES), AsyncConnection.execute

    async def looked(connection: AsyncConnection, statement: Any, *given: Any, **named: Any) -> Any:
        depth.look(statement)
        return await execute(connection, statement, *given, **named)

    await sync.ingest(invoice(3))
    AsyncConnection.execute = looked  # type: ignore[assignment, method-assign]  # for one event
    try:
        await sync.drain()
    finally:
        AsyncConnection.execute = execute  # type: ignore[method-assign]  # as it was
    return depth.deepest


def figures() -> Iterator[tuple[str, object]]:
    """Give each figure with its name."""
    graph = imports()
    walk, depth = asyncio.run(walked())
    lines = sum(len(path.read_text().splitlines()) for path in modules().values())
    yield "entries in the top folder", entries()
    yield "import circles", circles(graph) or 0
    yield "files that handler.sync passes", walk.files
    yield "returns to a file it had left", walk.returns
    yield "calls from the batch to the SQL of one event", depth
    yield "floors, folder by folder", floors(rooms(graph))
    yield "lines of src", lines
    yield "names at the root", len(zoho_sync.__all__)


def main() -> None:
    """Print the figures."""
    for name, figure in figures():
        print(f"{name:46} {figure}")  # noqa: T201  # its job
    if "--walk" in sys.argv:
        walk, _ = asyncio.run(walked())
        print(*walk.entered, sep="\n")  # noqa: T201  # the same


if __name__ == "__main__":
    main()
