"""Loads those of the other job queues that are installed here."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from typing import Any, Final

from benchmarks.contestant import Contestant
from benchmarks.entrances import Entrance

__all__ = ["installed_entrances", "installed_peers"]

_PEERS: Final = (
    ("with_pgqueuer", "PgqueuerRaw"),
    ("with_pgqueuer", "PgqueuerSqlAlchemy"),
    ("with_procrastinate", "ProcrastinateRaw"),
    ("with_oban", "ObanRaw"),
)


_ENTRANCES: Final = (("pgqueuer_entrance", "PgqueuerEnqueue"),)


def installed_peers() -> Iterator[type[Contestant]]:
    """Yield each queue that drains, and say which are left out."""
    yield from _installed(_PEERS)


def installed_entrances() -> Iterator[type[Entrance]]:
    """Yield each queue that takes events in, and say which are left out."""
    yield from _installed(_ENTRANCES)


def _installed(named: Iterable[tuple[str, str]]) -> Iterator[Any]:
    for module, name in named:
        try:
            found = importlib.import_module(f"benchmarks.peers.{module}")
        except ModuleNotFoundError as error:
            print(f"{name} is left out: {error}")
        else:
            yield getattr(found, name)
