"""Makes a command of a coroutine: opens the `ZohoSync`, and prints what the coroutine answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import wraps
from typing import Any, Concatenate, NamedTuple, ParamSpec

import click
from rich.console import RenderableType

from zoho_sync.cli.opening import Opened, opened
from zoho_sync.cli.output import print_json, show
from zoho_sync.cli.running import run
from zoho_sync.cli.target import Target, common_options

__all__ = ["Answer", "answering", "tell"]

_P = ParamSpec("_P")


class Answer(NamedTuple):
    """What a command has found out.

    Attributes:
        data: For programs: any JSON value.
        parts: For people.
        failed: Whether something is wrong: False, True, or the exit code that says so.
    """

    data: Any
    parts: Sequence[RenderableType]
    failed: bool | int = False


def tell(target: Target, answer: Answer) -> None:
    """Print an answer as it was asked for, and exit if something is wrong."""
    if target.as_json:
        print_json(answer.data)
    else:
        show(*answer.parts)
    if answer.failed:
        raise click.exceptions.Exit(int(answer.failed))


def answering(
    *, makes_file: bool = False, tables: bool = True
) -> Callable[[Callable[Concatenate[Opened, _P], Awaitable[Answer]]], Callable[..., None]]:
    """Make a command's function of a coroutine, with the common options; see `opened`."""

    def decorate(
        work: Callable[Concatenate[Opened, _P], Awaitable[Answer]],
    ) -> Callable[..., None]:
        @common_options()
        @click.pass_obj
        @wraps(work)
        def command(target: Target, /, *args: _P.args, **kwargs: _P.kwargs) -> None:
            async def answered() -> Answer:
                async with opened(target, makes_file=makes_file, tables=tables) as chosen:
                    return await work(chosen, *args, **kwargs)

            tell(target, run(answered()))

        return command

    return decorate
