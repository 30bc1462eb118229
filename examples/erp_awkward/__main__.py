"""``python -m examples.erp_awkward`` replays a month, and says what came of it."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy.ext.asyncio import create_async_engine

from examples.erp_awkward.first import Sizes
from examples.erp_awkward.month import Month
from examples.erp_awkward.replay import Replay, Report, set_up

_SHOWN = 20


def _arguments() -> argparse.Namespace:
    sizes = Sizes()
    parser = argparse.ArgumentParser(prog="python -m examples.erp_awkward", description=__doc__)
    parser.add_argument("--customers", type=int, default=sizes.customers)
    parser.add_argument("--products", type=int, default=sizes.products)
    parser.add_argument("--events", type=int, default=sizes.events)
    parser.add_argument("--seed", type=int, default=sizes.seed)
    parser.add_argument(
        "--database",
        metavar="URL",
        help="an empty database, postgresql+asyncpg://…; a temporary SQLite file by default",
    )
    return parser.parse_args()


async def replayed(url: str, sizes: Sizes) -> Report:
    """Replay a month in an empty database."""
    engine = create_async_engine(url)
    try:
        return await Replay(await set_up(engine), Month(sizes)).run()
    finally:
        await engine.dispose()


def told(report: Report) -> str:
    """Return what came of a month, for people."""
    delivered, linked = report.receipts.total(), sum(map(len, report.linked.values()))
    speed = delivered / report.seconds
    lines = [
        f"{delivered} deliveries in {report.seconds:.1f} s, {speed:.0f} a second",
        "  received: " + _counted(report.receipts),
        "  became:   " + _counted(report.outcomes),
        f"{len(report.ambiguous)} of them name what was there twice; {linked} were linked by hand",
        f"{len(report.differences)} differences",
        *(f"  {each}" for each in report.differences[:_SHOWN]),
        f"{len(report.violations)} violations",
        *(f"  {each}" for each in report.violations[:_SHOWN]),
    ]
    return "\n".join(lines)


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()) if count)


def main() -> int:
    """Replay a month; return 1 where anything is not as it must be."""
    arguments = _arguments()
    sizes = Sizes(
        customers=arguments.customers,
        products=arguments.products,
        events=arguments.events,
        seed=arguments.seed,
    )
    # Each dead letter is a warning, and hundreds are meant to be; the report counts them.
    logging.getLogger("zoho_sync").setLevel(logging.ERROR)
    with TemporaryDirectory() as folder:
        url = arguments.database or f"sqlite+aiosqlite:///{Path(folder) / 'erp.db'}"
        report = asyncio.run(replayed(url, sizes))
    print(told(report))
    return 1 if report.differences or report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
