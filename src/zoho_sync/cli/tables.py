"""``zoho-sync tables``: make the library's tables, and check the mappings against the schema."""

from __future__ import annotations

from typing import Any

import click
from rich.console import RenderableType

from zoho_sync.checks.check import LIBRARY
from zoho_sync.cli.opening import Opened, opened
from zoho_sync.cli.output import counted, indented, print_json, safe, show
from zoho_sync.cli.running import FAILED, run
from zoho_sync.cli.target import Target, common_options
from zoho_sync.exceptions import Finding, MappingError

__all__ = ["tables"]


@click.group()
def tables() -> None:
    """Make the library's tables; check the mappings."""


@tables.command()
@common_options()
@click.pass_obj
def create(target: Target) -> None:
    """Make the library's tables and the mirror, as far as they are not there."""
    made, where = run(_create(target))
    if target.as_json:
        print_json({"created": made})
    elif made:
        show(f"{where}: made {', '.join(made)}, and the mirror as far as it was missing")
    else:
        show(f"{where}: the library's tables are there already")


async def _create(target: Target) -> tuple[list[str], str]:
    async with opened(target, makes_file=True, tables=False) as chosen:
        missing = await chosen.missing_tables()
        await chosen.sync.create_tables()
        return missing, chosen.where


@tables.command()
@common_options()
@click.pass_obj
def check(target: Target) -> None:
    """Check every mapping against the real schema; exit with 1 if something is wrong."""
    found = run(_check(target))
    ok = not found["missing"] and not found["findings"]
    if target.as_json:
        findings = [
            {"where": each.where, "problem": each.problem, "remedy": each.remedy}
            for each in found["findings"]
        ]
        print_json({"ok": ok, **found, "findings": findings})
    else:
        show(*_for_people(found))
    if not ok:
        raise click.exceptions.Exit(FAILED)


async def _check(target: Target) -> dict[str, Any]:
    async with opened(target, tables=False) as chosen:
        findings, warnings = await _findings(chosen)
        return {
            "missing": await chosen.missing_tables(),
            "findings": findings,
            "warnings": warnings,
        }


async def _findings(chosen: Opened) -> tuple[list[Finding], list[str]]:
    try:
        return [], list(await chosen.sync.check())
    except MappingError as error:
        # The library's tables are named by themselves.
        return [each for each in error.findings if each.where != LIBRARY], []


def _for_people(found: dict[str, Any]) -> list[RenderableType]:
    parts: list[RenderableType] = []
    for title, items, remedy in (
        ("missing table", found["missing"], "zoho-sync tables create, or your migrations"),
        ("problem", found["findings"], ""),
        ("warning", found["warnings"], ""),
    ):
        if items:
            ending = f"; {remedy} makes {'it' if len(items) == 1 else 'them'}" if remedy else ""
            parts.append(f"{counted(len(items), title)}{ending}")
            parts += [indented(safe(f"- {item}")) for item in items]
    return parts or ["The tables are there, and every mapping fits."]
