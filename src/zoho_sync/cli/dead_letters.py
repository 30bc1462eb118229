"""``zoho-sync dead-letters``: list, show, replay, resolve, purge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol, TypeVar

import click

from zoho_sync.cli.letters import as_json, for_people, letter_table, summary
from zoho_sync.cli.opening import Opened, opened
from zoho_sync.cli.output import counted, print_json, show
from zoho_sync.cli.running import FAILED, Failure, run
from zoho_sync.cli.status import duration
from zoho_sync.cli.target import Target, common_options
from zoho_sync.events.outcome import DeadLetterKind
from zoho_sync.operate.dead_letters import DeadLetter, DeadLetterFilter, DeadLetters, Replayed

__all__ = ["dead_letters"]

_CommandT = TypeVar("_CommandT", bound=Callable[..., Any])
_Which = tuple[str, ...] | DeadLetterFilter
_COUNTED: Final = 1_000
_WHICH: Final = (
    "say which dead letters: ids, or --entity, --organization, --error-type, --kind, --older-than"
)


@dataclass(frozen=True)
class _Wanted:
    """What the filter options say."""

    entity: str | None
    organization: str | None
    error_type: str | None
    kind: str | None
    older_than: timedelta | None

    def filter(self, chosen: Opened) -> DeadLetterFilter:
        older = self.older_than
        return DeadLetterFilter(
            entity_type=chosen.entity_type(self.entity),
            organization_id=self.organization,
            error_type=self.error_type,
            kind=DeadLetterKind(self.kind) if self.kind else None,
            died_before=datetime.now(UTC) - older if older is not None else None,
        )


class _Closing(Protocol):
    """A way to close dead letters; its name is the answer's key."""

    __name__: str

    async def __call__(self, letters: DeadLetters, which: _Which) -> int:
        """Close them; return how many."""


_FILTERS: Final = (
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


def _filters(command: _CommandT) -> _CommandT:
    for option in reversed(_FILTERS):
        command = option(command)
    return command


@click.group("dead-letters")
def dead_letters() -> None:
    """What could not be applied, and waits for you."""


@dead_letters.command("list")
@_filters
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True)
@common_options()
@click.pass_obj
def list_letters(target: Target, /, limit: int, **filters: Any) -> None:
    """List dead letters, oldest first, without their bodies."""
    found = run(_list(target, _Wanted(**filters), limit))
    now = datetime.now(UTC)
    if target.as_json:
        print_json([summary(letter, now) for letter in found])
    elif found:
        show(letter_table(found, now))
        if len(found) == limit:
            show(f"\nOnly the oldest {limit}; --limit shows more.")
    else:
        show("There are no such dead letters.")


async def _list(target: Target, wanted: _Wanted, limit: int) -> Sequence[DeadLetter]:
    async with opened(target) as chosen:
        return await chosen.sync.dead_letters.list(wanted.filter(chosen), limit=limit)


@dead_letters.command("show")
@click.argument("letter_id", metavar="ID")
@common_options()
@click.pass_obj
def show_letter(target: Target, letter_id: str) -> None:
    """Show everything about one dead letter, its document or body included."""
    letter = run(_get(target, letter_id))
    if letter is None:
        message = f"there is no dead letter {letter_id}"
        raise Failure(message)
    now = datetime.now(UTC)
    if target.as_json:
        print_json(as_json(letter, now))
    else:
        show(*for_people(letter, now))


async def _get(target: Target, letter_id: str) -> DeadLetter | None:
    async with opened(target) as chosen:
        return await chosen.sync.dead_letters.get(letter_id)


@dead_letters.command()
@click.argument("ids", nargs=-1)
@_filters
@common_options()
@click.pass_obj
def replay(target: Target, /, ids: tuple[str, ...], **filters: Any) -> None:
    """Put dead letters back into the queue, by id or by filter; a worker applies them."""
    wanted = _Wanted(**filters)
    _require_choice(ids, wanted)
    replayed, unknown = run(_replay(target, ids, wanted))
    if target.as_json:
        print_json(
            {
                "queued": replayed.queued,
                "duplicates": replayed.duplicates,
                "still_dead": replayed.still_dead,
                "unknown": unknown,
            }
        )
    else:
        _tell(replayed, unknown)
    if unknown or replayed.still_dead:
        raise click.exceptions.Exit(FAILED)


