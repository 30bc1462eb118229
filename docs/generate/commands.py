"""Writes the page of the command line from the commands themselves."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click

from docs.generate.docstrings import item, read
from zoho_sync.cli.commands import zoho_sync

__all__ = ["command_line"]

INTRODUCTION = """\
The command `zoho-sync` comes with `pip install "zoho-sync[cli]"`. The guide is
[Operate](../how-to/operate.md#from-the-shell)."""

EXIT_CODES = """\
- 0: it is done.
- 1: it failed, or something is unhealthy.
- 2: wrong usage.
- 3: the input was refused.
- 4: the database or the queue cannot be reached."""

CONTEXT = click.Context(zoho_sync)

COMMON = {"app", "database_url", "queue_url", "as_json"}


def command_line() -> str:
    """Return the page as Markdown."""
    parts = [
        "<!-- Written by `python -m docs.generate` from the commands. -->",
        "# The command line",
        INTRODUCTION,
        "## Options of every command",
        "They may stand before the command or after it.",
        _options(zoho_sync, set()),
        "## Exit codes",
        EXIT_CODES,
        *_commands(zoho_sync, "zoho-sync"),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _commands(group: click.Group, path: str) -> Iterator[str]:
    for name, command in sorted(group.commands.items()):
        full = f"{path} {name}"
        if isinstance(command, click.Group):
            yield from _commands(command, full)
            continue
        yield f"## `{full}`"
        arguments = [
            each.make_metavar(click.Context(command))
            for each in command.params
            if isinstance(each, click.Argument)
        ]
        usage = " ".join((full, "[OPTIONS]" if _options(command, COMMON) else "", *arguments))
        yield f"```console\n{' '.join(usage.split())}\n```"
        yield read(re.sub(r"\x08\n?", "", inspect.cleandoc(command.help or ""))).text
        yield _options(command, COMMON)


def _options(command: click.Command, left_out: set[str]) -> str:
    lines = []
    for each in command.params:
        if not isinstance(each, click.Option) or each.hidden:
            continue
        if each.name not in {*left_out, "help"}:
            names = ", ".join(f"`{name}`" for name in (*each.opts, *each.secondary_opts))
            value = "" if each.is_flag or each.count else f" `{each.make_metavar(CONTEXT)}`"
            told = f": {each.help}" if each.help else ""
            given = each.default if type(each.default) in {int, str} else None
            default = "" if given is None else f" (default `{given}`)"
            lines.append(item(f"{names}{value}{default}{told}"))
    return "\n".join(lines)
