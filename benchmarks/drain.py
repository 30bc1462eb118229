"""Measures how quickly queued events become rows: ``python -m benchmarks.drain``.

The library, with its ledger, journal and fence, drains its queue onto its mirror. Beside it, in the
same run and in turns, other job queues drain theirs with handlers that write the same columns, one
event at a time; and the floor writes them with no queue. A run counts once its rows are those that
the newest documents ask for.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.contestant import Contestant
from benchmarks.events import generate
from benchmarks.measuring import Sample, measure, reference, turns
from benchmarks.own import CopyFloor, Library, Library50, Library500
from benchmarks.peers.installed import installed_peers
from benchmarks.report import environment, print_table, ratios, summary, write_json
from benchmarks.server import durable_server, server_version


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print a table, and write JSON where that is asked for."""
    options = _parser().parse_args(arguments)
    contestants = _contestants(options.only)
    events = generate(options.events, options.seed)
    samples: list[Sample] = []
    with durable_server() as server:
        expected = reference(server, events)
        version = server_version(server)
        for contestant in turns(contestants, options.rounds):
            sample = measure(server, contestant, events, expected)
            print(f"{sample.name:32} {sample.rate:8,.0f} events/s", flush=True)
            samples.append(sample)
    figures = summary(samples)
    peers = [each.name for each in contestants if each.is_peer]
    print_table(f"Drain of {options.events:,} events", figures, peers)
    if options.json is not None:
        asked = {"events": options.events, "rounds": options.rounds, "seed": options.seed}
        content = {"benchmark": "drain", **asked, **environment(version)}
        write_json(
            options.json,
            {**content, "contestants": figures, "to_best_peer": ratios(figures, peers)},
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.drain")
    parser.add_argument("--events", type=int, default=10_000, help="how many are queued")
    parser.add_argument("--rounds", type=int, default=5, help="how often each contestant runs")
    parser.add_argument("--seed", type=int, default=1, help="of the events")
    parser.add_argument("--only", default="", help="those whose name has this in it")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    return parser


def _contestants(only: str) -> list[type[Contestant]]:
    known: list[type[Contestant]] = [Library, Library50, Library500]
    known += [*installed_peers(), CopyFloor]
    return [each for each in known if only in each.name]


if __name__ == "__main__":
    main()
