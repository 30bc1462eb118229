"""Reports what was delivered, what became of it, some rows, and the account."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from zoho_sync.cli.demo.checks import Check
from zoho_sync.cli.demo.performance import Delivered, Performance
from zoho_sync.cli.output import counted, indented, picked, safe, table

__all__ = ["as_json", "for_people"]

_STYLES: Final = {
    "applied": "green",
    "stale": "yellow",
    "duplicate": "yellow",
    "ignored": "yellow",
    "parked": "cyan",
    "dead_letter": "red",
    "refused": "red",
}
_NOUNS: Final = {"dead_letters": "dead letter", "pings": "ping"}
_IN_A_LINE: Final = 4


def for_people(performance: Performance, seconds: float, where: str) -> list[RenderableType]:
    """Return everything, for people."""
    deliveries = performance.deliveries
    parts: list[RenderableType] = [
        f"{len(deliveries)} signed deliveries, through the front door\n",
        indented(_deliveries(deliveries)),
        "\nThe rows that they left\n",
        indented(_rows(performance.checks)),
        "\nThe account\n",
        indented(_account(performance)),
    ]
    if performance.ok:
        parts.append(f"\nEverything is as it should be. It took {seconds:.1f} s.")
        parts.append(f"The database is yours to look at: {where}")
    else:
        parts.append("\nSomething is not as it should be: see what is marked with !")
    return parts


def _deliveries(deliveries: Sequence[Delivered]) -> Table:
    rows = table("#", "delivered", "became", "why", numbers=["#"], narrow=["delivered", "became"])
    for each in deliveries:
        why = "; then ".join(state.why for state in each.states)
        rows.add_row(str(each.number), safe(each.delivery.title), _path(each), safe(why))
    return rows


def _path(delivered: Delivered) -> Text:
    parts = [
        Text(state.name.replace("_", " "), style=_STYLES.get(state.name, ""))
        for state in delivered.states
    ]
    path = Text(" → ").join(parts)
    return path if delivered.as_expected else Text("! ", style="bold red") + path


def _rows(checks: Sequence[Check]) -> Table:
    rows = table("table", "row", narrow=["table"])
    for check in checks:
        name = check.table if check.ok else f"! {check.table}"
        shown = [_row(check.columns, row) for row in check.found]
        for position, line in enumerate(shown or ["(none)"]):
            rows.add_row("" if position else name, safe(line))
    return rows


def _row(columns: Sequence[str], row: Sequence[Any]) -> str:
    pairs = (f"{name}={_value(value)}" for name, value in zip(columns, row, strict=True))
    return "  ".join(pair.replace(" ", "\u00a0") for pair in pairs)  # never broken in two


def _value(value: Any) -> str:  # whatever a column holds
    if value is None:
        return "NULL"
    if isinstance(value, Decimal):
        # PostgreSQL pads to the scale of the column, SQLite keeps what was written.
        plain = f"{value.normalize():f}"
        return f"{plain}0" if plain[-2:-1] == "." else plain
    return str(value)


def _account(performance: Performance) -> str:
    account = performance.account
    parts = [
        counted(count, _NOUNS[name]) if name in _NOUNS else f"{count} {name}"
        for name, count in account.items()
    ]
    total = sum(account.values())
    begun = (
        f"{len(performance.deliveries)} delivered {'=' if performance.adds_up else f'! {total} ='}"
    )
    lines = [
        " + ".join(parts[start : start + _IN_A_LINE]) for start in range(0, len(parts), _IN_A_LINE)
    ]
    return f"\n{' ' * (len(begun) - 1)}+ ".join([f"{begun} {lines[0]}", *lines[1:]])


def as_json(performance: Performance, seconds: float, where: str) -> Mapping[str, Any]:
    """Return everything, for programs."""
    return {
        "ok": performance.ok,
        "database": where,
        "seconds": round(Decimal(seconds), 3),
        "deliveries": [_delivery(each) for each in performance.deliveries],
        "rows": [picked(check, "table columns found expected ok") for check in performance.checks],
        "account": {
            "delivered": len(performance.deliveries),
            **performance.account,
            "adds_up": performance.adds_up,
        },
    }


def _delivery(delivered: Delivered) -> dict[str, Any]:
    return {
        "number": delivered.number,
        "delivered": delivered.delivery.title,
        "http_status": delivered.receipt.http_status,
        "event_id": delivered.event_id,
        "states": [{"state": state.name, "why": state.why} for state in delivered.states],
        "as_expected": delivered.as_expected,
    }
