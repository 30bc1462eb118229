"""Reads the options of every command: which `ZohoSync` it works on, and who reads the answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import click
from click.core import ParameterSource

__all__ = ["Target", "common_options"]

_CommandT = TypeVar("_CommandT", bound=Callable[..., Any])


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


def _option(*names: str, **settings: Any) -> Callable[[_CommandT], _CommandT]:
    return click.option(*names, expose_value=False, callback=_note, **settings)


_OPTIONS: Final[dict[str, Callable[[_CommandT], _CommandT]]] = {
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


def common_options(*names: str) -> Callable[[_CommandT], _CommandT]:
    """Add options that every command understands; all of them if none is named."""

    def add(command: _CommandT) -> _CommandT:
        for name in reversed(names or tuple(_OPTIONS)):
            command = _OPTIONS[name](command)
        return command

    return add
