"""Gathers the commands of ``zoho-sync``."""

from __future__ import annotations

import logging

import click

from zoho_sync.cli.dead_letters import dead_letters
from zoho_sync.cli.demo import demo
from zoho_sync.cli.links import adopt, forget, link, reapply
from zoho_sync.cli.parked import parked
from zoho_sync.cli.pause import pause, resume
from zoho_sync.cli.queued import queued
from zoho_sync.cli.status import status
from zoho_sync.cli.tables import tables
from zoho_sync.cli.target import common_options
from zoho_sync.cli.try_command import try_file
from zoho_sync.cli.worker import worker

__all__ = ["zoho_sync"]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@common_options()
def zoho_sync() -> None:
    """Keep your own tables in step with Zoho Books and Zoho Inventory.

    The options below may stand before the command or after it. Exit codes: 0 done, 1 failed or
    unhealthy, 2 usage, 3 input refused, 4 database or queue unreachable.
    """
    # What the library logs is the worker's to show; a command answers by itself.
    logging.getLogger("zoho_sync").addHandler(logging.NullHandler())


for _command in (
    demo,
    worker,
    status,
    dead_letters,
    queued,
    parked,
    pause,
    resume,
    try_file,
    tables,
    link,
    adopt,
    reapply,
    forget,
):
    zoho_sync.add_command(_command)
