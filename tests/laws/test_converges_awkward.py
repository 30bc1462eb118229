"""Law 3 in an ERP with all the awkward habits, in small: any order, and a host that works on.

The ERP, its month and the oracle are those of `examples/erp_awkward`, with a handful of rows. The
deliveries come in any order, several changes fall into one second, and some come twice; drains, and
what the ERP's people do, come anywhere in between: they remove rows under their links, type in
items that orders wait for, add lines, and change what is theirs. Numbers change hands.

On SQLite and PostgreSQL alone: the ERP indexes expressions, which MariaDB cannot, and its triggers,
which also guard what is the host's, are written in the languages of those two.
"""

from __future__ import annotations

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from examples.erp_awkward.first import Sizes
from examples.erp_awkward.month import Month
from examples.erp_awkward.replay import Replay, set_up
from tests.laws.tools import EXAMPLES

pytestmark = pytest.mark.databases("sqlite", "postgresql")


@pytest.mark.parametrize("seed", range(EXAMPLES))
async def test_rows_end_right_in_any_order(engine: AsyncEngine, seed: int) -> None:
    sizes = Sizes(
        customers=8, products=5, events=40, seed=seed, duplicate_every=4, swaps=2, wild=True
    )
    replay = Replay(await set_up(engine), Month(sizes))
    report = await replay.run()
    assert report.differences == []
    assert report.violations == []
    assert report.outcomes["queued"] == 0
    assert report.outcomes["dead_letter"] == len(await replay.dead_letters())
    assert report.outcomes.total() == report.receipts["accepted"]
    assert report.waiting <= replay.oracle.waiting
