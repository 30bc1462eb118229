"""Moves into tables that are full: ``zoho-sync link``, ``adopt``, ``reapply`` and ``forget``."""

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

from zoho_sync.cli.answer import Answer, answering
from zoho_sync.cli.opening import Opened
from zoho_sync.cli.output import counted, indented, numbered, safe, table
from zoho_sync.cli.running import REFUSED, Failure
from zoho_sync.mapping.binding import BoundEntity
from zoho_sync.operate.adoption_report import AdoptionCount
from zoho_sync.operate.linking import Ambiguous, RefusedLink

__all__ = ["adopt", "forget", "link", "reapply"]

_T = TypeVar("_T")
_CHUNK: Final = 500
_SHOWN: Final = 20
_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


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
@click.argument("file", metavar="FILE.csv", type=_FILE)
@click.option("--dry-run", is_flag=True, help="Say what would be linked, and change nothing.")
@click.option("--organization", metavar="ID", help="Of this organization, if there are several.")
@answering()
async def link(
    chosen: Opened, entity: str, file: Path, organization: str | None, *, dry_run: bool
) -> Answer:
    """Link the entities that a CSV file names to rows that you have already.

    The file has a header. One column holds Zoho's id: zoho_id, or the entity's own name of it, such
    as contact_id. The others hold the primary key of your row, under your columns' names, or the
    natural keys of the mapping's adopt=, under your columns' names or Zoho's.
    """
    found, bound = _Links(), chosen.linker.bound(entity)
    with file.open(newline="", encoding="utf-8-sig") as lines:
        reader = csv.DictReader(lines)
        header = _header(chosen, bound, list(reader.fieldnames or ()))
        for chunk in _chunks(header.read(reader, file), file):
            pairs = [(zoho_id, tuple(values.values())) for zoho_id, values in chunk]
            if not header.is_key:
                match = await chosen.linker.match(entity, chunk, organization)
                pairs = list(match.pairs)
                found.inserted += len(match.unmatched)
                found.ambiguous += match.ambiguous
            report = await chosen.sync.link(
                entity, pairs, organization_id=organization, dry_run=dry_run
            )
            found.linked += len(report.linked)
            found.unchanged += len(report.unchanged)
            found.refused += report.refused
    data = {"dry_run": dry_run, **asdict(found)}
    failed = bool(found.ambiguous or found.refused)
    return Answer(data, _links_for_people(found, dry_run=dry_run), failed)


@click.command()
@click.option("--report", is_flag=True, help="Count your rows that would match, by entity.")
@answering()
async def adopt(chosen: Opened, *, report: bool) -> Answer:
    """Count, before the first event, the rows that entities would take over.

    Nothing is changed: rows are adopted by the events themselves.
    """
    del report  # it is all that this command does
    counts = await chosen.sync.adoption_report()
    nothing = "No mapping has natural keys: EntityMap(adopt=…) names them."
    return Answer(
        [asdict(count) for count in counts], [_adoption_table(counts) if counts else nothing]
    )


@click.command()
@click.argument("entity", metavar="ENTITY")
@answering()
async def reapply(chosen: Opened, entity: str) -> Answer:
    """Apply every entity of a type again, after its mapping has changed.

    The documents come from the mirror, or from the column of yours that keeps them. They are queued
    under the version that they had, and applied here and now.
    """
    report = await chosen.sync.reapply(entity)
    counts = {outcome.value: count for outcome, count in (await chosen.sync.drain()).items()}
    summary = (
        f"{report.queued} queued, {report.unchanged} written by this mapping already,"
        f" {report.without_document} without a document"
    )
    return Answer({**asdict(report), "outcomes": counts}, [summary, numbered(counts)])


@click.command()
@click.argument("entity", metavar="ENTITY")
@click.argument("zoho_id", metavar="ID")
@click.option("--organization", metavar="ID", help="Of this organization, if there are several.")
@answering()
async def forget(chosen: Opened, entity: str, zoho_id: str, organization: str | None) -> Answer:
    """Forget an entity, so that a hard-deleted one can be synced again.

    Its next event is applied, whatever its version. Its row stays as it is.
    """
    known = await chosen.sync.forget(entity, zoho_id, organization_id=organization)
    sentence = f"{entity} {zoho_id} {'is forgotten' if known else 'was not known'}"
    return Answer({"forgotten": known}, [safe(sentence)], failed=not known)


@dataclass(frozen=True)
class _Header:
    """Says which columns of a file hold what: Zoho's id, and those of the host's columns.

    With ``is_key`` the host's columns are the primary key; else they are natural keys.
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


def _adoption_table(counts: Sequence[AdoptionCount]) -> Any:
    numbers = ("rows", "linked", "adoptable", "ambiguous", "no key")
    rows = table("entity", "table", *numbers, numbers=numbers)
    for count in counts:
        figures = (count.rows, count.linked, count.adoptable, count.ambiguous, count.keyless)
        rows.add_row(safe(count.entity_type), safe(count.table), *map(str, figures))
    return rows
