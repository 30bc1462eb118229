"""The faults that a release survives, each a small thing that disturbs a trial.

A new one is a function and an entry in `SCENARIOS`.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.amounts import amount
from tests.faults.auditor import Violation
from tests.faults.front_door import a_thousand_times, door_killed, queue_down
from tests.faults.processes import WorkerProcess
from tests.faults.proxy import CommitProxy
from tests.faults.stacks import Kind
from tests.faults.trial import Scenario, Trial
from tests.faults.worker_process import Conduct

__all__ = ["SCENARIOS"]

MANY: Final = amount(core=60, everything=150)
DELIVERIES: Final = int(os.environ.get("ZOHO_SYNC_FAULT_DELIVERIES", MANY))
"""Of the scenario that kills; from a thousand on there are four workers, and a kill each second."""

_IS_LARGE: Final = DELIVERIES >= 1000


async def kill_workers(trial: Trial) -> None:
    """Kill a worker again and again; restart the server of the queue in between."""
    least, restarts = (20, 2) if _IS_LARGE else (3, 1)
    while not trial.is_fed or trial.crew.kills < least:
        await trial.pause(*((0.9, 1.1) if _IS_LARGE else (0.2, 0.6)))
        trial.crew.kill_one(trial.dice)
        if restarts and trial.crew.kills >= least // (restarts + 1):
            restarts -= 1
            await _restart_queue(trial)


async def _restart_queue(trial: Trial) -> None:
    if trial.stack.server is not None:
        await trial.restart(trial.stack.server)
    else:
        # The queue is a file: what there is of a server are its users, all at once.
        trial.crew.kill(trial.crew.working())


async def stop_a_worker(trial: Trial) -> None:
    """Stop a worker in the middle of a batch, past its lease, while a peer finishes the batch."""
    await trial.until(lambda: trial.crew.said("stalled"), "a worker met the document")
    (frozen,) = trial.crew.said("stalled")
    frozen.signal(signal.SIGSTOP)
    if frees_stopped_workers(trial):
        await trial.until(lambda: trial.is_fed, "all was sent")
        assert await trial.settled(), "no peer finished the batch of the one that was stopped"
    else:
        held = _record(trial)
        await asyncio.sleep(trial.scenario.conduct.lease * 2)
        assert _record(trial) == held, "peers went on, against what the engine declares"
    before = _record(trial)
    frozen.signal(signal.SIGCONT)
    await trial.until(lambda: trial.crew.said("went on"), "it went on")
    await trial.insist([trial.sent.add_client("9999", "later")])
    if frees_stopped_workers(trial):
        await asyncio.sleep(0.7)
        for table, rows in _record(trial).items():
            gained = [row for row in rows if row not in before[table] and "later" not in str(row)]
            for row in gained:
                trial.found.append(Violation("double", f"changed by the one that woke: {row}"))


def frees_stopped_workers(trial: Trial) -> bool:
    """Return what the engine declares."""
    return trial.sync._runtime.queue.capabilities.frees_stopped_workers


def _record(trial: Trial) -> dict[str, list[dict[str, Any]]]:
    ask = trial.stack.database.ask
    journal = "SELECT event_id, outcome FROM zoho_sync_journal WHERE entity_id <> '9999'"
    return {
        "shop_writes": ask("SELECT * FROM shop_writes"),
        "zoho_sync_journal": ask(journal),
        "zoho_sync_ledger": ask("SELECT * FROM zoho_sync_ledger WHERE entity_id <> '9999'"),
    }


async def wait_for_deaths(trial: Trial) -> None:
    """Let documents kill the workers that meet them."""
    marks = enumerate(trial.scenario.marks)
    deadly = {f"{mark}.{number}" for number, mark in marks if mark in {"poison", "die"}}
    await trial.until(lambda: deadly <= trial.crew.died_of(), "they died")


async def wait_for_blocks(trial: Trial) -> None:
    """Let handlers block the event loops of their workers for longer than the lease."""
    await trial.until(lambda: trial.crew.said("blocks"), "a handler blocked")


async def wait_for_commits(trial: Trial) -> None:
    """Let the proxy lose COMMITs, or the answers to them."""
    proxy, marks = trial.proxy, trial.scenario.marks
    assert proxy is not None
    await trial.until(lambda: len(proxy.met) == len(marks), "all marked COMMITs were lost")


async def kill_at_commits(trial: Trial) -> None:
    """Kill the workers while a COMMIT is on the way, or its answer."""
    proxy = trial.proxy
    assert proxy is not None
    for held in range(1, len(trial.scenario.marks) + 1):
        await trial.until(partial(_has_met, proxy, held), "a marked COMMIT was held")
        await trial.pause(0.0, 0.05)
        trial.crew.kill(trial.crew.working())


def _has_met(proxy: CommitProxy, count: int) -> bool:
    return len(proxy.met) >= count


async def end_connections(trial: Trial) -> None:
    """End every connection to the database, and to the queue, again and again."""
    ended = 0
    await trial.until(trial.crew.working, "a worker works")
    for _ in range(5):
        await trial.pause(0.1, 0.5)
        ended += await asyncio.to_thread(trial.stack.database.end_connections)
        if trial.stack.broker is not None:
            ended += await trial.stack.broker.end_connections()
    assert ended, "there were no connections to end"


async def crash_database(trial: Trial) -> None:
    """End the database's server at once, or cleanly, in the middle of everything."""
    await trial.until(trial.crew.working, "a worker works")
    await trial.pause(0.0, 0.7)
    await trial.restart(trial.stack.database.server)


