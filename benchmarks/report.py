"""Prints what was measured as a table, and writes it as JSON."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.measuring import Sample

__all__ = ["environment", "print_table", "ratios", "summary", "write_json"]

_PACKAGES: Final = ("zoho-sync", "sqlalchemy", "asyncpg", "pgqueuer", "procrastinate", "oban")


def summary(samples: Iterable[Sample]) -> dict[str, dict[str, Any]]:
    """Return, by name, every rate, their median, and the median of the client's CPU."""
    by_name: dict[str, list[Sample]] = {}
    for sample in samples:
        by_name.setdefault(sample.name, []).append(sample)
    return {
        name: {
            "events_a_second": [round(each.rate, 1) for each in own],
            "median": round(median(each.rate for each in own), 1),
            "cpu_ms_an_event": round(median(each.cpu for each in own), 3),
        }
        for name, own in by_name.items()
    }


def ratios(figures: Mapping[str, Mapping[str, Any]], peers: Sequence[str]) -> dict[str, float]:
    """Return how each stands to the best peer, by the median of the rounds; nothing without peers.

    Each round is compared with itself: what else the machine does changes from round to round.
    """
    known = [figures[name] for name in peers if name in figures]
    if not known:
        return {}
    best = max(known, key=lambda own: own["median"])["events_a_second"]
    return {
        name: round(
            median(rate / other for rate, other in zip(own["events_a_second"], best, strict=True)),
            3,
        )
        for name, own in figures.items()
    }


def environment(postgresql: str) -> dict[str, Any]:
    """Return what the figures depend on."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        "postgresql": postgresql,
        "packages": found,
    }


def print_table(title: str, figures: Mapping[str, Mapping[str, Any]], peers: Sequence[str]) -> None:
    """Print medians, with the slowest and the quickest run, best first."""
    beside = ratios(figures, peers)
    width = max(len(name) for name in (*figures, title))
    print(f"\n{title:{width}}  events/s  (slowest to quickest)  to best peer  CPU ms/event")
    for name, own in sorted(figures.items(), key=lambda each: -each[1]["median"]):
        rates = own["events_a_second"]
        spread = f"({min(rates):,.0f} to {max(rates):,.0f})"
        ratio = f"{beside[name]:.2f}" if beside else ""
        print(
            f"{name:{width}}  {own['median']:8,.0f}  {spread:>22}  {ratio:>12}"
            f"  {own['cpu_ms_an_event']:12.3f}"
        )


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write the figures, with all that they depend on."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
