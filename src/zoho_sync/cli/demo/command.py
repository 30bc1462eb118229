"""Plays the demo in a database made anew, and reports it: ``zoho-sync demo``."""

from __future__ import annotations

import time

import click
from sqlalchemy import URL

from zoho_sync.cli.answer import Answer, tell
from zoho_sync.cli.database import parsed_url
from zoho_sync.cli.demo.performance import Performance, perform
from zoho_sync.cli.demo.place import DEFAULT_FILE, SCHEMA, make_anew
from zoho_sync.cli.demo.report import as_json, for_people
from zoho_sync.cli.output import shown_url
from zoho_sync.cli.running import run
from zoho_sync.cli.target import Target, common_options

__all__ = ["demo"]


@click.command()
@common_options("database_url", "as_json")
@click.pass_obj
def demo(target: Target) -> None:
    """Show everything on a small ERP, in a database made anew.

    Without --database-url that is the file zoho-sync-demo.db in this folder. On PostgreSQL the demo
    keeps to a schema of its own. It never touches anything that it did not make.
    """
    # A variable of the environment names the host's database, which is not meant here.
    given = target.database_url if "database_url" in target.explicit else None
    url = parsed_url(given or f"sqlite+aiosqlite:///{DEFAULT_FILE}")
    begun = time.perf_counter()
    performance = run(_demonstrate(url))
    seconds = time.perf_counter() - begun
    seen = performance, seconds, _where(url)
    tell(target, Answer(as_json(*seen), for_people(*seen), failed=not performance.ok))


async def _demonstrate(url: URL) -> Performance:
    engine = await make_anew(url)
    try:
        return await perform(engine)
    finally:
        await engine.dispose()


def _where(url: URL) -> str:
    if url.get_backend_name() == "sqlite":
        return url.database or "(in memory)"
    return f"{shown_url(url)}, schema {SCHEMA}"
