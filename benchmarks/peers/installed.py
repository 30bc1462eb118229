"""Loads those of the other job queues that are installed here."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Final

from benchmarks.contestant import Contestant

__all__ = ["installed_peers"]

_PEERS: Final = (
    ("with_pgqueuer", "PgqueuerRaw"),
    ("with_pgqueuer", "PgqueuerSqlAlchemy"),
    ("with_procrastinate", "ProcrastinateRaw"),
    ("with_oban", "ObanRaw"),
)


def installed_peers() -> Iterator[type[Contestant] | str]:
    """Yield each peer, or what is missing for it."""
    for module, name in _PEERS:
        try:
            peer: type[Contestant] = getattr(
                importlib.import_module(f"benchmarks.peers.{module}"), name
            )
        except ModuleNotFoundError as error:
            yield f"{name} is left out: {error}"
        else:
            yield peer
