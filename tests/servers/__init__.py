"""Servers for tests: taken from the environment, else started privately, else the test skips."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final, NoReturn

import pytest

_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108  # names inside it are made unguessable
_ENOUGH: Final = 2 * 1024**3


def in_memory() -> str | None:
    """Return a folder of the machine's memory, if there is one with two gigabytes to spare.

    Databases of tests need not outlive the machine, and a disk makes their many small files slowly:
    a new PostgreSQL database takes 0.03 s there, and 0.6 s on a virtual disk.
    """
    usable = _SHARED_MEMORY.is_dir() and os.access(_SHARED_MEMORY, os.W_OK | os.X_OK)
    enough = usable and shutil.disk_usage(_SHARED_MEMORY).free > _ENOUGH
    return str(_SHARED_MEMORY) if enough else None


class ServerUnavailableError(Exception):
    """No server can be had here; the message says what would enable one."""


def skip_or_fail(reason: ServerUnavailableError) -> NoReturn:
    """Skip the test for want of a server, or fail it where ZOHO_SYNC_REQUIRE_SERVERS=1."""
    if os.environ.get("ZOHO_SYNC_REQUIRE_SERVERS") == "1":
        pytest.fail(str(reason), pytrace=False)
    pytest.skip(str(reason))
