"""Says where every event is, and whether something is wrong: ``zoho-sync status``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any, Final

import click
from rich.console import RenderableType
from rich.table import Table

from zoho_sync.cli.answer import Answer, answering
from zoho_sync.cli.opening import Opened
from zoho_sync.cli.output import age, indented, picked, safe, table
from zoho_sync.events.outcome import Outcome
from zoho_sync.operate.status import StatusReport

__all__ = ["duration", "status"]

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_SETTLED: Final = (
    Outcome.APPLIED,
    Outcome.STALE,
    Outcome.DUPLICATE,
    Outcome.IGNORED,
    Outcome.RESOLVED,
)


def duration(text: str) -> timedelta:
    """Return a time span that is written as ``90s``, ``30m``, ``24h`` or ``7d``."""
    found = re.fullmatch(r"([1-9]\d{0,5})([smhd])", text.strip().lower())
    if found is None:
        raise click.BadParameter(f"{text!r} is no duration; write it as 90s, 30m, 24h or 7d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


@click.command()
@click.option(
    "--window",
    type=duration,
    default="24h",
    metavar="TIME",
    show_default=True,
    help="How far back to look: 30m, 24h, 7d.",
)
@answering()
async def status(chosen: Opened, window: timedelta) -> Answer:
    """Say where every event is, and what is wrong; exit with 1 if something is."""
    report = await chosen.sync.status(window)
    return Answer(_as_json(report), _for_people(report, chosen.where), failed=not report.healthy)


def _for_people(report: StatusReport, where: str) -> list[RenderableType]:
    verdict = "healthy" if report.healthy else "something is wrong"
    last = f"{age(report.at - report.last_arrival)} ago" if report.last_arrival else "never"
    parts: list[RenderableType] = [f"{where}: {verdict}"]
    parts += [indented(safe(f"! {problem}")) for problem in report.problems]
    parts += ["", indented(_places(report, last))]
    if report.entities:
        parts += ["", indented(_entities(report))]
    if report.unseen_fields:
        names = ", ".join(report.unseen_fields)
        parts += ["", indented(safe(f"mapped, and no document ever had: {names}"))]
    return parts


def _places(report: StatusReport, last: str) -> Table:
    queue = report.queue
    rows = table("", "", "", numbers=[])
    rows.show_header = False
    recent = sum(report.recent.values())
    rows.add_row("last received", last)
    rows.add_row(
        "queued",
        str(queue.total),
        f"{queue.ready} ready, {queue.delayed} delayed, {queue.leased} with a worker",
    )
    rows.add_row("parked", str(report.parked), "wait for another entity")
    of_ours = f", {report.failures} of them since the application failed" if report.failures else ""
    rows.add_row("dead letters", str(report.dead_letters), f"wait for an operator{of_ours}")
    rows.add_row(
        "settled",
        str(sum(report.settled.values())),
        f"{recent} events in the last {age(report.window)}, dead letters included",
    )
    rows.add_row("accepted", str(report.accepted), "all of these together")
    if report.refused:
        rows.add_row("refused", str(sum(report.refused.values())), "and nothing kept of them")
    living = sum(worker.lives for worker in report.workers)
    rows.add_row("workers", str(living), "say that they live")
    return rows


def _entities(report: StatusReport) -> Table:
    outcomes = [outcome.value for outcome in _SETTLED]
    rows = table("settled events of", *outcomes, numbers=outcomes)
    for name, counts in sorted(report.entities.items()):
        rows.add_row(safe(name), *map(str, _counts(counts).values()))
    return rows


def _as_json(report: StatusReport) -> dict[str, Any]:
    return {
        **picked(report, "healthy problems at"),
        "window_seconds": report.window,
        **picked(report, "last_arrival paused_since accepted"),
        "queue": picked(report.queue, "ready delayed leased total oldest"),
        **picked(report, "parked dead_letters failures unknown"),
        "workers": [asdict(each) for each in report.workers],
        "settled": _counts(report.settled),
        "recent": _counts(report.recent, (*_SETTLED, Outcome.DEAD_LETTER)),
        "refused": dict(report.refused),
        "unseen_fields": list(report.unseen_fields),
        "entities": {name: _counts(counts) for name, counts in report.entities.items()},
    }


def _counts(
    counts: Mapping[Outcome, int], outcomes: Sequence[Outcome] = _SETTLED
) -> dict[str, int]:
    return {outcome.value: counts.get(outcome, 0) for outcome in outcomes}
