"""Shows the library at work on a small ERP, with every kind of delivery: ``zoho-sync demo``.

Drives every stage as a host would, from the front door to the rows, and reads what became of it.
"""

from __future__ import annotations

from zoho_sync.cli.demo.command import demo

__all__ = ["demo"]
