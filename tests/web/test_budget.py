"""What is held of bodies that nobody has verified: bounded in all, in time, and given back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.amounts import examples
from tests.web.doors import Inside, door_to
from zoho_sync.events.outcome import Receipt, ReceiptStatus
from zoho_sync.exceptions import QueueUnavailable
from zoho_sync.intake.receiver import LARGE
from zoho_sync.web.asgi import ReceiverApp
from zoho_sync.web.budget import Budget, NoRoomError, Share
from zoho_sync.web.door import Door

MB = 1024 * 1024
SMALL, BIG = 4 * LARGE, 12 * LARGE
"""What there is for small bodies, and for larger ones."""


class Connection:
    """One request to the application, whose sender is driven by hand."""

    def __init__(
        self,
        door: Door,
        *,
        announced: int | None = None,
        version: str = "1.1",
        method: str = "POST",
    ) -> None:
        self._sent: asyncio.Queue[Any] = asyncio.Queue()
        self._wants = asyncio.Event()
        self.answer: dict[str, Any] = {}
        told = b"%d" % announced if announced is not None else b""
        named = (b"content-length", told) if told else (b"transfer-encoding", b"chunked")
        scope = {
            "type": "http",
            "method": method,
            "path": "/",
            "headers": [named],
            "http_version": version,
        }
        self.task = asyncio.ensure_future(ReceiverApp(door)(scope, self._receive, self._send))

    async def _receive(self) -> Any:
        self._wants.set()
        message = await self._sent.get()
        if isinstance(message, BaseException):
            raise message
        return message

    async def _send(self, message: Any) -> None:
        self.answer |= message

    async def send(self, size: int, *, more: bool = True) -> None:
        """Send so many bytes, and return when they were read, or an answer is there."""
        await self.say({"type": "http.request", "body": b"x" * size, "more_body": more})

    async def say(self, message: Any) -> None:
        """Send any message, or let the server raise something."""
        self._wants.clear()
        self._sent.put_nowait(message)
        wants = asyncio.ensure_future(self._wants.wait())
        await asyncio.wait({wants, self.task}, return_when=asyncio.FIRST_COMPLETED)
        wants.cancel()

    async def status(self) -> int:
        """Wait for the answer."""
        await asyncio.wait({self.task}, timeout=20)
        await self.task
        return int(self.answer["status"])

    @property
    def header(self) -> dict[str, str]:
        """The headers of the answer."""
        return {name.decode(): value.decode() for name, value in self.answer["headers"]}


@pytest.fixture
def inside() -> Inside:
    return Inside()


@pytest.fixture
def door(inside: Inside) -> Door:
    return door_to(inside, max_body=8 * LARGE, budget=Budget(small=SMALL, large=BIG), patience=60)


def left(door: Door) -> tuple[int, int]:
    return door.budget.small, door.budget.large


async def test_larger_bodies_leave_small_ones_their_room(door: Door, inside: Inside) -> None:
    large = [Connection(door, announced=6 * LARGE), Connection(door)]  # one in pieces of any number
    for each in large:
        await each.send(6 * LARGE)
    assert left(door) == (SMALL, 0)
    late = Connection(door, announced=LARGE + 1)
    assert await late.status() == 503
    assert late.header["retry-after"] == "30"
    assert inside.unread == ["too many bodies were being read at once"]
    small = [Connection(door, announced=LARGE), Connection(door)]
    for each in small:
        await each.send(LARGE, more=False)
        assert await each.status() == 200
    for each in large:
        await each.send(0, more=False)
        assert await each.status() == 200
    assert left(door) == (SMALL, BIG)
    assert sorted(len(seen["body"]) for seen in inside.seen) == [LARGE, LARGE, *[6 * LARGE] * 2]


async def test_what_is_announced_takes_nothing_until_it_is_there(door: Door) -> None:
    silent = [Connection(door, announced=size) for size in (LARGE, 8 * LARGE) for _ in range(50)]
    await asyncio.sleep(0)
    assert left(door) == (SMALL, BIG)
    honest = Connection(door, announced=8 * LARGE)
    await honest.send(8 * LARGE, more=False)
    assert await honest.status() == 200
    for each in silent:
        each.task.cancel()
    await asyncio.wait([each.task for each in silent])
    assert left(door) == (SMALL, BIG)


async def test_a_body_that_grows_moves_to_the_larger_ones(door: Door) -> None:
    grows = Connection(door)
    await grows.send(LARGE)
    assert left(door) == (SMALL - LARGE, BIG)
    await grows.send(1)
    assert left(door) == (SMALL, BIG - LARGE - 1)
    other = Connection(door, announced=8 * LARGE)
    await other.send(8 * LARGE)
    await grows.send(3 * LARGE)
    assert await grows.status() == 503
    assert grows.header["connection"] == "close"
    assert left(door) == (SMALL, 4 * LARGE)
    await other.say({"type": "http.disconnect"})
    assert left(door) == (SMALL, BIG)


async def test_beyond_the_room_of_small_ones_small_ones_come_again(door: Door) -> None:
    held = [Connection(door, announced=LARGE) for _ in range(4)]
    for each in held:
        await each.send(LARGE - 1)
    refused = Connection(door, announced=100)
    assert await refused.status() == 503
    assert "connection" not in refused.header  # it can see the answer
    await held[0].say({"type": "http.disconnect"})
    again = Connection(door, announced=100)
    await again.send(100, more=False)
    assert await again.status() == 200
    for each in held[1:]:
        each.task.cancel()
    await asyncio.wait([each.task for each in held])
    assert left(door) == (SMALL, BIG)


@pytest.mark.parametrize("sent", [0, 1, LARGE, LARGE + 1])
@pytest.mark.parametrize("announced", [8 * LARGE, None])
async def test_a_body_must_arrive_in_time(inside: Inside, sent: int, announced: int | None) -> None:
    door = door_to(inside, max_body=8 * LARGE, budget=Budget(small=SMALL, large=BIG), patience=0.05)
    slow = Connection(door, announced=announced)
    await slow.send(sent)
    assert await slow.status() == 408
    assert slow.header["connection"] == "close"
    assert (left(door), inside.seen) == ((SMALL, BIG), [])
    assert inside.unread == ["the body did not arrive in time"]


async def test_the_queue_may_take_its_time(inside: Inside) -> None:
    """Only the sender's part of it is measured."""

    async def late(body: bytes, **_: Any) -> Receipt:
        del body
        await asyncio.sleep(0.1)
        return Receipt(ReceiptStatus.PING)

    inside.refusal = None
    door = Door(
        late,
        inside.preview,
        inside.note,
        max_body=9,
        knows=bool,
        names=(),
        budget=Budget(),
        patience=0.02,
    )
    request = Connection(door, announced=1)
    await request.send(1, more=False)
    assert await request.status() == 200


