"""Reads the options of every command: which `ZohoSync` it works on, and who reads the answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import click
from click.core import ParameterSource

__all__ = ["Target", "all_of", "common_options"]

_Command = Callable[..., Any]
_Decorator = Callable[[_Command], _Command]


@dataclass
class Target:
    """What the common options say; they may stand before the command and after it.

    Those in `explicit` stood on the command line, rather than in the environment.
    """

    app: str | None = None
    database_url: str | None = field(default=None, repr=False)
    queue_url: str | None = field(default=None, repr=False)
    as_json: bool = False
    explicit: set[str] = field(default_factory=set)


def _note(context: click.Context, option: click.Parameter, value: Any) -> None:
    """Take an option over; the command line goes before the environment."""
    name = str(option.name)
    target = context.find_root().ensure_object(Target)
    source = context.get_parameter_source(name)
    if source is ParameterSource.COMMANDLINE:
        target.explicit.add(name)
    elif source is not ParameterSource.ENVIRONMENT or name in target.explicit:
        return
    setattr(target, name, value)


_option = partial(click.option, expose_value=False, callback=_note)

_OPTIONS: Final[dict[str, _Decorator]] = {
    "app": _option(
        "--app",
        metavar="MODULE:ATTRIBUTE",
        help="Your own ZohoSync, imported with this folder on the path.",
    ),
    "database_url": _option(
        "--database-url",
        metavar="URL",
        envvar="ZOHO_SYNC_DATABASE_URL",
        help="Without an application: the database with the mirror; ZOHO_SYNC_DATABASE_URL.",
    ),
    "queue_url": _option(
        "--queue-url",
        metavar="URL",
        envvar="ZOHO_SYNC_QUEUE_URL",
        help="Without an application: the queue, if not in the database; ZOHO_SYNC_QUEUE_URL.",
    ),
    "as_json": _option(
        "--json",
        "as_json",
        is_flag=True,
        help="Print JSON, and nothing else, on standard output.",
    ),
}


def common_options(*names: str) -> _Decorator:
    """Add options that every command understands; all of them if none is named."""
    return all_of(*(_OPTIONS[name] for name in names or _OPTIONS))


def all_of(*options: _Decorator) -> _Decorator:
    """Add several options, which help shows in this order."""

    def add(command: _Command) -> _Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add
