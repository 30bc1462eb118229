"""``zoho-sync demo``: the library at work on a small ERP, with every kind of delivery."""

from __future__ import annotations

from zoho_sync.cli.demo.command import demo

__all__ = ["demo"]
