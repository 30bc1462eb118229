"""Servers for tests: taken from the environment, else started privately, else the test skips."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


class ServerUnavailableError(Exception):
    """No server can be had here; the message says what would enable one."""


def skip_or_fail(reason: ServerUnavailableError) -> NoReturn:
    """Skip the test for want of a server, or fail it where ZOHO_SYNC_REQUIRE_SERVERS=1."""
    if os.environ.get("ZOHO_SYNC_REQUIRE_SERVERS") == "1":
        pytest.fail(str(reason), pytrace=False)
    pytest.skip(str(reason))
