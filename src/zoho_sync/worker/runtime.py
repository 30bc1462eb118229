"""Holds what a worker claims, applies and settles with."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

from sqlalchemy.ext.asyncio import AsyncSession

from zoho_sync.abc import QueueBackend, SettledHook
from zoho_sync.apply.context import HandlerContext
from zoho_sync.apply.patience import Patience
from zoho_sync.events.retry import RetryPolicy
from zoho_sync.handlers.registry import HandlerRegistry

__all__ = ["Runtime"]


@dataclass(frozen=True)
class Runtime:
    """The parts that claim, apply and settle.

    Attributes:
        hooks: Told about settled events after the commit.
        batch_size: Events of one transaction.
        concurrency: Transactions at once.
        lease: How long a claim lasts unless it is extended.
        handler_timeout: How long one event may take; four leases for None.
        jitter: Gives random numbers from 0 to 1.
    """

    sessions: Callable[[], AsyncSession]
    queue: QueueBackend
    registry: HandlerRegistry
    context: HandlerContext
    retry: RetryPolicy
    hooks: Sequence[SettledHook]
    batch_size: int
    concurrency: int
    lease: timedelta
    handler_timeout: timedelta | None = None
    jitter: Callable[[], float] = random.random

    @cached_property
    def patience(self) -> Patience:
        """How long one event may take; it knows what is being applied now."""
        return Patience.of(self.handler_timeout, self.lease)
