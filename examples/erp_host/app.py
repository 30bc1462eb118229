"""The web application of the ERP, and the `sync` object that keeps its tables in step.

==========================  =========================================================
variable                    meaning
==========================  =========================================================
``ERP_DATABASE_URL``        the database; a file ``erp.db`` by default
``ERP_WEBHOOK_SECRET``      the secret that was entered in Zoho; without one, every
                            delivery is refused
``ERP_WORKER``              ``inside`` (default): the worker runs in this process;
                            ``elsewhere``: another process runs it
==========================  =========================================================
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, HTTPException
from sqlalchemy import event, select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from examples.erp_host.mapping import HEAD_OFFICE, registry
from examples.erp_host.schema import Base, Branch, Client, Invoice
from zoho_sync import SignedRequest, ZohoSync

engine = create_async_engine(os.environ.get("ERP_DATABASE_URL", "sqlite+aiosqlite:///erp.db"))
sessions = async_sessionmaker(engine, expire_on_commit=False)
secret = os.environ.get("ERP_WEBHOOK_SECRET")

sync = ZohoSync(sessions, registry=registry(), verifier=SignedRequest(secret) if secret else None)


if engine.dialect.name == "sqlite":

    @event.listens_for(engine.sync_engine, "connect")
    def check_foreign_keys(connection: Any, _record: object) -> None:
        """Have SQLite check foreign keys, which it does only if told to."""
        connection.execute("PRAGMA foreign_keys = ON")


async def create_schema() -> None:
    """Create the ERP's tables, then those of the library."""
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with sessions.begin() as session:
        if await session.get(Branch, HEAD_OFFICE) is None:
            session.add(Branch(id=HEAD_OFFICE, name="Head office"))
    await sync.create_tables()


@contextlib.asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Create the tables, check the mappings, and run the worker as long as the application runs."""
    await create_schema()
    await sync.check()
    async with asyncio.TaskGroup() as tasks:
        if os.environ.get("ERP_WORKER", "inside") == "inside":
            worker = tasks.create_task(sync.run())
            yield
            worker.cancel()
        else:
            yield
    await sync.close()
    await engine.dispose()


app = FastAPI(title="ERP", lifespan=lifespan)
app.add_middleware(sync.asgi, path="/webhooks/zoho")


@app.get("/health")
async def health() -> dict[str, Any]:
    """Say how the synchronisation is doing."""
    report = await sync.status()
    return {
        "healthy": report.healthy,
        "problems": report.problems,
        "queued": report.queue.total,
        "parked": report.parked,
        "dead_letters": report.dead_letters,
        "settled": report.settled,
    }


@app.get("/invoices/{number}")
async def invoice(number: str) -> dict[str, Any]:
    """Return an invoice from the ERP's own tables."""
    statement = (
        select(Invoice, Client.name)
        .join(Client, Client.id == Invoice.client_id)
        .where(Invoice.number == number)
    )
    async with sessions() as session:
        found = (await session.execute(statement)).first()
    if found is None:
        raise HTTPException(404, "no such invoice")
    row, client = found
    return {"number": row.number, "client": client, "total": str(row.total)}
