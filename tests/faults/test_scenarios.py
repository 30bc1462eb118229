"""Every scenario on every stack that it applies to, with servers and workers of its own.

``ZOHO_SYNC_FAULT_RUNS`` is how often, each time with the next seed; the table of what came of it
stands at the end of pytest's report.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.scenarios import SCENARIOS
from tests.faults.stacks import STACKS, Stack
from tests.faults.trial import run

pytestmark = pytest.mark.breaks_connections

RUNS = int(os.environ.get("ZOHO_SYNC_FAULT_RUNS", "1"))
BASE_SEED = int(os.environ.get("ZOHO_SYNC_FAULT_SEED", "20240501"))
APPLICABLE = [
    (name, stack)
    for name, scenario in SCENARIOS.items()
    for stack, kind in STACKS.items()
    if scenario.applies(kind)
]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(BASE_SEED, BASE_SEED + RUNS))
@pytest.mark.parametrize(("name", "stack_name"), APPLICABLE)
async def test_nothing_is_lost_and_nothing_applied_twice(  # noqa: PLR0913, PLR0917  # what pytest gives
    name: str,
    stack_name: str,
    seed: int,
    opened: Callable[[str], Stack],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    scenario, stack = SCENARIOS[name], opened(stack_name)
    result = await run(scenario, stack, seed, tmp_path)
    counts = [result.count(kind) for kind in ("lost", "double", "wrong")]
    record_property("fault", (scenario.name, stack.kind.name, *counts, result.seconds))
    again = f"ZOHO_SYNC_FAULT_SEED={seed} pytest tests/faults -k '{name} and {stack_name}'"
    assert not result.violations, f"{again}\n{result.trace}"
