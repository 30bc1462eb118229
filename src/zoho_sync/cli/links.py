"""``zoho-sync link``, ``adopt``, ``reapply``, ``forget``: move into tables that are full."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from rich.console import Console
from rich.progress import Progress
from sqlalchemy import Column

from zoho_sync.cli.opening import Opened, opened
from zoho_sync.cli.output import counted, indented, print_json, safe, show, table
from zoho_sync.cli.running import FAILED, REFUSED, Failure, run
from zoho_sync.cli.target import Target, common_options
from zoho_sync.exceptions import UnknownEntityType
from zoho_sync.mapping.binding import BoundEntity
from zoho_sync.operate.adoption_report import AdoptionCount
from zoho_sync.operate.linking import Ambiguous, RefusedLink
from zoho_sync.operate.reapplying import ReapplyReport

__all__ = ["adopt", "forget", "link", "reapply"]

_T = TypeVar("_T")
_CHUNK: Final = 500
_SHOWN: Final = 20


@dataclass
class _Links:
    """What a file came to: how many, and what is to be looked at."""

    linked: int = 0
    unchanged: int = 0
    inserted: int = 0
    ambiguous: list[Ambiguous] = field(default_factory=list)
    refused: list[RefusedLink] = field(default_factory=list)


@click.command()
@click.argument("entity", metavar="ENTITY")
@click.argument("file", metavar="FILE.csv", type=click.Path(exists=True, dir_okay=False))
@click.option("--dry-run", is_flag=True, help="Say what would be linked, and change nothing.")
@click.option("--organization", metavar="ID", help="Of this organization, if there are several.")
@common_options()
@click.pass_obj
def link(target: Target, /, entity: str, file: str, organization: str, *, dry_run: bool) -> None:
    """Link the entities that a CSV file names to rows that you have already.

    The file has a header. One column holds Zoho's id: zoho_id, or the entity's own name of it, such
    as contact_id. The others hold the primary key of your row, under your columns' names, or the
    natural keys of the mapping's adopt=, under your columns' names or Zoho's.
    """
    found = run(_link(target, entity, Path(file), organization, dry_run=dry_run))
    problems = bool(found.ambiguous or found.refused)
    if target.as_json:
        print_json({"dry_run": dry_run, **asdict(found)})
    else:
        show(*_links_for_people(found, dry_run=dry_run))
    if problems:
        raise click.exceptions.Exit(FAILED)


@click.command()
@click.option("--report", is_flag=True, help="Count your rows that would match, by entity.")
@common_options()
@click.pass_obj
def adopt(target: Target, /, *, report: bool) -> None:
    """Count, before the first event, the rows that entities would take over.

    Nothing is changed: rows are adopted by the events themselves.
    """
    del report  # it is all that this command does
    counts = run(_adoption(target))
    if target.as_json:
        print_json([asdict(count) for count in counts])
    elif counts:
        show(_adoption_table(counts))
    else:
        show("No mapping has natural keys: EntityMap(adopt=…) names them.")


@click.command()
@click.argument("entity", metavar="ENTITY")
@common_options()
@click.pass_obj
def reapply(target: Target, /, entity: str) -> None:
    """Apply every entity of a type again, after its mapping has changed.

    The documents come from the mirror, or from the column of yours that keeps them. They are queued
    under the version that they had, and applied here and now.
    """
    report, counts = run(_reapply(target, entity))
    if target.as_json:
        print_json({**asdict(report), "outcomes": counts})
        return
    show(
        f"{report.queued} queued, {report.unchanged} written by this mapping already,"
        f" {report.without_document} without a document",
        ", ".join(f"{count} {outcome}" for outcome, count in counts.items()) or "nothing to do",
    )


@click.command()
@click.argument("entity", metavar="ENTITY")
@click.argument("zoho_id", metavar="ID")
@click.option("--organization", metavar="ID", help="Of this organization, if there are several.")
@common_options()
@click.pass_obj
def forget(target: Target, /, entity: str, zoho_id: str, organization: str | None) -> None:
    """Forget an entity, so that a hard-deleted one can be synced again.

    Its next event is applied, whatever its version. Its row stays as it is.
    """
    known = run(_forget(target, entity, zoho_id, organization))
    if target.as_json:
        print_json({"forgotten": known})
    else:
        show(safe(f"{entity} {zoho_id} {'is forgotten' if known else 'was not known'}"))
    if not known:
        raise click.exceptions.Exit(FAILED)


async def _forget(target: Target, entity: str, zoho_id: str, organization: str | None) -> bool:
    async with opened(target) as chosen:
        return await chosen.sync.forget(entity, zoho_id, organization_id=organization)


async def _link(
    target: Target, entity: str, path: Path, organization: str | None, *, dry_run: bool
) -> _Links:
    found = _Links()
    async with opened(target) as chosen:
        linker, bound = chosen.linker, _bound(chosen, entity)
        with path.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines)
            header = _header(chosen, bound, list(reader.fieldnames or ()))
            for chunk in _chunks(header.read(reader, path), path):
                pairs = [(zoho_id, tuple(values.values())) for zoho_id, values in chunk]
                if not header.is_key:
                    match = await linker.match(entity, chunk, organization)
                    pairs = list(match.pairs)
                    found.inserted += len(match.unmatched)
                    found.ambiguous += match.ambiguous
                report = await linker.link(entity, pairs, organization, dry_run=dry_run)
                found.linked += len(report.linked)
                found.unchanged += len(report.unchanged)
                found.refused += report.refused
    return found


@dataclass(frozen=True)
class _Header:
    """Which columns of a file hold what.

    Attributes:
        zoho_id: The one with Zoho's id.
        columns: The others that are used, with the host's columns.
        is_key: Whether these are the primary key.
    """

    zoho_id: str
    columns: Mapping[str, Column[Any]]
    is_key: bool

    def read(
        self, lines: Iterable[Mapping[str, str]], path: Path
    ) -> Iterator[tuple[str, dict[Column[Any], str]]]:
        """Return Zoho's id and the host's values of each line.

        Raises:
            Failure: A line is not complete.
        """
        for number, line in enumerate(lines, start=2):
            zoho_id = (line.get(self.zoho_id) or "").strip()
            if not zoho_id or any(line.get(name) is None for name in self.columns):
                problem = f"{path}, line {number}: {self.zoho_id} or another column is missing"
                raise Failure(problem, REFUSED)
            yield zoho_id, {column: line[name] for name, column in self.columns.items()}


def _header(chosen: Opened, bound: BoundEntity, names: Sequence[str]) -> _Header:
    kind = chosen.runtime.context.catalog.require(bound.entity_type)
    ids = ("zoho_id", *kind.id_fields)
    zoho_id = next((name for name in ids if name in names), None)
    keys = {column.name: column for column in bound.primary_key}
    if zoho_id is not None and keys.keys() <= set(names):
        return _Header(zoho_id, keys, is_key=True)
    sources = dict(bound.columns.values())
    natural: dict[str, Column[Any]] = {}
    for each in bound.adopt:
        spellings = (each.column.name, sources.get(each.column))
        natural |= {name: each.column for name in names if name in spellings}
    if zoho_id is not None and natural and len(natural) == len(bound.adopt):
        return _Header(zoho_id, natural, is_key=False)
    wanted = [", ".join(keys), ", ".join(each.column.name for each in bound.adopt)]
    choices = " or ".join(f"({each})" for each in wanted if each)
    message = f"the header is {', '.join(names)}; it needs {' or '.join(ids)}, and {choices}"
    raise Failure(message, REFUSED)


def _bound(chosen: Opened, entity: str) -> BoundEntity:
    catalog = chosen.runtime.context.catalog
    if catalog.resolve(entity) is None:
        raise UnknownEntityType(entity, catalog.kinds)
    return chosen.linker.bound(entity)


def _chunks(items: Iterator[_T], path: Path) -> Iterator[list[_T]]:
    """Give items in chunks; a terminal shows how far they are."""
    console = Console(stderr=True)
    with Progress(console=console, disable=not sys.stderr.isatty(), transient=True) as progress:
        task = progress.add_task(path.name, total=None)
        while chunk := list(islice(items, _CHUNK)):
            yield chunk
            progress.update(task, advance=len(chunk))


def _links_for_people(found: _Links, *, dry_run: bool) -> list[Any]:
    would = "would be " if dry_run else ""
    done = f"{found.linked} {would}linked, {found.unchanged} linked already"
    parts: list[Any] = [f"{done}, {found.inserted} without a row: their first event makes one"]
    several = [f"{each.zoho_id}: rows {', '.join(map(str, each.rows))}" for each in found.ambiguous]
    refused = [f"{each.zoho_id} → {each.primary_key}: {each.reason}" for each in found.refused]
    for title, items in (("ambiguous", several), ("refused", refused)):
        if items:
            parts.append(f"{len(items)} {title}")
            parts += [indented(safe(f"- {item}")) for item in items[:_SHOWN]]
            if len(items) > _SHOWN:
                parts.append(indented(f"- and {counted(len(items) - _SHOWN, 'more')}"))
    return parts


async def _adoption(target: Target) -> list[AdoptionCount]:
    async with opened(target) as chosen:
        return await chosen.sync.adoption_report()


def _adoption_table(counts: Sequence[AdoptionCount]) -> Any:
    numbers = ("rows", "linked", "adoptable", "ambiguous", "no key")
    rows = table("entity", "table", *numbers, numbers=numbers)
    for count in counts:
        figures = (count.rows, count.linked, count.adoptable, count.ambiguous, count.keyless)
        rows.add_row(safe(count.entity_type), safe(count.table), *map(str, figures))
    return rows


async def _reapply(target: Target, entity: str) -> tuple[ReapplyReport, dict[str, int]]:
    async with opened(target) as chosen:
        _bound(chosen, entity)
        report = await chosen.sync.reapply(entity)
        counts = await chosen.sync.drain()
    return report, {outcome.value: count for outcome, count in counts.items()}
