"""The ERP of the examples as real processes, and plain SQL on its database."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it has no annotations
import httpx2
from sqlalchemy import make_url

from zoho_sync.intake.signature import SIGNATURE_HEADER
from zoho_sync.intake.signed_string import sign

REPOSITORY = Path(__file__).parents[2]
SECRET = "abcdef123456"
_PATIENCE = 30.0


@dataclass(frozen=True)
class ERP:
    """The running example: where it answers, and its database.

    Attributes:
        base: URL of the web application.
        database_url: SQLAlchemy's URL of the database.
        client: Sends the requests.
    """

    base: str
    database_url: str
    client: httpx2.AsyncClient

    async def post(
        self,
        route: str,
        body: bytes | Mapping[str, Any],
        *,
        query: Sequence[tuple[str, str]] = (),
        secret: str = SECRET,
        method: str = "POST",
    ) -> httpx2.Response:
        """Send a delivery, signed as Zoho signs it."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.client.request(
            method,
            f"{self.base}/webhooks/zoho/{route}",
            content=content,
            params=list(query),
            headers={
                "Content-Type": "application/json",
                SIGNATURE_HEADER: sign(secret, content, query),
            },
        )

    async def health(self) -> dict[str, Any]:
        """What the ERP says about the synchronisation."""
        answer = await self.client.get(f"{self.base}/health")
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    async def settled(self, *, parked: int = 0) -> dict[str, Any]:
        """Wait until the queue is empty and so many events are parked."""
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            report = await self.health()
            if report["queued"] == 0 and report["parked"] == parked:
                return report
            await asyncio.sleep(0.1)
        message = f"not settled in {_PATIENCE} s: {report}"
        raise AssertionError(message)

    async def command(self, *arguments: str) -> tuple[int, Any]:
        """Run ``zoho-sync`` beside the worker; return its exit code and what it says in JSON."""
        process = await asyncio.create_subprocess_exec(
            *_command(*arguments, "--json"),
            cwd=REPOSITORY,
            env={**os.environ, "ERP_DATABASE_URL": self.database_url},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        output, _ = await process.communicate()
        return process.returncode or 0, json.loads(output)

    async def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Run plain SQL, without the library or SQLAlchemy."""
        return await plain_sql(self.database_url, statement)


async def plain_sql(database_url: str, statement: str) -> list[tuple[Any, ...]]:
    """Run a statement with the driver alone, and return all rows."""
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite":
        opened = sqlite3.connect(str(url.database))
        with contextlib.closing(opened), opened as connection:
            return connection.execute(statement).fetchall()
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    asked = await asyncpg.connect(plain)
    try:
        return [tuple(row) for row in await asked.fetch(statement)]
    finally:
        await asked.close()


@contextlib.asynccontextmanager
async def running_erp(
    database_url: str, folder: Path, *, worker: str = "elsewhere"
) -> AsyncIterator[ERP]:
    """Run the web application in one process and its worker in another, or inside the first."""
    port = _free_port()
    environment = {
        **os.environ,
        "ERP_DATABASE_URL": database_url,
        "ERP_WEBHOOK_SECRET": SECRET,
        "ERP_WORKER": worker,
        "ERP_PORT": str(port),
    }
    server = [sys.executable, "-m", "examples.erp_host"]
    async with httpx2.AsyncClient(timeout=20) as client:
        erp = ERP(f"http://127.0.0.1:{port}", database_url, client)
        with _process(server, environment, folder / "server.log") as web:
            assert await _answers(erp, web), (folder / "server.log").read_text()
            if worker == "inside":
                yield erp
                return
            log = folder / "worker.log"
            with _process(_command("worker"), environment, log) as other:
                yield erp
                assert other.poll() is None, log.read_text()


def _command(*arguments: str) -> list[str]:
    program = Path(sys.executable).with_name("zoho-sync")
    return [str(program), *arguments, "--app", "examples.erp_host.app:sync"]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextlib.contextmanager
def _process(
    command: Sequence[str], environment: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


async def _answers(erp: ERP, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx2.HTTPError):
            await erp.health()
            return True
        await asyncio.sleep(0.1)
    return False
