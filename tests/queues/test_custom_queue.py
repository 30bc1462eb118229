"""The example of an engine of one's own proves itself by the suite that users have."""

from __future__ import annotations

from examples.custom_queue import TestFolderQueue, TestMachine

__all__ = ["TestFolderQueue", "TestMachine"]
