"""Lists, shows, replays, resolves and purges dead letters: ``zoho-sync dead-letters``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain
from typing import Any, Final, TypeVar

import click

from zoho_sync.cli.answer import Answer, answering, tell
from zoho_sync.cli.letters import as_json, for_people, letter_table, summary
from zoho_sync.cli.opening import Opened, opened
from zoho_sync.cli.output import counted, listed
from zoho_sync.cli.running import Failure, run
from zoho_sync.cli.status import duration
from zoho_sync.cli.target import Target, all_of, common_options
from zoho_sync.events.outcome import DeadLetterKind
from zoho_sync.operate.dead_letters import DeadLetterFilter, DeadLetters

__all__ = ["dead_letters"]

_T = TypeVar("_T")
_Ids = tuple[str, ...]
_Work = Callable[[DeadLetters, _Ids | DeadLetterFilter], Awaitable[_T]]
_COUNTED: Final = 1_000
_REPLAYED: Final = {
    "queued": "queued again",
    "duplicates": "equal to one that is queued, and settled",
    "still_dead": "still not understood",
    "unknown": "unknown",
}

_filters = all_of(
    click.option("--entity", metavar="TYPE", help="Of this entity type, by any of its names."),
    click.option("--organization", metavar="ID", help="Of this organization."),
    click.option("--error-type", metavar="NAME", help="With this error, e.g. PayloadError."),
    click.option(
        "--kind",
        type=click.Choice([each.value for each in DeadLetterKind]),
        help="The data is wrong, or the application failed.",
    ),
    click.option(
        "--older-than", type=duration, metavar="TIME", help="Dead for longer: 30m, 24h, 7d."
    ),
)


@click.group("dead-letters")
def dead_letters() -> None:
    """What could not be applied, and waits for you."""


def _filter(  # noqa: PLR0913  # the options above
    chosen: Opened,
    *,
    entity: str | None,
    organization: str | None,
    error_type: str | None,
    kind: str | None,
    older_than: timedelta | None,
) -> DeadLetterFilter:
    return DeadLetterFilter(
        entity_type=chosen.entity_type(entity),
        organization_id=organization,
        error_type=error_type,
        kind=DeadLetterKind(kind) if kind else None,
        died_before=datetime.now(UTC) - older_than if older_than is not None else None,
    )


@dead_letters.command("list")
@_filters
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True)
@answering()
async def list_letters(chosen: Opened, /, limit: int, **filters: Any) -> Answer:
    """List dead letters, oldest first, without their bodies."""
    found = await chosen.sync.dead_letters.list(_filter(chosen, **filters), limit=limit)
    now = datetime.now(UTC)
    return Answer(
        [summary(letter, now) for letter in found],
        listed(letter_table(found, now), len(found), limit, "dead letters"),
    )


@dead_letters.command("show")
@click.argument("letter_id", metavar="ID")
@answering()
async def show_letter(chosen: Opened, letter_id: str) -> Answer:
    """Show everything about one dead letter, its document or body included."""
    letter = await chosen.sync.dead_letters.get(letter_id)
    if letter is None:
        raise Failure(f"there is no dead letter {letter_id}")
    now = datetime.now(UTC)
    return Answer(as_json(letter, now), for_people(letter, now))


@dead_letters.command()
@click.argument("ids", nargs=-1)
@_filters
@common_options()
@click.pass_obj
def replay(target: Target, /, ids: _Ids, **filters: Any) -> None:
    """Put dead letters back into the queue, by id or by filter; a worker applies them."""
    replayed = _worked_off(target, ids, filters, DeadLetters.replay)
    found = asdict(replayed)
    met = {*chain(*found.values())}
    found["unknown"] = [each for each in ids if each not in met]
    lines = [
        f"{len(found[name])} {what}: {', '.join(found[name])}"
        for name, what in _REPLAYED.items()
        if found[name]
    ]
    failed = bool(found["unknown"] or replayed.still_dead)
    tell(target, Answer(found, lines or ["There are no such dead letters."], failed))


@dead_letters.command()
@click.argument("ids", nargs=-1)
@_filters
@click.option("--reason", metavar="TEXT", default="", help="What the journal says about it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@common_options()
@click.pass_obj
def resolve(target: Target, /, ids: _Ids, *, reason: str, yes: bool, **filters: Any) -> None:
    """Close dead letters that were taken care of otherwise, by id or by filter."""
    close = partial(DeadLetters.resolve, reason=reason)
    _close(target, ids, filters, "resolved", close, yes=yes)


@dead_letters.command()
@click.argument("ids", nargs=-1)
@_filters
@click.option("--yes", is_flag=True, help="Do not ask.")
@common_options()
@click.pass_obj
def purge(target: Target, /, ids: _Ids, *, yes: bool, **filters: Any) -> None:
    """Close dead letters for good, by id or by filter; the journal says so."""
    _close(target, ids, filters, "purged", DeadLetters.purge, yes=yes)


def _close(  # noqa: PLR0913  # which, how, and how it is called
    target: Target, ids: _Ids, filters: dict[str, Any], done: str, close: _Work[int], *, yes: bool
) -> None:
    if not yes:
        number = _worked_off(target, ids, filters, _count)
        many = f"{_COUNTED} dead letters or more" if number >= _COUNTED else None
        what = many or counted(number, "dead letter")
        # On standard error: standard output is the answer's alone.
        click.confirm(f"Close {what} for good, without applying?", abort=True, err=True)
    closed = _worked_off(target, ids, filters, close)
    failed = bool(ids) and closed < len(set(ids))
    tell(target, Answer({done: closed}, [f"{counted(closed, 'dead letter')} closed"], failed))


async def _count(letters: DeadLetters, which: _Ids | DeadLetterFilter) -> int:
    if isinstance(which, DeadLetterFilter):
        return len(await letters.list(which, limit=_COUNTED))
    return len([each for each in set(which) if await letters.get(each) is not None])


def _worked_off(target: Target, ids: _Ids, filters: dict[str, Any], work: _Work[_T]) -> _T:
    """Work on the dead letters that are meant, by id or by filter; return what that gives."""
    filtered = any(value is not None for value in filters.values())
    if ids and filtered:
        raise click.UsageError("give ids or a filter, not both")
    if not ids and not filtered:
        raise click.UsageError(
            "say which dead letters: ids, or --entity, --organization, --error-type, --kind, "
            "--older-than"
        )

    async def worked() -> _T:
        async with opened(target) as chosen:
            return await work(chosen.sync.dead_letters, ids or _filter(chosen, **filters))

    return run(worked())
