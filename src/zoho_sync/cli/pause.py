"""``zoho-sync pause`` and ``zoho-sync resume``: let every worker wait, and go on."""

from __future__ import annotations

from datetime import datetime

import click

from zoho_sync.cli.opening import opened
from zoho_sync.cli.output import print_json, show
from zoho_sync.cli.running import run
from zoho_sync.cli.target import Target, common_options

__all__ = ["pause", "resume"]


@click.command()
@common_options()
@click.pass_obj
def pause(target: Target) -> None:
    """Stop every worker until resume; deliveries are accepted as before."""
    changed, since, where = run(_switched(target, on=True))
    if target.as_json:
        print_json({"changed": changed, "paused_since": since})
        return
    told = "paused" if changed else "paused already"
    show(f"{where}: {told}; what is being applied now is finished. zoho-sync resume ends it")


@click.command()
@common_options()
@click.pass_obj
def resume(target: Target) -> None:
    """Let the workers go on after a pause."""
    changed, since, where = run(_switched(target, on=False))
    if target.as_json:
        print_json({"changed": changed, "paused_since": since})
        return
    show(f"{where}: {'the workers go on' if changed else 'it was not paused'}")


async def _switched(target: Target, *, on: bool) -> tuple[bool, datetime | None, str]:
    async with opened(target) as chosen:
        changed = await (chosen.sync.pause() if on else chosen.sync.resume())
        report = await chosen.sync.status()
        return changed, report.paused_since, chosen.where
