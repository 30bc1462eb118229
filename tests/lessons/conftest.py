"""Two hosts: one with tables of its own, one that uses the mirror."""

from __future__ import annotations

import pytest

from tests.hosts.application import Host, open_host
from tests.hosts.sql import Sessions


@pytest.fixture
async def erp(sessions: Sessions) -> Host:
    """A host with tables and handlers of its own."""
    return await open_host(sessions)


@pytest.fixture
async def mirrored(sessions: Sessions) -> Host:
    """A host that uses the mirror."""
    return await open_host(sessions, None)
