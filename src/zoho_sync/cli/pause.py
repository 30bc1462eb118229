"""Lets every worker wait, and go on: ``zoho-sync pause`` and ``zoho-sync resume``."""

from __future__ import annotations

import click

from zoho_sync.cli.answer import Answer, answering
from zoho_sync.cli.opening import Opened

__all__ = ["pause", "resume"]


@click.command()
@answering()
async def pause(chosen: Opened) -> Answer:
    """Stop every worker until resume; deliveries are accepted as before."""
    changed = await chosen.sync.pause()
    paused = "paused" if changed else "paused already"
    ending = "what is being applied now is finished. zoho-sync resume ends it"
    return await _answer(chosen, f"{paused}; {ending}", changed=changed)


@click.command()
@answering()
async def resume(chosen: Opened) -> Answer:
    """Let the workers go on after a pause."""
    changed = await chosen.sync.resume()
    return await _answer(
        chosen, "the workers go on" if changed else "it was not paused", changed=changed
    )


async def _answer(chosen: Opened, sentence: str, *, changed: bool) -> Answer:
    since = (await chosen.sync.status()).paused_since
    return Answer({"changed": changed, "paused_since": since}, [f"{chosen.where}: {sentence}"])