async def fill_disk(trial: Trial) -> None:
    """Let there be no room for jobs and dead letters, and make some once that was noticed."""
    database, tables = trial.stack.database, ["zoho_sync_jobs", "zoho_sync_dead_letters"]
    await asyncio.to_thread(database.fill, tables)
    await trial.until(lambda: trial.refused or database.met_full(), "somebody met a full disk")
    await trial.pause(0.3, 1.0)
    await asyncio.to_thread(database.make_room, tables)


async def hold_snapshot(trial: Trial) -> None:
    """Let a reader look at one state of the database until all is settled: no row is cleaned up."""
    engine = create_async_engine(trial.stack.database.url, isolation_level="REPEATABLE READ")
    look = text("SELECT count(*), max(id) FROM zoho_sync_journal")
    try:
        async with engine.connect() as reader:
            before = (await reader.execute(look)).one()
            await trial.until(lambda: trial.is_fed, "all was sent")
            assert await trial.settled(), "a reader stopped the queue"
            assert (await reader.execute(look)).one() == before, "the reader held nothing"
    finally:
        await engine.dispose()


async def wait_for_the_end(trial: Trial) -> None:
    """Disturb no further: what is wrong is in how the workers are wired."""
    await trial.until(lambda: trial.is_fed, "all was sent")
    trial.crew.kill_one(trial.dice)


async def terminate(trial: Trial) -> None:
    """SIGTERM to all in the middle of their work; twice; and then no more asking."""
    for signals in ([signal.SIGTERM], [signal.SIGTERM] * 2, [signal.SIGTERM, signal.SIGKILL]):
        await trial.until(trial.crew.working, "a worker works")
        await trial.pause(0.0, 0.3)
        workers = trial.crew.working()
        for number in signals:
            for worker in workers:
                worker.signal(number)
            await trial.pause(0.0, 0.02)
        await trial.until(partial(_have_ended, workers), "they ended")


def _have_ended(workers: Sequence[WorkerProcess]) -> bool:
    return not any(worker.alive for worker in workers)


def _outside(kind: Kind) -> bool:
    return bool(kind.broker)


def _served(kind: Kind) -> bool:
    return kind.served


def _queued_on_a_server(kind: Kind) -> bool:
    return kind.served and (not kind.broker or kind.outbox)


def _on_a_file(kind: Kind) -> bool:
    return not kind.served


def _dying(name: str, where: str, applies: Callable[[Kind], bool] = lambda _: True) -> Scenario:
    # Whoever was in a batch with a death is applied alone: few, so that it does not take long.
    conduct = Conduct(dies=where, batch_size=5)
    return Scenario(name, wait_for_deaths, conduct=conduct, marks=["die"] * 2, applies=applies)


_LOST: Final = ["lose-before", "lose-after", "lose-unheard", "lose-after"]
_HELD: Final = ["hold-before", "hold-after"]

SCENARIOS: Final[dict[str, Scenario]] = {
    "kills": Scenario(
        "workers killed, the queue's server restarted",
        kill_workers,
        deliveries=DELIVERIES,
        seconds=DELIVERIES / 100,
        workers=4 if _IS_LARGE else 2,
    ),
    "stopped": Scenario("stopped past its lease, and woken", stop_a_worker, marks=["stall"]),
    "poison": Scenario(
        "poison kills whoever applies it",
        wait_for_deaths,
        conduct=Conduct(max_deaths=3, batch_size=5),
        marks=["poison"] * 2,
    ),
    "lost-answers": Scenario(
        "COMMIT, or its answer, lost",
        wait_for_commits,
        marks=_LOST,
        applies=_served,
        proxied=True,
    ),
    "after-claim": _dying("killed after the claim", "claim"),
    "in-handler": _dying("killed in the handler", "handler"),
    "at-commit": Scenario(
        "killed between COMMIT and its answer",
        kill_at_commits,
        marks=_HELD,
        applies=_served,
        proxied=True,
    ),
    "around-commit": _dying("killed around the COMMIT", "commit", _on_a_file),
    "before-ack": _dying("killed between commit and acknowledgement", "ack", _outside),
    "blocked": Scenario("event loop blocked past the lease", wait_for_blocks, marks=["block"] * 2),
    "connections": Scenario(
        "all connections ended, five times", end_connections, seconds=2.0, applies=_served
    ),
    "database": Scenario(
        "the database's server restarted", crash_database, seconds=1.5, applies=_served
    ),
    "pool": Scenario(
        "the host exhausts the pool", wait_for_the_end, conduct=Conduct(pool=3, hogs=2)
    ),
    "clocks": Scenario(
        "clocks an hour off, both ways",
        wait_for_the_end,
        conduct=Conduct(clock_off=3600),
        applies=_served,
    ),
    "terminated": Scenario(
        "SIGTERM in mid-work, twice, then SIGKILL", terminate, deliveries=90, seconds=2.0
    ),
    "errors": Scenario(
        "errors of 5 MB, with NUL",
        wait_for_the_end,
        conduct=Conduct(max_attempts=2),
        marks=["fail"] * 2,
    ),
    "disk-full": Scenario(
        "no room for jobs and dead letters for a while",
        fill_disk,
        conduct=Conduct(max_attempts=2),
        seconds=2.0,
        marks=["fail"] * 2,
        applies=_served,
    ),
    "snapshot": Scenario(
        "a reader holds its snapshot",
        hold_snapshot,
        deliveries=MANY,
        applies=_queued_on_a_server,
    ),
    "thousandfold": Scenario("one webhook a thousand times at once", a_thousand_times),
    "front-door": Scenario("the front door killed before it answers", door_killed),
    "queue-down": Scenario("the queue down when it is published", queue_down, applies=_served),
}
"""The scenarios by the names of their tests."""
