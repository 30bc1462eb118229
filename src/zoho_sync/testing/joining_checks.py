"""Checks what an engine promises that takes part in the host's transactions."""

from __future__ import annotations

import asyncio

import pytest

from zoho_sync.abc import Job
from zoho_sync.exceptions import LeaseLost, ZohoSyncError
from zoho_sync.testing.bench import MINUTE
from zoho_sync.testing.events import events_of, ids
from zoho_sync.testing.host import Host, WorkBench, on_host

__all__ = ["JoiningChecks"]


class JoiningChecks(WorkBench):
    """Transactions that the engine is in together with the host's rows."""

    @pytest.mark.parametrize("end", ["rollback", "commit"])
    @on_host(needs="enqueues_in_transaction")
    async def test_who_loses_a_race_to_an_uncommitted_equal_is_kept(
        self, host: Host, end: str
    ) -> None:
        """7: an event whose equal was stored in a transaction that rolls back is stored itself."""
        queue = host.queue
        async with host.sessions() as winner:
            await queue.enqueue(events_of(1), session=winner)
            loser = asyncio.create_task(queue.enqueue(events_of(1)))
            # It waits for the winner, as most databases have it, or is answered at once.
            await asyncio.wait({loser}, timeout=0.05)
            await (winner.rollback() if end == "rollback" else winner.commit())
            (stored,) = await loser
        assert stored.duplicate == (end == "commit")
        assert len(await queue.claim(10, lease=MINUTE)) == 1

    @on_host()
    async def test_a_hosts_session_is_joined_or_refused(self, host: Host) -> None:
        """8: stored with the host's commit, gone with its rollback; or refused, storing nothing."""
        queue = host.queue
        if not queue.capabilities.enqueues_in_transaction:
            async with host.sessions() as session:
                with pytest.raises(ZohoSyncError):
                    await queue.enqueue(events_of(1), session=session)
            assert (await queue.depth()).total == 0
            return
        async with host.sessions() as session:
            await queue.enqueue(events_of(1), session=session)
            await session.rollback()
        assert (await queue.depth()).total == 0
        async with host.sessions() as session:
            await queue.enqueue(events_of(1), session=session)
            early = asyncio.create_task(queue.claim(1, lease=MINUTE))
            seen, _ = await asyncio.wait({early}, timeout=0.05)
            assert not seen or early.result() == []
            await session.commit()
        found = [*await early, *await queue.claim(1, lease=MINUTE)]
        assert ids(found) == ["20"]

    @on_host(needs="completes_in_transaction")
    async def test_a_completion_that_is_rolled_back_has_not_happened(self, host: Host) -> None:
        """16: the job is where it was, under its lease, and nothing is held against it."""
        queue = host.queue
        await queue.enqueue(events_of(1))
        (job,) = await queue.claim(1, lease=MINUTE)
        async with host.sessions() as session:
            await queue.ack([job], connection=await session.connection())
            await session.rollback()
        assert (await queue.depth()).leased == 1
        await queue.release([job])
        (again,) = await queue.claim(1, lease=MINUTE)
        assert (again.event, again.attempts, again.deaths) == (job.event, 0, 0)
        assert not again.suspect

    @on_host(needs="completes_in_transaction")
    async def test_a_late_completion_rolls_back(self, host: Host) -> None:
        """17: whose lease has ended and was given to another cannot complete: one outcome."""
        queue = host.queue
        await queue.enqueue(events_of(1))
        (old,) = await queue.claim(1, lease=self.lease)
        (new,) = await self.claimed_again(queue, 1)
        with pytest.raises(LeaseLost):
            await self._acknowledged(host, old)
        assert (await queue.depth()).total == 1
        await self._acknowledged(host, new)
        assert (await queue.depth()).total == 0

    @pytest.mark.parametrize("end", ["commit", "rollback"])
    @on_host(needs="completes_in_transaction")
    async def test_a_completion_under_way_is_nobody_elses(self, host: Host, end: str) -> None:
        """17: a job that is being completed as its lease ends goes to nobody until that is over."""
        queue = host.queue
        await queue.enqueue(events_of(1))
        (job,) = await queue.claim(1, lease=self.lease)
        await self.elapse(self.lease.total_seconds() * 1.1)
        async with host.sessions() as session:
            await queue.ack([job], connection=await session.connection())
            reaping = asyncio.create_task(queue.claim(1, lease=self.lease))
            reaped, _ = await asyncio.wait({reaping}, timeout=0.05)
            assert not reaped or reaping.result() == []
            await (session.commit() if end == "commit" else session.rollback())
        found = [*await reaping, *await queue.claim(1, lease=self.lease)]
        assert ids(found) == ([] if end == "commit" else ["20"])
        assert (await queue.depth()).total == len(found)

    @staticmethod
    async def _acknowledged(host: Host, job: Job) -> None:
        """Complete a job in a transaction of the host's."""
        async with host.sessions() as session, session.begin():
            await host.queue.ack([job], connection=await session.connection())
