"""A front door in a process of its own, for tests of load: ``python -m tests.web.load_server``."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys

import uvicorn
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from tests.web.load import SECRET
from zoho_sync import SignedRequest, ZohoSync


async def serve(url: str, listener: socket.socket) -> None:
    """Serve until the process is told to end."""
    engine = create_async_engine(url)
    sync = ZohoSync(async_sessionmaker(engine), verifier=SignedRequest(SECRET))
    config = uvicorn.Config(sync.asgi(), log_config=None, access_log=False, lifespan="off")
    await uvicorn.Server(config).serve([listener])
    await engine.dispose()


def main() -> None:
    """Listen on a free port of this machine alone, and say which."""
    logging.basicConfig(level=logging.WARNING)
    # With its protocol named: otherwise asyncio would not send small answers at once.
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1024)
        print(listener.getsockname()[1], flush=True)  # noqa: T201  # the parent reads it
        asyncio.run(serve(sys.argv[1], listener))


if __name__ == "__main__":
    main()
