"""Ten processes create the tables at the same moment; the one argument is the database's URL.

They are forked from one that has imported everything, so that none is ahead of the others.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import sys

from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from zoho_sync import ZohoSync

PROCESSES = 10


async def create(url: str) -> None:
    """Create the tables, as a host does when it starts."""
    engine = create_async_engine(url)
    await ZohoSync(async_sessionmaker(engine)).create_tables()
    await engine.dispose()


def main(url: str) -> int:
    """Return how many of the processes failed; their errors are on the standard error."""
    fork = multiprocessing.get_context("fork")
    start = fork.Barrier(PROCESSES)

    def one() -> None:
        start.wait()
        asyncio.run(create(url))

    processes = [fork.Process(target=one) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return sum(process.exitcode != 0 for process in processes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
