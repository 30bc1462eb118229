"""Applies events until it is told to stop: ``zoho-sync worker``."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click

from zoho_sync.cli.opening import opened
from zoho_sync.cli.output import numbered, print_json, show
from zoho_sync.cli.parent import Parent
from zoho_sync.cli.processes import STOPS_WITH_PARENT, supervise
from zoho_sync.cli.running import FAILED, at_signals, reason, run
from zoho_sync.cli.target import Target, common_options
from zoho_sync.events.outcome import Outcome
from zoho_sync.exceptions import WorkerStopped
from zoho_sync.exceptions.wording import without_credentials

__all__ = ["worker"]

_log = logging.getLogger(__name__)


@click.command()
@click.option("--batch-size", type=click.IntRange(1), help="Events of one transaction.")
@click.option("--concurrency", type=click.IntRange(1), help="Transactions at once.")
@click.option("--processes", type=click.IntRange(1), default=1, help="Workers, each a process.")
@click.option("--once", is_flag=True, help="Stop when there is nothing to do now.")
@click.option(STOPS_WITH_PARENT, "stops_with_parent", is_flag=True, hidden=True)
@common_options()
@click.pass_obj
def worker(  # noqa: PLR0913  # one for each option
    target: Target,
    batch_size: int | None,
    concurrency: int | None,
    processes: int,
    *,
    once: bool,
    stops_with_parent: bool,
) -> None:
    """Apply events until SIGTERM or SIGINT; a second signal ends at once.

    At the first signal, what is being applied is rolled back and given back to the queue: another
    worker takes it over at once. The log goes to standard error.

    Your own mappings are known to your own ZohoSync alone: name it with --app. Without it, events
    are applied to the mirror's tables only, and a database that an application keeps is refused.
    """
    _log_to_stderr()
    parent = Parent()
    if stops_with_parent:
        parent.watch()
    if processes > 1:
        _work_in_processes(target, processes, once=once)
        return
    given = {"batch_size": batch_size, "concurrency": concurrency}
    options = {name: value for name, value in given.items() if value is not None}
    stopped_by, counts = run(_work(target, options, parent, once=once))
    outcomes = {outcome.value: count for outcome, count in counts.items()}
    if target.as_json:
        print_json({"stopped_by": stopped_by, "outcomes": outcomes if once else None})
    elif once:
        show(numbered(outcomes))
    if stopped_by == "error":
        raise click.exceptions.Exit(FAILED)


def _work_in_processes(target: Target, count: int, *, once: bool) -> None:
    """Run as many workers of this very command; each answers for itself in the log."""
    if once:
        message = "--once works off what is there in one process; leave --processes out"
        raise click.UsageError(message)
    # What one worker prints for programs, nobody reads.
    arguments = [each for each in sys.argv[1:] if each not in {"--json", "--"}]
    # Of an option that is given twice, the last counts.
    stopped_by, code = asyncio.run(supervise(count, [*arguments, "--processes=1"]))
    if target.as_json:
        print_json({"stopped_by": stopped_by, "processes": count})
    if code:
        raise click.exceptions.Exit(code)


async def _work(
    target: Target, options: dict[str, Any], parent: Parent, *, once: bool
) -> tuple[str, dict[Outcome, int]]:
    async with opened(target, options=options, applies=True) as chosen:
        runtime = chosen.runtime
        _log.info(
            "working on %s, in batches of %d, %d at once",
            chosen.where,
            runtime.batch_size,
            runtime.concurrency,
        )
        if target.app is None:
            _log.info("without --app, events are applied to the mirror's tables only")
        return await _until_told(chosen.sync.drain() if once else chosen.sync.run(), parent)


async def _until_told(
    working: Coroutine[Any, Any, Mapping[Outcome, int] | None], parent: Parent
) -> tuple[str, dict[Outcome, int]]:
    work = asyncio.ensure_future(working)
    with _told_to_stop(work, parent) as received:
        try:
            counts = await work
        except asyncio.CancelledError:
            if not received:
                raise
            _log.info("stopped by %s", received[0])
            return received[0], {}
        except WorkerStopped as error:
            # Without its traceback: that of a database error holds documents.
            cause = error.__cause__
            behind = f": {reason(cause)}" if cause is not None else ""
            _log.error("stopped: %s%s", error, behind)
            return "error", {}
    _log.info("done")
    return "done", dict(counts or {})


@contextmanager
def _told_to_stop(work: asyncio.Future[Any], parent: Parent) -> Iterator[list[str]]:
    received: list[str] = []

    def stop(number: signal.Signals) -> None:
        # The parent's word comes beside a signal to the whole group, and is no second one.
        if len(received) > parent.is_gone:
            # Leases end by themselves; nothing that is half done was committed.
            os._exit(FAILED)  # pragma: no cover  # nothing can be written down any more
        parent.is_stopping = True
        received.append(number.name)
        if len(received) == 1:
            _log.info("%s: stopping; once more ends at once", number.name)
            work.cancel()

    with at_signals(stop):
        yield received


class _Plain(logging.Formatter):
    """One line for each record: errors by their own sentence, credentials left out.

    Tracebacks of database errors would show the statements' parameters, which are documents.
    """

    def formatException(self, ei: Any) -> str:  # noqa: N802  # logging's name
        return f"  {type(ei[1]).__name__}: {reason(ei[1])}"

    def format(self, record: logging.LogRecord) -> str:
        return without_credentials(super().format(record))


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Plain("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("zoho_sync")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
