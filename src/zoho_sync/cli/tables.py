"""Makes the library's tables, and checks the mappings against the schema: ``zoho-sync tables``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import click
from rich.console import RenderableType

from zoho_sync.checks.check import LIBRARY
from zoho_sync.cli.answer import Answer, answering
from zoho_sync.cli.opening import Opened
from zoho_sync.cli.output import counted, indented, safe
from zoho_sync.exceptions import Finding, MappingError

__all__ = ["tables"]


@click.group()
def tables() -> None:
    """Make the library's tables; check the mappings."""


@tables.command()
@answering(makes_file=True, tables=False)
async def create(chosen: Opened) -> Answer:
    """Make the library's tables and the mirror, as far as they are not there."""
    made = await chosen.missing_tables()
    await chosen.sync.create_tables()
    done = "the library's tables are there already"
    if made:
        done = f"made {', '.join(made)}, and the mirror as far as it was missing"
    return Answer({"created": made}, [f"{chosen.where}: {done}"])


@tables.command()
@answering(tables=False)
async def check(chosen: Opened) -> Answer:
    """Check every mapping against the real schema; exit with 1 if something is wrong."""
    findings, warnings = await _findings(chosen)
    missing = await chosen.missing_tables()
    failed = bool(missing or findings)
    data = {
        "ok": not failed,
        "missing": missing,
        "findings": [asdict(each) for each in findings],
        "warnings": warnings,
    }
    return Answer(data, _for_people(missing, findings, warnings), failed)


async def _findings(chosen: Opened) -> tuple[list[Finding], list[str]]:
    try:
        return [], list(await chosen.sync.check())
    except MappingError as error:
        # The library's tables are named by themselves.
        return [each for each in error.findings if each.where != LIBRARY], []


def _for_people(
    missing: Sequence[str], findings: Sequence[Finding], warnings: Sequence[str]
) -> list[RenderableType]:
    parts: list[RenderableType] = []
    them = "it" if len(missing) == 1 else "them"
    for title, ending, items in (
        ("missing table", f"; zoho-sync tables create, or your migrations makes {them}", missing),
        ("problem", "", findings),
        ("warning", "", warnings),
    ):
        if items:
            parts.append(f"{counted(len(items), title)}{ending}")
            parts += [indented(safe(f"- {item}")) for item in items]
    return parts or ["The tables are there, and every mapping fits."]
