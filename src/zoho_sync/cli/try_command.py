"""Shows what one delivery would change: ``zoho-sync try``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click
from rich.console import RenderableType
from rich.table import Table

from zoho_sync.cli.answer import Answer, tell
from zoho_sync.cli.opening import opened
from zoho_sync.cli.output import counted, indented, one_line, picked, safe, table
from zoho_sync.cli.running import FAILED, REFUSED, run
from zoho_sync.cli.target import Target, common_options
from zoho_sync.cli.trial import RowChange, Trial, failed, try_event
from zoho_sync.events.event import SyncEvent
from zoho_sync.events.outcome import Outcome
from zoho_sync.exceptions import PayloadError
from zoho_sync.intake.decoding import decode
from zoho_sync.intake.hints import hints

__all__ = ["try_file"]

_EXIT_CODES: Final = {Outcome.DEAD_LETTER.value: REFUSED, Outcome.RETRY.value: FAILED}
_WORDS: Final = {
    "applied": "would be applied",
    "stale": "is stale: nothing would change",
    "duplicate": "is a duplicate: nothing would change",
    "ignored": "would be ignored",
    "parked": "would be parked",
    "retry": "would fail, and be tried again",
    "dead_letter": "would become a dead letter",
    "ping": "is a test ping: nothing would be stored",
}
_NO_CHANGE: Final = "Every column holds that value already."
_NO_MAPPING: Final = (
    "Its handler writes by its own code, without a mapping: its rows cannot be shown."
)


@click.command("try")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--entity", metavar="TYPE", help="What it is, as the webhook's route would say.")
@click.option("--operation", metavar="WORD", help="What happened: update, delete, …")
@click.option("--id", "entity_id", metavar="ID", help="Zoho's id, where the body has none.")
@click.option("--organization", metavar="ID", help="Zoho's organization, where you set one up.")
@click.option("--content-type", default="application/json", show_default=True)
@common_options()
@click.pass_obj
def try_file(target: Target, /, file: str, **given: str | None) -> None:
    """Show what the body in FILE would change, and change nothing; - reads standard input.

    The body is applied in a transaction that is rolled back. Shown are the entity's row and its
    lines, column by column; or what the event would wait for, or why it would be refused. Without
    --app, the mirror's tables are what it is applied to.
    """
    with click.open_file(file, "rb") as opened_file:
        body = opened_file.read()
    received, trial = run(_tried(target, body, given))
    name = "standard input" if file == "-" else Path(file).name
    parts = _for_people(name, received, trial)
    tell(target, Answer(_as_json(received, trial), parts, _EXIT_CODES.get(trial.outcome, 0)))


async def _tried(
    target: Target, body: bytes, given: Mapping[str, str | None]
) -> tuple[SyncEvent | None, Trial]:
    known = hints(
        entity=given["entity"],
        operation=given["operation"],
        entity_id=given["entity_id"],
        organization_id=given["organization"],
    )
    # A ZohoSync that is made here knows no organization but this one.
    own = {"organization_id": known.organization_id} if known.organization_id else {}
    async with opened(target, options=None if target.app else own, applies=True) as chosen:
        try:
            received = decode(body, given["content_type"] or "", known, chosen.rules)
        except PayloadError as error:
            return None, failed(error)
        if received is None:
            return None, Trial("ping")
        return received, await try_event(chosen, received)


def _for_people(name: str, received: SyncEvent | None, trial: Trial) -> list[RenderableType]:
    what = name
    if received is not None:
        what = f"{name}: {received.entity_type} {received.entity_id}, {received.operation}"
    parts: list[RenderableType] = [safe(f"{what} — {_WORDS[trial.outcome]}")]
    if trial.reason:
        parts.append(indented(safe(trial.reason)))
    for change in trial.rows:
        parts += ["", indented(safe(_heading(change))), indented(_columns(change))]
    if trial.outcome == Outcome.APPLIED.value and not trial.rows and not trial.reason:
        parts.append(indented(_NO_CHANGE if trial.mapped else _NO_MAPPING))
    return [*parts, "", "Nothing was changed."]


def _heading(change: RowChange) -> str:
    key = ", ".join(map(str, change.key))
    return f"{change.table} ({key}): {change.kind}, {counted(len(change.columns), 'column')}"


def _columns(change: RowChange) -> RenderableType:
    rows: Table = table("column", "before", "after", narrow=["column"])
    for name, values in change.columns.items():
        rows.add_row(name, *(safe(_shown(value)) for value in values))
    return indented(rows)


def _shown(value: Any) -> str:  # whatever a column holds
    return "NULL" if value is None else one_line(value)


def _as_json(received: SyncEvent | None, trial: Trial) -> dict[str, Any]:
    waits = trial.waits_for
    event = "entity_type entity_id operation organization_id effective_time"
    return {
        **picked(trial, "outcome reason error_type path"),
        "event": None if received is None else picked(received, event),
        "waits_for": None if waits is None else {"entity_type": waits[0], "entity_id": waits[1]},
        "rows": [_row(change) for change in trial.rows],
        "mapped": trial.mapped,
    }


def _row(change: RowChange) -> dict[str, Any]:
    columns = {
        name: {"before": before, "after": after} for name, (before, after) in change.columns.items()
    }
    return {**picked(change, "table key"), "change": change.kind, "columns": columns}