@pytest.mark.parametrize("end", ["cancelled", "disconnected", "broken", "away", "failed", "large"])
@pytest.mark.parametrize("size", [LARGE // 2, 2 * LARGE])
async def test_every_end_gives_back(door: Door, inside: Inside, end: str, size: int) -> None:
    request = Connection(door)
    await request.send(size)
    assert left(door) != (SMALL, BIG)
    inside.error = {"away": QueueUnavailable("away"), "failed": LookupError()}.get(end)
    if end == "cancelled":
        request.task.cancel()
    elif end == "large":
        await request.send(9 * LARGE)
    else:
        broken = ConnectionResetError() if end == "broken" else None
        gone = {"type": "http.disconnect"} if end == "disconnected" else None
        await request.say(broken or gone or {"type": "http.request", "body": b""})
    await asyncio.wait({request.task}, timeout=20)
    answers = {"away": 503, "large": 413}
    assert request.answer.get("status") == answers.get(end)
    raised = None if request.task.cancelled() else request.task.exception()
    assert type(raised) is {"broken": ConnectionResetError, "failed": LookupError}.get(
        end, type(None)
    )
    assert left(door) == (SMALL, BIG)


async def test_what_is_refused_before_is_not_read(door: Door, inside: Inside) -> None:
    inside.refusal = Receipt(ReceiptStatus.REFUSED, 401)
    for announced, closes in ((100, None), (8 * LARGE, "close"), (None, "close")):
        refused = Connection(door, announced=announced)
        assert await refused.status() == 401
        assert not refused._wants.is_set()
        assert refused.header.get("connection") == closes
    assert not inside.seen
    later = Connection(door, announced=8 * LARGE, version="2")
    assert await later.status() == 401
    assert "connection" not in later.header  # HTTP/2 has no such header


@pytest.mark.parametrize(
    ("limit", "announced", "closes"),
    [
        (100, 101, None),
        (100, 256 * 1024, None),
        (100, 256 * 1024 + 1, "close"),
        (5 * MB, 5 * MB + 1, None),
        (5 * MB, 10 * MB, None),
        (5 * MB, 10 * MB + 1, "close"),
        (5 * MB, 10**20, "close"),
    ],
)
async def test_a_sender_of_a_little_too_much_is_not_cut_off(
    inside: Inside, limit: int, announced: int, closes: str | None
) -> None:
    """It may be honest, and would not see the answer if it were."""
    refused = Connection(door_to(inside, max_body=limit), announced=announced)
    assert await refused.status() == 413
    assert refused.header.get("connection") == closes


def test_the_largest_body_always_has_room() -> None:
    for largest in (1, MB, 500 * MB):
        budget = Budget.fitting(largest)
        with budget.share(largest) as share:
            share.grow(largest)
        assert (budget.small, budget.large) == (16 * MB, max(16 * MB, largest))


sizes = st.integers(0, 3 * LARGE)


@settings(max_examples=examples(core=60, everything=500), deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.none() | sizes, sizes), max_size=40))
def test_the_sum_is_never_exceeded_and_all_comes_back(
    steps: Sequence[tuple[int, int | None, int]],
) -> None:
    """Whatever is announced, whatever comes, in whatever order requests begin and end."""
    budget = Budget(small=SMALL, large=BIG)
    open_ones: dict[int, tuple[Share, int]] = {}
    for number, announced, size in steps:
        try:
            if number not in open_ones:
                open_ones[number] = budget.share(announced), 0
            share, held = open_ones[number]
            share.grow(size)
            open_ones[number] = share, held + size
        except NoRoomError:
            if number in open_ones:
                open_ones.pop(number)[0].__exit__()
        held_in_all = sum(held for _, held in open_ones.values())
        assert SMALL - budget.small + BIG - budget.large == held_in_all
        assert 0 <= budget.small <= SMALL
        assert 0 <= budget.large <= BIG
        larger = sum(held for _, held in open_ones.values() if held > LARGE)
        assert BIG - budget.large >= larger
    for share, _ in open_ones.values():
        share.__exit__()
    assert (budget.small, budget.large) == (SMALL, BIG)


def test_threads_count_together() -> None:
    budget = Budget(small=SMALL, large=BIG)

    def use(size: int) -> None:
        for _ in range(200):
            with budget.share(None) as share:
                try:
                    share.grow(size)
                    share.grow(LARGE)
                except NoRoomError:
                    continue

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(use, [1, LARGE, 2 * LARGE, 5 * LARGE] * 4))
    assert (budget.small, budget.large) == (SMALL, BIG)
