"""Measures how quickly events are queued: ``python -m benchmarks.enqueue``.

By one caller, who waits for each; by a hundred callers at once; in bulk, 500 to a call. The library
hashes each event and recognises what comes again; ``receive`` authenticates and decodes besides. A
run counts once every event is in the queue.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.entrances import Enqueue, Entrance, Receive
from benchmarks.events import Event, generate
from benchmarks.measuring import Sample, turns
from benchmarks.peers.installed import installed_entrances
from benchmarks.report import environment, print_table, ratios, summary, write_json
from benchmarks.server import database, durable_server, server_version
from tests.servers.postgres import PrivatePostgres

_WAYS: Final = {"one caller": (1, 1), "100 callers": (100, 1), "bulk": (1, 500)}
"""How many callers, and how many events each hands over at once."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print a table for each way, and write JSON where that is asked for."""
    options = _parser().parse_args(arguments)
    found: list[type[Entrance]] = [Enqueue, Receive, *installed_entrances()]
    samples: dict[str, list[Sample]] = {way: [] for way in _WAYS}
    events = generate(options.events, options.seed)
    with durable_server() as server:
        version = server_version(server)
        for entrance in turns(found, options.rounds):
            for way, (callers, at_once) in _WAYS.items():
                if at_once == 1 or entrance.takes_many:
                    sample = asyncio.run(_measured(server, entrance, events, callers, at_once))
                    print(f"{way:12} {sample.name:32} {sample.rate:8,.0f} events/s", flush=True)
                    samples[way].append(sample)
    peers = [each.name for each in found if each.is_peer]
    figures = {way: summary(own) for way, own in samples.items()}
    for way, own in figures.items():
        print_table(way, own, peers)
    if options.json is not None:
        asked = {"events": options.events, "rounds": options.rounds, "seed": options.seed}
        content = {"benchmark": "enqueue", **asked, **environment(version), "ways": figures}
        beside = {way: ratios(own, peers) for way, own in figures.items()}
        write_json(options.json, {**content, "to_best_peer": beside})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.enqueue")
    parser.add_argument("--events", type=int, default=5_000, help="how many are queued")
    parser.add_argument("--rounds", type=int, default=5, help="how often each runs")
    parser.add_argument("--seed", type=int, default=1, help="of the events")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    return parser


async def _measured(
    server: PrivatePostgres,
    entrance: type[Entrance],
    events: Sequence[Event],
    callers: int,
    at_once: int,
) -> Sample:
    async with database(server) as own:
        taking = entrance(own)
        try:
            await taking.open()
            await own.settle()
            held = [taking.prepared(event) for event in events]
            sample = await _timed(taking, held, callers, at_once)
            queued = await taking.count()
        finally:
            await taking.close()
    if queued != len(events):
        raise RuntimeError(f"{entrance.name}: {queued} of {len(events)} events are queued")
    return sample


async def _timed(taking: Entrance, held: Sequence[Any], callers: int, at_once: int) -> Sample:
    parts = iter([held[start : start + at_once] for start in range(0, len(held), at_once)])
    gc.collect()  # what was made before is nobody's burden
    began, cpu = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(callers):
            tasks.create_task(_call(taking, parts))
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    return Sample(taking.name, len(held), seconds, cpu)


async def _call(taking: Entrance, parts: Iterator[Sequence[Any]]) -> None:
    """Queue one part after the other, of which other callers take theirs."""
    for part in parts:
        await taking.queue(part)


if __name__ == "__main__":
    main()
