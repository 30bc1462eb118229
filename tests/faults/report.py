"""The table of a run of the scenarios."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

__all__ = ["table"]


def table(found: Sequence[Sequence[Any]]) -> str:
    """Return a table in Markdown, a line for each scenario and stack.

    Args:
        found: Of each run: scenario, stack, how much was lost, double and wrong, seconds.
    """
    rows = defaultdict[tuple[str, str], list[Sequence[Any]]](list)
    for scenario, stack, *counts in found:
        rows[scenario, stack].append(counts)
    lines = [
        "| scenario | stack | runs | lost | double | wrong | seconds |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for (scenario, stack), counts in sorted(rows.items()):
        lost, double, wrong, seconds = (sum(each) for each in zip(*counts, strict=True))
        mean = f"{seconds / len(counts):.1f}"
        cells = [scenario, stack, len(counts), lost, double, wrong, mean]
        lines.append(f"| {' | '.join(str(cell) for cell in cells)} |")
    return "\n".join(lines)
