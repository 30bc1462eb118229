"""What may happen at the front door: a crowd, a death, a queue that is away."""

from __future__ import annotations

import asyncio
import os
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from tests.faults.processes import process
from tests.faults.routes import Route
from tests.faults.trial import Trial
from tests.hosts.shop import registry
from zoho_sync import Receipt, Unverified, ZohoSync
from zoho_sync.events.exact_json import dumps
from zoho_sync.exceptions import QueueUnavailable

__all__ = ["a_thousand_times", "door_killed", "queue_down"]

_CROWD: Final = 1000
_BODIES: Final = 48
_PATIENCE: Final = 30.0


def _body(trial: Trial, entity_id: str) -> bytes:
    """Add a client to what is sent, and return its webhook."""
    event = trial.sent.add_client(entity_id, f"by-webhook.{entity_id}")
    return dumps({"contact": {**event.payload, "contact_type": "customer"}}).encode()


async def a_thousand_times(trial: Trial) -> None:
    """A thousand senders at once, all with the same webhook."""
    body = _body(trial, "8000")
    receipts = await asyncio.gather(*(_send(trial, body) for _ in range(_CROWD)))
    trial.take(receipts)
    assert {receipt.http_status for receipt in receipts} == {200}


async def _send(trial: Trial, body: bytes) -> Receipt:
    """Send a webhook until it is taken."""
    while True:
        try:
            return await trial.sync.receive(body)
        except QueueUnavailable:
            trial.refused += 1
            await trial.pause(0.0, 0.5)


async def door_killed(trial: Trial) -> None:
    """The process that receives dies at any moment; the sender comes again until it is answered."""
    bodies = [_body(trial, str(8000 + number)) for number in range(_BODIES)]
    answers = trial.folder / "answers"
    door = process(receive_all, trial.stack.route, trial.scenario.conduct.lease, bodies, answers)
    enough = trial.dice.randint(1, _BODIES // 3)
    await trial.until(lambda: len(_answers(answers)) >= enough, "the door has answered")
    await trial.pause(0.0, 0.01)
    assert door.pid is not None
    os.kill(door.pid, signal.SIGKILL)
    await asyncio.to_thread(door.join)
    answered = _answers(answers)
    assert len(answered) < _BODIES, "it was killed too late"
    trial.accepted.update(event_id for _, event_id in answered)
    done = {int(number) for number, _ in answered}
    unheard = [body for number, body in enumerate(bodies) if number not in done]
    trial.take(await asyncio.gather(*(_send(trial, body) for body in unheard)))


def _answers(path: Path) -> list[tuple[str, str]]:
    lines = path.read_text().splitlines() if path.exists() else []
    return [(number, event_id) for number, event_id in (line.split() for line in lines)]


def receive_all(route: Route, lease: float, bodies: list[bytes], answers: Path) -> None:
    """Be a front door in a process of its own, and note each answer."""
    asyncio.run(_receive_all(route, lease, bodies, answers))


async def _receive_all(route: Route, lease: float, bodies: list[bytes], answers: Path) -> None:
    sync = _door(route, lease)
    said = os.open(answers, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    async def receive(number: int, body: bytes) -> None:
        receipt = await sync.receive(body)
        os.write(said, f"{number} {receipt.event_ids[0]}\n".encode())

    for first in range(0, len(bodies), 4):
        some = enumerate(bodies[first : first + 4], first)
        await asyncio.gather(*(receive(number, body) for number, body in some))
        await asyncio.sleep(0.01)


def _door(route: Route, lease: float) -> ZohoSync:
    engine = create_async_engine(route.database)
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    queue = route.engine(timedelta(seconds=lease))
    return ZohoSync(sessions, queue=queue, registry=registry(), verifier=Unverified())


async def queue_down(trial: Trial) -> None:
    """The queue's server is away: the front door answers 503, and the sender comes again.

    With an outbox nobody hears of it.
    """
    server, body = trial.stack.server, _body(trial, "8000")
    assert server is not None
    address = trial.stack.route
    await trial.until(trial.crew.working, "a worker works")
    await trial.pause(0.0, 0.5)
    await asyncio.to_thread(trial.dice.choice(trial.stack.ways_to_end(server)))
    try:
        if trial.stack.kind.outbox:
            assert await _post(trial, body) == 200
        else:
            await _refused(trial, body)
    finally:
        await asyncio.to_thread(server.start)
    assert trial.stack.route == address, "somebody has taken the server's port meanwhile"
    status = 503
    async with asyncio.timeout(_PATIENCE):
        while status != 200:
            status = await _post(trial, body)


async def _refused(trial: Trial, body: bytes) -> None:
    assert await _post(trial, body) == 503, "what cannot be stored was accepted"
    try:
        await trial.sync.receive(body)
    except QueueUnavailable:
        return
    raise AssertionError("what cannot be stored was accepted")


async def _post(trial: Trial, body: bytes) -> int:
    """Post a webhook, and return the status of the answer."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": body}

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b""}
    await trial.sync.asgi()(scope, receive, send)
    return int(sent[0]["status"])