async def _replay(
    target: Target, ids: tuple[str, ...], wanted: _Wanted
) -> tuple[Replayed, list[str]]:
    async with opened(target) as chosen:
        replayed = await chosen.sync.dead_letters.replay(ids or wanted.filter(chosen))
    met = {*replayed.queued, *replayed.duplicates, *replayed.still_dead}
    return replayed, [each for each in ids if each not in met]


def _tell(replayed: Replayed, unknown: Sequence[str]) -> None:
    lines: Mapping[str, Sequence[str]] = {
        "queued again": replayed.queued,
        "equal to one that is queued, and settled": replayed.duplicates,
        "still not understood": replayed.still_dead,
        "unknown": unknown,
    }
    told = [f"{len(ids)} {what}: {', '.join(ids)}" for what, ids in lines.items() if ids]
    show(*(told or ["There are no such dead letters."]))


@dead_letters.command()
@click.argument("ids", nargs=-1)
@_filters
@click.option("--reason", metavar="TEXT", default="", help="What the journal says about it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@common_options()
@click.pass_obj
def resolve(
    target: Target, /, ids: tuple[str, ...], *, reason: str, yes: bool, **filters: Any
) -> None:
    """Close dead letters that were taken care of otherwise, by id or by filter."""

    async def resolved(letters: DeadLetters, which: _Which) -> int:
        return await letters.resolve(which, reason=reason)

    _close(target, ids, _Wanted(**filters), resolved, yes=yes)


@dead_letters.command()
@click.argument("ids", nargs=-1)
@_filters
@click.option("--yes", is_flag=True, help="Do not ask.")
@common_options()
@click.pass_obj
def purge(target: Target, /, ids: tuple[str, ...], *, yes: bool, **filters: Any) -> None:
    """Close dead letters for good, by id or by filter; the journal says so."""

    async def purged(letters: DeadLetters, which: _Which) -> int:
        return await letters.purge(which)

    _close(target, ids, _Wanted(**filters), purged, yes=yes)


def _close(
    target: Target, ids: tuple[str, ...], wanted: _Wanted, how: _Closing, *, yes: bool
) -> None:
    _require_choice(ids, wanted)
    if not yes:
        number = run(_count(target, ids, wanted))
        many = f"{_COUNTED} dead letters or more" if number >= _COUNTED else None
        what = many or counted(number, "dead letter")
        # On standard error: standard output is the answer's alone.
        click.confirm(f"Close {what} for good, without applying?", abort=True, err=True)
    closed = run(_closed(target, ids, wanted, how))
    if target.as_json:
        print_json({how.__name__: closed})
    else:
        show(f"{counted(closed, 'dead letter')} closed")
    if ids and closed < len(set(ids)):
        raise click.exceptions.Exit(FAILED)


async def _count(target: Target, ids: tuple[str, ...], wanted: _Wanted) -> int:
    async with opened(target) as chosen:
        letters = chosen.sync.dead_letters
        if ids:
            return len([each for each in set(ids) if await letters.get(each) is not None])
        return len(await letters.list(wanted.filter(chosen), limit=_COUNTED))


async def _closed(target: Target, ids: tuple[str, ...], wanted: _Wanted, how: _Closing) -> int:
    async with opened(target) as chosen:
        return await how(chosen.sync.dead_letters, ids or wanted.filter(chosen))


def _require_choice(ids: tuple[str, ...], wanted: _Wanted) -> None:
    filtered = wanted != _Wanted(None, None, None, None, None)
    if ids and filtered:
        message = "give ids or a filter, not both"
        raise click.UsageError(message)
    if not ids and not filtered:
        raise click.UsageError(_WHICH)
